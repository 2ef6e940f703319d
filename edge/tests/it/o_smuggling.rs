//! Requests that two readers could read in two ways: none of them may reach a parent.

use std::time::Duration;

use tier::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::House;
use crate::origin::{Origin, Reply};
use crate::raw::{self, Outcome};

async fn films() -> Origin {
    Origin::start(|_| Reply::ok("film").field("millrace-access", "public")).await
}

/// What the client gets for its bytes: the answers' status lines, until the connection closes or
/// falls silent.
async fn statuses(house: &House, bytes: &[u8]) -> Vec<u16> {
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    // What is refused early is not taken to its end.
    let _ = stream.write_all(bytes).await;
    let mut seen = Vec::new();
    let reading = async { while stream.read_buf(&mut seen).await.unwrap_or(0) > 0 {} };
    let _ = tokio::time::timeout(Duration::from_millis(400), reading).await;
    let text = String::from_utf8_lossy(&seen).into_owned();
    let lines = text.split("HTTP/1.").skip(1);
    lines.map(|line| line[2..5].parse().unwrap()).collect()
}

/// A request with one more line or two; what follows it is a request inside a body for one reader
/// and a request of its own for another.
fn with(lines: &str) -> Vec<u8> {
    format!("GET /v/p/x HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n\r\n").into_bytes()
}

fn smuggling(lines: &str, body: &str) -> Vec<u8> {
    let hidden = "GET /v/p/hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";
    [&with(lines)[..], body.as_bytes(), hidden.as_bytes()].concat()
}

