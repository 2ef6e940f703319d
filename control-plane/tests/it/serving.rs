//! Viewers are sent to nodes that have enrolled, as far as they are heard and found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use contracts::asset::Privacy;
use contracts::fleet::JoinToken;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::house::{House, NOW, at_the_edge, json, problem, split};
use crate::joining::{Somebody, invite, state, until, wish, with};

/// Where a film plays for a client of the node's network.
pub(crate) async fn place(house: &House) -> String {
    let start = house.post("/v1/playback/start", &json!({"video_id": "film"}));
    let start = start.header("millrace-client-ip", "192.0.2.7").send().await;
    let start = json(start.unwrap(), 201).await;
    start["manifest_url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn viewers_are_sent_to_a_node_while_it_is_heard_and_not_drained() {
    let house = with(|config| config.trusted_hops = vec!["127.0.0.0/8".to_owned()]).await;
    house.film("film", Privacy::Public).await;
    let node = Somebody::with(&house, &invite(&house, wish("isp-1")).await);
    let mut node = node;
    let enrolled = json(node.enrol(&["192.0.2.0/24"]).await, 201).await;
    node.takes(&enrolled);
    let first = async || split(&place(&house).await).0;
    assert_eq!(state(&house, "isp-1").await, "joining");
    assert_ne!(first().await, "https://edge.isp.example");
    node.beats(&house, 3).await;
    until("it is active", async || {
        first().await == "https://edge.isp.example"
    })
    .await;
    assert_eq!(state(&house, "isp-1").await, "active");
    let url = place(&house).await;
    let keyring = enrolled["settings"]["keyring"].as_str().unwrap();
    let now = NOW + 15;
    assert!(
        at_the_edge(keyring, &url, now).is_ok(),
        "it can check what it is shown"
    );
    // An operator has it emptied, and then not.
    for (drain, there) in [(true, false), (false, true)] {
        let wish = json!({"drain": drain});
        let changed = house
            .request(Method::PATCH, "/v1/fleet/nodes/isp-1")
            .json(&wish);
        let changed = json(changed.send().await.unwrap(), 200).await;
        assert_eq!(changed["enrolled"]["drain"], drain);
        let is_there = async || first().await == "https://edge.isp.example";
        until("an operator is obeyed", async || is_there().await == there).await;
        assert_eq!(json(node.beat(json!({})).await, 200).await["drain"], drain);
    }
    // It falls silent, and comes back.
    house.clock.advance(21);
    until("it is left", async || {
        first().await != "https://edge.isp.example"
    })
    .await;
    assert_eq!(state(&house, "isp-1").await, "quarantined");
    let status = json(house.get("/v1/status").await, 200).await;
    assert_eq!(status["edges"]["isp-1"]["health"], "unwell");
    assert_eq!(status["edges"]["edge-1"]["health"], "well");
    node.beats(&house, 2).await;
    assert_eq!(state(&house, "isp-1").await, "quarantined");
    node.beats(&house, 1).await;
    assert_eq!(state(&house, "isp-1").await, "active");
    until("it is taken back", async || {
        first().await == "https://edge.isp.example"
    })
    .await;
    // It drains by itself.
    json(node.beat(json!({"draining": true})).await, 200).await;
    until("it is left", async || {
        first().await != "https://edge.isp.example"
    })
    .await;
    assert_eq!(state(&house, "isp-1").await, "draining");
}

/// A port at which nobody listens, and that nobody else gets.
fn held() -> TcpSocket {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    held
}

#[tokio::test]
async fn a_node_that_can_be_asked_serves_nobody_before_it_answers() {
    let house = with(|config| config.probe_every = ::config::Span::seconds(1)).await;
    let mut wish = wish("isp-1");
    wish["probe"] = true.into();
    let mut node = Somebody::with(&house, &invite(&house, wish).await);
    // Nobody listens there yet.
    let held = held();
    let address = held.local_addr().unwrap();
    let announce = json!({"base": format!("http://{address}")});
    let body = json!({"secret": node.token.secret, "csr": node.csr(), "announce": announce});
    node.takes(&json(node.post("/v1/fleet/enroll", body).await, 201).await);
    node.beats(&house, 4).await;
    assert_eq!(state(&house, "isp-1").await, "joining");
    // The operator sees why, and the node is told as much as is its own affair.
    let fault = async || {
        let shown = json(house.get("/v1/fleet/nodes/isp-1").await, 200).await;
        let fault = shown["enrolled"]["probe_fault"].as_str();
        fault.unwrap_or_default().to_owned()
    };
    let told = async || {
        let told = json(node.beat(json!({})).await, 200).await;
        told["unreached"].as_str().unwrap_or_default().to_owned()
    };
    let silent = format!("http://{address} does not answer: ");
    until("nobody answers", async || {
        fault().await.starts_with(&silent)
    })
    .await;
    let (seen, said) = (fault().await, told().await);
    assert!(seen.contains("refused"), "{seen}");
    assert!(said.contains(&address.to_string()), "{said}");
    assert!(!said.contains("refused"), "{said}");
    let listener = held.listen(16).unwrap();
    // Somebody is there, and then it is the node.
    let (asked, name) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new("isp-2")));
    let seen_by = (Arc::clone(&asked), Arc::clone(&name));
    let edge = axum::Router::new().fallback(move || {
        seen_by.0.fetch_add(1, Ordering::Relaxed);
        let who = [("cache-status", *seen_by.1.lock().unwrap())];
        async move { (axum::http::StatusCode::FORBIDDEN, who) }
    });
    tokio::spawn(async move { axum::serve(listener, edge).await });
    until("another is asked", async || {
        asked.load(Ordering::Relaxed) > 1
    })
    .await;
    assert_eq!(state(&house, "isp-1").await, "joining");
    let another = "answers, but not as this node";
    until("another answers", async || fault().await.contains(another)).await;
    assert_eq!(told().await, said, "what is there is not the node's affair");
    *name.lock().unwrap() = "isp-1";
    until("it is asked", async || {
        state(&house, "isp-1").await == "active"
    })
    .await;
    assert_eq!((fault().await, told().await), Default::default());
    // It says that it is elsewhere, where nobody is.
    let held = self::held();
    let nobody = format!("http://{}", held.local_addr().unwrap());
    for announce in [
        json!({"base": nobody}),
        json!({"base": format!("http://{address}"), "plain": nobody}),
    ] {
        json(node.beat(json!({"announce": announce})).await, 200).await;
        assert_eq!(state(&house, "isp-1").await, "joining");
        node.beats(&house, 4).await;
        assert_eq!(state(&house, "isp-1").await, "joining");
        let back = json!({"base": format!("http://{address}")});
        json(node.beat(json!({"announce": back})).await, 200).await;
        until("it is asked again", async || {
            state(&house, "isp-1").await == "active"
        })
        .await;
    }
}

