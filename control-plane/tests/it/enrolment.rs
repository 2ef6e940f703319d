//! Nodes enrol, are heard, are drained and dismissed: spoken to over TLS, as nodes do it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::asset::Privacy;
use contracts::feed::{Order, Page};
use contracts::fleet::{JoinToken, Settings};
use contracts::revocation::Revoked;
use contracts::time::UnixSeconds;
use control_plane::config::Config;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use reqwest::{Method, Response};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::house::{House, NOW, at_the_edge, json, problem, split};

/// A keyring with a key by which partners' edges verify, and one that they must not have.
const KEYS: &str = r#"{"keyring":[
    {"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/","/t/"],"nbf":0,"exp":4102444800},
    {"kid":"k2","ver":"m2","seed_hex":"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60","scope":["/v/","/t/"],"nbf":0,"exp":4102444800}]}"#;

/// A house in which nodes can enrol.
pub(crate) async fn house() -> House {
    with(|_| {}).await
}

pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> House {
    House::with(|config, dir| {
        std::fs::write(dir.path().join("keys.json"), KEYS).unwrap();
        config.fleet.listen = "127.0.0.1:0".to_owned();
        config.fleet.public = "https://127.0.0.1:7300".to_owned();
        config.fleet.authority = dir.path().join("authority").display().to_string();
        config.fleet.parents = vec!["https://shield.example".to_owned()];
        change(config);
    })
    .await
}

pub(crate) async fn invite(house: &House, wish: Value) -> Value {
    json(
        house.post("/v1/fleet/joins", &wish).send().await.unwrap(),
        201,
    )
    .await
}

/// The wish for a partner's node that cannot be probed.
pub(crate) fn wish(name: &str) -> Value {
    json!({"site": "isp-1", "name": name, "prefixes": ["192.0.2.0/24", "2001:db8::/32"], "probe": false})
}

/// Whoever has a token: a key of its own, and what it was given.
pub(crate) struct Somebody {
    pub(crate) base: String,
    roots: RootCertStore,
    pub(crate) token: JoinToken,
    key: KeyPair,
    certificate: Option<String>,
    now: u64,
}

impl Somebody {
    pub(crate) fn with(house: &House, made: &Value) -> Self {
        let token = JoinToken::parse(made["token"].as_str().unwrap()).unwrap();
        Self::of(house, token, &house.dir.path().join("authority"))
    }

    fn of(house: &House, token: JoinToken, authority: &Path) -> Self {
        let pem = std::fs::read(authority.join("authority.pem")).unwrap();
        let authority = CertificateDer::from_pem_slice(&pem).unwrap();
        assert_eq!(
            <[u8; 32]>::from(Sha256::digest(&authority)),
            token.authority
        );
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        Self {
            base: format!("https://{}", house.running.nodes.unwrap()),
            roots,
            token,
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            certificate: None,
            now: NOW,
        }
    }

    pub(crate) async fn enrolled(house: &House, name: &str) -> Self {
        let mut node = Self::with(house, &invite(house, wish(name)).await);
        let enrolled = json(node.enrol(&[]).await, 201).await;
        assert_eq!(enrolled["name"], name);
        node.takes(&enrolled);
        node
    }

    pub(crate) fn takes(&mut self, answer: &Value) {
        self.certificate = Some(answer["certificate"].as_str().unwrap().to_owned());
    }

    pub(crate) fn csr(&self) -> String {
        let wish = CertificateParams::new(vec!["whatever.example".to_owned()]).unwrap();
        wish.serialize_request(&self.key).unwrap().pem().unwrap()
    }