#[tokio::test]
async fn an_http1_request_that_can_be_read_in_two_ways_is_refused() {
    let (origin, long) = (films().await, "e".repeat(70_000));
    let house = House::open(&origin).await;
    let line = |line: &str| format!("{line}\r\nhost: localhost\r\n\r\n").into_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a length and chunks", smuggling("content-length: 4\r\ntransfer-encoding: chunked", "0\r\n\r\n")),
        ("chunks and a length", smuggling("transfer-encoding: chunked\r\ncontent-length: 4", "0\r\n\r\n")),
        ("two lengths", smuggling("content-length: 0\r\ncontent-length: 48", "")),
        ("two lengths in a line", smuggling("content-length: 0, 48", "")),
        ("a signed length", smuggling("content-length: +0", "")),
        ("a negative length", smuggling("content-length: -1", "")),
        ("a hexadecimal length", smuggling("content-length: 0x30", "")),
        ("a length with a space in it", smuggling("content-length: 4 8", "")),
        ("a length beyond all numbers", smuggling("content-length: 99999999999999999999999", "")),
        ("an empty length", smuggling("content-length:", "")),
        ("a folded encoding", smuggling("transfer-encoding:\r\n chunked", "0\r\n\r\n")),
        ("a folded field", smuggling("x-a: b\r\n content-length: 48", "")),
        ("a space before the colon", smuggling("transfer-encoding : chunked", "0\r\n\r\n")),
        ("an unknown encoding", smuggling("transfer-encoding: xchunked", "0\r\n\r\n")),
        ("another encoding last", smuggling("transfer-encoding: chunked, identity", "0\r\n\r\n")),
        ("chunked twice", smuggling("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "0\r\n\r\n")),
        ("a line break of its own in a value", smuggling("x-a: b\rtransfer-encoding: chunked", "0\r\n\r\n")),
        ("a NUL in a value", smuggling("x-a: b\0c", "")),
        ("a NUL in a name", smuggling("x\0a: b", "")),
        ("no colon", smuggling("x-a", "")),
        ("no name", smuggling(": b", "")),
        ("a first line that goes on", smuggling(" x-a: b", "")),
        ("a chunk extension without end", smuggling("transfer-encoding: chunked", &format!("1;{long}\r\na\r\n0\r\n\r\n"))),
        ("a chunk too large for any number", smuggling("transfer-encoding: chunked", "fffffffffffffffff\r\n")),
        ("a chunk of negative size", smuggling("transfer-encoding: chunked", "-1\r\n\r\n")),
        ("a chunk size with a sign", smuggling("transfer-encoding: chunked", "+0\r\n\r\n")),
        ("a chunk line that ends with LF alone", smuggling("transfer-encoding: chunked", "0\n\n")),
        ("an asterisk for GET", line("GET * HTTP/1.1")),
        ("two hosts", with("host: elsewhere")),
        ("no host", b"GET /v/p/x HTTP/1.1\r\n\r\n".to_vec()),
        ("a host with a path", b"GET /v/p/x HTTP/1.1\r\nhost: localhost/v\r\n\r\n".to_vec()),
        ("another host in the target", line("GET http://elsewhere/v/p/x HTTP/1.1")),
        ("a user in the target", line("GET http://a@localhost/v/p/x HTTP/1.1")),
        ("an authority alone", line("CONNECT localhost:443 HTTP/1.1")),
        ("a target without its slash", line("GET v/p/x HTTP/1.1")),
        ("a target of two words", line("GET /v/p/x /v/p/hidden HTTP/1.1")),
        ("a tab for a space", line("GET\t/v/p/x\tHTTP/1.1")),
        ("a NUL in the target", line("GET /v/p/x\0 HTTP/1.1")),
        ("a fragment", line("GET /v/p/x#hidden HTTP/1.1")),
        ("a method with a colon", line("GE:T /v/p/x HTTP/1.1")),
        ("a version to come", line("GET /v/p/x HTTP/3.0")),
        ("HTTP/2 in words", line("GET /v/p/x HTTP/2.0")),
        ("no version", b"GET /v/p/x\r\n\r\n".to_vec()),
        ("chunks on HTTP/1.0", b"GET /v/p/x HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v/p/hidden HTTP/1.0\r\n\r\n".to_vec()),
    ];
    let mut wrong = Vec::new();
    // What is in memory is answered by a reader of its own, and must not be for any of these.
    assert_eq!(statuses(&house, &with("x-a: b")).await, [200]);
    for (what, bytes) in cases {
        let before = origin.requests();
        let got = statuses(&house, &bytes).await;
        // One refusal and no more, or a connection that closes without a word.
        if !matches!(got[..], [] | [400..=599]) || origin.requests() != before {
            wrong.push(format!(
                "{what}: {got:?}, {} asked",
                origin.requests() - before
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let heads = origin.heads();
    assert!(
        !heads.iter().any(|head| head.contains("hidden")),
        "{heads:?}"
    );
    // What is plain is served, pipelined or not, also where it has no carriage returns.
    assert_eq!(statuses(&house, &with("x-a: b")).await, [200]);
    let bare = b"GET /v/p/x HTTP/1.1\nhost: localhost\nconnection: close\n\n";
    assert!(matches!(statuses(&house, bare).await[..], [200 | 400]));
}

type Fields = Vec<(&'static str, &'static str)>;

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", "/v/p/x"),
];

fn and(more: &[(&'static str, &'static str)]) -> Fields {
    [&GET, more].concat()
}

/// The request with another value for a pseudo-header.
fn but(name: &str, value: &'static str) -> Fields {
    let changed = |field: (&'static str, &'static str)| {
        if field.0 == name {
            (field.0, value)
        } else {
            field
        }
    };
    GET.into_iter().map(changed).collect()
}

fn without(name: &str) -> Fields {
    GET.into_iter().filter(|field| field.0 != name).collect()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn malformed() -> Vec<(&'static str, Fields, Option<&'static [u8]>)> {
    vec![
        (
            "a body shorter than its length",
            and(&[("content-length", "5")]),
            Some(b"four"),
        ),
        (
            "a body longer than its length",
            and(&[("content-length", "3")]),
            Some(b"four"),
        ),
        (
            "a body where the length is none",
            and(&[("content-length", "0")]),
            Some(b"four"),
        ),
        (
            "a length without a body",
            and(&[("content-length", "5")]),
            None,
        ),
        (
            "two lengths",
            and(&[("content-length", "4"), ("content-length", "5")]),
            Some(b"four"),
        ),
        (
            "a signed length",
            and(&[("content-length", "+4")]),
            Some(b"four"),
        ),
        (
            "transfer-encoding",
            and(&[("transfer-encoding", "chunked")]),
            Some(b"0\r\n\r\n"),
        ),
        ("connection", and(&[("connection", "close")]), None),
        ("keep-alive", and(&[("keep-alive", "timeout=5")]), None),
        (
            "proxy-connection",
            and(&[("proxy-connection", "close")]),
            None,
        ),
        ("upgrade", and(&[("upgrade", "h2c")]), None),
        ("te other than trailers", and(&[("te", "gzip")]), None),
        ("upper case", and(&[("X-A", "b")]), None),
        ("a space in a name", and(&[("x a", "b")]), None),
        ("a colon in a name", and(&[("x:a", "b")]), None),
        ("an empty name", and(&[("", "b")]), None),
        ("a line break in a name", and(&[("x\r\na", "b")]), None),
        (
            "a line break in a value",
            and(&[("x-a", "b\r\nx-b: c")]),
            None,
        ),
        (
            "a carriage return in a value",
            and(&[("x-a", "b\rc")]),
            None,
        ),
        ("a line feed in a value", and(&[("x-a", "b\nc")]), None),
        ("a NUL in a value", and(&[("x-a", "b\0c")]), None),
        ("no method", without(":method"), None),
        ("no scheme", without(":scheme"), None),
        ("no path", without(":path"), None),
        ("no authority and no host", without(":authority"), None),
        ("two methods", and(&[(":method", "HEAD")]), None),
        ("two paths", and(&[(":path", "/v/p/hidden")]), None),
        ("two authorities", and(&[(":authority", "elsewhere")]), None),
        (
            "a pseudo-header of responses",
            and(&[(":status", "200")]),
            None,
        ),
        ("an unknown pseudo-header", and(&[(":hidden", "1")]), None),
        (
            "a late pseudo-header",
            [&GET[..3], &[("x-a", "b"), GET[3]]].concat(),
            None,
        ),
        ("an empty path", but(":path", ""), None),
        ("a path without its slash", but(":path", "v/p/x"), None),
        (
            "an absolute path with another host",
            but(":path", "http://elsewhere/v/p/x"),
            None,
        ),
        (
            "a path with a line break",
            but(":path", "/v/p/x HTTP/1.1\r\nhost: elsewhere"),
            None,
        ),
        (
            "a path with a space",
            but(":path", "/v/p/x /v/p/hidden"),
            None,
        ),
        ("a path with a NUL", but(":path", "/v/p/x\0"), None),
        ("an asterisk for GET", but(":path", "*"), None),
        (
            "a method with a space",
            but(":method", "GET /v/p/hidden"),
            None,
        ),
        ("CONNECT", but(":method", "CONNECT"), None),
        ("another host", and(&[("host", "elsewhere")]), None),
        (
            "two hosts",
            and(&[("host", "localhost"), ("host", "elsewhere")]),
            None,
        ),
        (
            "a user in the authority",
            but(":authority", "a@localhost"),
            None,
        ),
        (
            "an authority with a path",
            but(":authority", "localhost/v"),
            None,
        ),
        ("an empty authority", but(":authority", ""), None),
    ]
}

#[tokio::test]
async fn an_http2_or_http3_request_that_is_malformed_is_refused() {
    let origin = films().await;
    let (house, site) = (House::open(&origin).await, House::site(&origin).await);
    let mut wrong = Vec::new();
    let houses = [
        (&house, Protocol::H2),
        (&house, Protocol::H3),
        (&site, Protocol::H2),
        (&site, Protocol::H3),
    ];
    for (what, fields, body) in malformed() {
        for (house, protocol) in houses {
            let client = house.client(protocol);
            let got = match protocol {
                Protocol::H2 => raw::h2_message(&client, &fields, body).await,
                _ => raw::h3_message(&client, &fields, body).await,
            };
            if got != Outcome::Refused {
                wrong.push(format!("{what} over {protocol}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let whole = origin.bodies();
    assert!(
        whole.iter().all(String::is_empty),
        "passed on as if whole: {whole:?}"
    );
    for protocol in [Protocol::H2, Protocol::H3] {
        let client = house.client(protocol);
        let got = match protocol {
            Protocol::H2 => raw::h2_message(&client, &GET, None).await,
            _ => raw::h3_message(&client, &GET, None).await,
        };
        assert_eq!(got, Outcome::Ok, "{protocol}");
    }
}

/// RFC 9114 §4.3.1 has no fragment in `:path`. Over HTTP/2 the `http` crate cuts it off before
/// anybody else sees it, so that the request is the one without it there.
#[tokio::test]
async fn a_fragment_is_refused_where_it_can_be_seen_and_never_passed_on() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let fields = but(":path", "/v/p/x#hidden");
    let got = raw::h3_message(&house.client(Protocol::H3), &fields, None).await;
    assert_eq!(got, Outcome::Refused);
    raw::h2_message(&house.client(Protocol::H2), &fields, None).await;
    assert!(origin.heads().iter().all(|head| !head.contains("hidden")));
}