#[tokio::test]
async fn several_control_planes_that_share_a_catalogue_and_an_authority_are_one_to_a_node() {
    let Some(address) = test_postgres::database() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().display().to_string();
    let house = || {
        with(|config| {
            config.catalog = address.as_str().into();
            config.fleet.authority = authority.clone();
        })
    };
    let (one, two) = tokio::join!(house(), house());
    let made = invite(&one, wish("isp-1")).await;
    let token = JoinToken::parse(made["token"].as_str().unwrap()).unwrap();
    let mut node = Somebody::of(&two, token, folder.path());
    node.takes(&json(node.enrol(&[]).await, 201).await);
    for house in [&one, &two, &one] {
        for clock in [&one.clock, &two.clock] {
            clock.advance(5);
        }
        node.base = format!("https://{}", house.running.nodes.unwrap());
        json(node.beat(json!({})).await, 200).await;
        state(house, "none").await;
    }
    for house in [&one, &two] {
        until("it is active", async || {
            state(house, "isp-1").await == "active"
        })
        .await;
    }
    let gone = one.request(Method::DELETE, "/v1/fleet/nodes/isp-1").send();
    json(gone.await.unwrap(), 200).await;
    node.base = format!("https://{}", two.running.nodes.unwrap());
    problem(node.beat(json!({})).await, 403, "node-refused").await;
}
