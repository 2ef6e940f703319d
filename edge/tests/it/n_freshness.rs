//! How long a site's answers are used, and what becomes of those that are not fresh.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runtime::clock::System;
use tier::Protocol;
use tokio::io::AsyncWriteExt;

use crate::client::Got;
use crate::house::{House, PROTOCOLS};
use crate::j_site::{LONG_AGO, counting, numbered, text};
use crate::origin::{Gate, HANG_UP, Origin, Reply, field, path};
use crate::w_at_hand::answer;

#[tokio::test]
async fn nothing_is_kept_that_does_not_say_for_how_long_or_since_when() {
    for protocol in PROTOCOLS {
        let origin = counting(|number, head| {
            let reply = Reply::status(200, format!("answer {number}"));
            match path(head) {
                "/silent" => reply,
                "/old" => reply.field("last-modified", LONG_AGO),
                _ => reply.field("etag", "\"a\""),
            }
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for (path, asked) in [("/silent", 2), ("/old", 1), ("/tagged", 2)] {
            let before = origin.requests();
            client.get(path, &[]).await;
            client.get(path, &[]).await;
            assert_eq!(origin.requests() - before, asked, "{path} {protocol}");
        }
        let validated = origin.heads().pop().unwrap();
        assert_eq!(
            field(&validated, "if-none-match"),
            Some("\"a\""),
            "{validated}"
        );
    }
}

#[tokio::test]
async fn the_date_of_a_background_refresh_is_no_answers() {
    let long_since = Duration::from_secs(1000);
    let date = httpdate::fmt_http_date(System.wall() - long_since);
    let dated = date.clone();
    let origin = counting(move |number, _| {
        Reply::status(200, format!("answer {number}"))
            .field("date", &dated)
            .field("cache-control", "max-age=990, stale-while-revalidate=600")
    })
    .await;
    let house = House::site(&origin).await;
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    let mut ask = async |line: &str| {
        let text = format!("{line} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        answer(&mut stream).await.0
    };
    ask("GET /").await;
    let stale = ask("GET /").await;
    assert_eq!(field(&stale, "date"), Some(&date[..]), "{stale}");
    while text(&house.client(Protocol::H2).get("/", &[]).await) == "answer 0" {}
    let refused = ask("TRACE /").await;
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    let date = field(&refused, "date").unwrap();
    let date = httpdate::parse_http_date(date).unwrap();
    assert!(date > System.wall() - long_since / 2, "{refused}");
}

#[tokio::test]
async fn an_answer_keeps_its_date_and_grows_older() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| {
            Reply::ok("a")
                .field("date", LONG_AGO)
                .field("cache-control", "max-age=2147483648")
        })
        .await;
        let house = House::site(&origin).await;
        for (asked, aged) in [(1, false), (1, true)] {
            let got = house.client(protocol).get("/", &[]).await;
            // Pingora's HTTP/2 session writes the present time over it; `Age` tells the truth.
            if protocol != Protocol::H2 {
                assert_eq!(got.field("date"), LONG_AGO, "{protocol}");
            }
            assert_eq!(origin.requests(), asked);
            let age: u64 = got
                .headers
                .get("age")
                .map_or(0, |age| age.to_str().unwrap().parse().unwrap());
            assert_eq!(
                age > 900_000_000,
                aged,
                "apparent_age, RFC 9111 §4.2.3: {got:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_validated_answer_is_renewed_by_what_the_origin_says() {
    for protocol in PROTOCOLS {
        let origin = counting(|number, head| {
            let reply = numbered(number)
                .field("etag", "\"a\"")
                .field("x-number", number.to_string());
            match field(head, "if-none-match") {
                Some("\"a\"") => Reply {
                    status: 304,
                    ..reply
                },
                _ => reply.field("cache-control", "max-age=0"),
            }
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for number in ["0", "1", "1"] {
            let got = client.get("/", &[]).await;
            assert_eq!(
                (got.status, text(&got).as_str()),
                (200, "answer 0"),
                "{protocol}"
            );
            assert_eq!(got.field("x-number"), number, "{got:?}");
        }
        let same = client.get("/", &[("if-none-match", "W/\"a\"")]).await;
        assert_eq!((same.status, same.field("etag")), (304, "\"a\""));
        assert_eq!(origin.requests(), 2, "{protocol}");
    }
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_an_origin_that_is_gone() {
    for protocol in PROTOCOLS {
        let origin = counting(|number, head| match (number, path(head)) {
            (0..=1, "/lenient") => Reply::ok("good")
                .field("cache-control", "max-age=0, stale-if-error=1")
                .field("etag", "\"a\""),
            (0..=1, _) => Reply::ok("good")
                .field("cache-control", "max-age=0, must-revalidate")
                .field("etag", "\"a\""),
            _ => Reply::status(HANG_UP, ""),
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        client.get("/lenient", &[]).await;
        client.get("/strict", &[]).await;
        assert_eq!(
            text(&client.get("/lenient", &[]).await),
            "good",
            "{protocol}"
        );
        let strict = client.get("/strict", &[]).await;
        assert_eq!(strict.status, 502, "{protocol}");
        assert!(
            strict
                .field("proxy-status")
                .starts_with("edge-1; error=connection_"),
            "{strict:?}"
        );
        assert!(strict.headers.contains_key("date"));
    }
}

#[tokio::test]
async fn clients_may_look_past_the_cache_unless_the_operator_minds() {
    for minds in [false, true] {
        let origin = counting(|number, _| numbered(number)).await;
        let house = House::with(&origin, |config| {
            config.serve = edge::config::Serve::Site;
            config.site.client_control = !minds;
        })
        .await;
        for protocol in PROTOCOLS {
            let client = house.client(protocol);
            client.get("/", &[]).await;
            for control in ["no-cache", "no-store", "max-age=0", "min-fresh=3600"] {
                let before = origin.requests();
                let got = client.get("/", &[("cache-control", control)]).await;
                let reached = origin.requests() > before;
                // `max-age=0` is content with what came within this moment.
                assert!(
                    reached != minds || control == "max-age=0",
                    "{control} {protocol}"
                );
                let forwarded = got.field("cache-status").contains("fwd=request");
                assert_eq!(forwarded, reached, "{got:?}");
            }
            let absent = client
                .get("/absent", &[("cache-control", "only-if-cached")])
                .await;
            assert_eq!(absent.status, if minds { 200 } else { 504 }, "{protocol}");
        }
    }
}

#[tokio::test]
async fn what_was_asked_for_before_a_change_and_answered_after_it_is_not_kept() {
    let gate = Gate::shut();
    let (inner, count) = (gate.clone(), AtomicU64::new(0));
    let origin = Origin::start(move |head| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let reply = Reply::ok(number.to_string()).field("cache-control", "max-age=600");
        match (head.starts_with("DELETE"), number) {
            (true, _) => Reply::status(204, ""),
            (false, 0) => reply.held(&inner),
            (false, _) => reply,
        }
    })
    .await;
    let house = House::site(&origin).await;
    let client = house.client(Protocol::H2);
    let early = client.clone();
    let early = tokio::spawn(async move { early.get("/", &[]).await });
    origin.until(1).await;
    client.open("DELETE", "/", &[]).await.whole().await;
    gate.open();
    let body = |got: Got| got.bytes().clone();
    assert_eq!(&body(early.await.unwrap())[..], b"0");
    assert_eq!(&body(client.get("/", &[]).await)[..], b"2");
    assert_eq!(&body(client.get("/", &[]).await)[..], b"2", "that is kept");
}

#[tokio::test]
async fn a_host_that_is_not_served_is_not_fetched() {
    let origin = Origin::start(|_| Reply::ok("x").field("cache-control", "max-age=600")).await;
    let house = House::with(&origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.site.hosts = vec!["localhost".to_owned()];
        config.listen.plain = "127.0.0.1:0".to_owned();
    })
    .await;
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        assert_eq!(client.get("/", &[]).await.status, 200, "{protocol}");
    }
    for (host, status) in [("localhost:80", 200), ("made-up", 421)] {
        let stream = tokio::net::TcpStream::connect(house.edge.plain.unwrap()).await;
        let head = format!("GET /a HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let got = crate::client::h1(Box::pin(stream.unwrap()), head.as_bytes(), false).await;
        assert_eq!(got.whole().await.status, status, "{host}");
    }
    assert_eq!(origin.requests(), 2);
}
