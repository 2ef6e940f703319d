//! HTTP/2 frames that break a rule, written byte by byte, and the error that each must be told.

use std::time::Duration;

use bytes::BytesMut;
use tier::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::House;
use crate::origin::{Gate, Origin, Reply, Step};
use crate::raw::{HELLO, frame, h2_block, h2_frame};

/// RFC 9113 §6.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// How the server ended the connection or a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// By GOAWAY with a code.
    Connection(u32),
    /// By RST_STREAM with a code.
    Stream(u32),
    /// Without a word.
    Closed,
    /// Not at all.
    Open,
}

pub async fn films() -> Origin {
    Origin::start(|_| Reply::ok("film").field("millrace-access", "public")).await
}

pub async fn end(house: &House, first: &[u8], bytes: &[u8]) -> End {
    let mut stream = house.client(Protocol::H2).tls("h2").await;
    // What is refused early is not taken to its end.
    let _ = stream.write_all(&[first, bytes].concat()).await;
    let mut seen = BytesMut::new();
    let reading = async {
        loop {
            while let Some((kind, _, _, payload)) = frame(&mut seen) {
                let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
                match kind {
                    RST_STREAM => return End::Stream(code(0)),
                    GOAWAY if code(4) != 0 => return End::Connection(code(4)),
                    _ => {}
                }
            }
            if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                return End::Closed;
            }
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(2), reading).await;
    end.unwrap_or(End::Open)
}

pub fn request(stream: u32, flags: u8) -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/v/p/x"),
    ];
    h2_frame(HEADERS, flags, stream, &h2_block(&fields))
}

fn get() -> Vec<u8> {
    request(1, END_HEADERS | END_STREAM)
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    h2_frame(SETTINGS, 0, 0, &payload)
}

pub fn two(first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    [&first, second].concat()
}

type Case = (&'static str, Vec<u8>, &'static [u32]);