    pub(crate) fn client(&self) -> reqwest::Client {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let time = Arc::new(At(self.now));
        let config = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
                let chain = chain.map(Result::unwrap).collect();
                let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let client = runtime::http::client().tls_backend_preconfigured(config);
        client.no_proxy().build().unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Response> {
        let request = self
            .client()
            .request(method, format!("{}{path}", self.base));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.timeout(Duration::from_secs(20)).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.send(Method::POST, path, Some(body)).await.unwrap()
    }

    pub(crate) async fn enrol(&self, prefixes: &[&str]) -> Response {
        self.enrol_with(&self.csr(), prefixes).await
    }

    async fn enrol_with(&self, csr: &str, prefixes: &[&str]) -> Response {
        let announce =
            json!({"base": "https://edge.isp.example", "prefixes": prefixes, "capacity_bps": 1000});
        let body = json!({"secret": self.token.secret, "csr": csr, "announce": announce});
        self.post("/v1/fleet/enroll", body).await
    }

    pub(crate) async fn beat(&self, said: Value) -> Response {
        self.post("/v1/fleet/heartbeat", said).await
    }

    /// So many heartbeats, five seconds apart.
    pub(crate) async fn beats(&self, house: &House, count: u32) {
        for _ in 0..count {
            house.clock.advance(5);
            json(self.beat(json!({})).await, 200).await;
            // Each is written down before the next one comes.
            state(house, "none").await;
        }
    }
}

/// A clock that stands.
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("At")
    }
}

/// How a node stands, as operators see it; `Null` where there is none.
async fn state(house: &House, name: &str) -> Value {
    let nodes = json(house.get("/v1/fleet/nodes").await, 200).await;
    let nodes = nodes["nodes"].as_array().unwrap().clone();
    let found = nodes.into_iter().find(|node| node["name"] == name);
    found.map_or(Value::Null, |node| node["state"].clone())
}

/// Waits until something is so: routing looks at the catalogue by itself.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let looked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), looked).await;
    assert!(in_time.is_ok(), "{what}");
}

/// Where a film plays for a client of the node's network.
pub(crate) async fn place(house: &House) -> String {
    let start = house.post("/v1/playback/start", &json!({"video_id": "film"}));
    let start = start.header("millrace-client-ip", "192.0.2.7").send().await;
    let start = json(start.unwrap(), 201).await;
    start["manifest_url"].as_str().unwrap().to_owned()
}

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
    let other = self::house().await;
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
    let nobody = house
        .request(Method::DELETE, "/v1/fleet/nodes/nobody")
        .send();
    problem(nobody.await.unwrap(), 404, "node-not-found").await;
}

#[tokio::test]
async fn a_node_that_is_set_up_anew_takes_the_place_of_the_one_before() {
    let house = house().await;
    let before = Somebody::enrolled(&house, "isp-1").await;
    let after = Somebody::enrolled(&house, "isp-1").await;
    json(after.beat(json!({})).await, 200).await;
    problem(before.beat(json!({})).await, 403, "node-refused").await;
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

#[tokio::test]
async fn a_node_that_can_be_asked_serves_nobody_before_it_answers() {
    let house = with(|config| config.probe_every = ::config::Span::seconds(1)).await;
    let mut wish = wish("isp-1");
    wish["probe"] = true.into();
    let mut node = Somebody::with(&house, &invite(&house, wish).await);
    // Nobody listens there yet.
    let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = held.local_addr().unwrap();
    drop(held);
    let announce = json!({"base": format!("http://{address}")});
    let body = json!({"secret": node.token.secret, "csr": node.csr(), "announce": announce});
    node.takes(&json(node.post("/v1/fleet/enroll", body).await, 201).await);
    node.beats(&house, 4).await;
    assert_eq!(state(&house, "isp-1").await, "joining");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    // Somebody is there, and then it is the node.
    let (asked, name) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new("isp-2")));
    let told = (Arc::clone(&asked), Arc::clone(&name));
    let edge = axum::Router::new().fallback(move || {
        told.0.fetch_add(1, Ordering::Relaxed);
        let who = [("cache-status", *told.1.lock().unwrap())];
        async move { (axum::http::StatusCode::FORBIDDEN, who) }
    });
    tokio::spawn(async move { axum::serve(listener, edge).await });
    until("another is asked", async || {
        asked.load(Ordering::Relaxed) > 1
    })
    .await;
    assert_eq!(state(&house, "isp-1").await, "joining");
    *name.lock().unwrap() = "isp-1";
    until("it is asked", async || {
        state(&house, "isp-1").await == "active"
    })
    .await;
    // It says that it is elsewhere, where nobody is.
    let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", held.local_addr().unwrap());
    drop(held);
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
