//! Every role answers, and everything that the manifests name can be fetched over every protocol.

use serde_json::Value;

use crate::house::{Stage, millrace};

#[tokio::test]
async fn every_role_is_healthy_and_counts() {
    let stage = Stage::new();
    let house = stage.house();
    let roles = house.facts["internal"].as_array().unwrap();
    assert_eq!(roles.len(), 6);
    for role in roles {
        let base = role["base"].as_str().unwrap();
        let health = house
            .http
            .get(format!("{base}/healthz"))
            .send()
            .await
            .unwrap();
        assert_eq!(health.status(), 200, "{role}");
        let metrics = house
            .http
            .get(format!("{base}/metrics"))
            .send()
            .await
            .unwrap();
        assert!(
            metrics.text().await.unwrap().contains("# TYPE millrace_"),
            "{role}"
        );
    }
}

#[test]
fn everything_that_the_manifests_name_can_be_played_over_every_protocol() {
    let stage = Stage::new();
    let house = stage.house();
    for manifest in ["/hls", "/hls_ts", "/dash"] {
        for protocol in ["h1", "h2", "h3"] {
            let url = house.fact(manifest);
            let played = millrace(&["play", url, "--protocol", protocol, "--insecure", "--json"]);
            let report: Value = serde_json::from_slice(&played.stdout).unwrap();
            assert!(
                played.status.success(),
                "{manifest} over {protocol}: {report}"
            );
            assert_eq!(report["ok"], true);
            assert!(report["requests"].as_u64().unwrap() > 4);
        }
    }
}

#[tokio::test]
async fn the_logical_address_leads_to_an_edge_with_a_fresh_token() {
    let stage = Stage::new();
    let house = stage.house();
    for name in ["hls", "hls_ts", "dash"] {
        let answer = house
            .http
            .get(house.fact(&format!("/logical/{name}")))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 302);
        let place = answer.headers()["location"].to_str().unwrap().to_owned();
        assert!(place.contains("/~m1."), "{name}");
        assert_eq!(
            house.http.get(place).send().await.unwrap().status(),
            200,
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_does_not_exist_or_may_not_be_asked_for_gets_its_own_answer() {
    let stage = Stage::new();
    let house = stage.house();
    let rendition = house.mezzanines().remove(0).0;
    let there = house.at_edge(0, &format!("{rendition}/segment_1.m4s"));
    assert_eq!(house.http.get(there).send().await.unwrap().status(), 200);
    let absent = format!("{rendition}/segment_9999.m4s");
    for path in ["999p/playlist.m3u8", absent.as_str(), "nothing.here"] {
        let answer = house.http.get(house.at_edge(0, path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    let edge = house.fact("/edges/0/https");
    let bare = format!("{edge}/v/{}/master.m3u8", house.video());
    assert_eq!(house.http.get(bare).send().await.unwrap().status(), 403);
    let other = house
        .at_edge(0, "master.m3u8")
        .replace(&format!("/v/{}/", house.video()), "/v/other/");
    assert_eq!(house.http.get(other).send().await.unwrap().status(), 403);
}
