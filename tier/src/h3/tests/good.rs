//! Well-behaved clients: another implementation of HTTP/3 asks, sends, cancels and reads slowly.

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3_quinn::{BidiStream, OpenStreams};
use http::{Method, Request, Response};

use super::*;

type Client = SendRequest<OpenStreams, Bytes>;
type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// A client; its connection is driven until it is dropped.
async fn client(house: &House) -> Client {
    client_on(house.connect().await).await
}

async fn client_on(quic: quinn::Connection) -> Client {
    let (mut driver, client) = h3::client::new(h3_quinn::Connection::new(quic))
        .await
        .unwrap();
    tokio::spawn(async move { driver.wait_idle().await });
    client
}

async fn send(client: &mut Client, method: Method, path: &str) -> Stream {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(())
        .unwrap();
    client.send_request(request).await.unwrap()
}

async fn body(stream: &mut Stream) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        while piece.has_remaining() {
            let taken = piece.chunk().to_vec();
            piece.advance(taken.len());
            body.extend_from_slice(&taken);
        }
    }
    body
}

async fn fetch(client: &mut Client, method: Method, path: &str) -> (Response<()>, Vec<u8>) {
    let mut stream = send(client, method, path).await;
    stream.finish().await.unwrap();
    let response = stream.recv_response().await.unwrap();
    (response, body(&mut stream).await)
}

#[tokio::test]
async fn a_get_is_answered_with_what_the_application_saw() {
    let house = House::start().await;
    let mut client = client(&house).await;
    let (response, body) = fetch(&mut client, Method::GET, "/x?y=1").await;
    assert_eq!(response.status(), 200);
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.starts_with("GET https://localhost/x?y=1 host=Some(\"localhost\") empty=false"),
        "{body}"
    );
    assert!(body.contains("GET /x?y=1 HTTP/1.1\\r\\n"), "{body}");
    assert!(
        body.contains("a=1; b=2\\r\\n") && body.contains("\\r\\n\\r\\n"),
        "{body}"
    );
    assert!(body.ends_with("peer=true"), "{body}");
    for name in ["connection", "transfer-encoding", "x-hop"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    assert_eq!(response.headers()["x-long"].len(), 300);
    assert_eq!(house.metrics.requests.get(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_head_has_no_body() {
    let house = House::start().await;
    let (response, body) = fetch(&mut client(&house).await, Method::HEAD, "/unread").await;
    assert_eq!(response.headers()["content-length"], "2");
    assert!(body.is_empty());
    house.stop().await;
}

#[tokio::test]
async fn a_posted_body_arrives_whole() {
    let house = House::start().await;
    let mut client = client(&house).await;
    let mut stream = send(&mut client, Method::POST, "/echo").await;
    let sent: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    for piece in sent.chunks(70_000) {
        stream
            .send_data(Bytes::copy_from_slice(piece))
            .await
            .unwrap();
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    stream.send_trailers(trailers).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(stream.recv_response().await.unwrap().status(), 200);
    assert_eq!(body(&mut stream).await, sent);
    house.stop().await;
}

#[tokio::test]
async fn twenty_megabytes_arrive_whole_even_when_read_slowly() {
    let house = House::start().await;
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(20_000u32.into());
    let slow = house.try_connect(transport).await.unwrap();
    let (mut slow, mut fast) = (client_on(slow).await, client(&house).await);
    let expected = large_chunk().repeat(LARGE_BYTES / large_chunk().len());
    let (slow, fast) = tokio::join!(
        fetch(&mut slow, Method::GET, "/large"),
        fetch(&mut fast, Method::GET, "/large"),
    );
    assert!(slow.1 == expected && fast.1 == expected);
    house.stop().await;
}

#[tokio::test]
async fn a_hundred_requests_run_side_by_side() {
    let house = House::start().await;
    let client = client(&house).await;
    let all = (0..100).map(|at| {
        let mut client = client.clone();
        tokio::spawn(async move { fetch(&mut client, Method::GET, &format!("/n{at}")).await })
    });
    for (at, one) in all.collect::<Vec<_>>().into_iter().enumerate() {
        let (response, body) = one.await.unwrap();
        assert_eq!(response.status(), 200);
        let start = format!("GET https://localhost/n{at} ");
        assert!(body.starts_with(start.as_bytes()));
    }
    assert_eq!(house.metrics.requests.get(), 100);
    assert_eq!(
        (house.metrics.resets.get(), house.metrics.connections.get()),
        (0, 1)
    );
    house.stop().await;
}

#[tokio::test]
async fn interrupted_writes_lose_nothing() {
    let house = House::start().await;
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(20_000u32.into());
    let mut client = client_on(house.try_connect(transport).await.unwrap()).await;
    let (_, body) = fetch(&mut client, Method::GET, "/tasks").await;
    assert!(body == large_chunk().repeat(8));
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_cancels_while_nothing_is_written_is_noticed() {
    let house = House::start().await;
    let mut client = client(&house).await;
    let mut stream = send(&mut client, Method::GET, "/watched").await;
    stream.finish().await.unwrap();
    house.app.entered.notified().await;
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    house.app.left.notified().await;
    assert_eq!(house.app.noted(), ["ConnectionClosed"]);
    let (response, _) = fetch(&mut client, Method::GET, "/next").await;
    assert_eq!(response.status(), 200, "the connection lives on");
    assert_eq!(house.metrics.resets.get(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_cancels_while_it_is_written_to_is_noticed() {
    let house = House::start().await;
    let mut client = client(&house).await;
    let mut stream = send(&mut client, Method::GET, "/large").await;
    stream.finish().await.unwrap();
    stream.recv_response().await.unwrap();
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    house.app.left.notified().await;
    assert_eq!(house.app.noted(), ["WriteError"]);
    house.stop().await;
}

#[tokio::test]
async fn an_unread_body_is_stopped_without_error() {
    let house = House::start().await;
    let mut client = client(&house).await;
    let mut stream = send(&mut client, Method::POST, "/unread").await;
    stream.send_data("begun".into()).await.unwrap();
    assert_eq!(stream.recv_response().await.unwrap().status(), 200);
    assert_eq!(body(&mut stream).await, b"ok");
    house.stop().await;
}

#[tokio::test]
async fn a_response_that_the_application_drops_is_never_complete() {
    let house = House::start().await;
    for path in ["/dropped", "/short", "/long", "/panic"] {
        let mut client = client(&house).await;
        let mut stream = send(&mut client, Method::GET, path).await;
        stream.finish().await.unwrap();
        let end = async {
            stream.recv_response().await?;
            while stream.recv_data().await?.is_some() {}
            Ok::<_, h3::error::StreamError>(())
        };
        let error = end.await.expect_err(path);
        assert!(
            format!("{error:?}").contains("H3_INTERNAL_ERROR"),
            "{path}: {error:?}"
        );
    }
    assert_eq!(house.metrics.resets.get(), 4);
    house.stop().await;
}
