//! Nodes enrol, are heard, and are dismissed.

use contracts::feed::{Order, Page};
use contracts::fleet::Settings;
use contracts::revocation::Revoked;
use contracts::time::UnixSeconds;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use reqwest::Method;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use crate::house::{House, NOW, json, problem};
use crate::joining::{Somebody, house, invite, state, wish};

#[tokio::test]
async fn a_token_enrols_one_node_which_gets_its_name_its_certificate_and_what_it_works_by() {
    let house = house().await;
    let made = invite(&house, wish("isp-1")).await;
    assert_eq!(
        (&made["name"], &made["expires_at"]),
        (&json!("isp-1"), &json!(NOW + 86_400))
    );
    let mut node = Somebody::with(&house, &made);
    assert_eq!(node.token.url.as_str(), "https://127.0.0.1:7300");
    let enrolled = json(node.enrol(&["192.0.2.0/25"]).await, 201).await;
    let settings: Settings = serde_json::from_value(enrolled["settings"].clone()).unwrap();
    assert_eq!(settings.control.as_str(), "https://127.0.0.1:7300");
    assert_eq!(settings.parents[0].as_str(), "https://shield.example");
    let fallbacks: Vec<&str> = settings
        .fallbacks
        .iter()
        .map(|base| base.as_str())
        .collect();
    assert_eq!(
        fallbacks,
        ["https://127.0.0.1:8443", "https://127.0.0.1:8444"]
    );
    assert!(settings.keyring.contains("k2") && !settings.keyring.contains("k1"));
    assert!(
        !settings.keyring.contains("9d61b19d"),
        "the seed stays in the house"
    );
    node.takes(&enrolled);
    let again = json(
        node.send(Method::GET, "/v1/fleet/settings", None)
            .await
            .unwrap(),
        200,
    )
    .await;
    assert_eq!(again, enrolled["settings"]);
    let told = json(node.beat(json!({})).await, 200).await;
    let wanted =
        json!({"every_s": 5, "lease_s": 20, "drain": false, "settings_version": settings.version});
    assert_eq!(told, wanted);
    // Its answer was lost, say: the same key is given the same again.
    assert_eq!(json(node.enrol(&[]).await, 201).await["name"], "isp-1");
    let joins = json(house.get("/v1/fleet/joins").await, 200).await;
    assert_eq!(joins["joins"][0]["used"], true);
    assert!(!joins.to_string().contains(made["token"].as_str().unwrap()));
}

#[tokio::test]
async fn a_wrong_a_used_and_an_expired_secret_have_one_answer() {
    let house = house().await;
    let made = invite(&house, wish("isp-1")).await;
    let first = Somebody::with(&house, &made);
    json(first.enrol(&[]).await, 201).await;
    let used = Somebody::with(&house, &made).enrol(&[]).await;
    let used = problem(used, 403, "join-refused").await;
    let mut wrong = Somebody::with(&house, &made);
    wrong.token.secret = contracts::fleet::JoinSecret::from_random([1; 32]);
    assert_eq!(
        problem(wrong.enrol(&[]).await, 403, "join-refused").await,
        used
    );
    let short = json!({"site": "isp-1", "name": "isp-2", "expires_s": 60});
    let late = Somebody::with(&house, &invite(&house, short).await);
    house.clock.advance(60);
    assert_eq!(
        problem(late.enrol(&[]).await, 403, "join-refused").await,
        used
    );
    // One that was taken back counts no more either.
    let made = invite(&house, wish("isp-3")).await;
    let path = format!("/v1/fleet/joins/{}", made["id"].as_str().unwrap());
    let taken = house.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(taken.status(), 204);
    let gone = house.request(Method::DELETE, &path).send().await.unwrap();
    problem(gone, 404, "join-not-found").await;
    let refused = Somebody::with(&house, &made).enrol(&[]).await;
    assert_eq!(problem(refused, 403, "join-refused").await, used);
}

#[tokio::test]
async fn of_two_who_enrol_at_once_with_one_token_one_becomes_the_node() {
    let house = house().await;
    let made = invite(&house, wish("isp-1")).await;
    let (one, two) = (Somebody::with(&house, &made), Somebody::with(&house, &made));
    let (first, second) = tokio::join!(one.enrol(&[]), two.enrol(&[]));
    let mut said = [first.status().as_u16(), second.status().as_u16()];
    said.sort_unstable();
    assert_eq!(said, [201, 403]);
}

