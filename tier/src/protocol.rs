//! Which HTTP a viewer speaks.

use std::fmt;

use pingora::protocols::Digest;

/// The version of HTTP between a client and this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
    /// HTTP/3.
    H3,
}

impl Protocol {
    /// All of them, for metrics that want each label from the start.
    pub const ALL: [Self; 3] = [Self::H1, Self::H2, Self::H3];

    /// By the digest of a session that Pingora calls "custom", as it does HTTP/2, as we wrap it, and HTTP/3; only the
    /// former has a TCP socket.
    pub(crate) fn of_custom(digest: Option<&Digest>) -> Self {
        match digest.is_some_and(|digest| digest.socket_digest.is_some()) {
            true => Self::H2,
            false => Self::H3,
        }
    }

    /// A short word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::H3 => "h3",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
