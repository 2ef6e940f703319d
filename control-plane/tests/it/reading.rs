//! Who asks for films without credentials is counted by address.

use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::{Value, json};

use crate::callers::key;
use crate::house::{House, OPERATOR, json, problem};
use crate::people::configured;

async fn from(house: &House, address: &str, method: Method, path: &str) -> u16 {
    let asked = house.request(method, path);
    let asked = asked.header("millrace-client-ip", address);
    asked.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_address_that_shows_nothing_asks_so_often_and_others_are_not_concerned() {
    let house = configured(None, |config| {
        config.accounts.address_rate = 1;
        config.trusted_hops = vec!["127.0.0.0/8".into()];
    })
    .await;
    house.film("film", Privacy::Public).await;
    let reads = [
        (Method::GET, "/v1/videos", 200),
        (Method::GET, "/v1/videos/film", 200),
        (Method::GET, "/api/v1/videos/film/status", 200),
        (Method::GET, "/v/film/master.m3u8", 302),
        (Method::GET, "/v1/steering/nothing", 404),
        (Method::POST, "/v1/drm/token", 404),
        (Method::GET, "/v1/channels/nothing", 404),
    ];
    let sessions = [
        (Method::POST, "/v1/playback/nothing/heartbeat", 404),
        (Method::DELETE, "/v1/playback/nothing", 404),
        (Method::POST, "/v1/playback/nothing/stop", 404),
    ];
    let one = "192.0.2.1";
    // What asks for films without end does not stop what plays.
    for rooms in [&reads[..], &sessions] {
        for (method, path, status) in rooms.iter().cycle().take(10) {
            let have = from(&house, one, method.clone(), path).await;
            assert_eq!(have, *status, "{path}");
        }
        for (method, path, _) in rooms {
            assert_eq!(from(&house, one, method.clone(), path).await, 429, "{path}");
        }
    }
    assert_eq!(
        from(&house, "192.0.2.2", Method::GET, "/v1/videos").await,
        200
    );
    // Whoever shows what counts is counted elsewhere, and a page learns why it is refused.
    let backend = key(&house, json!(["videos"]), Value::Null).await;
    for shown in [OPERATOR, backend["secret"].as_str().unwrap()] {
        let asked = house.request(Method::GET, "/v1/videos/film");
        let asked = asked.header("millrace-client-ip", one).bearer_auth(shown);
        json(asked.send().await.unwrap(), 200).await;
    }
    let page = house.request(Method::GET, "/v1/steering/nothing");
    let page = page.header("millrace-client-ip", one);
    let page = page.header("origin", "https://elsewhere.example");
    let refused = page.send().await.unwrap();
    assert_eq!(
        refused.headers()["access-control-allow-origin"],
        "https://elsewhere.example"
    );
    assert_eq!(refused.headers()["retry-after"], "1");
    problem(refused, 429, "too-many-requests").await;
    house.clock.advance(1);
    assert_eq!(from(&house, one, Method::GET, "/v1/videos").await, 200);
    assert_eq!(from(&house, one, Method::GET, "/v1/videos").await, 429);
}
