//! What a node announces: how viewers reach it, and whose addresses it serves.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::limits::{count, list, text};

/// The most networks that a node may announce.
pub const MAX_PREFIXES: usize = 1000;

/// What a node announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// How viewers reach it.
    pub base: Origin,
    /// The same node without TLS, for players that do not trust its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Origin>,
    /// Whose addresses it serves, within those that its join allows. None: those of its site that are known elsewhere.
    #[serde(default, deserialize_with = "list::<_, _, MAX_PREFIXES>")]
    pub prefixes: Vec<Network>,
    /// How much it can send, in bits a second; 0: it does not know.
    #[serde(default, deserialize_with = "count")]
    pub capacity_bps: u64,
    /// Whether there are times when it fetches nothing for a viewer, by its operator's wish: whom others do not fetch for
    /// is not sent here.
    #[serde(default)]
    pub withholds: bool,
    /// The version of its program, 64 bytes at most.
    #[serde(default, deserialize_with = "text::<_, 64>")]
    pub version: String,
}

impl Announce {
    /// Whether viewers reach it where another announcement says.
    #[must_use]
    pub fn is_reached_as(&self, other: &Self) -> bool {
        (&self.base, &self.plain) == (&other.base, &other.plain)
    }
}

/// Addresses that begin alike, such as `192.0.2.0/24`: no bits beyond the length; of IPv4 addresses within IPv6 the
/// IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not like 192.0.2.0/24, without bits beyond its length")]
pub struct NoNetwork;

impl Network {
    /// Reads a network.
    ///
    /// # Errors
    /// When it is none, or has bits beyond its length.
    pub fn parse(text: &str) -> Result<Self, NoNetwork> {
        let net: IpNet = text.parse().map_err(|_| NoNetwork)?;
        if net.addr() != net.network() {
            return Err(NoNetwork);
        }
        let mapped = match (net.network().to_canonical(), net.prefix_len()) {
            (first @ IpAddr::V4(_), length @ 96..) if net.network().is_ipv6() => {
                IpNet::new(first, length - 96).map_err(|_| NoNetwork)?
            }
            _ => net,
        };
        Ok(Self(mapped))
    }

    /// Whether every address of it is one of the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.0.contains(&self.0)
    }

    /// The network.
    #[must_use]
    pub const fn net(&self) -> IpNet {
        self.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Network {
    type Error = NoNetwork;

    fn try_from(text: String) -> Result<Self, NoNetwork> {
        Self::parse(&text)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// A base URL without a path: `https://host`, `http://host:port`, `https://[2001:db8::1]:8443`. It stands in playlists
/// as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// The text is no base URL without a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not like https://edge.example or https://edge.example:8443, without a path")]
pub struct NoOrigin;

impl Origin {
    /// Reads a base URL; a `/` at its end does not count.
    ///
    /// # Errors
    /// When it is none, has a path, or is longer than 300 bytes.
    pub fn parse(text: &str) -> Result<Self, NoOrigin> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let authority = rest.ok_or(NoOrigin)?;
        if text.len() > MAX_ORIGIN || !is_authority(authority) {
            return Err(NoOrigin);
        }
        Ok(Self(text.to_owned()))
    }

    /// The base URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Its host, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let authority = self.0.split_once("://").map_or("", |(_, rest)| rest);
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Origin {
    type Error = NoOrigin;

    fn try_from(text: String) -> Result<Self, NoOrigin> {
        Self::parse(&text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

/// `host` or `host:port` (RFC 3986 §3.2): a name, an IPv4 address, or an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (host_is_good, after) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) => (address.parse::<std::net::Ipv6Addr>().is_ok(), after),
            None => return false,
        },
        None => {
            let (host, after) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_host(host), after)
        }
    };
    let port_is_good = match after.strip_prefix(':') {
        Some(port) => {
            port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        None => after.is_empty(),
    };
    host_is_good && port_is_good
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        matches!(label.len(), 1..=63) && label.bytes().all(plain) && !label.starts_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

const MAX_ORIGIN: usize = 300;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_network_has_no_bits_beyond_its_length() {
        for good in ["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "192.0.2.7/32"] {
            assert_eq!(Network::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "192.0.2.0", "192.0.2.1/24", "192.0.2.0/33", "a/8"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
        let mapped = Network::parse("::ffff:192.0.2.0/120").unwrap();
        assert_eq!(mapped.to_string(), "192.0.2.0/24");
    }

    #[test]
    fn a_network_lies_within_another_when_all_of_it_does() {
        let net = |text| Network::parse(text).unwrap();
        assert!(net("192.0.2.0/25").is_within(&net("192.0.2.0/24")));
        assert!(net("192.0.2.0/24").is_within(&net("192.0.2.0/24")));
        assert!(!net("192.0.2.0/23").is_within(&net("192.0.2.0/24")));
        assert!(!net("::/0").is_within(&net("0.0.0.0/0")));
    }

    #[test]
    fn a_base_has_a_host_and_no_path() {
        for (good, host) in [
            ("https://edge.isp.example", "edge.isp.example"),
            ("https://edge.isp.example:8443", "edge.isp.example"),
            ("http://127.0.0.1:80", "127.0.0.1"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ] {
            let origin = Origin::parse(good).unwrap();
            assert_eq!((origin.as_str(), origin.host()), (good, host));
        }
        assert_eq!(Origin::parse("https://a/").unwrap().as_str(), "https://a");
        for bad in [
            "https://",
            "https://a//",
            "https://a/b",
            "ftp://a",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://me@a",
            "https://a?x",
            "https://[::1",
            "https://[a]",
            "https://a b",
            "https://a\"",
            "https://-a",
            "https://a..b",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_announcement_of_too_many_networks_is_refused() {
        let announce = |count: usize| {
            let prefixes = vec!["192.0.2.0/24"; count];
            let json = serde_json::json!({"base": "https://a", "prefixes": prefixes});
            serde_json::from_value::<Announce>(json)
        };
        assert_eq!(announce(MAX_PREFIXES).unwrap().prefixes.len(), MAX_PREFIXES);
        assert!(announce(MAX_PREFIXES + 1).is_err());
    }

    proptest! {
        #[test]
        fn whatever_the_text_what_is_a_base_is_read_again_as_itself(text: String) {
            for text in [text.clone(), format!("https://{text}")] {
                if let Ok(origin) = Origin::parse(&text) {
                    prop_assert!(origin.as_str().is_ascii());
                    prop_assert_eq!(Origin::parse(origin.as_str()), Ok(origin));
                }
            }
        }
    }
}
