//! Films that are public: given without a token, where the operator wants that.

use tier::Protocol;

use crate::d_gate::films;
use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Gate, Origin, Reply, path};

#[tokio::test]
async fn without_a_token_only_what_says_it_is_public_is_given() {
    for protocol in PROTOCOLS {
        let origin = films().await;
        let house = House::open(&origin).await;
        let client = house.client(protocol);
        for _cold_then_warm in 0..2 {
            for (target, status) in [
                ("/v/p/x", 200),
                ("/v/s/x", 403),
                ("/v/bare/x", 403),
                ("/v/none/x", 403),
                ("/elsewhere", 403),
            ] {
                let got = client.get(target, &[]).await;
                assert_eq!(got.status, status, "{target} over {protocol}");
                assert!(!got.headers.contains_key("millrace-access"));
                let part = client.get(target, &[("range", "bytes=0-1")]).await;
                assert_eq!(
                    part.status,
                    if status == 200 { 206 } else { 403 },
                    "{target}"
                );
            }
        }
        let beyond = client.get("/v/p/x", &[("range", "bytes=99-")]).await;
        assert_eq!(beyond.status, 416);
        for (path, status) in [("/v/p/x", 200), ("/v/s/x", 200), ("/v/none/x", 404)] {
            assert_eq!(
                client.get(&signed(path), &[]).await.status,
                status,
                "{path} signed"
            );
        }
        let asked: Vec<String> = origin
            .heads()
            .iter()
            .map(|head| path(head).to_owned())
            .collect();
        assert_eq!(
            asked,
            ["/v/p/x", "/v/s/x", "/v/bare/x", "/v/none/x", "/elsewhere"]
        );
    }
}

#[tokio::test]
async fn what_is_fetched_to_learn_whether_it_is_public_was_no_hit() {
    let origin = films().await;
    let house = House::open(&origin).await;
    for (protocol, film) in PROTOCOLS.into_iter().zip(["/v/p/x", "/v/p/y", "/v/p/z"]) {
        let client = house.client(protocol);
        let status = async || {
            let got = client.get(film, &[]).await;
            got.field("cache-status").to_owned()
        };
        assert_eq!(status().await, "edge-1; fwd=miss; stored", "{protocol}");
        let second = status().await;
        assert!(second.starts_with("edge-1; hit; ttl="), "{second}");
    }
}

#[tokio::test]
async fn public_films_need_a_token_unless_the_operator_says_otherwise() {
    let origin = films().await;
    let house = House::with(&origin, |_| {}).await;
    house.client(Protocol::H3).get(&signed("/v/p/x"), &[]).await;
    assert_eq!(
        house.client(Protocol::H3).get("/v/p/x", &[]).await.status,
        403
    );
}

#[tokio::test]
async fn one_who_may_not_see_does_not_spoil_the_fill_for_one_who_may() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |_| {
        Reply::ok("secret")
            .field("millrace-access", "token")
            .held(&inner)
    })
    .await;
    let house = House::open(&origin).await;
    let (stranger, viewer) = (house.client(Protocol::H2), house.client(Protocol::H1));
    let stranger = tokio::spawn(async move { stranger.get("/v/s/x", &[]).await });
    origin.until(1).await;
    let viewer = tokio::spawn(async move { viewer.get(&signed("/v/s/x"), &[]).await });
    gate.open();
    assert_eq!(stranger.await.unwrap().status, 403);
    assert_eq!(&viewer.await.unwrap().bytes()[..], b"secret");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_parent_that_is_at_fault_does_not_say_that_a_film_is_not_public() {
    let origin = Origin::start(|_| Reply::status(503, "not now")).await;
    let house = House::open(&origin).await;
    for protocol in PROTOCOLS {
        let got = house.client(protocol).get("/v/p/x", &[]).await;
        assert_eq!((got.status, got.field("retry-after")), (503, "1"));
    }
}

#[tokio::test]
async fn a_film_that_becomes_private_is_not_given_from_then_on() {
    let origin = {
        let count = std::sync::atomic::AtomicUsize::new(0);
        Origin::start(move |_| {
            let access = match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => "public",
                _ => "token",
            };
            Reply::ok("x")
                .field("cache-control", "max-age=0")
                .field("millrace-access", access)
        })
        .await
    };
    for protocol in PROTOCOLS {
        let house = House::open(&origin).await;
        let client = house.client(protocol);
        let first = client.get("/v/p/x", &[]).await.status;
        assert!(matches!(first, 200 | 403), "{first}");
        for _ in 0..2 {
            let got = client.get("/v/p/x", &[]).await;
            assert_eq!((got.status, got.body.is_ok()), (403, true), "{protocol}");
        }
    }
}

#[tokio::test]
async fn those_who_show_no_token_cause_few_requests_to_a_parent() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |head| match path(head).split('/').nth(2) {
        Some("p") => Reply::ok("public")
            .field("millrace-access", "public")
            .held(&inner),
        _ => Reply::status(404, "none"),
    })
    .await;
    let house = House::open(&origin).await;
    for _ in 0..3 {
        let got = house.client(Protocol::H1).get("/v/none/x", &[]).await;
        assert_eq!(got.status, 403);
    }
    assert_eq!(origin.requests(), 1, "a no is remembered");
    let ask = |target: String| {
        let client = house.client(Protocol::H1);
        tokio::spawn(async move { client.get(&target, &[]).await.status })
    };
    let crowd: Vec<_> = (0..80).map(|_| ask("/v/p/0".to_owned())).collect();
    let others: Vec<_> = (1..16).map(|n| ask(format!("/v/p/{n}"))).collect();
    origin.until(1 + 16).await;
    let busy = house.client(Protocol::H1).get("/v/p/64", &[]).await;
    assert_eq!((busy.status, busy.field("retry-after")), (503, "1"));
    assert_eq!(origin.requests(), 1 + 16, "they are enough of one network");
    gate.open();
    for answer in crowd.into_iter().chain(others) {
        assert_eq!(answer.await.unwrap(), 200);
    }
    let later = house.client(Protocol::H1).get("/v/p/64", &[]).await;
    assert_eq!(later.status, 200, "it was no no");
}
