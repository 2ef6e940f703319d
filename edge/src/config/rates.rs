//! How much one client, and one session, may ask for.

use config::{ByteSize, Problems, Span};
use serde::{Deserialize, Serialize};

use super::within;
use crate::gate::Limits;

/// `[rates]`: more is answered with 429 and `Retry-After`. A rate of 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests a second of one client network, refused ones included. Default 0.
    pub client_requests: u32,
    /// Bytes of answers a second to one client network. What an answer is too much is waited for, a minute at most.
    /// Default `0B`.
    pub client_bytes: ByteSize,
    /// Requests a second of one session. Default 0.
    pub session_requests: u32,
    /// Bytes of answers a second to one session. Default `0B`.
    pub session_bytes: ByteSize,
    /// For how long what is not used is gathered. 1s to 10m. Default `10s`. More lets players fill longer buffers.
    pub burst: Span,
    /// Bits of an IPv4 address that name a client network. 8 to 32. Default 32.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that name a client network. 16 to 128. Default 64.
    pub ipv6_prefix: u8,
    /// Clients, and sessions, that are told apart, 8 to 16777216. Default 65536. Each takes 24 bytes a limit. With
    /// more at a time, newcomers share what others have left.
    pub entries: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            client_requests: 0,
            client_bytes: ByteSize(0),
            session_requests: 0,
            session_bytes: ByteSize(0),
            burst: Span::seconds(10),
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            entries: 65_536,
        }
    }
}

impl Rates {
    pub(super) fn check(&self, problems: &mut Problems) -> Limits {
        if self.burst < Span::seconds(1) || self.burst > Span::seconds(600) {
            problems.add("rates.burst", "must be 1s to 10m");
        }
        Limits {
            client_requests: self.client_requests,
            client_bytes: self.client_bytes.0,
            session_requests: self.session_requests,
            session_bytes: self.session_bytes.0,
            burst: self.burst.0,
            ipv4_prefix: within(problems, "rates.ipv4_prefix", self.ipv4_prefix, 8, 32),
            ipv6_prefix: within(problems, "rates.ipv6_prefix", self.ipv6_prefix, 16, 128),
            entries: within(problems, "rates.entries", self.entries, 8, 1 << 24),
        }
    }
}
