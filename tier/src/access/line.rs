//! What is known of a request, as one line.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contracts::cmcd::Report;
use contracts::json;
use contracts::reason::Reason;
use http::{HeaderMap, HeaderName, header};

use super::ClientAddress;
use crate::admission::{Country, Visitor};
use crate::metrics::CacheUse;
use crate::protocol::Protocol;

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// How the client spoke.
    pub protocol: Protocol,
    /// The request's method.
    pub method: &'a str,
    /// The host that was asked, of a site.
    pub host: Option<&'a str>,
    /// The path without its token; `-` when the request was not admitted.
    pub address: &'a str,
    /// The playback session, when a token named one.
    pub session: Option<&'a str>,
    /// Who asked.
    pub visitor: Visitor,
    /// The request's fields, of which those named in [`Served`]'s line are looked at.
    pub fields: &'a HeaderMap,
    /// What the player said of itself in the query.
    pub cmcd: Option<&'a str>,
    /// The status sent; 0 when the client left before one was.
    pub status: u16,
    /// Bytes of the body handed to the connection.
    pub bytes: usize,
    /// Whether the whole answer was sent.
    pub complete: bool,
    /// How the request met the cache.
    pub cache_use: CacheUse,
    /// The parent that was asked last, when one was.
    pub parent: Option<&'a str>,
    /// Why it was refused or failed.
    pub reason: Option<Reason>,
    /// When the request's header was there.
    pub arrived: SystemTime,
    /// From then until the answer's header was made.
    pub until_header: Option<Duration>,
    /// From then until the answer's end.
    pub took: Duration,
}

/// What a thread writes lines with.
#[derive(Default)]
pub(super) struct Scratch {
    line: Vec<u8>,
    /// The second of the line before, and how it is written.
    second: (u64, [u8; 19]),
}

impl Scratch {
    /// The line of a request, with its end.
    pub(super) fn line(&mut self, node: &str, client: ClientAddress, served: &Served<'_>) -> &[u8] {
        self.line.clear();
        self.line.extend_from_slice(b"{\"time\":\"");
        self.time(served.arrived);
        let out = &mut self.line;
        word(out, b"\",\"node\":\"", node);
        word(out, b"\",\"protocol\":\"", served.protocol.as_str());
        out.push(b'"');
        text(out, b",\"method\":", served.method.as_bytes(), MOST_METHOD);
        if let Some(host) = served.host {
            text(out, b",\"host\":", host.as_bytes(), MOST_HOST);
        }
        text(
            out,
            b",\"address\":",
            served.address.as_bytes(),
            MOST_ADDRESS,
        );
        answer(out, served);
        if let Some(session) = served.session {
            text(out, b",\"session\":", session.as_bytes(), MOST_SESSION);
        }
        who(out, client, &served.visitor);
        for (name, field, most) in [
            (&b",\"range\":"[..], header::RANGE, MOST_RANGE),
            (b",\"user_agent\":", header::USER_AGENT, MOST_USER_AGENT),
        ] {
            if let Some(value) = served.fields.get(field) {
                text(out, name, value.as_bytes(), most);
            }
        }
        player(out, served);
        out.extend_from_slice(b"}\n");
        out
    }

    /// RFC 3339 §5.6, in UTC with milliseconds.
    fn time(&mut self, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second.0 != since.as_secs() || since.as_secs() == 0 {
            self.second = (since.as_secs(), date_and_time(since.as_secs()));
        }
        self.line.extend_from_slice(&self.second.1);
        let ms = since.subsec_millis();
        let digits = [ms / 100, ms / 10 % 10, ms % 10].map(digit);
        self.line.push(b'.');
        self.line.extend_from_slice(&digits);
        self.line.push(b'Z');
    }
}

