//! Clients that flood, stop and drip, over real connections.

use std::time::Duration;

use tier::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, PROTOCOLS};
use crate::origin::{Gate, Origin, Reply, Step};
use crate::p_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, end, films, request, two,
};
use crate::raw::{HELLO, h2_block, h2_frame};

/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn floods_are_told_to_calm_down_and_counted_while_others_are_served() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let reset = |stream: u32| {
        let reset = h2_frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        two(request(stream, END_HEADERS | END_STREAM), &reset)
    };
    let continued = h2_frame(CONTINUATION, 0, 1, b"");
    let floods: [(&str, Vec<u8>); 7] = [
        ("PING", h2_frame(PING, 0, 0, &[0; 8]).repeat(2000)),
        ("SETTINGS", h2_frame(SETTINGS, 0, 0, b"").repeat(2000)),
        (
            "PRIORITY",
            h2_frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(2000),
        ),
        (
            "WINDOW_UPDATE",
            h2_frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(2000),
        ),
        ("unknown", h2_frame(0x77, 0, 0, b"").repeat(2000)),
        (
            "rapid resets",
            (0..2000).flat_map(|at| reset(2 * at + 1)).collect(),
        ),
        ("CONTINUATION", two(request(1, 0), &continued.repeat(2000))),
    ];
    for (what, flood) in floods {
        let end = end(&house, HELLO, &flood).await;
        // A connection that is closed with bytes unread is reset, and what was said may be lost.
        let calmed = matches!(
            end,
            End::Connection(ENHANCE_YOUR_CALM) | End::Stream(_) | End::Closed
        );
        assert!(calmed, "{what}: {end:?}");
        let got = house.client(Protocol::H2).get("/v/p/x", &[]).await;
        assert_eq!(got.status, 200, "{what}");
    }
    let cut = "millrace_tier_cut_total{cause=\"flood\",protocol=\"h2\"}";
    assert!(house.metric(cut).await >= 5);
}

#[tokio::test]
async fn a_reader_that_stops_is_cut_while_its_answer_still_grows() {
    let gates: Vec<Gate> = (0..100).map(|_| Gate::shut()).collect();
    let steps: Vec<Step> = gates
        .iter()
        .flat_map(|gate| [Step::Send(vec![7; 10_000].into()), Step::Wait(gate.clone())])
        .collect();
    let origin = Origin::start(move |_| Reply::steps(1_000_000, steps.clone())).await;
    let house = House::with(&origin, |config| {
        config.public_without_token = true;
        config.clients.write_timeout = config::Span::millis(300);
    })
    .await;
    let origin_speaks = async {
        // Each piece that comes breaks off the wait for the client.
        let mut pace = tokio::time::interval(Duration::from_millis(30));
        for gate in &gates {
            pace.tick().await;
            gate.open();
        }
    };
    let (sender, _driver) = house.client(Protocol::H2).h2().await;
    let target = crate::house::signed("/v/p/x");
    let answer = crate::client::h2_send(sender, "GET", &target, &[]);
    let watching = async {
        // Its window of 65,535 bytes is never opened again.
        let answer = answer.await;
        let cut = "millrace_tier_cut_total{cause=\"slow_reader\",protocol=\"h2\"}";
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        while house.metric(cut).await == 0 {
            pace.tick().await;
        }
        drop(answer);
    };
    tokio::select! {
        () = origin_speaks => panic!("three seconds, and the reader is still borne"),
        () = watching => {}
    }
}

#[tokio::test]
async fn a_body_that_stops_is_given_up_on_every_protocol() {
    let origin = Origin::start(|_| Reply::status(201, "made")).await;
    let house = House::with(&origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.clients.read_timeout = config::Span::millis(300);
    })
    .await;
    let client = house.client(Protocol::H1);
    let mut stream = client.tls("http/1.1").await;
    let head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nbody";
    stream.write_all(head).await.unwrap();
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen).await;
    let post = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
        ("content-length", "9"),
    ];
    let begun = two(
        h2_frame(HEADERS, END_HEADERS, 1, &h2_block(&post)),
        &h2_frame(DATA, 0, 1, b"body"),
    );
    let ended = end(&house, HELLO, &begun).await;
    assert!(
        !matches!(ended, End::Closed),
        "the connection lives on: {ended:?}"
    );
    let (_endpoint, quic) = house.client(Protocol::H3).quic().await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    let (mut send, mut receive) = quic.open_bi().await.unwrap();
    send.write_all(&crate::raw::h3_head(&post)).await.unwrap();
    let _ = receive.read_to_end(1 << 16).await;
    for line in [
        "millrace_tier_cut_total{cause=\"slow_body\",protocol=\"h1\"}",
        "millrace_tier_cut_total{cause=\"slow_body\",protocol=\"h2\"}",
        "h3_cut_total{cause=\"slow_body\"}",
    ] {
        assert_eq!(house.metric(line).await, 1, "{line}");
    }
    assert!(
        origin.bodies().iter().all(String::is_empty),
        "none was whole"
    );
}

/// An edge in front of a site, whose clients may send nothing of a body for 300 ms.
async fn hasty(origin: &Origin) -> House {
    House::with(origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.clients.read_timeout = config::Span::millis(300);
    })
    .await
}

#[tokio::test]
async fn who_stops_within_a_body_is_told_so_long_before_a_parent_would_give_up() {
    let origin = Origin::start(|_| Reply::status(201, "made")).await;
    let house = hasty(&origin).await;
    for protocol in PROTOCOLS {
        // What may be kept, what may not for its length, what may not for its method.
        for (method, length) in [("POST", "9"), ("POST", "100000"), ("PUT", "9")] {
            let client = house.client(protocol);
            let fields = [("content-length", length)];
            let answer = client.begin(method, "/", &fields, "body");
            let got = tokio::time::timeout(Duration::from_secs(10), answer).await;
            let got = got.unwrap_or_else(|_| panic!("{method} {length} {protocol}: no answer"));
            assert_eq!(got.status, 408, "{method} {length} {protocol}");
        }
    }
    let refused = "millrace_tier_refusals_total{reason=\"slow_body\"}";
    assert_eq!(house.metric(refused).await, 9);
    assert!(
        origin.bodies().iter().all(String::is_empty),
        "none was whole"
    );
}

#[tokio::test]
async fn who_has_sent_a_whole_body_waits_for_the_answer_as_long_as_the_parent_may_take() {
    for protocol in PROTOCOLS {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |_| Reply::status(201, "made").held(&inner)).await;
        let house = hasty(&origin).await;
        for (method, length) in [("POST", 9), ("POST", 100_000), ("PUT", 9)] {
            let client = house.client(protocol);
            let mut answer = Box::pin(client.send(method, "/", &[], "b".repeat(length)));
            let waited = tokio::time::timeout(Duration::from_secs(1), &mut answer).await;
            let early = waited.map(|answer| answer.status);
            assert!(early.is_err(), "{method} {length} {protocol}: {early:?}");
            gate.step();
            assert_eq!(answer.await.status, 201, "{method} {length} {protocol}");
        }
    }
}
