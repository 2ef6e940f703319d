//! Which parent fills an object, and which one when that fails.

use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::prelude::{Error, ErrorType, HttpPeer, OrErr, Result};
use tokio::time::Instant;

/// One parent by its base URL, `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    tls: bool,
}

/// Why a parent's URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host:port or https://host:port, without a path")]
pub struct AddressError;

/// Time-outs towards parents.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// For the header, and between two reads of a body.
    pub read: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long a parent that could not be connected to is asked last.
    pub cooldown: Duration,
}

/// The parents of a node.
///
/// Every object has an order of preference among them (rendezvous hashing), the same on every
/// node that lists the same parents: each object is filled once per parent fleet, and taking a
/// parent away moves only its own objects.
pub struct Parents {
    list: Vec<Parent>,
    timeouts: Timeouts,
}

struct Parent {
    address: Address,
    authority: String,
    failed_at: Mutex<Option<Instant>>,
}

impl Address {
    /// Reads a parent's URL.
    ///
    /// # Errors
    /// When it is anything but scheme, host and port.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let uri: http::Uri = url.parse().map_err(|_| AddressError)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(AddressError),
        };
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(AddressError);
        };
        let bare = !url.contains(['@', '?', '#']) && matches!(uri.path(), "" | "/");
        if !bare || port == 0 {
            return Err(AddressError);
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            tls,
        })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    async fn resolve(&self) -> Result<SocketAddr> {
        if let Ok(ip) = self.host.parse() {
            return Ok(SocketAddr::new(ip, self.port));
        }
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .or_err(ErrorType::ConnectNoRoute, "resolving a parent's name")?;
        found.next().ok_or_else(|| {
            Error::explain(ErrorType::ConnectNoRoute, "a parent's name has no address")
        })
    }
}

