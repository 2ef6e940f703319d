//! Which requests are simple enough to be answered before Pingora has read them.

use http::header::{self, HeaderName};
use http::{HeaderValue, Method};
use pingora::http::RequestHeader;

/// What has come of a request.
pub(super) enum Head {
    /// All of one that is simple.
    Simple(Simple),
    /// All of another one, in so many bytes: nothing belongs to it but its header.
    Whole(usize),
    /// One that a body may follow, or none: Pingora reads on, and judges it.
    Other,
}

/// A GET without a body on a connection that goes on.
pub(super) struct Simple {
    /// The header's length in bytes.
    pub(super) length: usize,
    /// Its fields; the target stands beside it.
    pub(super) request: Box<RequestHeader>,
    /// The target as it came.
    pub(super) target: String,
}

/// Reads the beginning of what was heard. `None`: more of a header is to come.
pub(super) fn read(heard: &[u8]) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(heard) {
        Ok(httparse::Status::Complete(length)) => Some(
            simple(length, heard, &request)
                .map(Head::Simple)
                .or_else(|| ends_there(&request).then_some(Head::Whole(length)))
                .unwrap_or(Head::Other),
        ),
        Ok(httparse::Status::Partial) if heard.len() <= LONGEST => None,
        _ => Some(Head::Other),
    }
}

/// Whether the request ends with its header (RFC 9112 §6.3).
fn ends_there(parsed: &httparse::Request<'_, '_>) -> bool {
    let is = |field: &httparse::Header<'_>, name: &HeaderName| {
        field.name.eq_ignore_ascii_case(name.as_str())
    };
    let leads_on = |field: &httparse::Header<'_>| {
        let empty = field.value == b"0" && is(field, &header::CONTENT_LENGTH);
        !empty && LEADING_ON.iter().any(|name| is(field, name))
    };
    parsed.method != Some("CONNECT") && !parsed.headers.iter().any(leads_on)
}

fn simple(length: usize, heard: &[u8], parsed: &httparse::Request<'_, '_>) -> Option<Simple> {
    let target = parsed.path.filter(|target| target.is_ascii())?;
    if parsed.version != Some(1) || !heard.starts_with(BEGINNING) {
        return None;
    }
    let fields = parsed.headers.len();
    let mut request = RequestHeader::build_no_case(Method::GET, b"/", Some(fields)).ok()?;
    let mut hosts = 0;
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let may_stay = match name {
            header::HOST => {
                hosts += 1;
                true
            }
            header::CONNECTION => field.value.eq_ignore_ascii_case(b"keep-alive"),
            _ => !ELSEWHERE.contains(&name),
        };
        if !may_stay {
            return None;
        }
        let value = HeaderValue::from_bytes(field.value).ok()?;
        request.append_header(name, value).ok()?;
    }
    (hosts == 1).then(|| Simple {
        length,
        request: Box::new(request),
        target: target.to_owned(),
    })
}

const BEGINNING: &[u8] = b"GET /";

/// Bytes of a header beyond which Pingora reads on.
const LONGEST: usize = 16 * 1024;

const MOST_FIELDS: usize = 64;

/// Fields that announce a body, or change what the connection is.
const LEADING_ON: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::UPGRADE,
];

/// Fields of what is not simple.
const ELSEWHERE: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];
