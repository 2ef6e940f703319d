//! A cache in front of any HTTP origin, over all three protocols.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Got;
use crate::house::{House, PROTOCOLS};
use crate::origin::{Gate, HANG_UP, Origin, Reply, field, path};

/// Sun, 06 Nov 1994 08:49:37 GMT
pub const LONG_AGO: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// An origin whose answers are numbered.
pub async fn counting(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::start(move |head| reply(count.fetch_add(1, Ordering::SeqCst), head)).await
}

pub fn numbered(number: usize) -> Reply {
    Reply::ok(format!("answer {number}"))
}

pub fn text(got: &Got) -> String {
    String::from_utf8(got.bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn any_method_and_every_end_to_end_field_reaches_the_origin() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| {
            Reply::status(201, "made")
                .field("x-answer", "1")
                .field("keep-alive", "timeout=5")
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
            let fields = [
                ("x-asked", "2"),
                ("cookie", "a=b"),
                ("authorization", "c"),
                ("millrace-hop", "no"),
            ];
            let answer = client
                .send(method, "/any/../path?q=%20&r", &fields, "the body")
                .await;
            let got = answer.whole().await;
            assert_eq!(
                (got.status, text(&got).as_str()),
                (201, "made"),
                "{method} {protocol}"
            );
            assert_eq!(got.field("x-answer"), "1");
            assert_eq!(got.field("cache-status"), "edge-1; fwd=method");
            assert!(!got.headers.contains_key("keep-alive"), "{got:?}");
            assert!(!got.headers.contains_key("access-control-allow-origin"));
            let head = origin.heads().pop().unwrap();
            assert!(
                head.starts_with(&format!("{method} /any/../path?q=%20&r ")),
                "{head}"
            );
            assert_eq!(field(&head, "x-asked"), Some("2"));
            assert_eq!(field(&head, "cookie"), Some("a=b"));
            assert_eq!(field(&head, "authorization"), Some("c"));
            assert_eq!(field(&head, "host"), Some("localhost"));
            assert_eq!(field(&head, "x-forwarded-for"), Some("127.0.0.1"));
            assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
            assert!(
                field(&head, "via").is_some_and(|via| via.ends_with(" edge-1")),
                "{head}"
            );
            assert!(field(&head, "cdn-loop").is_some());
            assert_eq!(field(&head, "millrace-hop"), None);
        }
        assert_eq!(origin.bodies(), ["the body"; 5]);
        let tunnel = client.open("TRACE", "/", &[]).await;
        assert_eq!(tunnel.status, 405);
    }
}

#[tokio::test]
async fn fields_that_a_connection_names_end_with_it() {
    let origin = Origin::start(|_| {
        Reply::ok("a")
            .field("connection", "x-one, X-Two, cache-control")
            .field("x-one", "1")
            .field("x-two", "2")
            .field("x-three", "3")
    })
    .await;
    let house = House::site(&origin).await;
    for protocol in PROTOCOLS {
        for _ in 0..2 {
            let got = house.client(protocol).get("/", &[]).await;
            assert!(
                !got.headers.contains_key("x-one") && !got.headers.contains_key("x-two"),
                "{got:?}"
            );
            assert_eq!(got.field("x-three"), "3");
        }
    }
    assert_eq!(
        origin.requests(),
        1,
        "what forbids or allows storage cannot be named away"
    );
    let fields = [
        ("connection", "x-mine"),
        ("x-mine", "1"),
        ("te", "trailers"),
    ];
    house
        .client(tier::Protocol::H1)
        .get("/other", &fields)
        .await;
    let head = origin.heads().pop().unwrap();
    assert_eq!(
        (field(&head, "x-mine"), field(&head, "te")),
        (None, None),
        "{head}"
    );
}

#[tokio::test]
async fn hosts_and_queries_are_different_things() {
    let origin = counting(|number, _| numbered(number)).await;
    let house = House::site(&origin).await;
    let client = house.client(tier::Protocol::H1);
    let mut seen = Vec::new();
    for (host, target) in [
        ("localhost", "/"),
        ("LOCALHOST", "/"),
        ("other", "/"),
        ("localhost", "/?a"),
        ("localhost", "/?"),
    ] {
        let stream = client.tls("http/1.1").await;
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let answer = crate::client::h1(stream, request.as_bytes(), false).await;
        seen.push(text(&answer.whole().await));
    }
    assert_eq!(
        seen,
        ["answer 0", "answer 0", "answer 1", "answer 2", "answer 3"]
    );
}

