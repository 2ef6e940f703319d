//! One fill for everybody: nobody holds it back, nobody takes its end for granted.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tier::Protocol;

use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Gate, Origin, Reply, Step, path};

const PATH: &str = "/v/a/720p/segment_1.m4s";

/// Half of a body, a pause, the other half.
fn halves(gate: &Gate) -> Reply {
    let half = Bytes::from(vec![7; 50_000]);
    let steps = vec![
        Step::Send(half.clone()),
        Step::Wait(gate.clone()),
        Step::Send(half),
    ];
    Reply::steps(100_000, steps)
}

async fn paused() -> (Gate, Origin) {
    let gate = Gate::shut();
    let inner = gate.clone();
    (gate, Origin::start(move |_| halves(&inner)).await)
}

#[tokio::test]
async fn fifty_cold_requests_reach_the_parent_once() {
    let (gate, origin) = paused().await;
    let house = House::with(&origin, |_| {}).await;
    let mut begun = Vec::new();
    for n in 0..50 {
        let client = house.client(PROTOCOLS[n % 3]);
        begun.push(tokio::spawn(async move {
            client.open("GET", &signed(PATH), &[]).await
        }));
    }
    let mut answers = Vec::new();
    for task in begun {
        answers.push(task.await.unwrap());
    }
    // All fifty have their header while the body is half there.
    gate.open();
    let mut stored = 0;
    for answer in answers {
        let got = answer.whole().await;
        assert_eq!((got.status, got.bytes().len()), (200, 100_000));
        match got.field("cache-status") {
            "edge-1; fwd=miss; stored" => stored += 1,
            status => assert_eq!(status, "edge-1; fwd=miss; collapsed"),
        }
    }
    assert_eq!((origin.requests(), stored), (1, 1));
}

#[tokio::test]
async fn requests_wait_together_for_a_header() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |_| Reply::ok("late").held(&inner)).await;
    let house = House::with(&origin, |_| {}).await;
    let tasks = PROTOCOLS.map(|protocol| {
        let client = house.client(protocol);
        tokio::spawn(async move { client.get(&signed(PATH), &[]).await })
    });
    origin.until(1).await;
    gate.open();
    for task in tasks {
        assert_eq!(&task.await.unwrap().bytes()[..], b"late");
    }
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_slow_first_viewer_holds_nobody_back() {
    const LENGTH: usize = 24 << 20;
    for slow in PROTOCOLS {
        let origin = Origin::start(|_| Reply::ok(vec![7; LENGTH])).await;
        let house = House::with(&origin, |_| {}).await;
        // Has the header, and reads nothing more.
        let idle = house.client(slow).open("GET", &signed(PATH), &[]).await;
        assert_eq!(idle.status, 200);
        let fast = house.client(Protocol::H1);
        let target = signed(PATH);
        let read = fast.get(&target, &[]);
        let got = tokio::time::timeout(Duration::from_secs(30), read).await;
        let got = got.unwrap_or_else(|_| panic!("held back by a viewer on {slow}"));
        assert_eq!(got.bytes().len(), LENGTH);
        assert_eq!(origin.requests(), 1);
        drop(idle);
    }
}

#[tokio::test]
async fn an_aborted_fill_is_an_error_for_its_readers_and_is_not_kept() {
    for known_length in [true, false] {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |_| {
            let half = Bytes::from(vec![7; 50_000]);
            let steps = vec![Step::Send(half), Step::Wait(inner.clone()), Step::Abort];
            Reply {
                length: known_length.then_some(100_000),
                ..Reply::steps(0, steps)
            }
        })
        .await;
        let house = House::with(&origin, |_| {}).await;
        let mut answers = Vec::new();
        for protocol in PROTOCOLS.iter().chain(&PROTOCOLS) {
            let client = house.client(*protocol);
            answers.push((*protocol, client.open("GET", &signed(PATH), &[]).await));
        }
        gate.open();
        for (protocol, answer) in answers {
            let got = answer.whole().await;
            assert_eq!(got.status, 200);
            assert!(
                got.body.is_err(),
                "{protocol} took a broken answer for a whole one"
            );
        }
        assert_eq!(house.metric("millrace_tier_cache_objects").await, 0);
        assert_eq!(house.metric("millrace_tier_fill_failures_total").await, 1);
        assert_eq!(origin.requests(), 1);
    }
}

#[tokio::test]
async fn a_fill_outlives_the_viewer_who_began_it() {
    for protocol in PROTOCOLS {
        let (gate, origin) = paused().await;
        let house = House::with(&origin, |_| {}).await;
        let mut first = house.client(protocol).open("GET", &signed(PATH), &[]).await;
        assert!(first.next().await.unwrap().is_some());
        drop(first);
        let second = house.client(protocol).open("GET", &signed(PATH), &[]).await;
        gate.open();
        assert_eq!(second.whole().await.bytes().len(), 100_000, "{protocol}");
        let third = house.client(protocol).get(&signed(PATH), &[]).await;
        assert!(third.field("cache-status").contains("; hit"), "{third:?}");
        assert_eq!(origin.requests(), 1, "{protocol}");
    }
}