#[tokio::test]
async fn a_bad_request_for_a_certificate_and_others_networks_are_refused_and_named() {
    let house = house().await;
    let node = Somebody::with(&house, &invite(&house, wish("isp-1")).await);
    let csr = node.csr();
    let mut der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())
        .unwrap()
        .to_vec();
    *der.last_mut().unwrap() ^= 1;
    let body = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der);
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
    problem(node.enrol_with(&forged, &[]).await, 400, "bad-request").await;
    let beyond = [
        "192.0.2.0/24",
        "198.51.100.0/24",
        "192.0.0.0/16",
        "2001:db8:1::/48",
    ];
    let refused = problem(node.enrol(&beyond).await, 400, "prefixes-refused").await;
    assert_eq!(
        refused["prefixes"],
        json!(["198.51.100.0/24", "192.0.0.0/16"])
    );
    let said = refused["detail"].as_str().unwrap();
    assert!(
        said.contains("announce 198.51.100.0/24, 192.0.0.0/16."),
        "{said}"
    );
    let many: Vec<String> = (0..20)
        .map(|network| format!("10.{network}.0.0/16"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = problem(node.enrol(&many).await, 400, "prefixes-refused").await;
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("10.7.0.0/16, 12 more."), "{said}");
    // None of that has used the token up.
    json(node.enrol(&["192.0.2.0/24"]).await, 201).await;
}

#[tokio::test]
async fn a_node_that_announces_more_than_it_may_is_heard_and_keeps_what_it_had() {
    let house = house().await;
    let node = Somebody::enrolled(&house, "isp-1").await;
    let announce = |prefix: &str| json!({"announce": {"base": "https://new.isp.example", "prefixes": [prefix]}});
    let refused = node.beat(announce("10.0.0.0/8")).await;
    let refused = problem(refused, 400, "prefixes-refused").await;
    assert_eq!(refused["prefixes"], json!(["10.0.0.0/8"]));
    let shown = json(house.get("/v1/fleet/nodes/isp-1").await, 200).await;
    assert_eq!(shown["enrolled"]["base"], "https://edge.isp.example");
    assert_eq!(shown["last_seen_at"], NOW);
    json(node.beat(announce("192.0.2.128/25")).await, 200).await;
    let shown = json(house.get("/v1/fleet/nodes/isp-1").await, 200).await;
    assert_eq!(shown["enrolled"]["base"], "https://new.isp.example");
    assert_eq!(shown["enrolled"]["prefixes"], json!(["192.0.2.128/25"]));
}

#[tokio::test]
async fn who_shows_no_certificate_or_another_authority_s_is_not_heard() {
    let house = house().await;
    let mut node = Somebody::enrolled(&house, "isp-1").await;
    let ours = node.certificate.take();
    problem(node.beat(json!({})).await, 401, "unauthorized").await;
    // Made by another house, for the same name.
    let other = crate::joining::house().await;
    let stranger = Somebody::enrolled(&other, "isp-1").await;
    let key = std::mem::replace(&mut node.key, stranger.key);
    node.certificate = stranger.certificate;
    let refused = node
        .send(Method::POST, "/v1/fleet/heartbeat", Some(json!({})))
        .await;
    assert!(refused.is_err(), "the handshake fails");
    node.key = key;
    node.certificate = ours;
    json(node.beat(json!({})).await, 200).await;
    // One that has ended is none.
    house.clock.set(UnixSeconds(NOW + 7 * 86_400 + 1));
    let late = node
        .send(Method::POST, "/v1/fleet/heartbeat", Some(json!({})))
        .await;
    assert!(late.is_err(), "the handshake fails");
}

#[tokio::test]
async fn a_node_gets_its_next_certificate_for_its_key_alone_and_orders_for_its_name_alone() {
    let house = house().await;
    let mut node = Somebody::enrolled(&house, "isp-1").await;
    let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let wish = CertificateParams::new(Vec::<String>::new()).unwrap();
    let csr = wish.serialize_request(&other).unwrap().pem().unwrap();
    let refused = node
        .post("/v1/fleet/certificate", json!({"csr": csr}))
        .await;
    problem(refused, 400, "bad-request").await;
    house.clock.advance(4 * 86_400);
    let renewed = node
        .post("/v1/fleet/certificate", json!({"csr": node.csr()}))
        .await;
    node.takes(&json(renewed, 200).await);
    house.clock.advance(4 * 86_400);
    json(node.beat(json!({})).await, 200).await;
    let shown = json(house.get("/v1/fleet/nodes/isp-1").await, 200).await;
    assert_eq!(shown["enrolled"]["certificate_ends_at"], NOW + 11 * 86_400);
    let asked = async |query: &str| {
        let path = format!("/v1/fleet/feed?after=0{query}");
        node.send(Method::GET, &path, None).await.unwrap()
    };
    problem(asked("&node=isp-2").await, 403, "node-refused").await;
    let page = asked("&node=isp-1").await.text().await.unwrap();
    assert!(Page::parse(page.as_bytes(), 0).unwrap().feed.is_some());
    json(asked("").await, 200).await;
    let shown = json(house.get("/v1/fleet/nodes/isp-1").await, 200).await;
    assert_eq!(
        (&shown["applied"], &shown["kind"]),
        (&json!(0), &json!("edge"))
    );
}

