//! What is wrong is told apart, each with its own problem, and harms nothing.

use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::house::{House, json, problem};

const START: &str = "/v1/playback/start";

#[tokio::test]
async fn each_bad_body_has_its_own_answer() {
    let house = House::start().await;
    let send = async |kind: &str, body: String| {
        let request = house.request(Method::POST, START);
        let request = request.header("content-type", kind).body(body);
        request.send().await.unwrap()
    };
    for (body, status, kind) in [
        ("", 400, "bad-request"),
        ("{", 400, "bad-request"),
        ("[]", 400, "bad-request"),
        ("{}", 400, "bad-request"),
        (r#"{"video_id": 7}"#, 400, "bad-request"),
        (r#"{"video_id": "a", "vidoe": 1}"#, 400, "bad-request"),
        (r#"{"video_id": "a", "position_s": -1}"#, 400, "bad-request"),
        (
            r#"{"video_id": "a", "position_s": 1e300}"#,
            400,
            "bad-request",
        ),
        (r#"{"video_id": "absent"}"#, 404, "video-not-found"),
        (r#"{"video_id": "../etc"}"#, 404, "video-not-found"),
    ] {
        problem(send("application/json", body.into()).await, status, kind).await;
    }
    let text = send("text/plain", r#"{"video_id": "a"}"#.into()).await;
    problem(text, 415, "not-json").await;
    let deep = "[".repeat(10_000);
    problem(send("application/json", deep).await, 400, "bad-request").await;
    let large = format!(r#"{{"video_id": "{}"}}"#, "a".repeat(70_000));
    problem(send("application/json", large).await, 413, "too-large").await;
}

#[tokio::test]
async fn a_query_is_read_as_strictly_as_a_body_and_told_in_the_words_of_its_client() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    for (path, told) in [
        (
            "/v1/grants?user=x",
            "there is no member `user`, expected one of `user_id`",
        ),
        ("/v1/grants?limit=1&page=2", "there is no member `page`"),
        ("/v1/videos?offset=3", "there is no member `offset`"),
        (
            "/v1/videos?limit=few",
            "limit: a whole number belongs there",
        ),
        (
            "/v1/videos/film1/stats?hours=3",
            "there is no member `hours`",
        ),
        ("/v1/qoe?per=edge", "there is no member `per`"),
        ("/v1/purge/abc", "`abc` in the path must be a whole number"),
    ] {
        let refused = problem(house.get(path).await, 400, "bad-request").await;
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{path}: {detail}");
    }
    let paged = house.get("/v1/grants?viewer=ann&limit=1").await;
    assert_eq!(json(paged, 200).await, json!({"grants": []}));
    let put = async |body: serde_json::Value| {
        let rules = house.request(Method::PUT, "/v1/videos/film1/rules");
        rules.json(&body).send().await.unwrap()
    };
    for (body, told) in [
        (json!([]), "expected an object"),
        (
            json!({"audience": 7}),
            "audience: invalid type: integer `7`, expected a string",
        ),
        (json!({}), "it lacks the member `audience`"),
        (
            json!({"audience": "everybody", "countries": {"only": ["AT"], "except": ["DE"]}}),
            "countries must have one of only and except",
        ),
        (
            json!({"audience": "everybody", "countries": {}}),
            "countries must have one of",
        ),
    ] {
        let refused = problem(put(body.clone()).await, 400, "bad-request").await;
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{body}: {detail}");
        assert!(!detail.contains("struct"), "{detail}");
    }
    let countries = json!({"only": ["AT"]});
    let set = put(json!({"audience": "everybody", "countries": countries})).await;
    assert_eq!(json(set, 200).await["countries"], countries);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_with_its_name() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    for path in [
        "/v1/videos/absent",
        "/v1/videos/absent/status",
        "/v1/videos/b%20d",
        "/v1/videos/a%2fb",
    ] {
        problem(house.get(path).await, 404, "video-not-found").await;
    }
    for path in [
        "/v1/videos/%ff",
        "/v1/videos/%ff/status",
        "/v/%ff/master.m3u8",
    ] {
        problem(house.get(path).await, 400, "bad-request").await;
    }
    for path in [
        "/v1/nothing",
        "/api/v1/nothing",
        "/v1/videos/film1/nothing",
        "/nothing",
        "/v2/videos",
    ] {
        problem(house.get(path).await, 404, "not-found").await;
    }
    let beat = house.post("/v1/playback/absent/heartbeat", &json!({}));
    problem(beat.send().await.unwrap(), 404, "session-not-found").await;
    let stop = house.request(Method::DELETE, "/v1/playback/absent");
    problem(stop.send().await.unwrap(), 404, "session-not-found").await;
}

#[tokio::test]
async fn a_wrong_method_names_the_right_one() {
    let house = House::start().await;
    for (method, path, allowed) in [
        (Method::GET, START, "POST"),
        (Method::POST, "/v1/videos", "GET,HEAD"),
        (Method::PUT, "/v1/playback/x", "DELETE"),
        (Method::PUT, "/api/v1/videos/film1", "GET,HEAD,DELETE"),
        (Method::TRACE, "/v1/videos/film1/subtitles", "GET,HEAD"),
        (
            Method::TRACE,
            "/v1/videos/upload/u1",
            "GET,HEAD,PUT,POST,PATCH,DELETE",
        ),
    ] {
        let refused = house.request(method, path).send().await.unwrap();
        assert_eq!(refused.headers()["allow"], allowed, "{path}");
        problem(refused, 405, "method-not-allowed").await;
    }
}

#[tokio::test]
async fn uploads_and_subtitles_are_sent_to_ingest_with_path_and_query() {
    let house = House::start().await;
    for (method, path) in [
        (Method::POST, "/v1/videos/upload/initiate"),
        (Method::PUT, "/v1/videos/upload/u1/chunk?index=3"),
        (Method::GET, "/api/v1/videos/upload/u1"),
        (Method::PUT, "/v1/videos/v1/subtitles/pt-br?label=x"),
        (Method::DELETE, "/v1/videos/v1/subtitles/en"),
        (Method::GET, "/api/v1/videos/v1/subtitles"),
    ] {
        // Larger than a body of this API may be: the redirect comes before the body is read.
        let answer = house.request(method, path).body(vec![0; 100_000]);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 307, "{path}");
        let path = path.strip_prefix("/api").unwrap_or(path);
        assert_eq!(
            answer.headers()["location"],
            format!("http://127.0.0.1:7777{path}")
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_request_end_only_their_connection() {
    let house = House::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET  HTTP/9\r\n\r\n",
        &[b'a'; 200_000],
    ] {
        let mut stream = tokio::net::TcpStream::connect(house.running.listen)
            .await
            .unwrap();
        // The peer may have hung up before everything was written: that is what is wanted.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    json(house.get("/v1/videos").await, 200).await;
}

#[tokio::test]
async fn every_answer_has_a_name_that_no_other_has() {
    let house = House::start().await;
    let mut names = std::collections::BTreeSet::new();
    for path in ["/v1/videos", "/v1/videos", "/nothing", "/"] {
        let answer = house.get(path).await;
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        names.insert(
            answer.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(names.len(), 4);
}