/// A thousand bytes at each step of the gate, of many more.
async fn dripping(length: Option<usize>) -> (Gate, Origin) {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |_| {
        let piece = Step::Send(Bytes::from(vec![7; 1000]));
        let steps = [piece, Step::Wait(inner.clone())].into_iter().cycle();
        Reply {
            length,
            ..Reply::steps(0, steps.take(length.unwrap_or(20_000_000) / 500).collect())
        }
    });
    (gate, origin.await)
}

#[tokio::test]
async fn a_fill_ends_when_its_last_viewer_leaves_and_much_of_it_is_missing() {
    const LEFT: &str = "millrace_tier_fills_left_total";
    for (protocol, length) in PROTOCOLS.into_iter().zip([Some(20_000_000), None, None]) {
        let (gate, origin) = dripping(length).await;
        let house = House::with(&origin, |config| {
            config.cache.finish_unread = config::ByteSize(2000);
        })
        .await;
        let first = house.client(protocol).open("GET", &signed(PATH), &[]).await;
        let mut second = house.client(protocol).open("GET", &signed(PATH), &[]).await;
        drop(first);
        for _ in 0..100 {
            gate.step();
            assert!(second.next().await.unwrap().is_some(), "somebody reads it");
        }
        drop(second);
        let stopped = async {
            while house.metric(LEFT).await == 0 {
                gate.step();
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), stopped).await;
        assert!(in_time.is_ok(), "{protocol}: it goes on for nobody");
        assert_eq!(house.metric("millrace_tier_fill_failures_total").await, 0);
        let third = house.client(protocol).open("GET", &signed(PATH), &[]).await;
        assert_eq!((third.status, origin.requests()), (200, 2), "{protocol}");
    }
}

#[tokio::test]
async fn who_asks_and_leaves_again_and_again_makes_the_origin_send_a_film_only_so_often() {
    let (gate, origin) = dripping(Some(12_000_000)).await;
    let house = House::with(&origin, |config| {
        config.cache.finish_unread = config::ByteSize::mib(3);
    })
    .await;
    for _ in 0..8 {
        let viewer = house.client(Protocol::H2);
        drop(viewer.open("GET", &signed(PATH), &[]).await);
        let asked = Instant::now();
        while house.metric("millrace_tier_cache_fills").await > 0 {
            // Slowly as long as a fill is not given up in any case, so that most of it is missing then.
            let steps = if asked.elapsed() < Duration::from_millis(1500) {
                1
            } else {
                1000
            };
            (0..steps).for_each(|_| gate.step());
            assert!(asked.elapsed() < Duration::from_secs(60));
        }
    }
    assert!(origin.requests() <= 5, "{}", origin.requests());
    let got = house.client(Protocol::H1).get(&signed(PATH), &[]).await;
    assert!(got.field("cache-status").contains("; hit"), "{got:?}");
    assert_eq!(got.bytes().len(), 12_000_000);
}

#[tokio::test]
async fn a_range_is_served_from_a_fill_in_progress() {
    for protocol in PROTOCOLS {
        let (gate, origin) = paused().await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        let first = client.open("GET", &signed(PATH), &[]).await;
        let early = client
            .get(&signed(PATH), &[("range", "bytes=100-199")])
            .await;
        assert_eq!(
            (early.status, early.bytes().len()),
            (206, 100),
            "{protocol}"
        );
        let late = client
            .open("GET", &signed(PATH), &[("range", "bytes=60000-69999")])
            .await;
        assert_eq!(late.status, 206);
        gate.open();
        assert_eq!(late.whole().await.bytes().len(), 10_000);
        assert_eq!(first.whole().await.bytes().len(), 100_000);
        assert_eq!(origin.requests(), 1);
    }
}

#[tokio::test]
async fn a_range_on_a_cold_cache_fills_the_whole_object() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| Reply::ok("abcdefghij")).await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        let part = client.get(&signed(PATH), &[("range", "bytes=1-2")]).await;
        assert_eq!(
            (part.status, &part.bytes()[..]),
            (206, &b"bc"[..]),
            "{protocol}"
        );
        assert_eq!(
            &client.get(&signed(PATH), &[]).await.bytes()[..],
            b"abcdefghij"
        );
        assert_eq!(origin.requests(), 1);
        assert!(!origin.heads()[0].to_ascii_lowercase().contains("range"));
    }
}

