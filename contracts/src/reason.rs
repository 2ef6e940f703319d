//! Why a request was not answered with what it asked for: the only failure that travels.

use std::fmt;

/// A closed set of reasons, each with the answer to four questions: which status, whose fault,
/// whether the next parent may be asked, and how long the answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request target is outside the grammar.
    Target,
    /// No token where one is needed.
    Missing,
    /// The token, or the query form, is not well formed.
    Malformed,
    /// The key id is unknown, of another version, or outside its life.
    Kid,
    /// The tag does not match.
    Mac,
    /// The token has expired.
    Expired,
    /// The token is not valid yet.
    NotYetValid,
    /// The token's path lies outside what its key may sign.
    Scope,
    /// The request's path lies outside the token's.
    Path,
    /// The client's address lies outside the token's networks.
    Ip,
    /// The client's country is not admitted.
    Geo,
    /// The rendition is not among the token's.
    Rendition,
    /// The session, the key or the path was revoked.
    Revoked,
    /// The client, or the session, asks for more than its share.
    TooMany,
    /// The hop's credential is missing or wrong: the parent serves tiers only.
    Hop,
    /// Nothing has this address.
    NotFound,
    /// The host is none that is served here.
    Host,
    /// The method is neither GET nor HEAD.
    Method,
    /// The request is not acceptable as a whole (a body on GET, say).
    BadRequest,
    /// The request's body came too slowly, or not at all.
    SlowBody,
    /// The request has been through this node already.
    Loop,
    /// What the store holds is damaged.
    Corrupt,
    /// The parent, or the store, could not be reached or answered nonsense.
    Unreachable,
    /// The parent, or the store, took too long.
    TooSlow,
    /// The keys that a protected film is encrypted with are not known: it is not served in the clear instead.
    Keys,
    /// More than this node will take on now.
    Busy,
    /// The node fetches nothing at this time of the day.
    FillHours,
    /// The node fetches as much already as it may.
    FillRate,
    /// A fault of this node.
    Internal,
}

/// Whose fault it is. Only an upstream's fault may be answered with stale bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The one who asked.
    Client,
    /// The tier, or the store, behind us.
    Upstream,
    /// This node.
    Us,
}

/// Whether asking again elsewhere can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It cannot.
    No,
    /// The next parent may know better.
    NextParent,
}

impl Reason {
    /// Every reason, for metrics that want each label from the start.
    pub const ALL: [Self; 29] = [
        Self::Target,
        Self::Missing,
        Self::Malformed,
        Self::Kid,
        Self::Mac,
        Self::Expired,
        Self::NotYetValid,
        Self::Scope,
        Self::Path,
        Self::Ip,
        Self::Geo,
        Self::Rendition,
        Self::Revoked,
        Self::TooMany,
        Self::Hop,
        Self::NotFound,
        Self::Host,
        Self::Method,
        Self::BadRequest,
        Self::SlowBody,
        Self::Loop,
        Self::Corrupt,
        Self::Unreachable,
        Self::TooSlow,
        Self::Keys,
        Self::Busy,
        Self::FillHours,
        Self::FillRate,
        Self::Internal,
    ];

    /// A short word for logs, metrics and tools.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Kid => "kid",
            Self::Mac => "mac",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Scope => "scope",
            Self::Path => "path",
            Self::Ip => "ip",
            Self::Geo => "geo",
            Self::Rendition => "rendition",
            Self::Revoked => "revoked",
            Self::TooMany => "too_many",
            Self::Hop => "hop",
            Self::NotFound => "not_found",
            Self::Host => "host",
            Self::Method => "method",
            Self::BadRequest => "bad_request",
            Self::SlowBody => "slow_body",
            Self::Loop => "loop",
            Self::Corrupt => "corrupt",
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::Keys => "keys",
            Self::Busy => "busy",
            Self::FillHours => "fill_hours",
            Self::FillRate => "fill_rate",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status. Every refusal of a token is the same 403, so that it tells nothing.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Target | Self::BadRequest => 400,
            Self::Missing
            | Self::Malformed
            | Self::Kid
            | Self::Mac
            | Self::Expired
            | Self::NotYetValid
            | Self::Scope
            | Self::Path
            | Self::Ip
            | Self::Geo
            | Self::Rendition
            | Self::Revoked
            | Self::Hop => 403,
            Self::TooMany => 429,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::SlowBody => 408,
            Self::Host => 421,
            Self::Loop => 508,
            Self::Corrupt | Self::Unreachable => 502,
            Self::TooSlow => 504,
            Self::Keys | Self::Busy | Self::FillHours | Self::FillRate => 503,
            Self::Internal => 500,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::Corrupt | Self::Unreachable | Self::TooSlow | Self::Keys => Blame::Upstream,
            Self::Busy | Self::FillHours | Self::FillRate | Self::Internal | Self::Loop => {
                Blame::Us
            }
            _ => Blame::Client,
        }
    }

    /// Whether the next parent may be asked.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Unreachable
            | Self::TooSlow
            | Self::Keys
            | Self::Busy
            | Self::FillHours
            | Self::FillRate => Retry::NextParent,
            _ => Retry::No,
        }
    }

    /// Seconds that a cache may keep the answer; `None`: it must not.
    #[must_use]
    pub const fn negative_ttl(self) -> Option<u32> {
        match self {
            Self::NotFound => Some(2),
            Self::Corrupt => Some(1),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Reason {}
