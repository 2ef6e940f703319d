//! How a node treats what it fetches: as films, which are the same for everybody, or as whatever a site serves.
//!
//! The rules of both stand side by side in each function, so that nothing of a viewer's can reach a fill of a film
//! by way of a rule that is meant for sites.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use contracts::header::PRIVATE_PREFIX;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::cache::key::{CacheHashKey, HashBinary};
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Result;
use pingora::protocols::l4::socket::SocketAddr;

use crate::headers;
use crate::rfc9111::condition;
use crate::rfc9111::directives::Request as Wishes;
use crate::rfc9111::reference;
use crate::rfc9111::vary::{Vary, selection};

/// What a node serves.
#[derive(Clone, Debug)]
pub enum Policy {
    /// Films. Only GET and HEAD; parents see an address and nothing of the viewer; one answer serves everybody.
    Films,
    /// Any HTTP origin. All methods and end-to-end fields go through, and RFC 9111 alone says what is kept.
    Site(Site),
}

/// What RFC 9111 leaves to the operator of a cache in front of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The longest time for which a response is taken for fresh that does not say so, but says when it was last
    /// changed (RFC 9111 §4.2.2); zero: no time.
    pub heuristic: Duration,
    /// How long stale responses answer while the parent cannot be reached (RFC 9111 §4.2.4), unless they forbid it.
    pub disconnected: Duration,
    /// Whether what clients ask of caches is done (RFC 9111 §5.2.1). It lets them reach past the cache.
    pub obeys_clients: bool,
    /// Whether the cookies of an answer are kept that has a lifetime, but does not say that it is for all.
    pub shares_cookies: bool,
}

/// What becomes of a request by its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// The cache is asked first.
    Cache,
    /// It goes to the parent.
    Through,
}

/// The client's side of a connection, as a site's origin is told of it.
#[derive(Clone, Copy)]
pub(crate) struct From {
    pub(crate) client: Option<IpAddr>,
    pub(crate) scheme: &'static str,
}

impl From {
    /// By a connection's other end, and whether it is encrypted.
    pub(crate) fn connection(client: Option<&SocketAddr>, secured: bool) -> Self {
        Self {
            client: client
                .and_then(SocketAddr::as_inet)
                .map(std::net::SocketAddr::ip),
            scheme: if secured { "https" } else { "http" },
        }
    }
}

impl Policy {
    /// What becomes of a request with this method; `None`: it is not served.
    pub(crate) fn passage(&self, method: &Method) -> Option<Passage> {
        match (self, method.as_str()) {
            (_, "GET" | "HEAD") => Some(Passage::Cache),
            // No tunnels, and nobody is shown what a request looks like behind us.
            (Self::Films, _) | (Self::Site(_), "CONNECT" | "TRACE") => None,
            (Self::Site(_), _) => Some(Passage::Through),
        }
    }

    /// By what an object is purged, and told from others of one scheme. Clients of a site choose the host that its
    /// origin sees, so it is part of that.
    pub(crate) fn subject(&self, address: &str, request: &RequestHeader) -> String {
        match self {
            Self::Films => address.to_owned(),
            Self::Site(_) => format!("//{}{address}", host(request)),
        }
    }

