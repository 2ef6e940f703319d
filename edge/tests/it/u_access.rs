//! The access log: what it says of a request, and what it never says.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing};
use edge::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;
use tier::Protocol;
use tier::access::ClientAddress;

use crate::house::{House, NOW, PROTOCOLS, minted, signed};
use crate::origin::{Gate, Origin, Reply, Step, path};

/// A folder, and an access log in it.
fn log() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    (folder, path)
}

fn to(path: &std::path::Path, config: &mut Config) {
    config.log.access.to = path.to_string_lossy().into_owned();
}

fn vectors() -> KeyRing {
    KeyRing::from_json(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ))
    .unwrap()
}

/// The lines of a node that has stopped.
fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A line without what differs from run to run, of which it must have all.
fn settled(mut line: Value) -> Value {
    let line_fields = line.as_object_mut().unwrap();
    for (name, is_sound) in [
        ("time", Value::is_string as fn(&Value) -> bool),
        ("duration_us", Value::is_u64),
        ("first_byte_us", Value::is_u64),
    ] {
        assert!(is_sound(&line_fields.remove(name).unwrap()), "{name}");
    }
    line
}

#[tokio::test]
async fn an_answered_request_is_told_with_what_its_player_said() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| Reply::ok("0123456789")).await;
        let (_folder, file) = log();
        let house = House::with(&origin, |config| to(&file, config)).await;
        let mut claims = Claims::new("/v/", UnixSeconds(NOW + 3600));
        claims.session = Some(SessionId::parse("session-1").unwrap());
        let target = minted(&claims, "/v/a/720p/segment_1.m4s");
        let client = house.client(protocol);
        let said = [
            ("cmcd-object", "br=(5000;v),ot=v"),
            ("cmcd-status", "bs,broken="),
            ("user-agent", "a player"),
            ("range", "bytes=2-4"),
            ("referer", "https://site.example/hidden"),
        ];
        let got = client.get(&target, &said).await;
        assert_eq!(got.status, 206);
        client
            .get(&format!("{target}?CMCD=bl%3D2100%2Csu&x=hidden"), &[])
            .await;
        house.edge.stop().await;
        let lines = lines(&file);
        assert_eq!(lines.len(), 2, "{protocol}");
        let common = json!({
            "node": "edge-1", "protocol": protocol.as_str(), "method": "GET", "address": "/v/a/720p/segment_1.m4s",
            "complete": true, "session": "session-1", "client": "127.0.0.0/24",
        });
        let with = |more: Value| {
            let mut all = common.clone();
            all.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            all
        };
        let parent = origin.url().replace("http://", "");
        let first = with(json!({
            "status": 206, "bytes": 3, "cache": "miss", "parent": parent, "range": "bytes=2-4",
            "user_agent": "a player", "cmcd_dropped": 1,
            "cmcd": {"br": [{"value": 5000, "ot": "v"}], "ot": "v", "bs": true},
        }));
        let second = with(json!({
            "status": 200, "bytes": 10, "cache": "hit", "cmcd": {"bl": [{"value": 2100}], "su": true},
        }));
        assert_eq!(settled(lines[0].clone()), first);
        assert_eq!(settled(lines[1].clone()), second);
    }
}

#[tokio::test]
async fn an_answer_whose_viewer_left_is_not_complete_though_its_fill_was_finished() {
    for protocol in PROTOCOLS {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |_| {
            let half = Bytes::from(vec![7; 4_000_000]);
            let pause = Step::Wait(inner.clone());
            Reply::steps(
                8_000_000,
                vec![Step::Send(half.clone()), pause, Step::Send(half)],
            )
        })
        .await;
        let (_folder, file) = log();
        let house = House::with(&origin, |config| to(&file, config)).await;
        let target = signed("/v/a/720p/segment_1.m4s");
        drop(house.client(protocol).open("GET", &target, &[]).await);
        // It takes nothing of the second half.
        gate.open();
        let whole = house.client(Protocol::H1).get(&target, &[]).await;
        assert_eq!(whole.bytes().len(), 8_000_000);
        assert_eq!(origin.requests(), 1, "{protocol}");
        house.edge.stop().await;
        let lines = lines(&file);
        let complete = |first: bool| {
            let mut lines = lines.iter();
            lines
                .find(|line| (line["cache"] == "miss") == first)
                .map(|line| &line["complete"])
        };
        assert_eq!(complete(true), Some(&json!(false)), "{protocol} {lines:?}");
        assert_eq!(complete(false), Some(&json!(true)), "{protocol} {lines:?}");
    }
}

