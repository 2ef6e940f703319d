//! Several control planes that share one PostgreSQL are one control plane to whoever asks.

use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, json, problem};

/// Two control planes on a new database; none where there is no PostgreSQL.
async fn two() -> Option<(House, House)> {
    let address = test_postgres::database()?;
    // Both at once: one of them makes the tables.
    let house = || House::with(|config, _| config.catalog = address.as_str().into());
    let (one, two) = tokio::join!(house(), house());
    Some((one, two))
}

#[tokio::test]
async fn what_one_control_plane_begins_another_knows_repeats_and_ends() {
    let Some((one, two)) = two().await else {
        return;
    };
    one.film("film1", Privacy::Public).await;
    let wish = json!({"video_id": "film1"});
    let ask = async |house: &House| {
        let request = house.post("/v1/playback/start", &wish);
        let request = request.header("idempotency-key", "once");
        json(request.send().await.unwrap(), 201).await
    };
    let (here, there) = (ask(&one).await, ask(&two).await);
    assert_eq!(here["session_id"], there["session_id"]);
    let beat = format!(
        "/v1/playback/{}/heartbeat",
        here["session_id"].as_str().unwrap()
    );
    let answer = two.post(&beat, &json!({"position_s": 3.0}));
    let answer = json(answer.send().await.unwrap(), 200).await;
    assert_eq!(answer["action"], "continue");
    assert_eq!(json(one.get("/v1/status").await, 200).await["sessions"], 1);
    let stop = beat.trim_end_matches("/heartbeat");
    let stopped = two.request(Method::DELETE, stop).send().await.unwrap();
    assert_eq!(stopped.status(), 204);
    let after = one.post(&beat, &json!({})).send().await.unwrap();
    problem(after, 410, "session-over").await;
}

#[tokio::test]
async fn equal_wishes_at_several_control_planes_at_once_begin_one_session() {
    let Some((one, two)) = two().await else {
        return;
    };
    one.film("film1", Privacy::Public).await;
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..16 {
        let house = if number % 2 == 0 { &one } else { &two };
        let wish = house.post("/v1/playback/start", &json!({"video_id": "film1"}));
        asked.spawn(wish.header("idempotency-key", "at-once").send());
    }
    let mut sessions: Vec<Value> = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let playback = json(answer.unwrap().unwrap(), 201).await;
        sessions.push(playback["session_id"].clone());
    }
    sessions.dedup();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(json(two.get("/v1/status").await, 200).await["sessions"], 1);
}