#[tokio::test]
async fn a_dismissed_node_is_refused_at_once_and_parents_are_told() {
    let house = house().await;
    let node = Somebody::enrolled(&house, "isp-1").await;
    let dismiss = || {
        house
            .request(Method::DELETE, "/v1/fleet/nodes/isp-1")
            .send()
    };
    let dismissed = json(dismiss().await.unwrap(), 200).await;
    let until = NOW + 7 * 86_400;
    assert_eq!(dismissed, json!({"name": "isp-1", "revoked_until": until}));
    problem(node.beat(json!({})).await, 403, "node-refused").await;
    let renewal = node
        .post("/v1/fleet/certificate", json!({"csr": node.csr()}))
        .await;
    problem(renewal, 403, "node-refused").await;
    problem(node.enrol(&[]).await, 403, "join-refused").await;
    let page = house.catalog.feed.after(0, UnixSeconds(NOW)).await.unwrap();
    let revoked: Vec<_> = page
        .entries
        .iter()
        .filter_map(|entry| match &entry.order {
            Order::Revoke(revocation) => Some((revocation.what.clone(), revocation.until.0)),
            _ => None,
        })
        .collect();
    let node = contracts::id::NodeId::parse("isp-1").unwrap();
    assert_eq!(revoked, [(Revoked::Node(node), until)]);
    assert_eq!(state(&house, "isp-1").await, "dismissed");
    json(dismiss().await.unwrap(), 200).await;
    let again = house
        .post("/v1/fleet/joins", &wish("isp-1"))
        .send()
        .await
        .unwrap();
    problem(again, 409, "name-taken").await;
    let change = house
        .request(Method::PATCH, "/v1/fleet/nodes/isp-1")
        .json(&json!({"drain": true}))
        .send();
    let said = problem(change.await.unwrap(), 409, "node-dismissed").await;
    assert!(said["detail"].as_str().unwrap().contains("was dismissed"));
    let nobody = house
        .request(Method::DELETE, "/v1/fleet/nodes/nobody")
        .send();
    problem(nobody.await.unwrap(), 404, "node-not-found").await;
}

#[tokio::test]
async fn a_node_that_is_set_up_anew_takes_the_place_of_the_one_before() {
    let house = house().await;
    let first = invite(&house, wish("isp-1")).await;
    assert_eq!(first["replaces"], false, "nobody is there yet");
    let before = Somebody::enrolled(&house, "isp-1").await;
    let second = invite(&house, wish("isp-1")).await;
    assert_eq!(second["replaces"], true, "whose place it takes");
    let after = Somebody::enrolled(&house, "isp-1").await;
    json(after.beat(json!({})).await, 200).await;
    problem(before.beat(json!({})).await, 403, "node-refused").await;
}

#[tokio::test]
async fn a_join_is_an_operator_s_and_says_what_is_wrong_with_it() {
    let guarded = House::with(|config, dir| {
        let path = dir.path().join("operator.key");
        std::fs::write(&path, "an-operator-key-of-some-length").unwrap();
        config.operator_key = path.display().to_string();
    })
    .await;
    for (method, path) in [
        (Method::GET, "/v1/fleet/joins"),
        (Method::GET, "/v1/fleet/nodes"),
        (Method::GET, "/v1/fleet/nodes/a"),
        (Method::DELETE, "/v1/fleet/nodes/a"),
        (Method::DELETE, "/v1/fleet/joins/a"),
    ] {
        let refused = guarded.request(method, path).send().await.unwrap();
        problem(refused, 401, "unauthorized").await;
    }
    let without = House::start().await;
    let refused = without.post("/v1/fleet/joins", &wish("isp-1")).send().await;
    problem(refused.unwrap(), 404, "not-found").await;
    let house = house().await;
    for bad in [
        json!({"site": ""}),
        json!({"site": "a/b"}),
        json!({"site": "a", "name": "7"}),
        json!({"site": "a", "region": "b c"}),
        json!({"site": "a", "kind": "shield"}),
        json!({"site": "a", "weight": 0}),
        json!({"site": "a", "priority": 1001}),
        json!({"site": "a", "expires_s": 59}),
        json!({"site": "a", "expires_s": 2_592_001}),
        json!({"site": "a", "prefixes": ["192.0.2.1/24"]}),
    ] {
        let refused = house.post("/v1/fleet/joins", &bad).send().await.unwrap();
        problem(refused, 400, "bad-request").await;
    }
    let taken = house.post("/v1/fleet/joins", &wish("edge-1")).send().await;
    problem(taken.unwrap(), 409, "name-taken").await;
}