#[tokio::test]
async fn a_purge_reaches_a_fill_in_flight() {
    let (gate, origin) = paused().await;
    let house = House::with(&origin, |_| {}).await;
    let client = house.client(Protocol::H2);
    let first = client.open("GET", &signed(PATH), &[]).await;
    house.edge.purge_all().await.unwrap();
    gate.open();
    assert_eq!(first.whole().await.bytes().len(), 100_000);
    let second = client.get(&signed(PATH), &[]).await;
    assert_eq!(second.field("cache-status"), "edge-1; fwd=miss; stored");
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn an_answer_shorter_than_announced_is_broken_off() {
    for protocol in PROTOCOLS {
        let steps = vec![Step::Send(Bytes::from_static(b"short")), Step::Abort];
        let origin = Origin::start(move |_| Reply::steps(10, steps.clone())).await;
        let house = House::with(&origin, |_| {}).await;
        let got = house.client(protocol).get(&signed(PATH), &[]).await;
        assert!(
            got.body.is_err() || got.status == 502,
            "{protocol}: {got:?}"
        );
        assert_eq!(house.metric("millrace_tier_cache_objects").await, 0);
    }
}

#[tokio::test]
async fn a_viewer_who_leaves_before_the_header_does_not_take_the_fill_along() {
    for protocol in PROTOCOLS {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |_| Reply::ok(vec![7; 100_000]).held(&inner)).await;
        let house = House::with(&origin, |config| {
            config.cache.finish_unread = config::ByteSize(2000);
        })
        .await;
        let client = house.client(protocol);
        let first = tokio::spawn(async move { client.get(&signed(PATH), &[]).await });
        origin.until(1).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let client = house.client(protocol);
        let second = tokio::spawn(async move { client.get(&signed(PATH), &[]).await });
        gate.open();
        assert_eq!(second.await.unwrap().bytes().len(), 100_000, "{protocol}");
        assert_eq!(origin.requests(), 1, "{protocol}");
    }
}

#[tokio::test]
async fn answers_in_progress_end_when_the_node_stops() {
    for protocol in PROTOCOLS {
        let (gate, origin) = paused().await;
        let house = House::with(&origin, |config| {
            config.clients.drain = config::Span::seconds(20);
        })
        .await;
        let answer = house.client(protocol).open("GET", &signed(PATH), &[]).await;
        let address = house.edge.https;
        let stopping = tokio::spawn(house.edge.stop());
        // The listener closes first.
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.open();
        assert_eq!(answer.whole().await.bytes().len(), 100_000, "{protocol}");
        stopping.await.unwrap();
    }
}

#[tokio::test]
async fn a_cold_request_for_which_there_is_no_room_is_answered_whole_and_pushes_nothing_out() {
    const HOT: &str = "/v/a/hot";
    for protocol in PROTOCOLS {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |head| match path(head) {
            HOT => Reply::ok(vec![1; 20_000]),
            cold if cold.ends_with("/cold") => Reply::ok(vec![2; 200_000]),
            _ => {
                let (most, rest) = (vec![7; 239_000].into(), vec![7; 1_000].into());
                let steps = vec![
                    Step::Send(most),
                    Step::Wait(inner.clone()),
                    Step::Send(rest),
                ];
                Reply::steps(240_000, steps)
            }
        })
        .await;
        let house = House::with(&origin, |config| {
            config.cache.memory = config::ByteSize::mib(1);
            config.cache.max_object = config::ByteSize(250_000);
        })
        .await;
        let client = house.client(protocol);
        client.get(&signed(HOT), &[]).await;
        let mut slow = Vec::new();
        for n in 0..4 {
            let target = signed(&format!("/v/a/{n}"));
            slow.push(client.open("GET", &target, &[]).await);
        }
        for _ in 0..2 {
            let cold = client.get(&signed("/v/a/cold"), &[]).await;
            assert_eq!((cold.status, cold.bytes().len()), (200, 200_000));
            assert_eq!(cold.field("cache-status"), "edge-1; fwd=miss", "{protocol}");
        }
        let range = [("range", "bytes=10-19")];
        let part = client.get(&signed("/v/a/cold"), &range).await;
        assert_eq!((part.status, part.bytes().len()), (206, 10), "{protocol}");
        let head = client.open("HEAD", &signed("/v/a/cold"), &[]).await;
        let head = head.whole().await;
        assert_eq!((head.status, head.bytes().len()), (200, 0), "{protocol}");
        let hot = client.get(&signed(HOT), &[]).await;
        assert!(hot.field("cache-status").contains("; hit"), "{hot:?}");
        gate.open();
        for answer in slow {
            assert_eq!(answer.whole().await.bytes().len(), 240_000, "{protocol}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_passed_on_and_not_stored() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| Reply {
            to_close: true,
            ..Reply::ok("perhaps half of it")
        })
        .await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        for _ in 0..2 {
            let got = client.get(&signed(PATH), &[]).await;
            assert_eq!(
                (got.status, &got.bytes()[..]),
                (200, &b"perhaps half of it"[..])
            );
            assert_eq!(got.field("cache-status"), "edge-1; fwd=miss", "{protocol}");
        }
        assert_eq!(origin.requests(), 2, "{protocol}");
    }
}