#[tokio::test]
async fn each_variant_is_kept_and_all_are_forgotten_together() {
    for protocol in PROTOCOLS {
        let origin = counting(|number, head| match head.starts_with("POST") {
            true => Reply::status(204, ""),
            false => numbered(number).field("vary", "Accept-Language, x"),
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        let get = async |language| text(&client.get("/", &[("accept-language", language)]).await);
        assert_eq!(get("en, de").await, "answer 0");
        assert_eq!(get("fr").await, "answer 1");
        assert_eq!(get("DE,en").await, "answer 0", "{protocol}");
        assert_eq!(get("fr").await, "answer 1");
        client.open("POST", "/", &[]).await.whole().await;
        assert_eq!(get("fr").await, "answer 3", "{protocol}");
        assert_eq!(get("en, de").await, "answer 4", "{protocol}");
        assert_eq!(get("fr").await, "answer 3");
    }
}

#[tokio::test]
async fn what_is_changed_is_forgotten_and_what_could_not_be_changed_is_not() {
    for protocol in PROTOCOLS {
        let origin = counting(|number, head| {
            let failed = head.contains("x-fail");
            match head.starts_with("GET") {
                true => numbered(number),
                false if failed => Reply::status(500, "no"),
                false => Reply::status(200, "")
                    .field("location", "/made")
                    .field("content-location", "there"),
            }
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        let places = ["/list/all", "/made", "/list/there", "/elsewhere"];
        let read = async || {
            let mut seen = Vec::new();
            for place in places {
                seen.push(text(&client.get(place, &[]).await));
            }
            seen
        };
        let before = read().await;
        client
            .send("PUT", places[0], &[("x-fail", "1")], "new")
            .await
            .whole()
            .await;
        assert_eq!(read().await, before, "{protocol}");
        client
            .send("PUT", places[0], &[], "new")
            .await
            .whole()
            .await;
        let after = read().await;
        for place in 0..3 {
            assert_ne!(after[place], before[place], "{} {protocol}", places[place]);
        }
        assert_eq!(after[3], before[3]);
    }
}

#[tokio::test]
async fn a_change_reaches_a_fill_in_flight() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = counting(
        move |number, head| match (number, head.starts_with("GET")) {
            (0, _) => Reply::steps(
                4,
                vec![
                    crate::origin::Step::Wait(inner.clone()),
                    crate::origin::Step::Send("old!".into()),
                ],
            ),
            (_, true) => numbered(number),
            (_, false) => Reply::status(204, ""),
        },
    )
    .await;
    let house = House::site(&origin).await;
    let client = house.client(tier::Protocol::H2);
    let first = client.open("GET", "/", &[]).await;
    client.open("DELETE", "/", &[]).await.whole().await;
    gate.open();
    assert_eq!(text(&first.whole().await), "old!");
    assert_eq!(text(&client.get("/", &[]).await), "answer 2");
}

#[tokio::test]
async fn withheld_fields_reach_the_first_who_asks_and_nobody_else() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| {
            Reply::ok("a")
                .field(
                    "cache-control",
                    "max-age=60, private=\"set-cookie\", no-cache=x-hint",
                )
                .field("set-cookie", "a=b")
                .field("x-hint", "c")
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        let first = client.get("/", &[]).await;
        assert_eq!(
            (first.field("set-cookie"), first.field("x-hint")),
            ("a=b", "c"),
            "{protocol}"
        );
        let second = client.get("/", &[]).await;
        assert!(
            !second.headers.contains_key("set-cookie") && !second.headers.contains_key("x-hint")
        );
        assert_eq!(origin.requests(), 1);
    }
}

/// An edge in front of a site that listens without TLS, too; and the head of a GET that it is sent there.
async fn both(origin: &Origin) -> House {
    House::with(origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.listen.plain = "127.0.0.1:0".to_owned();
    })
    .await
}

async fn plainly(house: &House, method: &str, target: &str) -> Got {
    let stream = tokio::net::TcpStream::connect(house.edge.plain.unwrap());
    let head =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let stream = Box::pin(stream.await.unwrap());
    crate::client::h1(stream, head.as_bytes(), false)
        .await
        .whole()
        .await
}

#[tokio::test]
async fn a_plain_request_does_not_choose_what_those_with_tls_get() {
    let origin = Origin::start(|head| {
        let secured = field(head, "x-forwarded-proto") == Some("https");
        let reply = if secured {
            Reply::ok("the page")
        } else {
            Reply::status(301, "").field("location", "https://localhost/")
        };
        reply.field("cache-control", "max-age=60, stale-while-revalidate=60")
    })
    .await;
    let house = both(&origin).await;
    for _ in 0..2 {
        assert_eq!(plainly(&house, "GET", "/").await.status, 301);
        for protocol in PROTOCOLS {
            let got = house.client(protocol).get("/", &[]).await;
            assert_eq!(
                (got.status, text(&got).as_str()),
                (200, "the page"),
                "{protocol}"
            );
        }
    }
    assert_eq!(origin.requests(), 2, "once for each scheme");
    // What is changed over one is forgotten for both.
    plainly(&house, "DELETE", "/").await;
    house.client(PROTOCOLS[2]).get("/", &[]).await;
    assert_eq!(origin.requests(), 4);
}

#[tokio::test]
async fn what_is_refreshed_behind_a_viewer_is_asked_for_by_the_viewers_scheme() {
    for protocol in PROTOCOLS {
        let origin = counting(|number, head| {
            let scheme = field(head, "x-forwarded-proto").unwrap_or("none");
            Reply::ok(format!("{number} over {scheme}"))
                .field("cache-control", "max-age=0, stale-while-revalidate=600")
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        assert_eq!(text(&client.get("/", &[]).await), "0 over https");
        assert_eq!(
            text(&client.get("/", &[]).await),
            "0 over https",
            "{protocol}"
        );
        origin.until(2).await;
        loop {
            let now = text(&client.get("/", &[]).await);
            assert!(now.ends_with(" over https"), "{protocol}: {now}");
            if now != "0 over https" {
                break;
            }
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_an_answer_that_will_not_be_shared() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |_| {
        Reply::status(200, "mine")
            .field("cache-control", "private")
            .held(&inner)
    })
    .await;
    let house = House::site(&origin).await;
    let tasks: Vec<_> = (0..9)
        .map(|n| {
            let client = house.client(PROTOCOLS[n % 3]);
            tokio::spawn(async move { client.get("/", &[]).await.status })
        })
        .collect();
    origin.until(1).await;
    gate.open();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(origin.requests(), 9);
}

#[tokio::test]
async fn what_was_asked_with_credentials_is_shared_only_where_the_origin_says_so() {
    for protocol in PROTOCOLS {
        let origin = counting(|number, head| match path(head) {
            "/public" => numbered(number).field("cache-control", "public, max-age=60"),
            _ => numbered(number),
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for (target, shared) in [("/public", true), ("/mine", false)] {
            let first = client.get(target, &[("authorization", "me")]).await;
            let second = client.get(target, &[]).await;
            assert_eq!(text(&first) == text(&second), shared, "{target} {protocol}");
        }
    }
}

#[tokio::test]
async fn an_upload_may_take_longer_than_a_header_and_the_connection_serves_on() {
    let origin = counting(|number, _| numbered(number)).await;
    let house = House::with(&origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.clients.header_timeout = config::Span::millis(200);
    })
    .await;
    let client = house.client(tier::Protocol::H1);
    let mut upload = client.tls("http/1.1").await;
    let header = b"PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nbody";
    upload.write_all(header).await.unwrap();
    upload.flush().await.unwrap();
    // A header that began later is cut off: its time has come, and would have come for the upload.
    let mut dripped = client.tls("http/1.1").await;
    dripped
        .write_all(b"PUT / HTTP/1.1\r\nhost: ")
        .await
        .unwrap();
    let _ = dripped.read_to_end(&mut Vec::new()).await;
    upload.write_all(b"body").await.unwrap();
    for number in 0..2 {
        let answer = format!("answer {number}");
        let mut seen = bytes::BytesMut::new();
        while !String::from_utf8_lossy(&seen).ends_with(&answer) {
            let read = upload.read_buf(&mut seen).await.unwrap();
            assert_ne!(read, 0, "{seen:?}");
        }
        let next = b"GET /next HTTP/1.1\r\nhost: localhost\r\n\r\n";
        upload.write_all(next).await.unwrap();
    }
    assert_eq!(origin.bodies(), ["bodybody"]);
}

#[tokio::test]
async fn what_may_not_be_done_twice_is_asked_for_once() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|head| match path(head) {
            "/order" => Reply::status(HANG_UP, ""),
            _ => Reply::ok("kept").field("cache-control", "no-store"),
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for method in ["POST", "PATCH", "M-SEARCH"] {
            // Leaves a connection behind, on which the origin hangs up.
            client.get("/", &[]).await;
            let before = origin.bodies().len();
            let got = client.send(method, "/order", &[], "one of these").await;
            assert_eq!(got.status, 502, "{method} {protocol}");
            let orders = origin.bodies().len() - before;
            assert_eq!(orders, 1, "{method} {protocol}");
        }
    }
}
