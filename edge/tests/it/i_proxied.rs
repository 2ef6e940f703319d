//! Behind a load balancer that speaks the PROXY protocol.

use contracts::time::UnixSeconds;
use contracts::token::Claims;
use tier::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{h1, h2_send};
use crate::house::{House, NOW, minted};
use crate::origin::{Origin, Reply};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const ELSEWHERE: &[u8] = b"PROXY TCP4 192.0.3.7 198.51.100.1 56324 443\r\n";

async fn house(balancers: &str) -> (House, Origin) {
    let origin = Origin::start(|_| Reply::ok("x").field("cache-control", "max-age=60")).await;
    let house = House::with(&origin, |config| {
        config.listen.plain = "127.0.0.1:0".to_owned();
        config.listen.https_proxied_by = vec![balancers.to_owned()];
        config.listen.plain_proxied_by = vec![balancers.to_owned()];
        config.clients.handshake_timeout = config::Span::millis(500);
    })
    .await;
    (house, origin)
}

/// For clients in 192.0.2.0/24.
fn target() -> String {
    let mut claims = Claims::new("/v/", UnixSeconds(NOW + 60));
    claims.networks = vec!["192.0.2.0/24".parse().unwrap()];
    minted(&claims, "/v/a/x")
}

fn request() -> String {
    format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", target())
}

#[tokio::test]
async fn the_client_is_who_the_load_balancer_says() {
    let (house, _origin) = house("127.0.0.0/8").await;
    for (said, status) in [(V1, 200), (V2, 200), (LOCAL, 403), (ELSEWHERE, 403)] {
        let client = house.client(Protocol::H1);
        let secured = client.tls_behind(said, "http/1.1").await.unwrap();
        assert_eq!(
            h1(secured, request().as_bytes(), false).await.status,
            status
        );
        let client = house.client(Protocol::H2);
        let secured = client.tls_behind(said, "h2").await.unwrap();
        let (sender, _driver) = client.h2_over(secured).await;
        assert_eq!(h2_send(sender, "GET", &target(), &[]).await.status, status);
        let mut plain = TcpStream::connect(house.edge.plain.unwrap()).await.unwrap();
        plain.write_all(said).await.unwrap();
        let got = h1(Box::pin(plain), request().as_bytes(), false).await;
        assert_eq!(got.status, status);
    }
    let direct = house.client(Protocol::H3).get(&target(), &[]).await;
    assert_eq!(direct.status, 403, "HTTP/3 does not pass the load balancer");
}

/// What a connection is answered before it is closed.
async fn answer(house: &House, said: &[u8]) -> Vec<u8> {
    let mut plain = TcpStream::connect(house.edge.plain.unwrap()).await.unwrap();
    // It may be closed before everything is written.
    let _ = plain.write_all(said).await;
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_connection_without_a_header_is_closed_without_an_answer() {
    let (house, origin) = house("127.0.0.0/8").await;
    for said in [
        request().into_bytes(),
        b"PROXY TCP4 192.0.2.7\r\n".to_vec(),
        [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
        // Half a header, and nothing more: the time for it ends.
        V1[..20].to_vec(),
        V2[..20].to_vec(),
        Vec::new(),
    ] {
        assert!(answer(&house, &said).await.is_empty(), "{said:?}");
    }
    assert!(
        house
            .client(Protocol::H1)
            .tls_behind(b"", "http/1.1")
            .await
            .is_err()
    );
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn nobody_but_a_load_balancer_may_say_who_the_client_is() {
    let (house, origin) = house("192.0.2.0/24").await;
    let said = [V1, request().as_bytes()].concat();
    assert!(answer(&house, &said).await.is_empty());
    assert_eq!(origin.requests(), 0);
}
