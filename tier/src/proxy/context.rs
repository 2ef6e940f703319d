//! What is known of one request so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use contracts::reason::Reason;
use http::{HeaderName, HeaderValue};
use pingora::cache::CacheKey;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use runtime::clock::System;

use super::seq::Numbers;
use crate::admission::{Admitted, Visitor};
use crate::intake::{Permit, Withheld};
use crate::metrics::CacheUse;
use crate::parent::{Busy, Parents};
use crate::protocol::Protocol;
use crate::rfc9111::directives::Request as Wishes;
use crate::rfc9111::freshness::{Age, Arrival};

/// What is known of one request so far.
pub struct Context {
    pub(super) protocol: Protocol,
    pub(super) started: Instant,
    /// The same by the clock that objects are stamped with.
    pub(super) arrived: SystemTime,
    pub(super) admitted: Option<Admitted>,
    pub(super) key: Option<CacheKey>,
    /// By what the object is purged; empty until it was admitted.
    pub(super) subject: String,
    pub(super) numbers: Numbers,
    /// Who asks.
    pub(super) visitor: Visitor,
    /// What the player says of itself in the query.
    pub(super) cmcd: Option<Box<str>>,
    /// From the beginning until the answer's header was made.
    pub(super) until_header: Option<Duration>,
    /// On behalf of this node: a refresh, or a question about an object.
    pub(super) internal: bool,
    /// A body follows the header, and is not whole yet.
    pub(super) awaits_body: bool,
    pub(super) wishes: Option<Wishes>,
    /// What the cache has was passed over because the client wanted so.
    pub(super) passed_over: bool,
    /// The target as it came, where the client may be sent elsewhere with it: it was not sent here by another edge. It
    /// may hold a token.
    pub(super) target: Option<String>,
    /// Why no parent is asked.
    pub(super) withheld: Option<Withheld>,
    /// Held while a parent is asked.
    pub(super) permit: Option<Permit>,
    pub(super) reason: Option<Reason>,
    pub(super) retry_after: Option<Duration>,
    /// What went wrong, in the words of RFC 9209.
    pub(super) fault: Option<&'static str>,
    pub(super) joined: bool,
    /// What a question to a parent, on which it waited, makes of a hit: what was fetched for it was not there.
    pub(super) asked: Option<CacheUse>,
    pub(super) cache_use: CacheUse,
    /// The parents that there were when it came.
    pub(super) parents: Arc<Parents>,
    /// Those that were asked, in order.
    pub(super) tried: Vec<usize>,
    /// How often one was asked.
    pub(super) attempts: u32,
    /// How often another address of the same parent was tried.
    pub(super) detours: u32,
    /// A kept connection was closed, as others may be.
    pub(super) wants_new_connection: bool,
    /// Held while a parent is at work on it.
    pub(super) busy: Option<Busy>,
    /// The viewer left while the object was being fetched.
    left: AtomicBool,
    pub(super) upstream: Upstream,
}

/// What is known of the last exchange with a parent.
#[derive(Default)]
pub(super) struct Upstream {
    pub(super) asked_at: Option<Instant>,
    /// When the header of its answer was there.
    pub(super) answered_at: Option<Instant>,
    pub(super) arrival: Option<Arrival>,
    pub(super) status: Option<u16>,
    /// It is decided whether another parent is asked because of that.
    pub(super) weighed: bool,
    /// It was asked for a part and not for the whole.
    pub(super) part: bool,
    pub(super) age: Age,
    pub(super) cache_status: Option<String>,
    /// What the first client gets and the cache does not keep.
    pub(super) withheld: Vec<(HeaderName, HeaderValue)>,
    /// The header of a 304, to renew what is stored with.
    pub(super) news: Option<ResponseHeader>,
}

impl Context {
    pub(super) fn new(parents: Arc<Parents>) -> Self {
        Self {
            protocol: Protocol::H1,
            started: Instant::now(),
            arrived: System.wall(),
            admitted: None,
            key: None,
            subject: String::new(),
            numbers: Numbers::default(),
            visitor: Visitor::default(),
            cmcd: None,
            until_header: None,
            internal: false,
            awaits_body: false,
            wishes: None,
            passed_over: false,
            target: None,
            withheld: None,
            permit: None,
            reason: None,
            retry_after: None,
            fault: None,
            joined: false,
            asked: None,
            cache_use: CacheUse::None,
            parents,
            tried: Vec::new(),
            attempts: 0,
            detours: 0,
            wants_new_connection: false,
            busy: None,
            left: AtomicBool::new(false),
            upstream: Upstream::default(),
        }
    }

    /// Notes that the viewer left while the object was being fetched.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// The path without token and query, for logs.
    pub(super) fn address(&self) -> &str {
        let address = self
            .admitted
            .as_ref()
            .map(|admitted| admitted.address.as_str());
        address.map_or("-", |address| {
            address.split_once('?').map_or(address, |(path, _)| path)
        })
    }
}

impl Upstream {
    /// A request is about to be sent.
    pub(super) fn ask(&mut self, now: SystemTime) {
        *self = Self {
            asked_at: Some(Instant::now()),
            arrival: Some(Arrival {
                requested: now,
                received: now,
            }),
            ..Self::default()
        };
    }

    /// The header of its answer is there.
    pub(super) fn answered(&mut self, now: SystemTime) {
        self.answered_at = Some(Instant::now());
        if let Some(arrival) = &mut self.arrival {
            // A clock that was set back meanwhile tells nothing of how long it took.
            arrival.received = now.max(arrival.requested);
        }
    }
}

/// The target as the client wrote it. For HTTP/1.1 that is the request line, because a parsed URI
/// has lost its fragment; `None` when it is not text.
pub(super) fn raw_target(session: &Session) -> Option<String> {
    let line;
    let target = if session.as_downstream().as_http1().is_some() {
        line = session.as_downstream().to_h1_raw();
        let start = line.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let from = line.get(start..)?;
        let first = from.get(..memchr::memchr(b'\n', from).unwrap_or(from.len()))?;
        let (_method, rest) = split_at(first, memchr::memchr(b' ', first)?)?;
        split_at(rest, memchr::memrchr(b' ', rest)?)?.0
    } else {
        session.req_header().raw_path()
    };
    String::from_utf8(target.to_vec()).ok()
}

fn split_at(bytes: &[u8], space: usize) -> Option<(&[u8], &[u8])> {
    Some((bytes.get(..space)?, bytes.get(space + 1..)?))
}

pub(super) fn protocol_of(session: &Session) -> Protocol {
    let downstream = session.as_downstream();
    if downstream.is_custom() {
        Protocol::of_custom(downstream.digest())
    } else {
        Protocol::H1
    }
}
