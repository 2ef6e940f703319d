//! What nodes may do to each other and to the control plane: how much they ask, as whom, for how long.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{json, problem};
use crate::joining::{Somebody, house, invite, until, wish, with};

#[tokio::test]
async fn nodes_that_fetch_at_some_hours_alone_are_not_sent_each_other_s_viewers() {
    let house = house().await;
    let mut nodes = Vec::new();
    for (name, withholds) in [("ours-1", true), ("ours-2", true), ("ours-3", false)] {
        let mut wish = wish(name);
        wish["partner"] = false.into();
        let mut node = Somebody::with(&house, &invite(&house, wish).await);
        node.takes(&json(node.enrol(&[]).await, 201).await);
        let base = format!("https://{name}.example");
        let announce = json!({"base": base, "withholds": withholds});
        json(node.beat(json!({"announce": announce})).await, 200).await;
        node.beats(&house, 3).await;
        nodes.push(node);
    }
    let fallbacks = async |node: &Somebody| {
        let settings = node.send(Method::GET, "/v1/fleet/settings", None).await;
        json(settings.unwrap(), 200).await["fallbacks"].to_string()
    };
    for node in &nodes[..2] {
        until("the third is known", async || {
            fallbacks(node).await.contains("ours-3")
        })
        .await;
        let told = fallbacks(node).await;
        assert!(
            !told.contains("ours-1") && !told.contains("ours-2"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_connection_counts_for_as_long_as_the_certificate_that_it_began_with() {
    let house = house().await;
    let mut node = Somebody::enrolled(&house, "isp-1").await;
    let kept = node.client();
    let beat = async || {
        let url = format!("{}/v1/fleet/heartbeat", node.base);
        kept.post(url).json(&json!({})).send().await.unwrap()
    };
    json(beat().await, 200).await;
    house.clock.advance(4 * 86_400);
    json(beat().await, 200).await;
    let renewed = node.post("/v1/fleet/certificate", json!({"csr": node.csr()}));
    let renewed = json(renewed.await, 200).await;
    house.clock.advance(4 * 86_400);
    problem(beat().await, 401, "unauthorized").await;
    node.takes(&renewed);
    json(node.beat(json!({})).await, 200).await;
}

#[tokio::test]
async fn a_node_that_says_too_much_is_told_to_wait_and_others_are_heard() {
    let house = house().await;
    let node = Somebody::enrolled(&house, "isp-1").await;
    let other = Somebody::enrolled(&house, "isp-2").await;
    let client = node.client();
    let beat = async |said: Value| {
        let url = format!("{}/v1/fleet/heartbeat", node.base);
        client.post(url).json(&said).send().await.unwrap()
    };
    let announce =
        |n: u32| json!({"announce": {"base": "https://a.example", "version": n.to_string()}});
    for n in 0..20 {
        json(beat(announce(n)).await, 200).await;
    }
    let refused = beat(announce(20)).await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 429, "too-many-requests").await;
    let shown = json(house.get("/v1/fleet/nodes/isp-1").await, 200).await;
    assert_eq!(shown["enrolled"]["version"], "19");
    // It is heard all the same, for as long as it does not shout.
    for _ in 21..120 {
        json(beat(json!({})).await, 200).await;
    }
    problem(beat(json!({})).await, 429, "too-many-requests").await;
    json(other.beat(announce(1)).await, 200).await;
    house.clock.advance(5);
    json(beat(json!({})).await, 200).await;
}

#[tokio::test]
async fn who_shows_the_credential_of_the_tiers_does_not_speak_for_a_node_that_has_enrolled() {
    let house = with(|config| {
        let path = Path::new(&config.fleet.authority).with_file_name("hop.secret");
        std::fs::write(&path, "a-credential-of-the-tiers-0123456789").unwrap();
        config.fleet.hop_secrets = vec![path.display().to_string()];
    })
    .await;
    let _node = Somebody::enrolled(&house, "isp-1").await;
    let asked = async |name: &str| {
        let path = format!("/v1/fleet/feed?after=0&node={name}");
        let request = house.request(Method::GET, &path);
        let shown = request.header("millrace-hop", "a-credential-of-the-tiers-0123456789");
        shown.send().await.unwrap()
    };
    json(asked("edge-1").await, 200).await;
    until("it is known", async || asked("isp-1").await.status() == 403).await;
    problem(asked("isp-1").await, 403, "hop-refused").await;
    let shown = json(house.get("/v1/fleet/nodes/isp-1").await, 200).await;
    assert_eq!(shown["lag"], Value::Null);
}
