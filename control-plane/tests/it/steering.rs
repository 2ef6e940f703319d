//! Content steering: manifests with a pathway for each edge, and the order of the pathways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use contracts::asset::Privacy;
use contracts::token::{KeyRing, Request, verify};
use control_plane::config::Edge;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::house::{House, KEYS, NOW, at_the_edge, json, mark, problem};

const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English\",DEFAULT=YES,URI=\"audio-en/playlist.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"aac\"\n240p/playlist.m3u8\n";
/// What an edge makes of it for a token that names renditions.
const FEWER: &str = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-STREAM-INF:BANDWIDTH=500,CODECS=\"avc1.64001f\"\n144p/playlist.m3u8\n";
const MANIFEST: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD type=\"static\">\n<Period id=\"0\" start=\"PT0S\">\n</Period>\n</MPD>\n";

/// An edge that admits what its keys admit, has two manifests, and counts what it is asked.
struct Fake {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Fake {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let app = Router::new()
            .route("/{token}/v/{video}/{*file}", get(serve))
            .with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            asked,
            serving,
        }
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    fn count(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

async fn serve(
    State(asked): State<Arc<AtomicUsize>>,
    Path((token, video, file)): Path<(String, String, String)>,
) -> Result<&'static str, StatusCode> {
    asked.fetch_add(1, Ordering::Relaxed);
    let ring = KeyRing::from_json(KEYS).unwrap();
    let target = format!("/{token}/v/{video}/{file}");
    let request = Request::new(&target, contracts::time::UnixSeconds(NOW));
    let admitted = verify(&ring, &request).map_err(|_| StatusCode::FORBIDDEN)?;
    match file.as_str() {
        "master.m3u8" if !admitted.renditions.is_empty() => Ok(FEWER),
        "master.m3u8" | "@clearkey/master.m3u8" => Ok(MASTER),
        "manifest.mpd" => Ok(MANIFEST),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

/// A house with two such edges, and a film.
async fn house() -> (House, [Fake; 2]) {
    let edges = [Fake::start().await, Fake::start().await];
    let named = ["edge-1", "edge-2"]
        .iter()
        .zip(&edges)
        .map(|(name, fake)| Edge {
            name: (*name).to_owned(),
            base: fake.base(),
            ..Edge::default()
        });
    let named: Vec<Edge> = named.collect();
    let house = House::with(|config, _| config.edges = named).await;
    house.film("film1", Privacy::Public).await;
    (house, edges)
}

async fn start(house: &House) -> Value {
    let wish = json!({"video_id": "film1"});
    json(
        house
            .post("/v1/playback/start", &wish)
            .send()
            .await
            .unwrap(),
        201,
    )
    .await
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}

#[tokio::test]
async fn steering_is_offered_where_two_edges_can_play_the_film_and_not_where_one_can() {
    let (house, _edges) = house().await;
    let playback = start(&house).await;
    let session = text(&playback, "/session_id");
    let steering = format!("http://{}/v1/steering/{session}", house.running.listen);
    assert_eq!(playback["steering_url"], steering);
    assert_eq!(
        playback["steered"],
        json!({
            "hls": format!("{steering}/master.m3u8"),
            "hls_ts": format!("{steering}/master_ts.m3u8"),
            "dash": format!("{steering}/manifest.mpd"),
        })
    );
    assert!(
        text(&playback, "/manifest_url").contains("/~m1."),
        "others play without"
    );
    let alone = House::with(|config, _| config.edges.truncate(1)).await;
    alone.film("film1", Privacy::Public).await;
    let playback = start(&alone).await;
    assert_eq!(
        (&playback["steering_url"], &playback["steered"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn the_playlist_of_a_session_leads_to_every_edge_with_its_token_and_to_its_steering() {
    let (house, edges) = house().await;
    let playback = start(&house).await;
    let url = text(&playback, "/steered/hls");
    let asked = house
        .request(Method::GET, url)
        .header("origin", "https://elsewhere.example");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(
        answer.headers()["content-type"],
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://elsewhere.example"
    );
    let playlist = answer.text().await.unwrap();
    let steering = format!("SERVER-URI=\"{}\"", text(&playback, "/steering_url"));
    assert!(playlist.contains(&steering), "{playlist}");
    for (name, edge) in ["edge-1", "edge-2"].iter().zip(&edges) {
        let sound = format!("GROUP-ID=\"aac-{name}\"");
        assert!(playlist.contains(&sound), "{playlist}");
        let variant = playlist
            .lines()
            .find(|line| line.starts_with(&edge.base()))
            .unwrap();
        let accepted = at_the_edge(KEYS, variant, NOW).unwrap();
        assert_eq!(accepted.path, "/v/film1/240p/playlist.m3u8");
        assert_eq!(accepted.session.unwrap().as_str(), mark(&playback));
    }
    let before = playlist
        .lines()
        .take_while(|line| !line.starts_with("http"));
    let variant = before.last().unwrap();
    let first = playlist
        .split("PATHWAY-ID=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(
        variant.ends_with(&format!("AUDIO=\"aac-{first}\",PATHWAY-ID=\"{first}\"")),
        "{variant}"
    );
}

#[tokio::test]
async fn a_device_that_may_have_fewer_renditions_is_steered_among_those() {
    let (house, _edges) = house().await;
    crate::rules::publish(&house, "film1").await;
    let whole = start(&house).await;
    let whole = house.get(text(&whole, "/steered/hls")).await;
    assert!(whole.text().await.unwrap().contains("/240p/"));
    let wish = json!({"video_id": "film1", "device": {"max_height": 720}});
    let fewer = house.post("/v1/playback/start", &wish).send().await;
    let fewer = json(fewer.unwrap(), 201).await;
    let fewer = house.get(text(&fewer, "/steered/hls")).await;
    let fewer = fewer.text().await.unwrap();
    assert!(
        fewer.contains("/144p/") && !fewer.contains("/240p/"),
        "{fewer}"
    );
}

#[tokio::test]
async fn the_shared_manifest_is_fetched_once_for_all_sessions() {
    let (house, edges) = house().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let playback = start(&house).await;
        let answer = house.get(text(&playback, "/steered/hls")).await;
        assert_eq!(answer.status(), 200);
        seen.push(answer.text().await.unwrap());
    }
    assert_eq!(edges.iter().map(Fake::count).sum::<usize>(), 1);
    seen.dedup();
    assert_eq!(seen.len(), 3, "each session has its own token");
}

#[tokio::test]
async fn the_dash_manifest_of_a_session_has_every_edge_as_a_location() {
    let (house, edges) = house().await;
    let playback = start(&house).await;
    let answer = house.get(text(&playback, "/steered/dash")).await;
    assert_eq!(answer.headers()["content-type"], "application/dash+xml");
    let manifest = answer.text().await.unwrap();
    for (name, edge) in ["edge-1", "edge-2"].iter().zip(&edges) {
        let base = format!("<BaseURL serviceLocation=\"{name}\">{}/~", edge.base());
        assert!(manifest.contains(&base), "{manifest}");
    }
    let steering = format!(
        "queryBeforeStart=\"false\">{}<",
        text(&playback, "/steering_url")
    );
    assert!(manifest.contains(&steering), "{manifest}");
}

#[tokio::test]
async fn a_film_packed_another_way_is_steered_too_and_what_is_no_manifest_is_not_found() {
    let (house, _edges) = house().await;
    let playback = start(&house).await;
    let room = text(&playback, "/steering_url");
    let playlist = house.get(&format!("{room}/@clearkey/master.m3u8")).await;
    assert_eq!(playlist.status(), 200);
    assert!(
        playlist
            .text()
            .await
            .unwrap()
            .contains("/v/film1/@clearkey/240p/playlist.m3u8")
    );
    for file in [
        "master_ts.m3u8",
        "thumbs.vtt",
        "@nonsense/master.m3u8",
        "240p/playlist.m3u8",
    ] {
        let refused = house.get(&format!("{room}/{file}")).await;
        problem(refused, 404, "not-found").await;
    }
}

#[tokio::test]
async fn the_order_names_every_edge_and_a_player_may_stay_where_it_is() {
    let (house, _edges) = house().await;
    let playback = start(&house).await;
    let room = text(&playback, "/steering_url");
    let answer = house.get(room).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let plain = json(answer, 200).await;
    assert_eq!((&plain["VERSION"], &plain["TTL"]), (&json!(1), &json!(30)));
    assert_eq!(
        plain.get("RELOAD-URI"),
        None,
        "players resolve a relative one against other things"
    );
    let mut names = plain["PATHWAY-PRIORITY"].as_array().unwrap().clone();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["edge-1", "edge-2"]);
    for query in [
        "_HLS_pathway=edge-1&_HLS_throughput=5000000",
        "_HLS_pathway=edge-2",
        "_DASH_pathway=%22edge-1%22&_DASH_throughput=5000000",
        "_DASH_pathway=edge-2",
    ] {
        let answer = json(house.get(&format!("{room}?{query}")).await, 200).await;
        let first = text(&answer, "/PATHWAY-PRIORITY/0");
        assert!(query.contains(first), "{query}: {answer}");
    }
    let counted = "millrace_control_steered_total{action=\"stay\",format=\"dash\"}";
    assert_eq!(house.counter(counted).await, 2);
    // What is no pathway is not believed.
    for query in [
        "_HLS_pathway=edge-9",
        "_HLS_pathway=%00&x",
        "_DASH_pathway=%22",
    ] {
        let answer = json(house.get(&format!("{room}?{query}")).await, 200).await;
        assert_eq!(
            answer["PATHWAY-PRIORITY"], plain["PATHWAY-PRIORITY"],
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_unknown_session_is_not_found_and_one_that_is_over_is_gone() {
    let (house, _edges) = house().await;
    let playback = start(&house).await;
    let (session, room) = (
        text(&playback, "/session_id"),
        text(&playback, "/steering_url"),
    );
    for path in [
        "/v1/steering/nobody",
        "/v1/steering/00000000000000000000000000000000",
    ] {
        problem(house.get(path).await, 404, "session-not-found").await;
        let manifest = house.get(&format!("{path}/master.m3u8")).await;
        problem(manifest, 404, "session-not-found").await;
    }
    let stop = house.request(Method::DELETE, &format!("/v1/playback/{session}"));
    assert_eq!(stop.send().await.unwrap().status(), 204);
    for file in ["", "/master.m3u8", "/manifest.mpd"] {
        let gone = house.get(&format!("{room}{file}")).await;
        problem(gone, 410, "session-over").await;
    }
}

#[tokio::test]
async fn a_manifest_comes_from_another_edge_when_the_first_is_dead_and_from_none_when_all_are() {
    let (house, [one, two]) = house().await;
    one.stop().await;
    let playback = start(&house).await;
    let answer = house.get(text(&playback, "/steered/hls")).await;
    assert_eq!(answer.status(), 200);
    two.stop().await;
    let refused = house.get(text(&playback, "/steered/dash")).await;
    problem(refused, 503, "unavailable").await;
}

/// The base of an edge that says this, whatever it is asked.
async fn says(playlist: &'static str) -> String {
    let app = Router::new().fallback(async move || playlist);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    base
}

const FORGED: &str =
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://elsewhere.example/playlist.m3u8\n";

#[tokio::test]
async fn what_a_partner_says_a_film_consists_of_is_not_what_everybody_is_told() {
    let (partner, own) = (says(FORGED).await, says(MASTER).await);
    let edge = |name: &str, base: &str, partner, priority| Edge {
        name: name.into(),
        base: base.into(),
        partner,
        priority,
        ..Edge::default()
    };
    let edges = vec![
        edge("partner", &partner, true, 0),
        edge("own", &own, false, 1),
    ];
    let house = House::with(|config, _| {
        std::fs::write(&config.keys, crate::routing::BOTH).unwrap();
        config.edges = edges;
    })
    .await;
    house.film("film1", Privacy::Public).await;
    let playback = start(&house).await;
    assert!(text(&playback, "/manifest_url").starts_with(&partner));
    let playlist = house.get(text(&playback, "/steered/hls")).await;
    let playlist = playlist.text().await.unwrap();
    assert!(!playlist.contains("elsewhere.example"), "{playlist}");
    let variant = playlist.lines().find(|line| line.starts_with("http"));
    assert!(variant.unwrap().starts_with(&partner), "{playlist}");
}

#[tokio::test]
async fn where_there_are_partners_alone_each_tells_its_own_viewers() {
    let partner = |site: &str, base: String| Edge {
        name: site.into(),
        base,
        partner: true,
        site: site.into(),
        region: "both".into(),
        ..Edge::default()
    };
    let edges = vec![
        partner("north", says(FORGED).await),
        partner("south", says(MASTER).await),
    ];
    let house = House::with(|config, dir| {
        let prefixes = dir.path().join("prefixes");
        std::fs::write(&prefixes, "192.0.2.0/25 north\n192.0.2.128/25 south\n").unwrap();
        std::fs::write(&config.keys, crate::routing::BOTH).unwrap();
        config.edges = edges;
        config.trusted_hops = vec!["127.0.0.0/8".into()];
        config.prefixes = prefixes.display().to_string();
    })
    .await;
    house.film("film1", Privacy::Public).await;
    for (from, forged) in [("192.0.2.1", true), ("192.0.2.129", false)] {
        let wish = house.post("/v1/playback/start", &json!({"video_id": "film1"}));
        let wish = wish.header("millrace-client-ip", from);
        let playback = json(wish.send().await.unwrap(), 201).await;
        let asked = house.request(Method::GET, text(&playback, "/steered/hls"));
        let asked = asked.header("millrace-client-ip", from).send().await;
        let playlist = asked.unwrap().text().await.unwrap();
        let told = playlist.contains("elsewhere.example");
        assert_eq!(told, forged, "{from}: {playlist}");
    }
}