    /// By what an object is kept: for a site the target URI (RFC 9111 §2). Its origin may answer the two schemes
    /// differently (RFC 9110 §4.2.3), as one that leads from `http` to `https` does.
    pub(crate) fn target<'a>(&self, subject: &'a str, scheme: &str) -> Cow<'a, str> {
        match self {
            Self::Films => Cow::Borrowed(subject),
            Self::Site(_) => Cow::Owned(format!("{scheme}:{subject}")),
        }
    }

    /// Makes a client's request one that the parent may see.
    pub(crate) fn to_parent(
        &self,
        request: &mut RequestHeader,
        parent: &str,
        from: From,
        own: &str,
    ) -> Result<()> {
        match self {
            Self::Films => {
                headers::bare(request);
                request.insert_header(header::HOST, parent)
            }
            Self::Site(_) => {
                // Fields between two hops are gone already (RFC 9110 §7.6.1).
                headers::remove_prefixed(request, PRIVATE_PREFIX);
                headers::remove_unkeyed(request);
                if !request.headers.contains_key(header::HOST) {
                    request.insert_header(header::HOST, parent)?;
                }
                request.append_header(header::VIA, format!("{} {own}", version(request)))?;
                if let Some(client) = from.client {
                    request.append_header(X_FORWARDED_FOR, client.to_string())?;
                }
                if let Some(host) = request.headers.get(header::HOST).cloned() {
                    request.insert_header(X_FORWARDED_HOST, host)?;
                }
                request.insert_header(X_FORWARDED_PROTO, from.scheme)
            }
        }
    }

    /// Which of an object's variants a request asks for (RFC 9111 §4.1); `None` where there are none.
    pub(crate) fn variance(
        &self,
        stored: &CacheMeta,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        let (Self::Site(_), Vary::Fields(names)) = (self, Vary::of(stored.headers())) else {
            // What varies with anything is not stored.
            return None;
        };
        let is_part = stored.response_header().status == StatusCode::PARTIAL_CONTENT;
        if names.is_empty() && !is_part {
            return None;
        }
        let mut selection = selection(&names, &request.headers);
        if is_part {
            // A part answers those who ask for the same part. The word is no `Range`.
            let part = condition::part(request).map_or(&b"whole"[..], HeaderValue::as_bytes);
            selection.extend_from_slice(part);
        }
        Some(CacheKey::new(selection, "").primary_bin())
    }

    /// Whether a parent is asked for the part that the client wants, and not for the whole: where a part is renewed,
    /// and where a fill of the whole would not help (`reach` is what may be stored).
    pub(crate) fn fetches_part(
        &self,
        request: &RequestHeader,
        stored: Option<&CacheMeta>,
        reach: usize,
    ) -> bool {
        let range = request.headers.get(header::RANGE);
        let (Self::Site(_), "GET", Some(range)) = (self, request.method.as_str(), range) else {
            return false;
        };
        stored.map_or_else(
            || condition::is_beyond(range, reach as u64),
            |stored| stored.response_header().status == StatusCode::PARTIAL_CONTENT,
        )
    }

    /// Whether the answer to a request may answer later ones. That to a POST may where it says so (RFC 9110 §9.3.3).
    pub(crate) fn may_store(&self, request: &RequestHeader) -> bool {
        match self.passage(&request.method) {
            Some(Passage::Cache) => true,
            Some(Passage::Through) => {
                request.method == Method::POST && !condition::is_conditional(request)
            }
            None => false,
        }
    }

    /// What the client asks of the cache, as far as that is done.
    pub(crate) fn wishes(&self, request: &RequestHeader) -> Option<Wishes> {
        match self {
            Self::Site(site) if site.obeys_clients => Some(Wishes::of(&request.headers)),
            Self::Films | Self::Site(_) => None,
        }
    }

    /// How long stale responses answer while the parent cannot be reached.
    pub(crate) const fn disconnected(&self) -> Duration {
        match self {
            // For what is fresh still, and is to be validated because the feed is lost.
            Self::Films => Duration::from_secs(1),
            Self::Site(site) => site.disconnected,
        }
    }

    /// The addresses that a request has changed, by its parent's answer (RFC 9111 §4.4): its own, and those on the
    /// same host that the answer names.
    pub(crate) fn invalidates(
        &self,
        request: &RequestHeader,
        address: &str,
        answer: &ResponseHeader,
    ) -> Vec<String> {
        let safe = matches!(
            request.method.as_str(),
            "GET" | "HEAD" | "OPTIONS" | "TRACE"
        );
        if matches!(self, Self::Films) || safe || answer.status.as_u16() >= 400 {
            return Vec::new();
        }
        let named = [header::LOCATION, header::CONTENT_LOCATION].map(|name| {
            let reference = answer.headers.get(name)?.to_str().ok()?;
            reference::resolve(reference, &host(request), address)
        });
        std::iter::once(address.to_owned())
            .chain(named.into_iter().flatten())
            .collect()
    }
}

