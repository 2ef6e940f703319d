//! What players tell, and what is told of it.

use std::path::Path;
use std::time::Duration;

use contracts::asset::Privacy;
use contracts::id::{ChannelId, VideoId};
use control_plane::config::Config;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::callers::key;
use crate::house::{House, NOW, OPERATOR, json, problem};
use crate::people::{configured, somebody};
use crate::{joining, serving};

const EVENTS: &str = "/v1/playback/events";
const CMCD: &str = "/v1/playback/cmcd";

fn collecting(config: &mut Config, dir: &TempDir) {
    config.telemetry.log = format!("file://{}", dir.path().join("events").display());
    let networks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tests/data/geo_test.mmdb");
    config.telemetry.networks = networks.display().to_string();
    config.trusted_hops = vec!["127.0.0.0/8".into()];
}

/// A house that takes events, with a film in it.
async fn house() -> House {
    let house = House::with(collecting).await;
    house.film("film", Privacy::Public).await;
    house
}

async fn session(house: &House) -> String {
    let start = house.post("/v1/playback/start", &json!({"video_id": "film"}));
    let playback = json(start.send().await.unwrap(), 201).await;
    for (member, path) in [("events_url", EVENTS), ("cmcd_url", CMCD)] {
        let url = playback["telemetry"][member].as_str().unwrap();
        assert!(url.ends_with(path), "{url}");
    }
    playback["session_id"].as_str().unwrap().to_owned()
}

async fn tell(house: &House, session: &str, events: Value) -> Response {
    let told = json!({"session_id": session, "events": events});
    house.post(EVENTS, &told).send().await.unwrap()
}

async fn taken(house: &House, session: &str, events: Value) -> Value {
    json(tell(house, session, events).await, 202).await
}

async fn report(house: &House, lines: String) -> Response {
    let request = house.request(Method::POST, CMCD).body(lines);
    let request = request.header("content-type", "application/cmcd");
    request.send().await.unwrap()
}

