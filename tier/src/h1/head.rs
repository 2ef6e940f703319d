//! Which requests are simple enough to be answered before Pingora has read them.

use http::header::{self, HeaderName};
use http::{HeaderValue, Method};
use pingora::http::RequestHeader;

/// What has come of a request.
pub(super) enum Head {
    /// All of one that is simple.
    Simple(Simple),
    /// Not all of one that may be.
    Partial,
    /// One that is not, or is none: Pingora judges it.
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

/// Reads the beginning of what was heard, which is not empty.
pub(super) fn read(heard: &[u8]) -> Head {
    if !heard
        .iter()
        .zip(BEGINNING)
        .all(|(heard, simple)| heard == simple)
    {
        return Head::Other;
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(heard) {
        Ok(httparse::Status::Complete(length)) => {
            simple(length, &request).map_or(Head::Other, Head::Simple)
        }
        Ok(httparse::Status::Partial) if heard.len() <= LONGEST => Head::Partial,
        _ => Head::Other,
    }
}

fn simple(length: usize, parsed: &httparse::Request<'_, '_>) -> Option<Simple> {
    let target = parsed.path.filter(|target| target.is_ascii())?;
    if parsed.version != Some(1) {
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
const ELSEWHERE: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];
