//! What is taken back, and who hears of it: stopped sessions, deleted films, an edge that is cut off, a control plane
//! that is killed.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use contracts::feed::{Order, Page, Scope};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::house::{House, Stage};
use crate::role::Role;

/// How long a condition may take that no test is about.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the edge that is cut off serves without news.
const LEASE: Duration = Duration::from_secs(3);
/// How long a removal waits for edges.
const SETTLED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_session_is_refused_by_every_edge_within_two_seconds() {
    let stage = Stage::new();
    let house = stage.house();
    let wish = json!({"video_id": house.video()});
    let playback = api(&house, Method::POST, "/v1/playback/start", &wish)
        .await
        .1;
    let session = playback["session_id"].as_str().unwrap();
    let urls = [0, 1].map(|edge| {
        segment(
            &house,
            &playback,
            house.fact(&format!("/edges/{edge}/https")),
        )
    });
    for url in &urls {
        assert_eq!(status(&house, url).await, Some(200));
    }
    let path = format!("/v1/playback/{session}");
    let (stopped, _) = api(&house, Method::DELETE, &path, &Value::Null).await;
    let began = Instant::now();
    assert_eq!(stopped, 204);
    for url in &urls {
        until(async || status(&house, url).await == Some(403)).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    // Others go on.
    assert_eq!(status(&house, house.fact("/hls")).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_cut_off_is_named_and_stops_with_its_lease() {
    let stage = Stage::new();
    let house = stage.house();
    let relay = Relay::to(house.fact("/api").strip_prefix("http://").unwrap()).await;
    let edge = cut_edge(&stage, &relay.address);
    let wish = json!({"video_id": house.video()});
    let playback = api(&house, Method::POST, "/v1/playback/start", &wish)
        .await
        .1;
    let here = segment(&house, &playback, &edge.at("http"));
    let there = segment(&house, &playback, house.fact("/edges/0/https"));
    // It serves once it knows what was ordered.
    until(async || status(&house, &here).await == Some(200)).await;
    assert_eq!(status(&house, &there).await, Some(200));
    let (_, given) = api(
        &house,
        Method::POST,
        "/v1/purge",
        &json!({"tag": "a:other"}),
    )
    .await;
    let path = format!("/v1/purge/{}", given["seq"]);
    until(async || purge(&house, &path).await["state"] == "complete").await;
    let acked = purge(&house, &path).await["acked"].clone();
    assert_eq!(acked, json!(["edge-1", "edge-2", "edge-cut", "shield-1"]));

    relay.cut();
    let cut = Instant::now();
    let path = format!("/v1/videos/{}", house.video());
    let (removed, answer) = api(&house, Method::DELETE, &path, &Value::Null).await;
    assert_eq!(removed, 200, "{answer}");
    let pending = answer["purge"]["pending"].as_array().unwrap();
    let names: Vec<&Value> = pending.iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["edge-cut"], "{answer}");
    assert_eq!(status(&house, &there).await, Some(403));
    until(async || status(&house, &here).await == Some(503)).await;
    // Beyond its lease only by what the machine is late.
    assert!(
        cut.elapsed() < SETTLED + LEASE + Duration::from_secs(5),
        "{:?}",
        cut.elapsed()
    );
    let path = format!("/v1/purge/{}", answer["purge"]["seq"]);
    until(async || purge(&house, &path).await["state"] == "bounded").await;
    let told = purge(&house, &path).await;
    assert_eq!(told["pending"][0]["name"], "edge-cut");
    assert_eq!(told["bounded_at"], told["pending"][0]["stops_at"]);
    assert_eq!(status(&house, &here).await, Some(503));
    // Of its media nothing is left.
    let store = stage.path("house/store");
    until(async || {
        let folders = ["encoded", "thumbnails", "originals"]
            .map(|folder| store.join(folder).join(house.video()));
        folders.iter().all(|folder| files(folder) == 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_order_that_was_answered_for_is_lost_however_often_the_control_plane_is_killed() {
    const ROUNDS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("hop"), "a-credential-of-some-length").unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"\ncatalog = \"sqlite://{}\"\n[fleet]\nhop_secrets = [\"{}\"]\n",
        path("catalog.db"),
        path("hop")
    );
    std::fs::write(path("control.toml"), config).unwrap();
    let start = || Role::start("control", Path::new(&path("control.toml")));
    let mut answered = HashMap::new();
    for round in 0..ROUNDS {
        let mut control = start();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let mut clients = JoinSet::new();
        for client in 0..4 {
            let (url, tell) = (format!("{}/v1/purge", control.at("http")), tell.clone());
            clients.spawn(async move {
                let http = runtime::http::client().build().unwrap();
                for number in 0.. {
                    let tag = format!("r{round}-{client}-{number}");
                    let asked = http.post(&url).json(&json!({"tag": tag})).send().await;
                    let Ok(answer) = asked else { return };
                    assert_eq!(answer.status(), 202);
                    let Ok(given) = answer.json::<Value>().await else {
                        return;
                    };
                    tell.send((given["seq"].as_u64().unwrap(), tag)).unwrap();
                }
            });
        }
        drop(tell);
        // Killed while some are under way, each time after another number of them.
        for _ in 0..=round {
            let (seq, tag) = told.recv().await.unwrap();
            answered.insert(seq, tag);
        }
        control.kill();
        while let Some((seq, tag)) = told.recv().await {
            answered.insert(seq, tag);
        }
        clients.join_all().await;
    }
    let control = start();
    let mut kept = HashMap::new();
    let (http, mut after) = (runtime::http::client().build().unwrap(), 0);
    loop {
        let url = format!("{}/v1/fleet/feed?after={after}", control.at("http"));
        let asked = http
            .get(url)
            .header("millrace-hop", "a-credential-of-some-length");
        let text = asked.send().await.unwrap().bytes().await.unwrap();
        let page = Page::parse(&text, after).unwrap();
        after = page.through(after);
        if page.entries.is_empty() {
            break;
        }
        for entry in page.entries {
            if let Order::Purge(purge) = entry.order
                && let Scope::Tag(tag) = purge.scope
            {
                kept.insert(entry.seq, tag.as_str().to_owned());
            }
        }
    }
    assert!(answered.len() >= ROUNDS);
    for (seq, tag) in &answered {
        assert_eq!(
            kept.get(seq),
            Some(tag),
            "order {seq} of {}",
            answered.len()
        );
    }
}

/// What stands between an edge and its feed until it is cut.
struct Relay {
    address: String,
    open: watch::Sender<bool>,
}

impl Relay {
    async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, watch) = watch::channel(true);
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (server, mut watch) = (server.clone(), watch.clone());
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = watch.wait_for(|open| !open) => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { address, open }
    }

    fn cut(&self) {
        self.open.send_replace(false);
    }
}

/// One more edge of the house, which hears of orders through a relay and refuses requests when it does not.
fn cut_edge(stage: &Stage, relay: &str) -> Role {
    let house = |name: &str| stage.path("house").join(name).display().to_string();
    let ports: Value =
        serde_json::from_slice(&std::fs::read(house("ports.json")).unwrap()).unwrap();
    let config = format!(
        r#"
        name = "edge-cut"
        parents = ["http://127.0.0.1:{shield}"]
        keyring_file = "{keys}"
        [listen]
        https = "127.0.0.1:0"
        plain = "127.0.0.1:0"
        internal = "127.0.0.1:0"
        [tls]
        certificate = "{certificate}"
        key = "{key}"
        [upstream]
        hop_secret_file = "{hop}"
        [feed]
        from = "http://{relay}/v1/fleet/feed"
        wait = "1s"
        every = "100ms"
        lease = "{lease}s"
        lease_immutable = "{lease}s"
        when_lost = "refuse"
        "#,
        shield = ports["shield-1.http"],
        keys = house("keys.json"),
        certificate = house("tls/cert.pem"),
        key = house("tls/key.pem"),
        hop = house("hop.secret"),
        lease = LEASE.as_secs(),
    );
    let file = stage.path("edge-cut.toml");
    std::fs::write(&file, config).unwrap();
    Role::start("edge", &file)
}

/// A segment at an edge, behind a session's token.
fn segment(house: &House, playback: &Value, base: &str) -> String {
    let (_, rest) = playback["manifest_url"]
        .as_str()
        .unwrap()
        .split_once("/~")
        .unwrap();
    let (token, _) = rest.split_once('/').unwrap();
    let rendition = house.mezzanines().remove(0).0;
    format!(
        "{base}/~{token}/v/{}/{rendition}/segment_1.m4s",
        house.video()
    )
}

async fn api(house: &House, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}{path}", house.fact("/api"));
    let request = house.http.request(method, url);
    let request = if body.is_null() {
        request
    } else {
        request.json(body)
    };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.bytes().await.unwrap();
    (status, serde_json::from_slice(&text).unwrap_or(Value::Null))
}

async fn purge(house: &House, path: &str) -> Value {
    api(house, Method::GET, path, &Value::Null).await.1
}

async fn status(house: &House, url: &str) -> Option<u16> {
    let answer = house.http.get(url).send().await.ok()?;
    Some(answer.status().as_u16())
}

/// Asks again and again until it is so.
async fn until(is_so: impl AsyncFn() -> bool) {
    let asked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() {
                files(&entry.path())
            } else {
                1
            }
        })
        .sum()
}