/// What an answer says once all that was told is folded.
async fn once_folded(house: &House, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut answer = Value::Null;
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..4000 {
        looks.tick().await;
        let request = house.request(Method::GET, path);
        let request = match house.dir.path().join("operator.key").exists() {
            true => request.bearer_auth(OPERATOR),
            false => request,
        };
        answer = json(request.send().await.unwrap(), 200).await;
        if is_so(&answer) {
            return answer;
        }
    }
    unreachable!("{answer}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_watched_and_its_views_and_quality_are_told() {
    let house = house().await;
    let id = session(&house).await;
    house.clock.advance(120);
    let begin = json!([
        {"seq": 0, "t_ms": 900, "type": "start", "startup_ms": 800, "bitrate_kbps": 1000, "edge": "edge-2"},
        {"seq": 1, "t_ms": 20_900, "type": "quality_change", "bitrate_kbps": 3000},
    ]);
    let outcome = taken(&house, &id, begin.clone()).await;
    assert_eq!(
        outcome,
        json!({"accepted": 2, "duplicates": 0, "rejected": []})
    );
    let outcome = taken(&house, &id, begin).await;
    assert_eq!(
        outcome,
        json!({"accepted": 0, "duplicates": 2, "rejected": []})
    );
    // The end comes before what was before it, and after the session was stopped.
    let stop = house.request(Method::DELETE, &format!("/v1/playback/{id}"));
    assert_eq!(stop.send().await.unwrap().status(), 204);
    let end = json!([{"seq": 4, "t_ms": 61_900, "type": "end", "completed": true}]);
    taken(&house, &id, end).await;
    let stall = json!([
        {"seq": 2, "t_ms": 40_900, "type": "rebuffer_start", "edge": "127.0.0.1:8444"},
        {"seq": 3, "t_ms": 41_900, "type": "rebuffer_end"},
    ]);
    taken(&house, &id, stall).await;
    let path = "/v1/videos/film/stats";
    let is_whole = |stats: &Value| stats["quality"]["rebuffers"] == 1;
    once_folded(&house, path, is_whole).await;
    // The answer is put together of several looks, between which it may have been folded.
    let stats = once_folded(&house, path, is_whole).await;
    assert_eq!(
        (&stats["views_total"], &stats["views"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(stats["watched_s"], 60.0);
    let hour = NOW - NOW % 3600;
    let hours = json!([{"hour_unix_s": hour, "views": 1, "watched_s": 60.0}]);
    assert_eq!(stats["hours"], hours);
    let quality = &stats["quality"];
    let expected = json!({
        "sessions": 1, "starts": 1, "start_failures": 0, "exits_before_start": 0, "playback_failures": 0,
        "views": 1, "watched_s": 60.0, "startup_ms": quality["startup_ms"], "rebuffers": 1, "rebuffer_s": 1.0,
        "rebuffer_ratio": 0.016_393, "average_bitrate_kbps": 2333, "switches": 1, "errors": 0, "error_codes": [],
    });
    assert_eq!(*quality, expected);
    let p50 = quality["startup_ms"]["p50"].as_u64().unwrap();
    assert!((760..=840).contains(&p50), "{p50}");
    let film = json(house.get("/v1/videos/film").await, 200).await;
    assert_eq!(film["views"], 1);
    let by_edge = json(house.get("/v1/qoe?by=edge").await, 200).await;
    assert_eq!(by_edge["groups"][0]["name"], "edge-2");
    assert_eq!(by_edge["groups"].as_array().unwrap().len(), 1);
    let other = json(house.get("/v1/qoe?edge=edge-1").await, 200).await;
    assert_eq!(other["groups"], json!([]));
    let error = json!([{"seq": 100, "t_ms": 1000, "type": "error", "fatal": false, "code": 3016}]);
    taken(&house, &id, error).await;
    let stats = once_folded(&house, path, |stats| stats["quality"]["errors"] == 1).await;
    let codes = json!([{"code": "3016", "errors": 1}]);
    assert_eq!(stats["quality"]["error_codes"], codes);
    for (counter, count) in [
        ("millrace_events_accepted_total", 6),
        ("millrace_events_duplicates_total", 2),
        ("millrace_events_lost_bytes_total", 0),
    ] {
        assert_eq!(house.counter(counter).await, count, "{counter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_have_enrolled_are_known_by_name_and_by_host() {
    let files = TempDir::new().unwrap();
    let house = joining::with(|config| collecting(config, &files)).await;
    house.film("film", Privacy::Public).await;
    let invited = joining::invite(&house, joining::wish("isp-1")).await;
    let mut node = joining::Somebody::with(&house, &invited);
    let enrolled = json(node.enrol(&["192.0.2.0/24"]).await, 201).await;
    node.takes(&enrolled);
    node.beats(&house, 3).await;
    joining::until("viewers are sent to it", async || {
        serving::place(&house).await.contains("edge.isp.example")
    })
    .await;
    let told = async |said: &str| {
        let begin = json!([{"seq": 0, "t_ms": 0, "type": "start", "startup_ms": 1, "edge": said}]);
        taken(&house, &session(&house).await, begin).await;
    };
    told("isp-1").await;
    told("edge.isp.example").await;
    let is_whole = |qoe: &Value| qoe["groups"][0]["sessions"] == 2;
    let by_edge = once_folded(&house, "/v1/qoe?by=edge", is_whole).await;
    assert_eq!(by_edge["groups"][0]["name"], "isp-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_players_report_as_client_data_counts_alike_and_by_network() {
    let house = house().await;
    let (one, two) = (session(&house).await, session(&house).await);
    house.clock.advance(120);
    let line = |id: &str, sn: u32, second: u64, rest: &str| {
        let ts = (NOW + second) * 1000;
        format!("sid=\"{id}\",sn={sn},ts={ts},v=2,{rest}")
    };
    let lines = [
        line(&one, 0, 1, "e=ps,sta=s"),
        line(
            &one,
            1,
            2,
            "e=ps,sta=p,msd=1500,br=(2000;v),h=\"127.0.0.1:8443\"",
        ),
        line(&two, 0, 3, "e=e,sta=f,ec=(\"12\")"),
        "sid=\"nobody\",sn=0,ts=1800000000000,e=ps,sta=p".to_owned(),
        "garbage".to_owned(),
        line(&one, 2, 42, "e=ps,sta=e"),
    ];
    let request = house.request(Method::POST, CMCD).body(lines.join("\n"));
    let request = request.header("millrace-client-ip", "198.51.100.7");
    let outcome = json(request.send().await.unwrap(), 202).await;
    let rejected = json!([
        {"index": 3, "reason": "session-not-found"},
        {"index": 4, "reason": "malformed"},
    ]);
    assert_eq!(
        outcome,
        json!({"accepted": 4, "duplicates": 0, "rejected": rejected})
    );
    let is_whole = |qoe: &Value| qoe["groups"][0]["sessions"] == 2;
    let qoe = once_folded(&house, "/v1/qoe?by=isp", is_whole).await;
    let group = &qoe["groups"][0];
    assert_eq!(group["name"], "AS64500");
    for (member, value) in [
        ("starts", json!(1)),
        ("start_failures", json!(1)),
        ("views", json!(1)),
        ("watched_s", json!(40.0)),
        ("average_bitrate_kbps", json!(2000)),
    ] {
        assert_eq!(group[member], value, "{member}");
    }
    let edges = json(house.get("/v1/qoe?by=edge").await, 200).await;
    let names: Vec<&Value> = edges["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["edge-1", "unknown"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_put_together_by_film_by_hour_and_of_one_network() {
    let house = house().await;
    house.film("other", Privacy::Public).await;
    let watch = async |film: &str, from: &str| {
        let start = house.post("/v1/playback/start", &json!({ "video_id": film }));
        let playback = json(start.send().await.unwrap(), 201).await;
        let begin = json!([{"seq": 0, "t_ms": 0, "type": "start", "startup_ms": 1}]);
        let told = json!({"session_id": playback["session_id"], "events": begin});
        let told = house.post(EVENTS, &told).header("millrace-client-ip", from);
        assert_eq!(
            json(told.send().await.unwrap(), 202).await["accepted"],
            json!(1)
        );
    };
    watch("film", "198.51.100.7").await;
    house.clock.advance(3600);
    watch("film", "192.0.2.7").await;
    watch("other", "198.51.100.7").await;
    let sessions = |qoe: &Value| {
        let groups = qoe["groups"].as_array().unwrap().iter();
        let one = |group: &Value| {
            let name = group["name"].as_str().unwrap().to_owned();
            (name, group["sessions"].as_u64().unwrap())
        };
        groups.map(one).collect::<Vec<_>>()
    };
    let all = |qoe: &Value| sessions(qoe).iter().map(|(_, many)| many).sum::<u64>() == 3;
    let (first, second) = (NOW.to_string(), (NOW + 3600).to_string());
    for (asked, wanted) in [
        ("by=video", vec![("film", 2), ("other", 1)]),
        ("by=hour", vec![(second.as_str(), 2), (first.as_str(), 1)]),
        ("by=isp", vec![("AS64500", 2), ("AS64502", 1)]),
    ] {
        let qoe = once_folded(&house, &format!("/v1/qoe?{asked}"), all).await;
        let wanted = wanted
            .into_iter()
            .map(|(name, many)| (name.to_owned(), many));
        assert_eq!(sessions(&qoe), wanted.collect::<Vec<_>>(), "{asked}");
    }
    for (asked, wanted) in [
        ("by=video&isp=AS64500", vec![("film", 1), ("other", 1)]),
        ("by=hour&isp=AS64502", vec![(second.as_str(), 1)]),
        ("by=isp&video=other", vec![("AS64500", 1)]),
        ("by=hour&video=film&isp=AS64500", vec![(first.as_str(), 1)]),
        ("by=video&limit=1", vec![("film", 2)]),
        ("by=video&isp=AS1", vec![]),
    ] {
        let qoe = json(house.get(&format!("/v1/qoe?{asked}")).await, 200).await;
        let wanted = wanted
            .into_iter()
            .map(|(name, many)| (name.to_owned(), many));
        assert_eq!(sessions(&qoe), wanted.collect::<Vec<_>>(), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_counted_after_a_restart() {
    let house = house().await;
    let id = session(&house).await;
    house.clock.advance(60);
    let events = json!([
        {"seq": 0, "t_ms": 0, "type": "start"},
        {"seq": 1, "t_ms": 31_000, "type": "end"},
    ]);
    taken(&house, &id, events).await;
    // Stopped at once, wherever the folding is; another begins with the same log.
    let House {
        running,
        dir,
        clock,
        ..
    } = house;
    running.stop().await;
    let again = House::with(|config, _| {
        collecting(config, &dir);
        config.catalog = format!("sqlite://{}", dir.path().join("catalog.db").display()).into();
    })
    .await;
    again.clock.set(runtime::clock::Clock::now(clock.as_ref()));
    let is_whole = |stats: &Value| stats["views"] == 1;
    once_folded(&again, "/v1/videos/film/stats", is_whole).await;
}

#[tokio::test]
async fn what_is_wrong_is_told_apart_and_much_is_refused() {
    let house = house().await;
    let id = session(&house).await;
    let post = async |path: &str, body: String| {
        house
            .request(Method::POST, path)
            .body(body)
            .send()
            .await
            .unwrap()
    };
    for body in ["", "{", "[]", "{}", "{\"session_id\": 7, \"events\": []}"] {
        problem(post(EVENTS, body.into()).await, 400, "bad-request").await;
    }
    for unknown in ["nobody", "../x", ""] {
        problem(
            tell(&house, unknown, json!([])).await,
            404,
            "session-not-found",
        )
        .await;
    }
    let many = |count| json!(vec![json!({"seq": 0, "t_ms": 0, "type": "start"}); count]);
    problem(tell(&house, &id, many(101)).await, 400, "bad-request").await;
    assert_eq!(taken(&house, &id, many(100)).await["duplicates"], 99);
    assert_eq!(taken(&house, &id, json!([])).await["accepted"], 0);
    problem(post(CMCD, "x\n".repeat(101)).await, 400, "bad-request").await;
    let binary = house.request(Method::POST, CMCD).body(vec![0xff; 100]);
    let binary = json(binary.send().await.unwrap(), 202).await;
    assert_eq!(binary["rejected"][0]["reason"], "malformed");
    for path in [EVENTS, CMCD] {
        let large = post(path, "x".repeat(65 * 1024)).await;
        problem(large, 413, "too-large").await;
    }
    let mut refused = 0;
    for _ in 0..70 {
        let answer = tell(&house, &id, json!([])).await;
        if answer.status() == 429 {
            problem(answer, 429, "too-many-requests").await;
            refused += 1;
        }
    }
    assert!(refused >= 10, "{refused}");
    for path in [
        "/v1/qoe?by=weather",
        "/v1/qoe?limit=0",
        "/v1/qoe?video=a%2fb",
        "/v1/qoe?isp=%00",
        "/v1/qoe?from=x",
        "/v1/qoe?from=7200&to=3600",
        "/v1/videos/film/stats?from=0",
    ] {
        problem(house.get(path).await, 400, "bad-request").await;
    }
    problem(
        house.get("/v1/videos/absent/stats").await,
        404,
        "video-not-found",
    )
    .await;
}

#[tokio::test]
async fn without_a_log_nothing_is_taken() {
    let house = House::start().await;
    problem(tell(&house, "x", json!([])).await, 404, "events-not-taken").await;
    problem(report(&house, String::new()).await, 404, "events-not-taken").await;
    let qoe = json(house.get("/v1/qoe").await, 200).await;
    assert_eq!(qoe["groups"], json!([]));
}

#[tokio::test]
async fn any_page_may_tell_of_a_session_that_it_knows() {
    let house = house().await;
    for path in [EVENTS, CMCD, "/v1/playback/start"] {
        let ask = house.request(Method::OPTIONS, path);
        let ask = ask.header("origin", "https://elsewhere.example");
        let ask = ask.header("access-control-request-method", "POST");
        let answer = ask.send().await.unwrap();
        let allowed = answer.headers().contains_key("access-control-allow-origin");
        assert_eq!(allowed, path != "/v1/playback/start", "{path}");
    }
}

#[tokio::test]
async fn figures_are_for_operators_and_for_the_film_s_publisher() {
    let house = configured(None, |_| {}).await;
    house.film("film", Privacy::Public).await;
    let ask = async |path: &str, token: Option<&str>| {
        let request = house.request(Method::GET, path);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    };
    let (ann, ben) = (
        somebody(&house, "ann", "publisher").await,
        somebody(&house, "ben", "publisher").await,
    );
    let make = house.post("/v1/channels", &json!({"name": "Ann's"}));
    let made = json(make.bearer_auth(&ann).send().await.unwrap(), 201).await;
    let channel = ChannelId::parse(made["channel_id"].as_str().unwrap()).unwrap();
    let film = VideoId::parse("film").unwrap();
    let put = house.catalog.channels.put(&film, None, Some(&channel));
    assert!(put.await.unwrap());
    let stats = "/v1/videos/film/stats";
    json(ask(stats, Some(&ann)).await, 200).await;
    json(ask(stats, Some(OPERATOR)).await, 200).await;
    problem(ask(stats, Some(&ben)).await, 403, "forbidden").await;
    problem(ask(stats, None).await, 401, "unauthorized").await;
    json(ask("/v1/qoe", Some(OPERATOR)).await, 200).await;
    problem(ask("/v1/qoe", Some(&ann)).await, 403, "forbidden").await;
    problem(ask("/v1/qoe", None).await, 401, "unauthorized").await;
    let status = key(&house, json!(["status"]), Value::Null).await;
    let status = status["secret"].as_str().unwrap();
    json(ask("/v1/qoe", Some(status)).await, 200).await;
    problem(ask(stats, Some(status)).await, 403, "forbidden").await;
}