#[tokio::test]
async fn of_an_answer_at_hand_no_more_is_told_than_its_viewer_was_given() {
    const LENGTH: usize = 24_000_000;
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| Reply::ok(vec![7; LENGTH])).await;
        let (_folder, file) = log();
        let house = House::with(&origin, |config| to(&file, config)).await;
        let target = signed("/v/a/720p/segment_1.m4s");
        house.client(Protocol::H1).get(&target, &[]).await;
        drop(house.client(protocol).open("GET", &target, &[]).await);
        house.edge.stop().await;
        let lines = lines(&file);
        let hit = lines.iter().find(|line| line["cache"] == "hit").unwrap();
        assert_eq!(hit["complete"], false, "{protocol} {hit}");
        let bytes = hit["bytes"].as_u64().unwrap();
        assert!(bytes < LENGTH as u64 * 3 / 4, "{protocol} {hit}");
    }
}

#[tokio::test]
async fn who_leaves_with_the_part_that_it_asked_for_has_all_of_its_answer() {
    for protocol in PROTOCOLS {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |_| {
            let half = Bytes::from(vec![7; 1_000_000]);
            let pause = Step::Wait(inner.clone());
            Reply::steps(
                2_000_000,
                vec![Step::Send(half.clone()), pause, Step::Send(half)],
            )
        })
        .await;
        let (_folder, file) = log();
        let house = House::with(&origin, |config| to(&file, config)).await;
        let target = signed("/v/a/720p/segment_1.m4s");
        let client = house.client(protocol);
        let mut part = client
            .open("GET", &target, &[("range", "bytes=0-99")])
            .await;
        let mut got = 0;
        while got < 100 {
            got += part.next().await.unwrap().unwrap().len();
        }
        drop((part, client));
        // The fill is still going on.
        for _ in 0..20 {
            house.metric("millrace_tier_cache_fills").await;
        }
        gate.open();
        house.client(Protocol::H1).get(&target, &[]).await;
        house.edge.stop().await;
        let lines = lines(&file);
        let miss = lines.iter().find(|line| line["cache"] == "miss").unwrap();
        assert_eq!(
            (&miss["bytes"], &miss["complete"]),
            (&json!(100), &json!(true)),
            "{protocol} {miss}"
        );
    }
}

/// A path with every kind of credential, in order and not, and with what else an address may come with.
fn targets(
    path: &str,
    [native, outlived, cat]: [&str; 3],
    [signature, of_another]: [&str; 2],
) -> Vec<String> {
    vec![
        format!("/~{native}{path}?hidden-query=1"),
        format!("{path}?mt={native}"),
        format!("/~cat.{cat}{path}"),
        format!("{path}?CAT={cat}"),
        format!("{path}?{}", signature),
        format!("{path}?{of_another}"),
        // What is refused: outlived, broken, outside of the token, outside of the grammar.
        format!("/~{outlived}{path}"),
        format!("/~{native}x{path}"),
        format!("/~cat.{cat}x{path}"),
        format!("/~{native}/w/elsewhere"),
        format!("/~{native}{path}%"),
        format!("/~{native}{path}/../x"),
        format!("/~{native}{path}?CAT={cat}"),
        // And what a player says of itself may name the next object by its address.
        format!("/~{native}{path}?CMCD=su%2Cnor%3D%22%2F~{native}%2Fv%2Fp%2Fy%22"),
        format!("/~{native}{path}?CMCD=su%2Cnor%3D%22%252F%257E{native}%252Fv%22"),
    ]
}

#[tokio::test]
async fn neither_tokens_nor_signatures_nor_queries_nor_cookies_stand_in_it() {
    let origin = Origin::start(|head| match path(head) {
        "/v/none/x" => Reply::status(404, "none"),
        _ => Reply::ok("x"),
    })
    .await;
    let (_files, keys) = crate::g_cat::keyring();
    let (_folder, file) = log();
    let house = House::with(&origin, |config| {
        config.keyring_file = keys;
        to(&file, config);
    })
    .await;
    let cat = crate::g_cat::token();
    let cookie = format!("CTA-Common-Access-Token={cat}; other=hidden-cookie");
    let native = signed("");
    let native = native.trim_start_matches("/~");
    let outlived = minted(&Claims::new("/v/", UnixSeconds(NOW - 1)), "");
    let outlived = outlived.trim_start_matches("/~");
    let sign = |path: &str| {
        let expires = UnixSeconds(NOW + 60);
        vectors()
            .find("k1")
            .unwrap()
            .sign_path(path, expires)
            .unwrap()
    };
    let of_another = sign("/v/another");
    let mut asked = 0;
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        for path in ["/v/p/x", "/v/none/x"] {
            for target in targets(path, [native, outlived, &cat], [&sign(path), &of_another]) {
                client
                    .get(&target, &[("cookie", "other=hidden-cookie")])
                    .await;
                asked += 1;
            }
            for field in [("cta-common-access-token", &cat), ("cookie", &cookie)] {
                client.get(path, &[(field.0, field.1.as_str())]).await;
                asked += 1;
            }
            let answer = client
                .open("DELETE", &format!("/~{native}{path}"), &[])
                .await;
            answer.whole().await;
            asked += 1;
        }
    }
    house.edge.stop().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let tokens = [native, outlived].map(|token| token.split('.').skip(2));
    let mut hidden: Vec<&str> = tokens.into_iter().flatten().collect();
    let queries = ["/v/p/x", "/v/none/x", "/v/another"].map(sign);
    hidden.extend(queries.iter().filter_map(|query| query.rsplit('=').next()));
    hidden.extend([cat.as_str(), "hidden"]);
    for part in hidden {
        assert!(!text.contains(part), "{part} in {text}");
    }
    let lines = lines(&file);
    assert_eq!(lines.len(), asked);
    for line in &lines {
        let (address, reason) = (line["address"].as_str().unwrap(), line["reason"].as_str());
        assert_eq!(address == "-", reason.is_some(), "{line}");
        assert_eq!(line["client"], "127.0.0.0/24", "{line}");
        assert!(!address.contains(['~', '?']), "{line}");
    }
    for reason in ["expired", "malformed", "mac", "path", "target", "method"] {
        let with = lines.iter().filter(|line| line["reason"] == reason);
        assert!(with.count() >= 6, "{reason}");
    }
    let started = lines
        .iter()
        .filter(|line| line["cmcd"] == json!({"su": true}));
    assert_eq!(
        started.count(),
        12,
        "the next object is dropped, the rest stays"
    );
}

