//! Parents that fail, and who answers in their place.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tier::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Gate, HANG_UP, Origin, Reply};

/// Asks for so many objects, each of which must be had.
async fn serves(house: &House, objects: usize) {
    for n in 0..objects {
        let target = signed(&format!("/v/a/{n}"));
        let got = house.client(Protocol::H1).get(&target, &[]).await;
        assert_eq!(got.status, 200, "{n}");
    }
}

/// Whether the metrics say that a parent is well.
async fn is_up(house: &House, parent: &str) -> bool {
    let line = format!("millrace_tier_parent_up{{parent=\"{parent}\"}} ");
    let page = house.page("/metrics").await;
    let said = page.lines().find_map(|found| found.strip_prefix(&line));
    said.expect("something is said of it") == "1"
}

/// A parent that closes each connection when a second request comes over it, and the headers that it answered. The
/// first of so many connections are answered together.
async fn closes_what_is_kept(together: usize) -> (SocketAddr, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, barrier) = (AtomicUsize::new(0), Arc::new(Barrier::new(together)));
    let heads = Heads::default();
    let noted = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let is_first = count.fetch_add(1, Ordering::SeqCst) < together;
            let barrier = is_first.then(|| Arc::clone(&barrier));
            tokio::spawn(answer_once(stream, barrier, Arc::clone(&noted)));
        }
    });
    (address, heads)
}

type Heads = Arc<Mutex<Vec<String>>>;

async fn answer_once(
    mut stream: TcpStream,
    barrier: Option<Arc<Barrier>>,
    heads: Heads,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    heads.lock().unwrap().push(text);
    if let Some(barrier) = barrier {
        barrier.wait().await;
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncache-control: max-age=60\r\n\r\nx";
    stream.write_all(answer).await?;
    stream.read_buf(&mut head).await?;
    Ok(())
}

#[tokio::test]
async fn where_a_kept_connection_was_closed_the_next_attempt_takes_a_new_one() {
    const KEPT: usize = 8;
    let (parent, heads) = closes_what_is_kept(KEPT).await;
    let house = House::before(format!("http://{parent}"), |_| {}).await;
    let get = |n: usize| {
        let client = house.client(Protocol::H1);
        let target = signed(&format!("/v/a/{n}"));
        tokio::spawn(async move { client.get(&target, &[]).await.status })
    };
    let first: Vec<_> = (0..KEPT).map(get).collect();
    for status in first {
        assert_eq!(status.await.unwrap(), 200);
    }
    for n in KEPT..2 * KEPT {
        assert_eq!(get(n).await.unwrap(), 200, "{n}");
    }
    // What nobody would find again is not kept: in a pool that is full it would take another's place.
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 2 * KEPT);
    for (n, head) in heads.iter().enumerate() {
        let ends = head.contains("\r\nconnection: close\r\n");
        assert_eq!(ends, n >= KEPT, "{head}");
    }
}

#[tokio::test]
async fn the_next_parent_answers_for_one_that_is_down() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let house = House::with(&origin, |config| config.parents.push(gone)).await;
    for n in 0..20 {
        for protocol in PROTOCOLS {
            let got = house
                .client(protocol)
                .get(&signed(&format!("/v/a/{n}")), &[])
                .await;
            assert_eq!(got.status, 200, "{n}");
        }
    }
    assert_eq!(origin.requests(), 20);
}

#[tokio::test]
async fn the_next_parent_answers_for_one_whose_name_does_not_resolve() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    // Too long for a label, so that no resolver is asked (RFC 1035 §2.3.4).
    let nameless = format!("http://{}:1", "a".repeat(64));
    let house = House::with(&origin, |config| config.parents.push(nameless)).await;
    serves(&house, 20).await;
    assert_eq!(origin.requests(), 20);
}

#[tokio::test]
async fn a_parent_is_reached_at_whichever_of_its_addresses_answers() {
    // Where `localhost` has two addresses, nobody listens at one of them.
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let port = origin.address.port();
    let house = House::with(&origin, |config| {
        config.parents = vec![format!("http://localhost:{port}")];
    })
    .await;
    serves(&house, 8).await;
    assert_eq!(origin.requests(), 8);
    assert!(is_up(&house, &format!("localhost:{port}")).await);
}

#[tokio::test]
async fn the_next_parent_answers_for_one_that_cannot_do_its_work_and_that_is_soon_left_alone() {
    for status in [502, 503, 504] {
        let well = Origin::start(|_| Reply::ok("x")).await;
        let ill = Origin::start(move |_| Reply::status(status, "no")).await;
        let house = House::with(&well, |config| {
            config.parents.push(ill.url());
            config.upstream.cooldown = config::Span::seconds(600);
        })
        .await;
        serves(&house, 40).await;
        assert_eq!((well.requests(), ill.requests()), (40, 3), "{status}");
        assert!(!is_up(&house, &ill.address.to_string()).await);
    }
}