/// Whether an answer is what a GET for the request's own address would bring (RFC 9110 §8.7).
pub(crate) fn is_about_itself(request: &RequestHeader, answer: &ResponseHeader) -> bool {
    let address = request
        .uri
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let location = answer.headers.get(header::CONTENT_LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let named = location.and_then(|named| reference::resolve(named, &host(request), address));
    named.as_deref() == Some(address)
}

/// The host that a request names, in the one form in which it is compared (RFC 9110 §4.2.3).
fn host(request: &RequestHeader) -> String {
    let host = request.headers.get(header::HOST);
    let text = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    text.to_ascii_lowercase()
}

fn version(request: &RequestHeader) -> &'static str {
    match request.version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Policy = Policy::Site(Site {
        heuristic: Duration::ZERO,
        disconnected: Duration::ZERO,
        obeys_clients: false,
        shares_cookies: false,
    });

    fn request(method: &str, lines: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in lines {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    #[test]
    fn what_was_changed_is_forgotten_with_what_the_answer_names() {
        let mut answer = ResponseHeader::build(201, None).unwrap();
        answer.insert_header("location", "new").unwrap();
        answer
            .insert_header("content-location", "//elsewhere/x")
            .unwrap();
        for method in ["POST", "PUT", "DELETE", "M-SEARCH"] {
            let request = request(method, &[("host", "a")]);
            assert_eq!(
                SITE.invalidates(&request, "/list", &answer),
                ["/list", "/new"]
            );
            assert!(
                Policy::Films
                    .invalidates(&request, "/list", &answer)
                    .is_empty()
            );
        }
        assert!(
            SITE.invalidates(&request("GET", &[]), "/list", &answer)
                .is_empty()
        );
        answer.set_status(500).unwrap();
        assert!(
            SITE.invalidates(&request("POST", &[]), "/list", &answer)
                .is_empty()
        );
    }

    #[test]
    fn a_site_is_told_who_asks_and_a_film_is_not() {
        let from = From {
            client: Some([192, 0, 2, 1].into()),
            scheme: "https",
        };
        let lines = [
            ("host", "a"),
            ("cookie", "c"),
            ("millrace-hop", "x"),
            ("x-forwarded-for", "b"),
            ("x-forwarded-host", "elsewhere"),
            ("forwarded", "host=elsewhere"),
        ];
        let names = |policy: &Policy| {
            let mut request = request("GET", &lines);
            policy
                .to_parent(&mut request, "parent:1", from, "edge-1")
                .unwrap();
            let mut lines: Vec<String> = request
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(names(&Policy::Films), ["host: parent:1"]);
        let told = [
            "cookie: c",
            "host: a",
            "via: 1.1 edge-1",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-for: b",
            "x-forwarded-host: a",
            "x-forwarded-proto: https",
        ];
        assert_eq!(names(&SITE), told);
    }

    #[test]
    fn films_are_only_fetched_and_sites_are_also_changed() {
        for (method, film, site) in [
            (Method::GET, Some(Passage::Cache), Some(Passage::Cache)),
            (Method::HEAD, Some(Passage::Cache), Some(Passage::Cache)),
            (Method::POST, None, Some(Passage::Through)),
            (Method::OPTIONS, None, Some(Passage::Through)),
            (Method::CONNECT, None, None),
            (Method::TRACE, None, None),
        ] {
            assert_eq!(Policy::Films.passage(&method), film, "{method}");
            assert_eq!(SITE.passage(&method), site, "{method}");
        }
    }
}
