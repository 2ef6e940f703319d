//! From decoded fields to a request that may be believed: RFC 9114 §4.1.2, §4.2 and §4.3.1.
//!
//! Whatever could be read in two ways further on is refused here, nothing is repaired.

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use pingora::http::RequestHeader;

use crate::h3::qpack::Field;

/// A well-formed request.
#[derive(Debug)]
pub struct Request {
    /// The header. Its version says HTTP/2, the nearest that pingora knows, and it has `host`.
    pub header: RequestHeader,
    /// The length that the body must have, where one was declared.
    pub content_length: Option<u64>,
}

/// Why a field section is not a request; each makes the message malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A pseudo-header stands behind a field.
    #[error("pseudo-header after a field")]
    PseudoLate,
    /// A pseudo-header that requests do not have, such as `:status` or `:protocol`.
    #[error("unknown pseudo-header")]
    PseudoUnknown,
    /// A pseudo-header stands twice.
    #[error("pseudo-header twice")]
    PseudoTwice,
    /// `:method`, `:scheme` or `:path` is missing.
    #[error("pseudo-header missing")]
    PseudoMissing,
    /// The method is no token, or CONNECT.
    #[error("method not accepted")]
    Method,
    /// The scheme is neither `https` nor `http`.
    #[error("scheme not accepted")]
    Scheme,
    /// The path is not an absolute path, or has bytes that no path has.
    #[error("path not accepted")]
    Path,
    /// No authority, a bad one, or one that disagrees with `host`.
    #[error("authority not accepted")]
    Authority,
    /// A field name is empty, has upper-case letters, or is no token.
    #[error("field name not accepted")]
    Name,
    /// A field value has control bytes, or spaces around it.
    #[error("field value not accepted")]
    Value,
    /// A field that speaks of an HTTP/1.1 connection, or `te` with more than `trailers`.
    #[error("connection-specific field")]
    ConnectionSpecific,
    /// `content-length` stands twice or is no number.
    #[error("content-length not accepted")]
    ContentLength,
}

/// Checks the fields of a request and makes its header.
///
/// # Errors
///
/// What makes the request malformed.
pub fn request(fields: Vec<Field>) -> Result<Request, Malformed> {
    let mut pseudo = Pseudo::default();
    let mut headers = HeaderMap::with_capacity(fields.len());
    let mut cookies = BytesMut::new();
    for field in fields {
        if field.name.first() == Some(&b':') {
            if !headers.is_empty() || !cookies.is_empty() {
                return Err(Malformed::PseudoLate);
            }
            pseudo.set(&field)?;
            continue;
        }
        let (name, value) = regular(field)?;
        if name == header::COOKIE {
            join_cookie(&mut cookies, &value);
        } else if headers.contains_key(&name)
            && (name == header::CONTENT_LENGTH || name == header::HOST)
        {
            return Err(if name == header::HOST {
                Malformed::Authority
            } else {
                Malformed::ContentLength
            });
        } else {
            headers.append(name, value);
        }
    }
    if !cookies.is_empty() {
        let cookie =
            HeaderValue::from_maybe_shared(cookies.freeze()).map_err(|_| Malformed::Value)?;
        headers.insert(header::COOKIE, cookie);
    }
    let content_length = headers
        .get(header::CONTENT_LENGTH)
        .map(number)
        .transpose()?;
    let header = pseudo.header(headers)?;
    Ok(Request {
        header,
        content_length,
    })
}

/// Checks the fields after a request's body.
///
/// # Errors
///
/// What makes the request malformed; a pseudo-header is one such thing.
pub fn trailers(fields: Vec<Field>) -> Result<(), Malformed> {
    fields
        .into_iter()
        .try_for_each(|field| match field.name.first() {
            Some(b':') => Err(Malformed::PseudoLate),
            _ => regular(field).map(drop),
        })
}

/// The pseudo-headers of a request as they come in.
#[derive(Default)]
struct Pseudo {
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
}

impl Pseudo {
    fn set(&mut self, field: &Field) -> Result<(), Malformed> {
        let slot = match &field.name[..] {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return Err(Malformed::PseudoUnknown),
        };
        match slot.replace(field.value.clone()) {
            None => Ok(()),
            Some(_) => Err(Malformed::PseudoTwice),
        }
    }