/// Errors of the whole connection. The `h2` crate tells some of them by the general code.
#[expect(clippy::too_many_lines, reason = "a table")]
fn connection_errors() -> Vec<Case> {
    let large = vec![0; 16_385];
    let open = || request(1, 0);
    vec![
        (
            "§4.2 a header block too large for a frame",
            h2_frame(HEADERS, END_HEADERS, 1, &large),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "§4.2 a body too large for a frame",
            two(request(1, END_HEADERS), &h2_frame(DATA, 0, 1, &large)),
            &[FRAME_SIZE_ERROR],
        ),
        (
            "§4.3 a block that cannot be unpacked",
            h2_frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            ),
            &[COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
        (
            "§4.3 PRIORITY within a block",
            two(open(), &h2_frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
            &[PROTOCOL_ERROR],
        ),
        (
            "§4.3 another stream within a block",
            two(open(), &request(3, END_HEADERS)),
            &[PROTOCOL_ERROR],
        ),
        (
            "§4.3 an unknown frame within a block",
            two(open(), &h2_frame(0x77, 0, 0, b"x")),
            &[PROTOCOL_ERROR],
        ),
        (
            "§5.1 DATA on an idle stream",
            h2_frame(DATA, 0, 1, b"x"),
            &[PROTOCOL_ERROR],
        ),
        (
            "§5.1 RST_STREAM on an idle stream",
            h2_frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§5.1 WINDOW_UPDATE on an idle stream",
            h2_frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§5.1 CONTINUATION on an idle stream",
            h2_frame(CONTINUATION, END_HEADERS, 1, b""),
            &[PROTOCOL_ERROR],
        ),
        (
            "§5.1.1 an even stream",
            request(2, END_HEADERS | END_STREAM),
            &[PROTOCOL_ERROR],
        ),
        (
            "§5.1.1 a stream of a lower number",
            two(
                request(5, END_HEADERS | END_STREAM),
                &request(3, END_HEADERS | END_STREAM),
            ),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        (
            "§6.1 DATA on stream 0",
            h2_frame(DATA, 0, 0, b"x"),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.1 more padding than DATA",
            two(
                request(1, END_HEADERS),
                &h2_frame(DATA, PADDED, 1, &[9, 1, 1]),
            ),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.2 HEADERS on stream 0",
            request(0, END_HEADERS | END_STREAM),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.2 more padding than HEADERS",
            h2_frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[9, 1, 1]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.3 PRIORITY on stream 0",
            h2_frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 1]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.4 RST_STREAM on stream 0",
            h2_frame(RST_STREAM, 0, 0, &[0, 0, 0, 8]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.4 RST_STREAM of three octets",
            two(get(), &h2_frame(RST_STREAM, 0, 1, &[0, 0, 8])),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "§6.5 an acknowledgement with content",
            h2_frame(SETTINGS, ACK, 0, &[0; 6]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "§6.5 SETTINGS on a stream",
            h2_frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 1]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.5 SETTINGS of five octets",
            h2_frame(SETTINGS, 0, 0, &[0; 5]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        ("§6.5.2 ENABLE_PUSH 2", setting(2, 2), &[PROTOCOL_ERROR]),
        (
            "§6.5.2 a window beyond 2^31-1",
            setting(4, 1 << 31),
            &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR],
        ),
        (
            "§6.5.2 frames below 16,384",
            setting(5, 16_383),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.5.2 frames of 2^24",
            setting(5, 1 << 24),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.6 PUSH_PROMISE by a client",
            h2_frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.7 PING on a stream",
            h2_frame(PING, 0, 1, &[0; 8]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.7 PING of seven octets",
            h2_frame(PING, 0, 0, &[0; 7]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "§6.8 GOAWAY on a stream",
            h2_frame(GOAWAY, 0, 1, &[0; 8]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.9 WINDOW_UPDATE by nothing",
            h2_frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.9 WINDOW_UPDATE of three octets",
            h2_frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "§6.9.1 a connection's window beyond 2^31-1",
            h2_frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "§6.10 CONTINUATION behind a block's end",
            two(
                request(1, END_HEADERS),
                &h2_frame(CONTINUATION, END_HEADERS, 1, b""),
            ),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.10 CONTINUATION on stream 0",
            two(open(), &h2_frame(CONTINUATION, END_HEADERS, 0, b"")),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.10 CONTINUATION of another stream",
            two(open(), &h2_frame(CONTINUATION, END_HEADERS, 3, b"")),
            &[PROTOCOL_ERROR],
        ),
    ]
}

/// Errors of one stream, for which the connection may end as well (RFC 9113 §5.4.2).
fn stream_errors() -> Vec<Case> {
    let window = [0x7f, 0xff, 0xff, 0xff];
    vec![
        (
            "§5.1 DATA behind the end",
            two(get(), &h2_frame(DATA, END_STREAM, 1, b"x")),
            &[STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        (
            "§5.1 HEADERS behind the end",
            two(get(), &get()),
            &[STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        (
            "§6.3 PRIORITY of four octets",
            h2_frame(PRIORITY, 0, 1, &[0; 4]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "§6.9 a stream's WINDOW_UPDATE by nothing",
            two(
                request(1, END_HEADERS),
                &h2_frame(WINDOW_UPDATE, 0, 1, &[0; 4]),
            ),
            &[PROTOCOL_ERROR],
        ),
        (
            "§6.9.1 a stream's window beyond 2^31-1",
            two(
                request(1, END_HEADERS),
                &h2_frame(WINDOW_UPDATE, 0, 1, &window),
            ),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "§8.1 trailers that do not end",
            two(
                request(1, END_HEADERS),
                &h2_frame(HEADERS, END_HEADERS, 1, &h2_block(&[("x-a", "b")])),
            ),
            &[PROTOCOL_ERROR],
        ),
    ]
}

#[tokio::test]
async fn each_broken_rule_is_told_by_a_code_of_its_own_or_the_general_one() {
    let origin = films().await;
    let house = House::site(&origin).await;
    let mut wrong = Vec::new();
    for (what, bytes, codes) in connection_errors() {
        let end = end(&house, HELLO, &bytes).await;
        if !matches!(end, End::Connection(code) if codes.contains(&code)) {
            wrong.push(format!("{what}: {end:?}"));
        }
    }
    for (what, bytes, codes) in stream_errors() {
        let end = end(&house, HELLO, &bytes).await;
        if !matches!(end, End::Connection(code) | End::Stream(code) if codes.contains(&code)) {
            wrong.push(format!("{what}: {end:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_connection_that_does_not_begin_as_http2_is_closed() {
    let origin = films().await;
    let house = House::open(&origin).await;
    for first in [
        &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        &HELLO.to_ascii_lowercase(),
    ] {
        let end = end(&house, first, b"").await;
        assert!(
            matches!(end, End::Closed | End::Connection(PROTOCOL_ERROR)),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn what_is_unknown_or_merely_useless_is_borne() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let bytes = [
        h2_frame(0x77, 0xff, 0, b"unknown"),
        setting(0xff, 1),
        h2_frame(PING, ACK, 0, &[0; 8]),
        h2_frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 1]),
        get(),
    ]
    .concat();
    assert_eq!(end(&house, HELLO, &bytes).await, End::Open);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_stop_is_announced_and_what_is_under_way_still_ends() {
    let gate = Gate::shut();
    let steps = vec![
        Step::Send("begun".into()),
        Step::Wait(gate.clone()),
        Step::Send("ended".into()),
    ];
    let origin = Origin::start(move |_| Reply::steps(10, steps.clone())).await;
    let house = House::with(&origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.clients.drain = config::Span::seconds(20);
    })
    .await;
    let mut stream = house.client(Protocol::H2).tls("h2").await;
    let hello = [HELLO, &h2_frame(SETTINGS, ACK, 0, b""), &get()].concat();
    stream.write_all(&hello).await.unwrap();
    let (mut seen, mut said, mut stopping) = (BytesMut::new(), Vec::new(), None);
    let mut running = Some(house.edge);
    loop {
        while let Some((kind, flags, id, payload)) = frame(&mut seen) {
            match kind {
                DATA => {
                    said.extend_from_slice(&payload);
                    if let Some(edge) = running.take() {
                        stopping = Some(tokio::spawn(edge.stop()));
                    }
                    if flags & END_STREAM != 0 {
                        said.extend_from_slice(b" whole");
                    }
                }
                GOAWAY => {
                    assert_eq!(payload[4..8], [0; 4], "no error");
                    gate.open();
                }
                // An honest client answers: that is how the server knows that it has heard.
                PING if flags & ACK == 0 => {
                    let pong = h2_frame(PING, ACK, 0, &payload);
                    stream.write_all(&pong).await.unwrap();
                }
                RST_STREAM => panic!("stream {id} was reset"),
                _ => {}
            }
        }
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            break;
        }
    }
    assert_eq!(said, b"begunended whole");
    stopping.unwrap().await.unwrap();
}