#[tokio::test]
async fn the_next_parent_answers_for_one_that_takes_requests_and_is_silent() {
    let gate = Gate::shut();
    let held = gate.clone();
    let well = Origin::start(|_| Reply::ok("x")).await;
    let silent = Origin::start(move |_| Reply::ok("late").held(&held)).await;
    let house = House::with(&well, |config| {
        config.parents.push(silent.url());
        config.upstream.read_timeout = config::Span::seconds(1);
        config.upstream.cooldown = config::Span::seconds(600);
    })
    .await;
    for n in 0..20 {
        let target = signed(&format!("/v/a/{n}"));
        let viewers = PROTOCOLS.map(|protocol| {
            let (client, target) = (house.client(protocol), target.clone());
            tokio::spawn(async move { client.get(&target, &[]).await })
        });
        for viewer in viewers {
            let got = viewer.await.unwrap();
            assert_eq!((got.status, &got.bytes()[..]), (200, &b"x"[..]), "{n}");
        }
    }
    assert_eq!((well.requests(), silent.requests()), (20, 1));
    assert!(!is_up(&house, &silent.address.to_string()).await);
}

#[tokio::test]
async fn the_next_parent_answers_for_one_that_hangs_up_and_that_is_soon_left_alone() {
    let well = Origin::start(|_| Reply::ok("x")).await;
    let rude = Origin::start(|_| Reply::status(HANG_UP, "")).await;
    let house = House::with(&well, |config| {
        config.parents.push(rude.url());
        config.upstream.cooldown = config::Span::seconds(600);
    })
    .await;
    serves(&house, 40).await;
    assert_eq!((well.requests(), rude.requests()), (40, 3));
}

#[tokio::test]
async fn a_hop_tries_twice_and_no_more() {
    let ill = [
        Origin::start(|_| Reply::status(503, "no")).await,
        Origin::start(|_| Reply::status(503, "no")).await,
        Origin::start(|_| Reply::status(503, "no")).await,
    ];
    let house = House::with(&ill[0], |config| {
        config.parents = ill.iter().map(Origin::url).collect();
    })
    .await;
    let got = house.client(Protocol::H1).get(&signed("/v/a/1"), &[]).await;
    assert_eq!(got.status, 503);
    let asked = || ill.iter().map(Origin::requests).sum::<usize>();
    assert_eq!(asked(), 2);
    let other = House::with(&ill[0], |_| {}).await;
    other.client(Protocol::H1).get(&signed("/v/a/1"), &[]).await;
    assert_eq!(asked(), 3, "the same parent is not asked again");
}

#[tokio::test]
async fn nobody_else_is_asked_for_what_a_parent_says_is_to_be_asked_for_later() {
    let busy = || Origin::start(|_| Reply::status(503, "").field("retry-after", "7"));
    let (one, other) = (busy().await, busy().await);
    let house = House::with(&one, |config| config.parents.push(other.url())).await;
    let got = house.client(Protocol::H1).get(&signed("/v/a/1"), &[]).await;
    assert_eq!((got.status, got.field("retry-after")), (503, "7"));
    assert_eq!(one.requests() + other.requests(), 1);
}

#[tokio::test]
async fn what_is_stale_answers_for_a_parent_that_is_to_be_asked_later() {
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::ok("old").field("cache-control", "max-age=0, stale-if-error=600"),
        _ => Reply::status(503, "").field("retry-after", "7"),
    })
    .await;
    let house = House::with(&origin, |_| {}).await;
    for _ in 0..2 {
        let got = house.client(Protocol::H1).get(&signed("/v/a/1"), &[]).await;
        assert_eq!((got.status, &got.bytes()[..]), (200, &b"old"[..]));
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn another_parent_is_asked_before_stale_bytes_are_served() {
    let count = AtomicUsize::new(0);
    let aging = move |_: &str| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::ok("old")
            .field("cache-control", "max-age=0, stale-if-error=600")
            .field("etag", "\"1\""),
        _ => Reply::status(503, "no"),
    };
    let one = Origin::start(aging).await;
    let two = Origin::start(|_| Reply::ok("new")).await;
    let house = House::with(&one, |config| config.parents.push(two.url())).await;
    let client = house.client(Protocol::H1);
    // Objects of the first parent.
    let mut renewed = 0;
    for n in 0..20 {
        let target = signed(&format!("/v/a/{n}"));
        let first = client.get(&target, &[]).await.body.unwrap();
        if first == "old" {
            assert_eq!(client.get(&target, &[]).await.body.unwrap(), "new");
            renewed += 1;
        }
    }
    assert_eq!(renewed, 1);
}

#[tokio::test]
async fn two_parents_share_the_objects() {
    let one = Origin::start(|_| Reply::ok("x")).await;
    let two = Origin::start(|_| Reply::ok("x")).await;
    let house = House::with(&one, |config| config.parents.push(two.url())).await;
    serves(&house, 40).await;
    assert_eq!(one.requests() + two.requests(), 40);
    assert!(one.requests() > 5 && two.requests() > 5);
}
