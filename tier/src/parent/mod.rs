//! Which parent fills an object, and which one when that fails.
//!
//! Whether a parent is well is learnt from the requests themselves: they see a fault at once, and a fleet of edges
//! that asks its parents on the side burdens them most when they can least bear it. One that failed is asked last for
//! a while; then one request tries it, and the others wait for what becomes of that.

mod address;
mod metrics;
mod names;

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use parking_lot::Mutex;
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::utils::tls::CertKey;
use tokio::time::Instant;

pub use address::{Address, AddressError};
pub use metrics::register;
use names::{Place, Resolver};

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
    /// How long a request waits for another one's fill to begin before it asks a parent itself.
    pub fill_wait: Duration,
}

/// The parents of a node as they are now.
pub type Current = Arc<ArcSwap<Parents>>;

/// The credential of a hop, if it has one; whoever has a copy sees another that is set.
#[derive(Clone, Default)]
pub struct Credential(Arc<ArcSwapOption<HeaderValue>>);

impl Credential {
    /// Shows this one from now on.
    pub fn set(&self, credential: Option<HeaderValue>) {
        self.0.store(credential.map(Arc::new));
    }

    /// The one to show.
    #[must_use]
    pub fn now(&self) -> Option<HeaderValue> {
        self.0.load().as_deref().cloned()
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

/// The parents of a node.
///
/// Every object has an order of preference among them (rendezvous hashing), the same on every
/// node that lists the same parents: each object is filled once per parent fleet, and taking a
/// parent away moves only its own objects. One that has much more to do than the others is passed over for the next,
/// so that no object that everybody wants holds up all others of its parent.
pub struct Parents {
    list: Vec<Arc<Parent>>,
    timeouts: Timeouts,
    identity: Option<Arc<CertKey>>,
}

struct Parent {
    address: Address,
    authority: String,
    place: Arc<Place>,
    health: Mutex<Health>,
    /// Requests in progress.
    load: Arc<AtomicUsize>,
    /// What may be spent on asking another one instead.
    credit: AtomicUsize,
}

#[derive(Debug, Default)]
struct Health {
    /// When it failed, or was last tried since.
    failed_at: Option<Instant>,
    /// Answers in a row that say that it cannot do its work, or that it hung up instead of giving.
    faults: u32,
    answered_at: Option<Instant>,
}

impl Parent {
    fn new(address: Address, resolver: &Arc<dyn Resolver>) -> Self {
        Self {
            authority: address.authority(),
            place: Place::new(&address, Arc::clone(resolver)),
            address,
            credit: AtomicUsize::new(MOST_CREDIT),
            health: Mutex::default(),
            load: Arc::default(),
        }
    }
}

/// A request in progress at a parent.
#[derive(Debug)]
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn begin(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a parent is doing.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// `host:port`.
    pub authority: &'a str,
    /// Not avoided.
    pub well: bool,
    /// Requests in progress.
    pub load: usize,
    /// Addresses that its name leads to.
    pub addresses: usize,
    /// Its name was not found when it was last looked up.
    pub nameless: bool,
}

impl Parent {
    fn begin(&self) -> Busy {
        let more = |credit| (credit < MOST_CREDIT).then_some(credit + 1);
        // At the most it stays as it is.
        let _ = self
            .credit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        Busy::begin(&self.load)
    }
}

impl Parents {
    /// The parents of a node; there must be at least one.
    #[must_use]
    pub fn new(addresses: Vec<Address>, timeouts: Timeouts) -> Self {
        Self::found_by(Arc::new(names::System), addresses, timeouts)
    }

    fn found_by(resolver: Arc<dyn Resolver>, addresses: Vec<Address>, timeouts: Timeouts) -> Self {
        let list = addresses
            .into_iter()
            .map(|address| Arc::new(Parent::new(address, &resolver)));
        Self {
            list: list.collect(),
            timeouts,
            identity: None,
        }
    }

    /// Others in their place. What is known of one that stays is kept.
    #[must_use]
    pub fn replaced(&self, addresses: Vec<Address>, timeouts: Timeouts) -> Self {
        let resolver: Arc<dyn Resolver> = Arc::new(names::System);
        let known = |address: &Address| self.list.iter().find(|parent| parent.address == *address);
        let list = addresses.into_iter().map(|address| match known(&address) {
            Some(parent) => Arc::clone(parent),
            None => Arc::new(Parent::new(address, &resolver)),
        });
        Self {
            list: list.collect(),
            timeouts,
            identity: None,
        }
    }

    pub(crate) const fn fill_wait(&self) -> Duration {
        self.timeouts.fill_wait
    }

    /// The same, who are shown a certificate where they ask for one.
    #[must_use]
    pub fn shown(self, identity: Option<Arc<CertKey>>) -> Self {
        Self { identity, ..self }
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
        let most = self.most();
        let rank = |index: &usize| {
            let parent = self.list.get(*index)?;
            let full = parent.load.load(Ordering::Relaxed) >= most;
            let avoided = (self.is_cooling(parent), full);
            let score = score(key, parent.authority.as_bytes());
            Some((tried.contains(index), avoided, Reverse(score)))
        };
        (0..self.list.len()).min_by_key(rank)
    }

    pub(crate) fn authority(&self, index: usize) -> &str {
        self.list.get(index).map_or("", |parent| &parent.authority)
    }

    /// Notes that a parent could not be connected to at one of its addresses; whether another one is to be tried.
    pub(crate) fn unreachable(&self, index: usize, address: Option<SocketAddr>) -> bool {
        let parent = self.list.get(index).zip(address);
        let cooldown = self.timeouts.cooldown;
        let another = parent.is_some_and(|(parent, at)| parent.place.failed(at, cooldown));
        if !another {
            self.failed(index);
        }
        another
    }

    /// Notes that a parent has been connected to at one of its addresses.
    pub(crate) fn reached(&self, index: usize, address: SocketAddr) {
        if let Some(parent) = self.list.get(index) {
            parent.place.reached(address);
        }
    }

    /// Notes that a parent could not be connected to.
    fn failed(&self, index: usize) {
        if let Some(parent) = self.list.get(index) {
            parent.health.lock().failed_at = Some(Instant::now());
        }
    }

    /// Notes that a parent says that it cannot do its work, or hangs up. It may be about one object, so it takes some to
    /// avoid it.
    pub(crate) fn faulted(&self, index: usize) {
        if let Some(parent) = self.list.get(index) {
            let mut health = parent.health.lock();
            health.faults = health.faults.saturating_add(1);
            if health.faults >= FAULTS {
                health.failed_at = Some(Instant::now());
            }
        }
    }

    /// Notes that a parent did not answer what it was asked at `asked_at`. Each who asks it pays the whole of a time-out,
    /// so it is avoided at once, unless it has answered others meanwhile: then it may be about one object.
    pub(crate) fn silent(&self, index: usize, asked_at: Instant) {
        if let Some(parent) = self.list.get(index) {
            let mut health = parent.health.lock();
            if health.answered_at.is_none_or(|at| at < asked_at) {
                health.failed_at = Some(Instant::now());
            }
        }
    }

    /// Notes that a parent has answered.
    pub(crate) fn recovered(&self, index: usize) {
        if let Some(parent) = self.list.get(index) {
            *parent.health.lock() = Health {
                answered_at: Some(Instant::now()),
                ..Health::default()
            };
        }
    }

    /// Whether another parent may do what this one was asked for and did not do, which counts as done. One request in
    /// ten may be asked twice, and a few more: where all parents have too much to do, each would get twice as much.
    pub(crate) fn spend(&self, index: usize) -> bool {
        self.list.get(index).is_some_and(|parent| {
            let left = |credit: usize| credit.checked_sub(PRICE);
            let spent = parent
                .credit
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
            spent.is_ok()
        })
    }

    /// Whether there is a parent that was not tried.
    pub(crate) fn has_another(&self, tried: &[usize]) -> bool {
        (0..self.list.len()).any(|index| !tried.contains(&index))
    }

    /// How each parent is doing.
    pub fn states(&self) -> impl Iterator<Item = State<'_>> {
        self.list.iter().map(|parent| {
            let (addresses, nameless) = parent.place.state();
            State {
                authority: &parent.authority,
                well: parent.health.lock().failed_at.is_none(),
                load: parent.load.load(Ordering::Relaxed),
                addresses,
                nameless,
            }
        })
    }

    fn is_cooling(&self, parent: &Parent) -> bool {
        let failed_at = parent.health.lock().failed_at;
        failed_at.is_some_and(|at| at.elapsed() < self.timeouts.cooldown)
    }

    /// As many requests as one parent gets at a time: a quarter more than its share. A few are no burden.
    fn most(&self) -> usize {
        let loads = self.list.iter();
        let all: usize = loads
            .map(|parent| parent.load.load(Ordering::Relaxed))
            .sum();
        let share = (all + 1)
            .saturating_mul(5)
            .div_ceil(4 * self.list.len().max(1));
        share.max(FEW)
    }

    /// The one who chose a parent that has cooled down tries it; the others avoid it for another while.
    fn probe(&self, index: usize) {
        if let Some(parent) = self.list.get(index) {
            let mut health = parent.health.lock();
            if health.failed_at.is_some() {
                health.failed_at = Some(Instant::now());
            }
        }
    }

    /// The next parent for a key whose name resolves, noted in `tried` with those that do not. It has one more request
    /// to do until what comes with it is dropped.
    pub(crate) async fn next(
        &self,
        key: &[u8],
        tried: &mut Vec<usize>,
    ) -> Result<(Box<HttpPeer>, Busy)> {
        let mut last = Error::explain(ErrorType::ConnectNoRoute, "no parent").into_up();
        for _ in 0..self.list.len() {
            let Some(index) = self.choose(key, tried) else {
                break;
            };
            tried.push(index);
            self.probe(index);
            let busy = self.list.get(index).map(|parent| parent.begin());
            match self.peer(index).await {
                Ok(peer) => return Ok((peer, busy.unwrap_or_else(|| Busy(Arc::default())))),
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
        let (patience, cooldown) = (self.timeouts.connect, self.timeouts.cooldown);
        let address = parent.place.next(patience, cooldown).await;
        let address = address.map_err(|e| e.into_up())?;
        let mut peer = HttpPeer::new(address, parent.address.tls, parent.address.host.clone());
        peer.client_cert_key.clone_from(&self.identity);
        peer.options.connection_timeout = Some(self.timeouts.connect);
        peer.options.total_connection_timeout = Some(self.timeouts.connect);
        peer.options.read_timeout = Some(self.timeouts.read);
        peer.options.write_timeout = Some(self.timeouts.read);
        peer.options.idle_timeout = Some(self.timeouts.idle);
        Ok(Box::new(peer))
    }
}

/// Has a parent asked over a connection that nobody used before: among those that are kept, others may be closed as
/// well. Where it is kept all the same, it is given up at once.
pub(crate) fn to_connect_anew(peer: &mut HttpPeer) {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    peer.group_key = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
}

/// How often a request goes on to another address of a parent that it could not connect to.
pub(crate) const DETOURS: u32 = 2;

/// What a second attempt costs; each request earns one.
const PRICE: usize = 10;

/// What a parent's requests have earned at most, and in the beginning: 32 attempts.
const MOST_CREDIT: usize = 32 * PRICE;

/// Answers in a row by which a parent is known to be unable.
const FAULTS: u32 = 3;

/// Requests in progress that any parent gets.
const FEW: usize = 16;

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
mod tests;