#[tokio::test]
async fn who_asks_is_told_as_far_as_the_operator_wants() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let (_folder, file) = log();
    let house = House::with(&origin, |config| {
        to(&file, config);
        config.log.access.client_address = ClientAddress::Full;
        config.trusted_hops = vec!["127.0.0.0/8".to_owned()];
    })
    .await;
    let client = house.client(Protocol::H2);
    let hop = [
        ("millrace-client-ip", "2001:db8::7"),
        ("millrace-client-country", "AT"),
    ];
    client.get(&signed("/v/a/x"), &hop).await;
    client.get("/v/a/x", &hop).await;
    house.edge.stop().await;
    for line in lines(&file) {
        assert_eq!(
            (&line["client"], &line["country"]),
            (&json!("2001:db8::7"), &json!("AT"))
        );
    }
}

#[tokio::test]
async fn of_a_site_the_host_is_told_and_not_the_query() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| Reply::ok("x")).await;
        let (_folder, file) = log();
        let house = House::with(&origin, |config| {
            config.serve = edge::config::Serve::Site;
            to(&file, config);
        })
        .await;
        let port = house.edge.https.port();
        house.client(protocol).get("/a//b?hidden=1", &[]).await;
        house.edge.stop().await;
        let line = settled(lines(&file).remove(0));
        let host = line["host"].as_str().unwrap().to_owned();
        assert!(
            host == "localhost" || host == format!("localhost:{port}"),
            "{host}"
        );
        assert_eq!(line["address"], "/a//b", "{protocol}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_and_mended() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let (folder, _) = log();
    let later = folder.path().join("later");
    let file = later.join("access.log");
    let house = House::with(&origin, |config| to(&file, config)).await;
    house.client(Protocol::H1).get(&signed("/v/a/x"), &[]).await;
    let said = "degraded: access log: not written to: No such file";
    let written = "millrace_tier_access_log_lines_total{outcome=\"written\"}";
    let told_and_mended = async {
        while !house.page("/healthz").await.contains(said) {}
        assert_eq!(house.metric("millrace_tier_access_log_failing").await, 1);
        std::fs::create_dir(&later).unwrap();
        while house.metric(written).await == 0 {}
        while house.page("/healthz").await != "ok\n" {}
    };
    tokio::time::timeout(Duration::from_secs(20), told_and_mended)
        .await
        .unwrap();
    assert_eq!(lines(&file).len(), 1);
}

#[tokio::test]
async fn a_shield_has_one_as_well() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let (_folder, file) = log();
    let mut config = origin_shield::config::Config {
        parents: vec![origin.url()],
        ..origin_shield::config::Config::default()
    };
    config.listen.plain = "127.0.0.1:0".to_owned();
    config.listen.internal = "127.0.0.1:0".to_owned();
    config.log.access.to = file.to_string_lossy().into_owned();
    let shield = origin_shield::start(config.check().unwrap()).await.unwrap();
    let house = House::before(format!("http://{}", shield.plain), |_| {}).await;
    house
        .client(Protocol::H3)
        .get(&signed("/v/a/x?CMCD=su"), &[])
        .await;
    house.edge.stop().await;
    shield.stop().await;
    let lines = lines(&file);
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["node"], &lines[0]["address"]),
        (&json!("shield-1"), &json!("/v/a/x"))
    );
    assert_eq!(
        lines[0]["cmcd"],
        Value::Null,
        "what players say stays at the edge"
    );
}
