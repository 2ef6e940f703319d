//! What is read before Pingora, and for how long it is waited for.

use std::future::{pending, ready};
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use pingora::protocols::Stream;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::head::{Head, read};
use super::{REST, Rest, next};

const GET: &[u8] = b"GET /v/a HTTP/1.1\r\nhost: x\r\n\r\n";

fn connected() -> (DuplexStream, Stream) {
    let (client, server) = tokio::io::duplex(1 << 16);
    (client, Box::new(server))
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_rest_for_a_minute_after_each_request() {
    let (mut client, mut stream) = connected();
    let (mut heard, mut rest) = (BytesMut::new(), Rest::new(REST));
    for answered_after in [0, 3600] {
        let asks = async {
            tokio::time::sleep(Duration::from_secs(59)).await;
            client.write_all(GET).await.unwrap();
        };
        let mut closing = pin!(pending());
        let waits = next(&mut stream, &mut heard, closing.as_mut(), &mut rest);
        let (head, ()) = tokio::join!(waits, asks);
        assert!(matches!(head, Some(Head::Simple(simple)) if simple.target == "/v/a"));
        assert_eq!(&heard.split()[..], GET);
        // However long an answer takes, the rest begins behind it.
        tokio::time::advance(Duration::from_secs(answered_after)).await;
    }
    let asked = Instant::now();
    let mut closing = pin!(pending());
    let over = next(&mut stream, &mut heard, closing.as_mut(), &mut rest).await;
    assert!(over.is_none());
    assert_eq!(asked.elapsed().as_secs(), REST.as_secs());
}

#[tokio::test(start_paused = true)]
async fn who_has_begun_to_ask_is_heard_out_when_the_node_stops() {
    let head = b"HEAD /v/a HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = b"\r\nPOST /v/a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n";
    for text in [GET, head, post] {
        for begun in [1, 9, text.len() - 1] {
            let (mut client, mut stream) = connected();
            let (mut heard, mut rest) = (BytesMut::from(&text[..begun]), Rest::new(REST));
            let asks = async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                client.write_all(&text[begun..]).await.unwrap();
            };
            let mut closing = pin!(ready(()));
            let waits = next(&mut stream, &mut heard, closing.as_mut(), &mut rest);
            let (head, ()) = tokio::join!(waits, asks);
            assert!(head.is_some() && heard == text, "{heard:?}");
            heard.clear();
            let mut closing = pin!(ready(()));
            let over = next(&mut stream, &mut heard, closing.as_mut(), &mut rest).await;
            assert!(over.is_none());
        }
    }
}

fn is_simple(text: &str) -> bool {
    matches!(read(text.as_bytes()), Some(Head::Simple(simple)) if simple.length == text.len())
}

#[test]
fn where_a_request_without_a_body_ends_the_next_one_begins() {
    for text in [
        "HEAD /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "get /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "\r\nGET /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET http://x/v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v/a HTTP/1.0\r\nhost: x\r\n\r\n",
        "GET /v/a HTTP/1.1\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "DELETE /v/a HTTP/1.1\r\nhost: x\r\nContent-Length: 0\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nte: trailers\r\n\r\n",
        "GET /v/\u{e9} HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        for behind in ["", "G", "GET /v/b HTTP/1.1\r\nhost: x\r\n\r\n"] {
            let both = [text, behind].concat();
            let whole = read(both.as_bytes());
            let length = match whole {
                Some(Head::Whole(length)) => length,
                _ => 0,
            };
            assert_eq!(length, text.len(), "{both}");
        }
    }
}

#[test]
fn a_get_with_one_host_and_no_body_is_simple() {
    for text in [
        "GET /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /~m1.k1.a.b/v/a?CMCD=br%3D1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\nhost: x\n\n",
    ] {
        assert!(is_simple(text), "{text}");
        for cut in 1..text.len() {
            let part = read(text.as_bytes().get(..cut).unwrap());
            assert!(part.is_none(), "{text} {cut}");
        }
    }
}

#[test]
fn what_could_mean_more_is_left_to_pingora() {
    let long = "a".repeat(17_000);
    for text in [
        "CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\ncontent-length: 00\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nCONTENT-LENGTH: 9\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\n x-a: b\r\n\r\n",
        "GET /v/a\r\n\r\n",
        "\u{16}\u{3}\u{1}",
        &format!("GET /v/a HTTP/1.1\r\nhost: x\r\nx-a: {long}"),
        &format!(
            "GET /v/a HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "x-a: b\r\n".repeat(64)
        ),
    ] {
        assert!(matches!(read(text.as_bytes()), Some(Head::Other)), "{text}");
    }
}
