//! More than one tier: chains, credentials, loops.

use std::path::PathBuf;

use origin_shield::config::Config;
use tier::Protocol;
use tokio::net::TcpStream;

use crate::client::h1;
use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Origin, Reply, field};

const SECRET: &str = "shared-between-these-two-tiers";

async fn shield(parents: Vec<String>, secret_file: PathBuf) -> origin_shield::Running {
    let mut config = Config {
        parents,
        hop_secret_file: secret_file,
        ..Config::default()
    };
    config.listen.plain = "127.0.0.1:0".to_owned();
    config.listen.internal = "127.0.0.1:0".to_owned();
    config.clients.drain = config::Span::millis(100);
    origin_shield::start(config.check().unwrap()).await.unwrap()
}

#[tokio::test]
async fn each_tier_says_what_it_did() {
    let files = tempfile::tempdir().unwrap();
    let secret = files.path().join("hop");
    std::fs::write(&secret, SECRET).unwrap();
    let origin = Origin::start(|_| Reply::ok("x").field("surrogate-key", "a:a")).await;
    let shield = shield(vec![origin.url()], secret.clone()).await;
    let through = |config: &mut edge::config::Config| {
        config.parents = vec![format!("http://{}", shield.plain)];
        config.upstream.hop_secret_file = secret.clone();
    };
    let first = House::with(&origin, through).await;
    let second = House::with(&origin, |config| {
        through(config);
        config.name = "edge-2".to_owned();
    })
    .await;
    let target = signed("/v/a/1");
    let client = first.client(Protocol::H3);
    let got = client.get(&target, &[]).await;
    let chain = "shield-1; fwd=miss; stored, edge-1; fwd=miss; stored";
    assert_eq!((got.status, got.field("cache-status")), (200, chain));
    let got = client.get(&target, &[]).await;
    assert!(
        got.field("cache-status").starts_with("edge-1; hit"),
        "{got:?}"
    );
    let got = second.client(Protocol::H2).get(&target, &[]).await;
    let status = got.field("cache-status");
    assert!(
        status.starts_with("shield-1; hit; ttl=") && status.ends_with(", edge-2; fwd=miss; stored"),
        "{status}"
    );
    assert_eq!(origin.requests(), 1);
    let head = origin.heads().pop().unwrap();
    assert_eq!(head.to_lowercase().matches("edge-1-").count(), 1, "{head}");
    assert_eq!(
        head.to_lowercase().matches("shield-1-").count(),
        1,
        "{head}"
    );
    assert_eq!(
        field(&head, "millrace-hop"),
        None,
        "a credential is for one hop"
    );
    shield.stop().await;
}

#[tokio::test]
async fn a_shield_admits_tiers_only() {
    let files = tempfile::tempdir().unwrap();
    let secret = files.path().join("hop");
    std::fs::write(&secret, SECRET).unwrap();
    let origin = Origin::start(|_| Reply::ok("x").field("millrace-access", "token")).await;
    let shield = shield(vec![origin.url()], secret).await;
    for (line, status) in [
        (String::new(), 403),
        (
            "millrace-hop: shared-between-these-two-tierz\r\n".to_owned(),
            403,
        ),
        (format!("millrace-hop: {SECRET}\r\n"), 200),
    ] {
        let stream = TcpStream::connect(shield.plain).await.unwrap();
        let head = format!("GET /v/a/1 HTTP/1.1\r\nhost: a\r\n{line}\r\n");
        let got = h1(Box::pin(stream), head.as_bytes(), false)
            .await
            .whole()
            .await;
        assert_eq!(got.status, status, "{line}");
        assert_eq!(
            got.field("millrace-access"),
            if status == 200 { "token" } else { "" }
        );
    }
    let stream = TcpStream::connect(shield.plain).await.unwrap();
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: a\r\nmillrace-hop: {SECRET}\r\n\r\n",
        signed("/v/a/1")
    );
    let got = h1(Box::pin(stream), head.as_bytes(), false).await;
    assert_eq!(got.status, 400, "a token has no business here");
}

#[test]
fn an_edge_waits_for_longer_than_a_shield_tries() {
    let (edge, shield) = (edge::config::Config::default(), Config::default());
    let attempt = shield.upstream.connect_timeout.0 + shield.upstream.read_timeout.0;
    assert!(attempt * 2 < edge.upstream.read_timeout.0);
}

