//! What is whole in memory: answered before Pingora, and no different for it.

use std::time::Duration;

use runtime::clock::System;
use tier::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::house::{House, PROTOCOLS};
use crate::origin::{Gate, Origin, Reply, field};

async fn films() -> Origin {
    let date = date();
    let film = move |head: &str| {
        let name = head.split(' ').nth(1).unwrap_or_default().to_owned();
        Reply::ok(format!("the film at {name}"))
            .field("millrace-access", "public")
            .field("etag", "\"e1\"")
            .field("date", &date)
    };
    Origin::start(film).await
}

/// A few seconds ago.
fn date() -> String {
    httpdate::fmt_http_date(System.wall() - Duration::from_secs(5))
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")
}

/// An answer over HTTP/1.1: its header, and its body.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = field(&head, "content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn on_one_connection_answers_at_hand_and_others_follow_each_other() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    let film = "the film at /v/p/x";
    let turns = [
        (get("/v/p/x", ""), 200, film),
        (get("/v/p/x", ""), 200, film),
        (get("/v/p/x", "range: bytes=0-2\r\n"), 206, "the"),
        (get("/v/p/x", ""), 200, film),
        (
            get("/v/p/y", "connection: keep-alive\r\n"),
            200,
            "the film at /v/p/y",
        ),
        (get("/v/p/x", "connection: Keep-Alive\r\n"), 200, film),
        (get("/v//x", ""), 400, ""),
    ];
    for (request, status, body) in turns {
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, got) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        if !body.is_empty() {
            assert_eq!(got, body, "{head}");
        }
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn requests_that_come_at_once_or_byte_by_byte_are_answered_in_their_order() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let client = house.client(Protocol::H1);
    for path in ["/v/p/x", "/v/p/y"] {
        client.get(path, &[]).await;
    }
    let mut stream = client.tls("http/1.1").await;
    let three = [get("/v/p/x", ""), get("/v/p/y", ""), get("/v/p/x", "")].concat();
    stream.write_all(three.as_bytes()).await.unwrap();
    for path in ["/v/p/x", "/v/p/y", "/v/p/x"] {
        assert_eq!(answer(&mut stream).await.1, format!("the film at {path}"));
    }
    for byte in get("/v/p/y", "x-a: b\r\n").bytes() {
        stream.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(answer(&mut stream).await.1, "the film at /v/p/y");
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn what_is_asked_behind_a_miss_is_answered_after_it() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |head| {
        let name = head.split(' ').nth(1).unwrap_or_default().to_owned();
        Reply::ok(format!("the film at {name}"))
            .field("millrace-access", "public")
            .held(&inner)
    })
    .await;
    let house = House::open(&origin).await;
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    let paths = ["/v/p/a", "/v/p/b", "/v/p/a", "/v/p/c", "/v/p/d"];
    let both = [get(paths[0], ""), get(paths[1], "x-a: b\r\n")].concat();
    // At once; while the first is waited for, and its header in two pieces; and much of it.
    stream.write_all(both.as_bytes()).await.unwrap();
    origin.until(1).await;
    let third = get(paths[2], "");
    stream.write_all(&third.as_bytes()[..20]).await.unwrap();
    house.metric("millrace_tier_cache_fills").await;
    stream.write_all(&third.as_bytes()[20..]).await.unwrap();
    let fields = format!("x-a: {}\r\n", "b".repeat(9000));
    for path in [paths[3], paths[4]] {
        stream
            .write_all(get(path, &fields).as_bytes())
            .await
            .unwrap();
    }
    gate.open();
    for path in paths {
        let (head, body) = answer(&mut stream).await;
        assert_eq!(body, format!("the film at {path}"), "{head}");
    }
    assert_eq!(origin.requests(), 4);
}

