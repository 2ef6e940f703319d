//! What is asked before a handshake is complete (0-RTT).

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tier::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::House;
use crate::origin::{Origin, Reply, field};
use crate::raw::h3_head;

/// The bytes of `:status: 200` and `:status: 425` in QPACK's static table (RFC 9204 appendix A).
const OK: &[u8] = &[0xd9];
const TOO_EARLY: &[u8] = &[0xff, 7];

/// A client that has been there once, and what it needs to come back.
async fn acquainted(house: &House) -> quinn::Endpoint {
    let mut config = house.client(Protocol::H3).tls_config("h3");
    config.enable_early_data = true;
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let connecting = endpoint.connect(house.edge.https, "localhost").unwrap();
    let first = connecting.await.unwrap();
    // The ticket comes before the answer.
    assert!(has(&ask(&first, "GET", "/first").await, OK));
    endpoint
}

async fn ask(quic: &quinn::Connection, method: &str, path: &str) -> Vec<u8> {
    let (mut send, mut receive) = quic.open_bi().await.unwrap();
    let fields = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ];
    send.write_all(&h3_head(&fields)).await.unwrap();
    send.finish().unwrap();
    receive.read_to_end(1 << 16).await.unwrap()
}

fn has(answer: &[u8], status: &[u8]) -> bool {
    answer.windows(status.len()).any(|bytes| bytes == status)
}

#[tokio::test]
async fn who_comes_back_may_ask_early_for_what_changes_nothing_and_the_origin_is_told() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let house = House::site(&origin).await;
    for (method, path) in [("GET", "/a"), ("HEAD", "/b")] {
        let endpoint = acquainted(&house).await;
        let again = endpoint.connect(house.edge.https, "localhost").unwrap();
        let (quic, accepted) = again.into_0rtt().expect("a ticket");
        assert!(has(&ask(&quic, method, path).await, OK), "{method}");
        assert!(accepted.await, "{method} was taken early");
        let head = origin.heads().pop().unwrap();
        assert_eq!(field(&head, "early-data"), Some("1"), "{head}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let endpoint = acquainted(&house).await;
        let asked = origin.requests();
        let again = endpoint.connect(house.edge.https, "localhost").unwrap();
        let (quic, _) = again.into_0rtt().expect("a ticket");
        assert!(has(&ask(&quic, method, "/c").await, TOO_EARLY), "{method}");
        assert_eq!(origin.requests(), asked, "{method}");
    }
}

#[tokio::test]
async fn an_operator_can_have_everybody_wait_for_the_handshake() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let house = House::with(&origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.listen.early_data = false;
    })
    .await;
    let endpoint = acquainted(&house).await;
    let again = endpoint.connect(house.edge.https, "localhost").unwrap();
    let again = again.into_0rtt().err().expect("no early data is offered");
    let quic = again.await.unwrap();
    assert!(has(&ask(&quic, "GET", "/a").await, OK));
    assert_eq!(field(&origin.heads().pop().unwrap(), "early-data"), None);
}

#[tokio::test]
async fn over_tcp_nobody_asks_before_the_handshake() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let house = House::site(&origin).await;
    let mut config = house.client(Protocol::H1).tls_config("http/1.1");
    config.enable_early_data = true;
    let config = Arc::new(config);
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
    let name = ServerName::try_from("localhost").unwrap();
    for is_known in [false, true] {
        let tcp = TcpStream::connect(house.edge.https).await.unwrap();
        let mut tls = connector.connect(name.clone(), tcp).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        tls.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = tls.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        let connection = tls.get_ref().1;
        let resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        assert_eq!(resumed, is_known);
    }
    let mut again = rustls::ClientConnection::new(config, name).unwrap();
    assert!(again.early_data().is_none(), "the ticket allows none");
}