    /// Puts the request together, with `host` as HTTP/1.1 would have it.
    fn header(self, mut headers: HeaderMap) -> Result<RequestHeader, Malformed> {
        let (Some(method), Some(scheme), Some(path)) = (self.method, self.scheme, self.path) else {
            return Err(Malformed::PseudoMissing);
        };
        let method = checked_method(&method)?;
        let scheme = checked_scheme(&scheme)?;
        let path = checked_path(path, &method)?;
        let authority = self.authority.map(checked_authority).transpose()?;
        let authority = match (authority, headers.get(header::HOST)) {
            (None, None) => return Err(Malformed::Authority),
            (None, Some(host)) => checked_authority(Bytes::copy_from_slice(host.as_bytes()))?,
            (Some(authority), None) => authority,
            (Some(authority), Some(host)) => {
                let agree = host
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes());
                agree.then_some(authority).ok_or(Malformed::Authority)?
            }
        };
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Malformed::Authority)?;
        headers.insert(header::HOST, host);
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(path);
        let mut parts = http::Request::new(()).into_parts().0;
        parts.method = method;
        parts.uri = uri.build().map_err(|_| Malformed::Path)?;
        parts.version = Version::HTTP_2;
        parts.headers = headers;
        Ok(parts.into())
    }
}

fn checked_method(method: &[u8]) -> Result<Method, Malformed> {
    match Method::from_bytes(method) {
        Ok(Method::CONNECT) | Err(_) => Err(Malformed::Method),
        Ok(method) => Ok(method),
    }
}

fn checked_scheme(scheme: &[u8]) -> Result<Scheme, Malformed> {
    match scheme {
        b"https" => Ok(Scheme::HTTPS),
        b"http" => Ok(Scheme::HTTP),
        _ => Err(Malformed::Scheme),
    }
}

fn checked_path(path: Bytes, method: &Method) -> Result<PathAndQuery, Malformed> {
    let visible = path
        .iter()
        .all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#');
    let form = path.starts_with(b"/") || (&path[..] == b"*" && method == Method::OPTIONS);
    if !visible || !form {
        return Err(Malformed::Path);
    }
    PathAndQuery::from_maybe_shared(path).map_err(|_| Malformed::Path)
}

/// A host and perhaps a port; no user information (RFC 9114 §4.3.1).
fn checked_authority(authority: Bytes) -> Result<Authority, Malformed> {
    if authority.contains(&b'@') {
        return Err(Malformed::Authority);
    }
    let authority = Authority::from_maybe_shared(authority).map_err(|_| Malformed::Authority)?;
    let after_host = authority
        .as_str()
        .get(authority.host().len()..)
        .unwrap_or_default();
    let port_is_good = after_host.is_empty() || authority.port_u16().is_some();
    if authority.host().is_empty() || !port_is_good {
        return Err(Malformed::Authority);
    }
    Ok(authority)
}

/// A field that is no pseudo-header.
fn regular(field: Field) -> Result<(HeaderName, HeaderValue), Malformed> {
    if field.name.iter().any(u8::is_ascii_uppercase) {
        return Err(Malformed::Name);
    }
    // http lets a quotation mark through, which is no token character
    if field.name.contains(&b'"') {
        return Err(Malformed::Name);
    }
    let name = HeaderName::from_bytes(&field.name).map_err(|_| Malformed::Name)?;
    let spaced = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if spaced(field.value.first()) || spaced(field.value.last()) {
        return Err(Malformed::Value);
    }
    if CONNECTION_SPECIFIC.contains(&name.as_str())
        || (name == header::TE && !field.value.eq_ignore_ascii_case(b"trailers"))
    {
        return Err(Malformed::ConnectionSpecific);
    }
    let value = HeaderValue::from_maybe_shared(field.value).map_err(|_| Malformed::Value)?;
    Ok((name, value))
}

/// Cookie fields that came apart are one again: RFC 9114 §4.2.1.
fn join_cookie(cookies: &mut BytesMut, value: &HeaderValue) {
    if !cookies.is_empty() {
        cookies.extend_from_slice(b"; ");
    }
    cookies.extend_from_slice(value.as_bytes());
}

fn number(value: &HeaderValue) -> Result<u64, Malformed> {
    let digits = value.to_str().map_err(|_| Malformed::ContentLength)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::ContentLength);
    }
    digits.parse().map_err(|_| Malformed::ContentLength)
}

/// RFC 9114 §4.2; in responses we take them out, in requests they make the message malformed.
pub(crate) const CONNECTION_SPECIFIC: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests;