#[tokio::test]
async fn a_request_that_comes_back_is_refused() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let house = House::with(&origin, |_| {}).await;
    let client = house.client(Protocol::H2);
    client.get(&signed("/v/a/1"), &[]).await;
    let head = origin.heads().pop().unwrap();
    let member = field(&head, "cdn-loop").unwrap();
    let again = client.get(&signed("/v/a/2"), &[("cdn-loop", member)]).await;
    assert_eq!(again.status, 508);
    // A name that a viewer could know is no loop, so that no viewer can spoil another's fill.
    let guessed = client
        .get(&signed("/v/a/3"), &[("cdn-loop", "edge-1, shield-1")])
        .await;
    assert_eq!(guessed.status, 200);
    let long = "x,".repeat(600);
    assert_eq!(
        client
            .get(&signed("/v/a/4"), &[("cdn-loop", &long)])
            .await
            .status,
        400
    );
    assert_eq!(origin.requests(), 2);
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        let few = [("cdn-loop", ""), ("cdn-loop", "a"), ("cdn-loop", "b")];
        let target = signed(&format!("/v/a/{protocol}/few"));
        assert_eq!(client.get(&target, &few).await.status, 200);
        let head = origin.heads().pop().unwrap().to_lowercase();
        assert_eq!(head.matches("cdn-loop:").count(), 1, "{head}");
        assert!(
            field(&head, "cdn-loop")
                .unwrap()
                .starts_with("a, b, edge-1-")
        );
        let target = signed(&format!("/v/a/{protocol}/many"));
        let many = [("cdn-loop", ""); 9];
        assert_eq!(client.get(&target, &many).await.status, 400);
    }
    assert_eq!(origin.requests(), 5);
}

#[tokio::test]
async fn an_edge_that_its_parent_does_not_let_in_is_at_fault_and_no_viewer_is_refused() {
    let files = tempfile::tempdir().unwrap();
    let (secret, other) = (files.path().join("hop"), files.path().join("other"));
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::write(&other, "another-secret-of-some-length").unwrap();
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let shield = shield(vec![origin.url()], secret).await;
    let edge = House::with(&origin, |config| {
        config.parents = vec![format!("http://{}", shield.plain)];
        config.upstream.hop_secret_file = other;
    })
    .await;
    for protocol in PROTOCOLS {
        let got = edge.client(protocol).get(&signed("/v/a/1"), &[]).await;
        assert_eq!(got.status, 502, "{protocol:?}");
    }
    assert_eq!(origin.requests(), 0);
}

/// An authority, and two certificates for `localhost`: one that it signed and one that it did not.
fn certificates(folder: &std::path::Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    write("ca.pem", authority.self_signed(&key).unwrap().pem());
    let authority = rcgen::Issuer::new(authority, key);
    let names = vec!["localhost".to_owned()];
    let own = rcgen::KeyPair::generate().unwrap();
    let signed = rcgen::CertificateParams::new(names.clone()).unwrap();
    write(
        "chain.pem",
        signed.signed_by(&own, &authority).unwrap().pem(),
    );
    write("key.pem", own.serialize_pem());
    let other = rcgen::generate_simple_self_signed(names).unwrap();
    write("other-chain.pem", other.cert.pem());
    write("other-key.pem", other.signing_key.serialize_pem());
}

#[tokio::test]
async fn a_shield_with_tls_lets_in_who_has_a_certificate_of_its_authority() {
    let files = tempfile::tempdir().unwrap();
    certificates(files.path());
    let file = |name: &str| files.path().join(name);
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let mut config = Config {
        parents: vec![origin.url()],
        ..Config::default()
    };
    config.listen.plain = "127.0.0.1:0".to_owned();
    config.listen.https = "127.0.0.1:0".to_owned();
    config.listen.internal = "127.0.0.1:0".to_owned();
    config.tls.certificate = file("chain.pem");
    config.tls.key = file("key.pem");
    config.tls.client_ca_file = file("ca.pem");
    config.clients.drain = config::Span::millis(100);
    let shield = origin_shield::start(config.check().unwrap()).await.unwrap();
    let port = shield.https.unwrap().port();
    for (shown, status) in [("", 502), ("other-", 502), ("own", 200)] {
        let edge = House::with(&origin, |config| {
            config.parents = vec![format!("https://localhost:{port}")];
            config.upstream.ca_file = file("ca.pem");
            let prefix = shown.trim_start_matches("own");
            if !shown.is_empty() {
                config.upstream.certificate = file(&format!("{prefix}chain.pem"));
                config.upstream.key = file(&format!("{prefix}key.pem"));
            }
        })
        .await;
        let got = edge.client(Protocol::H2).get(&signed("/v/a/1"), &[]).await;
        assert_eq!(got.status, status, "{shown:?}");
    }
    assert_eq!(origin.requests(), 1);
    shield.stop().await;
}