impl Parents {
    /// The parents of a node; there must be at least one.
    #[must_use]
    pub fn new(addresses: Vec<Address>, timeouts: Timeouts) -> Self {
        let list = addresses
            .into_iter()
            .map(|address| Parent {
                authority: address.authority(),
                address,
                failed_at: Mutex::new(None),
            })
            .collect();
        Self { list, timeouts }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The parent to ask for a key after those in `tried`; the most preferred one again when all
    /// were tried.
    pub(crate) fn choose(&self, key: &[u8], tried: &[usize]) -> Option<usize> {
        let now = Instant::now();
        let rank = |index: &usize| {
            let parent = self.list.get(*index)?;
            let cooling = parent
                .failed_at
                .lock()
                .is_some_and(|at| now.duration_since(at) < self.timeouts.cooldown);
            let score = score(key, parent.authority.as_bytes());
            Some((tried.contains(index), cooling, std::cmp::Reverse(score)))
        };
        (0..self.list.len()).min_by_key(rank)
    }

    pub(crate) fn authority(&self, index: usize) -> &str {
        self.list.get(index).map_or("", |parent| &parent.authority)
    }

    /// Notes that a parent could not be connected to.
    pub(crate) fn failed(&self, index: usize) {
        if let Some(parent) = self.list.get(index) {
            *parent.failed_at.lock() = Some(Instant::now());
        }
    }

    /// Notes that a parent was connected to.
    pub(crate) fn recovered(&self, index: usize) {
        if let Some(parent) = self.list.get(index) {
            parent.failed_at.lock().take();
        }
    }

    /// The next parent for a key whose name resolves, noted in `tried` with those that do not.
    pub(crate) async fn next(&self, key: &[u8], tried: &mut Vec<usize>) -> Result<Box<HttpPeer>> {
        let mut last = Error::explain(ErrorType::ConnectNoRoute, "no parent").into_up();
        for _ in 0..self.list.len() {
            let Some(index) = self.choose(key, tried) else {
                break;
            };
            tried.push(index);
            match self.peer(index).await {
                Ok(peer) => return Ok(peer),
                Err(error) => {
                    self.failed(index);
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn peer(&self, index: usize) -> Result<Box<HttpPeer>> {
        let parent = self
            .list
            .get(index)
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "no such parent"))?;
        let lookup = tokio::time::timeout(self.timeouts.connect, parent.address.resolve());
        let address = lookup
            .await
            .or_err(ErrorType::ConnectTimedout, "resolving a parent's name")
            .flatten()
            .map_err(|e| e.into_up())?;
        let mut peer = HttpPeer::new(address, parent.address.tls, parent.address.host.clone());
        peer.options.connection_timeout = Some(self.timeouts.connect);
        peer.options.total_connection_timeout = Some(self.timeouts.connect);
        peer.options.read_timeout = Some(self.timeouts.read);
        peer.options.write_timeout = Some(self.timeouts.read);
        peer.options.idle_timeout = Some(self.timeouts.idle);
        Ok(Box::new(peer))
    }
}

/// The preference of a key for a parent: FNV-1a over both, spread by the SplitMix64 finaliser.
/// Written out because every node, of any version, must agree on it.
fn score(key: &[u8], parent: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parent.iter().chain(&[0xff]).chain(key) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(1),
        read: Duration::from_secs(1),
        idle: Duration::from_secs(1),
        cooldown: Duration::from_secs(5),
    };

    fn parents(ports: &[u16]) -> Parents {
        let urls = ports.iter().map(|port| format!("http://127.0.0.1:{port}"));
        let addresses = urls.map(|url| Address::parse(&url).unwrap()).collect();
        Parents::new(addresses, TIMEOUTS)
    }

    #[test]
    fn a_parent_is_a_scheme_a_host_and_a_port() {
        for good in [
            "http://127.0.0.1:9001",
            "https://shield.example:443",
            "http://[::1]:80/",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:9001",
            "http://127.0.0.1",
            "ftp://a:1",
            "http://a:1/x",
            "http://a:1?x",
            "http://u@a:1",
            "http://a:0",
        ] {
            assert_eq!(Address::parse(bad), Err(AddressError), "{bad}");
        }
    }

    #[test]
    fn removing_one_parent_moves_only_its_keys() {
        let (three, two) = (parents(&[1, 2, 3]), parents(&[1, 2]));
        let mut moved = 0;
        for n in 0..3000_u32 {
            let key = n.to_be_bytes();
            let before = three.choose(&key, &[]).unwrap();
            let after = two.choose(&key, &[]).unwrap();
            if before == 2 {
                moved += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!((800..1200).contains(&moved), "{moved} of 3000");
    }

    #[test]
    fn what_was_tried_comes_last() {
        let parents = parents(&[1, 2, 3]);
        let first = parents.choose(b"k", &[]).unwrap();
        let second = parents.choose(b"k", &[first]).unwrap();
        let third = parents.choose(b"k", &[first, second]).unwrap();
        let mut all = [first, second, third];
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        assert_eq!(parents.choose(b"k", &[0, 1, 2]), Some(first));
    }

    #[tokio::test(start_paused = true)]
    async fn a_parent_that_failed_is_asked_last_for_a_while() {
        let parents = parents(&[1, 2]);
        let first = parents.choose(b"k", &[]).unwrap();
        parents.failed(first);
        assert_ne!(parents.choose(b"k", &[]), Some(first));
        tokio::time::advance(TIMEOUTS.cooldown).await;
        assert_eq!(parents.choose(b"k", &[]), Some(first));
    }

    #[tokio::test]
    async fn a_parent_whose_name_does_not_resolve_is_passed_over_and_cools_down() {
        // Too long for a label, so that no resolver is asked (RFC 1035 §2.3.4).
        let nameless = format!("http://{}:1", "a".repeat(64));
        let urls = [nameless.as_str(), "http://127.0.0.1:2"];
        let addresses = urls.map(|url| Address::parse(url).unwrap()).to_vec();
        let parents = Parents::new(addresses, TIMEOUTS);
        let key = (0..u8::MAX)
            .map(|n| [n])
            .find(|key| parents.choose(key, &[]) == Some(0))
            .unwrap();
        let mut tried = Vec::new();
        let peer = parents.next(&key, &mut tried).await.unwrap();
        assert_eq!(peer._address.to_string(), "127.0.0.1:2");
        assert_eq!(tried, [0, 1]);
        assert_eq!(parents.choose(&key, &[]), Some(1), "the other is cooling");

        let alone = Parents::new(vec![Address::parse(&nameless).unwrap()], TIMEOUTS);
        assert!(alone.next(&key, &mut Vec::new()).await.is_err());
    }
}