#[tokio::test]
async fn what_is_asked_behind_any_request_without_a_body_is_answered_after_it() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let firsts = [
        "HEAD /v/p/a HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "OPTIONS /v/p/b HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".to_owned(),
        get("/v/p/c", "range: bytes=0-2\r\n"),
        get("/v/p/d", "te: trailers\r\n"),
    ];
    for first in firsts {
        let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
        let last = get("/v/p/z", "connection: close\r\n");
        let both = [&first[..], &last].concat();
        stream.write_all(both.as_bytes()).await.unwrap();
        let mut seen = String::new();
        let _ = stream.read_to_string(&mut seen).await;
        assert!(seen.ends_with("the film at /v/p/z"), "{first}{seen}");
        assert_eq!(seen.matches("HTTP/1.1 ").count(), 2, "{first}{seen}");
    }
}

#[tokio::test]
async fn what_is_asked_behind_a_body_while_the_parent_takes_its_time_is_answered_after_it() {
    // The length of the first is known, that of the second is not.
    for body in [
        "content-length: 3\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |head| {
            let method = head.split(' ').next().unwrap_or_default().to_owned();
            match &method[..] {
                "PUT" => Reply::ok(method).held(&inner),
                _ => Reply::ok(method),
            }
        })
        .await;
        let house = House::site(&origin).await;
        let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
        let put = format!("PUT /a HTTP/1.1\r\nhost: localhost\r\n{body}");
        stream.write_all(put.as_bytes()).await.unwrap();
        origin.until(1).await;
        stream.write_all(get("/b", "").as_bytes()).await.unwrap();
        // While others are answered the edge hears of it.
        for path in ["/c", "/d", "/e", "/f"] {
            house.client(Protocol::H1).get(path, &[]).await;
        }
        gate.open();
        for method in ["PUT", "GET"] {
            assert_eq!(answer(&mut stream).await.1, method, "{body}");
        }
    }
}

#[tokio::test]
async fn an_answer_at_hand_says_what_any_hit_says() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let mut dates = Vec::new();
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        client.get("/v/p/x", &[]).await;
        let hit = client.get("/v/p/x", &[]).await;
        assert_eq!(
            (hit.status, &hit.bytes()[..]),
            (200, &b"the film at /v/p/x"[..])
        );
        assert!(
            hit.field("cache-status").starts_with("edge-1; hit; ttl="),
            "{hit:?}"
        );
        assert!(hit.field("age").parse::<u64>().is_ok(), "{hit:?}");
        assert_eq!(hit.field("access-control-allow-origin"), "*");
        assert_eq!(hit.field("accept-ranges"), "bytes");
        assert_eq!(hit.headers.get_all("date").iter().count(), 1, "{hit:?}");
        assert!(!hit.headers.contains_key("millrace-access"), "{hit:?}");
        if protocol != Protocol::H2 {
            dates.push(hit.field("date").to_owned());
        }
        // Whole but for the part: by Pingora's way.
        let part = client.get("/v/p/x", &[("range", "bytes=0-99")]).await;
        for name in ["cache-control", "etag", "content-type", "alt-svc", "vary"] {
            assert_eq!(
                hit.headers.get(name),
                part.headers.get(name),
                "{protocol} {name}"
            );
        }
        let count = format!(
            "millrace_tier_requests_total{{cache=\"hit\",protocol=\"{protocol}\",status=\"200\"}}"
        );
        assert!(house.metric(&count).await >= 1, "{count}");
    }
    assert_eq!(origin.requests(), 1);
    let then = dates
        .first()
        .map(|date| httpdate::parse_http_date(date).unwrap());
    assert!(
        then < Some(System.wall() - Duration::from_secs(4)),
        "{dates:?}"
    );
    assert_eq!(dates.first(), dates.last());
}

#[tokio::test]
async fn a_connection_at_rest_is_closed_when_the_edge_stops_and_an_answer_says_so() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    stream
        .write_all(get("/v/p/x", "").as_bytes())
        .await
        .unwrap();
    answer(&mut stream).await;
    stream
        .write_all(get("/v/p/x", "").as_bytes())
        .await
        .unwrap();
    let (head, _) = answer(&mut stream).await;
    assert_eq!(field(&head, "connection"), Some("keep-alive"));
    house.edge.stop().await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}
