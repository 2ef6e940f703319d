//! What the phases of a request and the connection beneath them tell each other.
//!
//! Pingora reads and writes the connection by itself. What it does not say is noted here, in the only part of a
//! session's digest that bears data of ours.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, Stream};
use pingora::proxy::Session;

use crate::{date, h2};

/// A connection's notes, held by both sides.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    /// The date of the next answer.
    pub(crate) date: date::Next,
    turns: Arc<AtomicUsize>,
    /// What comes now is not the present request's.
    keeps_back: Arc<AtomicBool>,
    /// Over HTTP/2, which answer goes first.
    pub(crate) answers: Option<Arc<h2::Turns>>,
}

/// How often the connection has turned from a header to a body and back: odd within a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn(usize);

impl Notes {
    /// The notes of a session's connection, when it is guarded.
    pub(crate) fn of(session: &Session) -> Option<&Self> {
        Self::of_connection(session.as_downstream().digest())
    }

    /// The notes of a guarded connection.
    pub(crate) fn of_connection(digest: Option<&Digest>) -> Option<&Self> {
        Self::among(digest?.proxy_digest.as_ref()?)
    }

    /// The notes of a connection's stream; notes that nobody reads, when it is not guarded.
    pub(crate) fn of_stream(stream: &Stream) -> Self {
        let digest = stream.get_proxy_digest();
        let notes = digest.as_deref().and_then(Self::among);
        notes.cloned().unwrap_or_default()
    }

    fn among(digest: &ProxyDigest) -> Option<&Self> {
        digest.user_data.as_ref()?.downcast_ref()
    }

    /// What makes them reachable from a session.
    pub(crate) fn digest(&self) -> Option<Arc<ProxyDigest>> {
        let header = ResponseHeader::build(200, Some(0)).ok()?;
        let cell: Box<dyn Any + Send + Sync> = Box::new(self.clone());
        Some(Arc::new(ProxyDigest::new(Box::new(header), Some(cell))))
    }

    /// A header is complete and a body follows; or the request is over, and with it the body.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// From here on what comes belongs to the next request and waits for the end of the present one; or no more.
    pub(crate) fn keep_back(&self, keep: bool) {
        self.keeps_back.store(keep, Ordering::Release);
    }

    /// Whether what comes is to wait.
    pub(crate) fn keeps_back(&self) -> bool {
        self.keeps_back.load(Ordering::Acquire)
    }

    /// Where the connection is.
    pub(crate) fn now(&self) -> Turn {
        Turn(self.turns.load(Ordering::Acquire))
    }
}

impl Turn {
    pub(crate) const fn is_body(self) -> bool {
        self.0 % 2 == 1
    }
}