/// What became of the request.
fn answer(out: &mut Vec<u8>, served: &Served<'_>) {
    number(out, b",\"status\":", u64::from(served.status));
    number(out, b",\"bytes\":", served.bytes as u64);
    let complete: &[u8] = if served.complete { b"true" } else { b"false" };
    out.extend_from_slice(b",\"complete\":");
    out.extend_from_slice(complete);
    word(out, b",\"cache\":\"", served.cache_use.as_str());
    out.push(b'"');
    if let Some(parent) = served.parent {
        text(out, b",\"parent\":", parent.as_bytes(), MOST_HOST);
    }
    if let Some(reason) = served.reason {
        word(out, b",\"reason\":\"", reason.code());
        out.push(b'"');
    }
    number(out, b",\"duration_us\":", micros(served.took));
    if let Some(until_header) = served.until_header {
        number(out, b",\"first_byte_us\":", micros(until_header));
    }
}

/// Who asked, as far as it may be told.
fn who(out: &mut Vec<u8>, told: ClientAddress, visitor: &Visitor) {
    if let (Some(client), true) = (visitor.client, told != ClientAddress::None) {
        out.extend_from_slice(b",\"client\":\"");
        address(out, client.to_canonical(), told == ClientAddress::Network);
        out.push(b'"');
    }
    if let Some(country) = visitor.country {
        word(out, b",\"country\":\"", Country::as_str(&country));
        out.push(b'"');
    }
}

/// What the player said of itself.
fn player(out: &mut Vec<u8>, served: &Served<'_>) {
    let in_fields = CMCD.iter().filter_map(|name| served.fields.get(name));
    let mut in_fields = in_fields.peekable();
    if served.cmcd.is_none() && in_fields.peek().is_none() {
        return;
    }
    let mut report = Report::default();
    for value in in_fields {
        match std::str::from_utf8(value.as_bytes()) {
            Ok(data) => report.read(data),
            Err(_) => report.drop_one(),
        }
    }
    served.cmcd.iter().for_each(|data| report.read(data));
    if !report.is_empty() {
        out.extend_from_slice(b",\"cmcd\":");
        report.write(out);
    }
    if report.dropped() > 0 {
        number(out, b",\"cmcd_dropped\":", report.dropped() as u64);
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr, only_network: bool) {
    use std::io::Write as _;

    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let last = if only_network { 0 } else { d };
            for (at, octet) in [a, b, c, last].into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                json::number(out, u64::from(octet));
            }
            out.extend_from_slice(if only_network { b"/24" } else { b"" });
        }
        // Writing to memory does not fail.
        IpAddr::V6(address) if only_network => {
            let [a, b, c, ..] = address.segments();
            let network = std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0);
            let _ = write!(out, "{network}/48");
        }
        IpAddr::V6(address) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// What needs no escape: our own words.
fn word(out: &mut Vec<u8>, before: &[u8], word: &str) {
    out.extend_from_slice(before);
    out.extend_from_slice(word.as_bytes());
}

fn text(out: &mut Vec<u8>, before: &[u8], text: &[u8], most: usize) {
    out.extend_from_slice(before);
    json::bounded(out, text, most);
}

fn number(out: &mut Vec<u8>, before: &[u8], number: u64) {
    out.extend_from_slice(before);
    json::number(out, number);
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// `2026-11-21T12:00:00` of the Gregorian calendar, in UTC.
fn date_and_time(unix_s: u64) -> [u8; 19] {
    let (mut days, second) = (unix_s / 86_400, unix_s % 86_400);
    // From 1970; a year has 400 years with 146097 days behind and before it, so whole ages are skipped.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    let february = 28 + u64::from(is_leap(year));
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [
        (0, 4, year % 10_000),
        (5, 2, month),
        (8, 2, days + 1),
        (11, 2, second / 3600),
        (14, 2, second / 60 % 60),
        (17, 2, second % 60),
    ];
    for (start, length, mut value) in parts {
        let place = text.get_mut(start..start + length).unwrap_or_default();
        for byte in place.iter_mut().rev() {
            *byte = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    }
    text
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn digit(value: u32) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

/// The fields in which players speak of themselves (CTA-5004 §2.1).
static CMCD: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-session"),
    HeaderName::from_static("cmcd-status"),
];

const MOST_METHOD: usize = 32;
const MOST_HOST: usize = 256;
const MOST_ADDRESS: usize = 1024;
const MOST_SESSION: usize = 64;
const MOST_RANGE: usize = 64;
const MOST_USER_AGENT: usize = 256;
