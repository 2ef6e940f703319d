//! Clients that break the rules, written byte by byte.

use quinn::{ConnectionError, ReadError, ReadToEndError, RecvStream, SendStream};
use tokio::time::{Duration, timeout};

use super::super::qpack::Encoder;
use super::*;
use crate::metrics::Cut;

/// A frame with a short payload.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    super::super::frame::head(kind.into(), payload.len() as u64, &mut out);
    out.extend_from_slice(payload);
    out.to_vec()
}

fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (name, value) in fields {
        encoder.field(name, value.as_bytes());
    }
    frame(1, &encoder.finish())
}

const PSEUDO: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", "/echo"),
];

pub(super) fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [(":method", "GET"), PSEUDO[1], PSEUDO[2], (":path", path)];
    headers(&[&own, more].concat())
}

pub(super) fn post(more: &[(&str, &str)]) -> Vec<u8> {
    headers(&[&PSEUDO, more].concat())
}

/// A connection with its control stream, which must stay open.
async fn hostile(house: &House) -> (quinn::Connection, SendStream) {
    let quic = house.connect().await;
    let control = uni(&quic, &[0, 4, 0]).await;
    (quic, control)
}

async fn uni(quic: &quinn::Connection, bytes: &[u8]) -> SendStream {
    let mut stream = quic.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Sends a request's bytes; the stream is left open.
async fn request(quic: &quinn::Connection, bytes: &[u8]) -> (SendStream, RecvStream) {
    let (mut send, recv) = quic.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    (send, recv)
}

/// How the response ended: its bytes, or the code of its reset.
async fn end(recv: &mut RecvStream) -> Result<Vec<u8>, u64> {
    match recv.read_to_end(1 << 20).await {
        Ok(bytes) => Ok(bytes),
        Err(ReadToEndError::Read(ReadError::Reset(code))) => Err(code.into_inner()),
        Err(error) => panic!("{error}"),
    }
}

/// The code that the server closed the connection with.
async fn closed(quic: &quinn::Connection) -> u64 {
    match timeout(Duration::from_secs(10), quic.closed()).await {
        Ok(ConnectionError::ApplicationClosed(close)) => close.error_code.into_inner(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn malformed_headers_end_the_stream_alone() {
    let house = House::start().await;
    let (quic, _control) = hostile(&house).await;
    let without_path = &PSEUDO[..3];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (":status in a request", post(&[(":status", "200")])),
        (
            "a pseudo-header after fields",
            headers(&[without_path, &[("x-a", "b"), (":path", "/")]].concat()),
        ),
        ("te: gzip", post(&[("te", "gzip")])),
        ("no path", headers(without_path)),
        ("two hosts", post(&[("host", "elsewhere")])),
        ("an upper-case name", post(&[("X-A", "b")])),
        ("a line break in a value", post(&[("x-a", "b\r\nc: d")])),
        (
            "transfer-encoding",
            post(&[("transfer-encoding", "chunked")]),
        ),
        (
            "two lengths",
            post(&[("content-length", "1"), ("content-length", "2")]),
        ),
        (
            "CONNECT",
            headers(&[(":method", "CONNECT"), (":authority", "localhost:1")]),
        ),
    ];
    let count = cases.len() as u64;
    for (what, bytes) in cases {
        let (send, mut recv) = request(&quic, &bytes).await;
        assert_eq!(end(&mut recv).await, Err(0x10e), "{what}");
        assert_eq!(
            send.stopped().await.unwrap().map(quinn::VarInt::into_inner),
            Some(0x10e),
            "{what}"
        );
    }
    assert_eq!(
        (house.metrics.malformed.get(), house.metrics.requests.get()),
        (count, 0)
    );
    let (mut send, mut recv) = request(&quic, &post(&[])).await;
    send.finish().unwrap();
    assert!(end(&mut recv).await.is_ok(), "the connection lives on");
    house.stop().await;
}

#[tokio::test]
async fn a_body_of_another_length_is_never_whole() {
    let house = House::start().await;
    let (quic, _control) = hostile(&house).await;
    let cases = [
        ("too short", "5", &b"four"[..]),
        ("too long", "3", b"four"),
        ("missing", "1", b""),
    ];
    for (what, length, body) in cases {
        let bytes = [post(&[("content-length", length)]), frame(0, body)].concat();
        let (mut send, mut recv) = request(&quic, &bytes).await;
        send.finish().unwrap();
        assert_eq!(end(&mut recv).await, Err(0x10e), "{what}");
    }
    // a body too long is told before its end
    let too_long = [post(&[("content-length", "3")]), frame(0, b"four")].concat();
    let (_send, mut recv) = request(&quic, &too_long).await;
    assert_eq!(end(&mut recv).await, Err(0x10e));
    // the header first, so that the application waits for the body when the fault shows
    let (mut send, mut recv) = request(&quic, &post(&[("content-length", "5")])).await;
    while house.metrics.requests.get() == 0 {
        house.app.entered.notified().await;
    }
    send.write_all(&frame(0, b"four")).await.unwrap();
    send.finish().unwrap();
    assert_eq!(end(&mut recv).await, Err(0x10e));
    let noted = house.app.noted();
    assert_eq!(noted.last().unwrap(), "ReadError", "{noted:?}");
    let (mut send, mut recv) = request(
        &quic,
        &[post(&[("content-length", "4")]), frame(0, b"four")].concat(),
    )
    .await;
    send.finish().unwrap();
    assert!(end(&mut recv).await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn an_incomplete_request_is_refused() {
    let house = House::start().await;
    let (quic, _control) = hostile(&house).await;
    for bytes in [&b""[..], &frame(0x21, b"grease")] {
        let (mut send, mut recv) = request(&quic, bytes).await;
        send.finish().unwrap();
        assert_eq!(end(&mut recv).await, Err(0x10d));
    }
    house.stop().await;
}

#[tokio::test]
async fn faults_of_a_request_stream_end_the_connection() {
    let house = House::start().await;
    let section = |line: &[u8]| frame(1, &[b"\x00\x00", line].concat());
    let cases: Vec<(&str, Vec<u8>, u64)> = vec![
        ("DATA before HEADERS", frame(0, b"x"), 0x105),
        ("empty DATA before HEADERS", frame(0, b""), 0x105),
        ("SETTINGS on a request", frame(4, b""), 0x105),
        ("GOAWAY on a request", frame(7, &[0]), 0x105),
        ("PUSH_PROMISE from a client", frame(5, &[0]), 0x105),
        ("a frame of HTTP/2", frame(9, b""), 0x105),
        (
            "DATA after trailers",
            [post(&[]), headers(&[("x-a", "b")]), frame(0, b"x")].concat(),
            0x105,
        ),
        (
            "two trailers",
            [
                post(&[]),
                headers(&[("x-a", "b")]),
                headers(&[("x-a", "b")]),
            ]
            .concat(),
            0x105,
        ),
        ("a dynamic reference", section(&[0x80]), 0x200),
        ("a post-base reference", section(&[0x10]), 0x200),
        ("inserts required", frame(1, &[1, 0, 0x80]), 0x200),
        ("beyond the static table", section(&[0xff, 0x24]), 0x200),
        ("bad Huffman padding", section(&[0x51, 0x81, 0x18]), 0x200),
    ];
    for (what, bytes, code) in cases {
        let (quic, _control) = hostile(&house).await;
        let _streams = request(&quic, &bytes).await;
        assert_eq!(closed(&quic).await, code, "{what}");
    }
    let (quic, _control) = hostile(&house).await;
    let (mut send, _recv) = request(&quic, &post(&[])[..5]).await;
    send.finish().unwrap();
    assert_eq!(
        closed(&quic).await,
        0x106,
        "a stream that ends inside a frame"
    );
    house.stop().await;
}

#[tokio::test]
async fn faults_of_the_critical_streams_end_the_connection() {
    let house = House::start().await;
    let cases: [(&str, &[&[u8]], u64); 15] = [
        ("DATA first", &[&[0, 0, 1, b'x']], 0x10a),
        ("HEADERS first", &[&[0, 1, 1, b'x']], 0x10a),
        ("GOAWAY first", &[&[0, 7, 1, 0]], 0x10a),
        ("an unknown frame first", &[&[0, 0x21, 1, b'x']], 0x10a),
        ("two SETTINGS", &[&[0, 4, 0, 4, 0]], 0x105),
        ("DATA on control", &[&[0, 4, 0, 0, 1, b'x']], 0x105),
        ("HEADERS on control", &[&[0, 4, 0, 1, 1, b'x']], 0x105),
        ("a setting of HTTP/2", &[&[0, 4, 2, 2, 0]], 0x109),
        ("a setting twice", &[&[0, 4, 4, 6, 0, 6, 0]], 0x109),
        ("two control streams", &[&[0, 4, 0], &[0, 4, 0]], 0x103),
        ("two encoder streams", &[&[0, 4, 0], &[2], &[2]], 0x103),
        ("a push stream", &[&[0, 4, 0], &[1, 0]], 0x103),
        ("an insert", &[&[0, 4, 0], &[2, 0xc0, 0]], 0x201),
        ("an acknowledgement", &[&[0, 4, 0], &[3, 0x80]], 0x202),
        ("CANCEL_PUSH", &[&[0, 4, 0, 3, 1, 0]], 0x108),
    ];
    for (what, streams, code) in cases {
        let quic = house.connect().await;
        let mut open = Vec::new();
        for bytes in streams {
            open.push(uni(&quic, bytes).await);
        }
        assert_eq!(closed(&quic).await, code, "{what}");
    }
    for kind in [&[0u8, 4, 0][..], &[2], &[3]] {
        let quic = house.connect().await;
        uni(&quic, kind).await.finish().unwrap();
        assert_eq!(closed(&quic).await, 0x104, "a critical stream that ends");
        let quic = house.connect().await;
        uni(&quic, kind).await.reset(9u32.into()).unwrap();
        // a reset may overtake the stream's type, and then nothing was critical
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        let asked = async {
            send.write_all(&post(&[])).await.ok()?;
            send.finish().ok()?;
            recv.read_to_end(1 << 20).await.ok()
        };
        if asked.await.is_none() {
            assert_eq!(
                closed(&quic).await,
                0x104,
                "a critical stream that is reset"
            );
        }
    }
    assert!(house.metrics.connections_failed.get() >= 18);
    house.stop().await;
}

#[tokio::test]
async fn what_is_unknown_is_ignored() {
    let house = House::start().await;
    let quic = house.connect().await;
    let control = [
        &[0, 4, 4, 0x21, 7, 0x33, 1][..],
        &frame(0x21, b"grease"),
        &frame(13, &[5]),
        &frame(7, &[0]),
    ];
    let _control = uni(&quic, &control.concat()).await;
    let unknown = uni(&quic, &[0x21, 1, 2, 3]).await;
    let (_encoder, _decoder) = (uni(&quic, &[2, 0x20]).await, uni(&quic, &[3, 0x44]).await);
    let bytes = [
        frame(0x21, b"grease"),
        post(&[]),
        frame(0x21, b""),
        frame(0, b"body"),
        frame(0x40 - 1, b"x"),
    ]
    .concat();
    let (mut send, mut recv) = request(&quic, &bytes).await;
    send.finish().unwrap();
    let answer = end(&mut recv).await.unwrap();
    assert!(answer.ends_with(b"body"));
    assert_eq!(unknown.stopped().await.unwrap(), Some(0x103u32.into()));
    house.stop().await;
}

#[tokio::test]
async fn a_huge_header_is_answered_and_costs_no_connection() {
    let house = House::start().await;
    let (quic, _control) = hostile(&house).await;
    let many: Vec<(&str, &str)> = vec![("x", ""); 200];
    let long = "v".repeat(16 * 1024);
    for bytes in [post(&many), post(&[("x-a", &long)]), vec![1, 0x80, 1, 0, 0]] {
        let (_send, mut recv) = request(&quic, &bytes).await;
        let answer = end(&mut recv).await.unwrap();
        assert!(answer.windows(3).any(|text| text == b"431"), "{answer:?}");
    }
    assert_eq!(house.metrics.malformed.get(), 3);
    house.stop().await;
}

#[tokio::test]
async fn no_stream_is_ever_stopped_with_code_zero() {
    let house = House::start().await;
    let (quic, _control) = hostile(&house).await;
    let unread = headers(&[PSEUDO[0], PSEUDO[1], PSEUDO[2], (":path", "/unread")]);
    // the client has not ended its request when the answer is complete
    let (send, mut recv) = request(&quic, &[&unread[..], &frame(0, b"body")].concat()).await;
    assert!(end(&mut recv).await.is_ok());
    assert_eq!(send.stopped().await.unwrap(), Some(0x100u32.into()));
    // it has ended it: nothing is to be said
    for bytes in [&unread[..], &[&unread[..], &frame(0, b"body")].concat()] {
        let (mut send, mut recv) = request(&quic, bytes).await;
        send.finish().unwrap();
        assert!(end(&mut recv).await.is_ok());
        assert_eq!(send.stopped().await.unwrap(), None);
    }
    // it ends it when it has the answer: nor then
    let (mut send, mut recv) = request(&quic, &get("/unread", &[])).await;
    assert!(end(&mut recv).await.is_ok());
    send.finish().unwrap();
    assert_eq!(send.stopped().await.unwrap(), None);
    house.stop().await;
}

#[tokio::test]
async fn a_client_that_gives_up_without_end_is_cut_off() {
    let house = House::start().await;
    let (quic, _control) = hostile(&house).await;
    let watched = headers(&[
        (":method", "GET"),
        PSEUDO[1],
        PSEUDO[2],
        (":path", "/watched"),
    ]);
    let flood = async {
        loop {
            let (mut send, mut recv) = quic.open_bi().await?;
            send.write_all(&watched).await.ok();
            send.reset(0x10cu32.into()).ok();
            recv.stop(0x10cu32.into()).ok();
        }
    };
    let end: Result<(), ConnectionError> = timeout(Duration::from_secs(20), flood).await.unwrap();
    end.unwrap_err();
    assert_eq!(closed(&quic).await, 0x107);
    house.stop().await;
}

/// Sends floods on connections of their own, each of which must be closed for it.
async fn is_calmed_down(house: &House, what: &str, bytes: &[u8], on: Target) {
    let (quic, mut control) = hostile(house).await;
    let before = house.metrics.count(Cut::Flood);
    let flood = async {
        let mut stream = match on {
            Target::Control => None,
            Target::Request => Some(request(&quic, &post(&[])).await.0),
            Target::Decoder => Some(uni(&quic, &[3]).await),
            Target::Streams => None,
        };
        loop {
            let sent = match (&mut stream, on) {
                (_, Target::Streams) => match quic.open_uni().await {
                    Ok(mut stream) => stream.write_all(bytes).await,
                    Err(_) => break,
                },
                (Some(stream), _) => stream.write_all(bytes).await,
                (None, _) => control.write_all(bytes).await,
            };
            if sent.is_err() && !matches!(on, Target::Streams) {
                break;
            }
        }
    };
    timeout(Duration::from_secs(20), flood).await.expect(what);
    assert_eq!(closed(&quic).await, 0x107, "{what}");
    assert_eq!(house.metrics.count(Cut::Flood), before + 1, "{what}");
}

#[derive(Clone, Copy)]
enum Target {
    Control,
    Request,
    Decoder,
    Streams,
}

#[tokio::test]
async fn floods_of_frames_without_use_close_the_connection() {
    let house = House::start().await;
    let unknown = frame(0x21, b"").repeat(100);
    let max_push_id = frame(0x0d, &[0]).repeat(100);
    let empty = frame(0, b"").repeat(100);
    for (what, bytes, on) in [
        (
            "unknown frames on the control stream",
            &unknown[..],
            Target::Control,
        ),
        ("MAX_PUSH_ID", &max_push_id, Target::Control),
        ("unknown frames of a request", &unknown, Target::Request),
        ("empty DATA", &empty, Target::Request),
        ("cancellations in QPACK", &[0x40; 100], Target::Decoder),
        ("streams of unknown type", &[0x21], Target::Streams),
    ] {
        is_calmed_down(&house, what, bytes, on).await;
    }
    house.stop().await;
}

#[tokio::test]
async fn a_flood_of_quic_frames_closes_the_connection() {
    let house = House::start().await;
    let mut transport = quinn::TransportConfig::default();
    // PING, whenever nothing has come for so long
    transport.keep_alive_interval(Some(Duration::from_millis(1)));
    let quic = house.try_connect(transport).await.unwrap();
    let _control = uni(&quic, &[0, 4, 0]).await;
    // From here on time goes by when nothing is left to do: a client that hardly runs floods as fast as any.
    tokio::time::pause();
    let closed = timeout(Duration::from_secs(60), quic.closed()).await;
    tokio::time::resume();
    assert!(
        matches!(&closed, Ok(ConnectionError::ApplicationClosed(close)) if close.error_code == 0x107u32.into()),
        "{closed:?}"
    );
    assert_eq!(house.metrics.count(Cut::Flood), 1);
    house.stop().await;
}

#[tokio::test]
async fn bytes_without_sense_never_harm_the_server() {
    let house = House::start().await;
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = move |length: usize| -> Vec<u8> {
        let next = |_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()[0]
        };
        (0..length).map(next).collect()
    };
    for _ in 0..50 {
        let quic = house.connect().await;
        for length in [1, 9, 200] {
            if let Ok((mut send, _)) = quic.open_bi().await {
                send.write_all(&noise(length)).await.ok();
            }
            if let Ok(mut send) = quic.open_uni().await {
                send.write_all(&noise(length)).await.ok();
            }
        }
        quic.close(0u32.into(), b"");
    }
    let (quic, _control) = hostile(&house).await;
    let (mut send, mut recv) = request(&quic, &post(&[])).await;
    send.finish().unwrap();
    assert!(end(&mut recv).await.is_ok());
    house.stop().await;
}
