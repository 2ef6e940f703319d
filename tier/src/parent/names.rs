//! Where the name of a parent leads: looked up beside the requests, which go by what was found last.
//!
//! A resolver that is slow or dead holds up nobody but those who come before its first answer. A name has one lookup at
//! a time, on a thread of its own: the threads on which disks are read have no part in it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::prelude::{Error, ErrorType, OrErr as _, Result};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::Address;

/// Looks names up.
#[async_trait]
pub(super) trait Resolver: Send + Sync + 'static {
    /// The addresses of a host, the best first.
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver.
pub(super) struct System;

/// The addresses of one parent.
pub(super) struct Place {
    host: String,
    port: u16,
    resolver: Arc<dyn Resolver>,
    is_looked_up: AtomicBool,
    found: watch::Sender<Found>,
    turn: AtomicUsize,
    /// Those that could not be connected to, and when; each is one of those found.
    failed: Mutex<Vec<(SocketAddr, Instant)>>,
}

#[derive(Clone, Default)]
struct Found {
    addresses: Arc<[SocketAddr]>,
    /// When they were found; `None` for one that was configured.
    at: Option<Instant>,
    /// Why the last lookup failed.
    fault: Option<String>,
}

#[async_trait]
impl Resolver for System {
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let (sender, found) = oneshot::channel();
        let host = host.to_owned();
        // The system's call cannot be ended, and whoever stops this process does not wait for it.
        std::thread::Builder::new()
            .name("names".to_owned())
            .spawn(move || {
                let found = (host.as_str(), port).to_socket_addrs();
                // Nobody may want it any more.
                let _ = sender.send(found.map(Iterator::collect));
            })?;
        found
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the lookup broke off")))
    }
}

impl Place {
    pub(super) fn new(address: &Address, resolver: Arc<dyn Resolver>) -> Arc<Self> {
        let literal = address.host.parse().ok();
        let literal = literal.map(|ip| SocketAddr::new(ip, address.port));
        let found = Found {
            addresses: literal.into_iter().collect(),
            ..Found::default()
        };
        Arc::new(Self {
            host: address.host.clone(),
            port: address.port,
            resolver,
            is_looked_up: AtomicBool::new(literal.is_some()),
            found: watch::Sender::new(found),
            turn: AtomicUsize::new(0),
            failed: Mutex::default(),
        })
    }

    /// The address whose turn it is, of those that could be connected to in the last `cooldown`. Only before the first
    /// answer of the resolver it is waited for, at most `patience`.
    pub(super) async fn next(
        self: &Arc<Self>,
        patience: Duration,
        cooldown: Duration,
    ) -> Result<SocketAddr> {
        self.look_up();
        let mut news = self.found.subscribe();
        let found = tokio::time::timeout(patience, news.wait_for(Found::is_answered)).await;
        let found = found
            .or_err(ErrorType::ConnectTimedout, "resolving a parent's name")?
            .or_err(ErrorType::InternalError, "resolving a parent's name")?
            .clone();
        let unknown = || {
            let why = found.fault.clone().unwrap_or_default();
            Error::explain(ErrorType::ConnectNoRoute, format!("a parent's name: {why}"))
        };
        let known = found.known().ok_or_else(unknown)?;
        self.choose(known, cooldown).ok_or_else(unknown)
    }

    /// Notes that an address could not be connected to; whether there is another one.
    pub(super) fn failed(&self, address: SocketAddr, cooldown: Duration) -> bool {
        let found = Arc::clone(&self.found.borrow().addresses);
        let mut failed = self.failed.lock();
        failed.retain(|(other, _)| *other != address && found.contains(other));
        if found.contains(&address) {
            failed.push((address, Instant::now()));
        }
        let avoided = |at: &SocketAddr| is_cooling(&failed, *at, cooldown);
        !found.iter().all(avoided)
    }

    /// Notes that an address has been connected to.
    pub(super) fn reached(&self, address: SocketAddr) {
        self.failed.lock().retain(|(other, _)| *other != address);
    }

    /// How many addresses it has, and whether the last lookup failed.
    pub(super) fn state(&self) -> (usize, bool) {
        let found = self.found.borrow();
        let count = found.known().map_or(0, <[SocketAddr]>::len);
        (count, found.fault.is_some())
    }

    fn choose(&self, known: &[SocketAddr], cooldown: Duration) -> Option<SocketAddr> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % known.len().max(1);
        let mut in_turn = known.iter().cycle().skip(turn).take(known.len());
        let mut failed = self.failed.lock();
        let well = in_turn
            .clone()
            .find(|at| !is_cooling(&failed, **at, cooldown));
        let chosen = *well.or_else(|| in_turn.next())?;
        // One request tries an address that has cooled down; the others avoid it for another while.
        for (_, at) in failed.iter_mut().filter(|(other, _)| *other == chosen) {
            *at = Instant::now();
        }
        Some(chosen)
    }

    /// Begins to look the name up, now and again, for as long as anybody holds this.
    fn look_up(self: &Arc<Self>) {
        if self.is_looked_up.swap(true, Ordering::Relaxed) {
            return;
        }
        let (host, port) = (self.host.clone(), self.port);
        let (resolver, place) = (Arc::clone(&self.resolver), Arc::downgrade(self));
        tokio::spawn(async move {
            loop {
                let found = resolver.addresses(&host, port).await;
                let Some(place) = place.upgrade() else { return };
                let pause = if found.is_ok() { FRESH } else { AGAIN };
                place.learn(found);
                drop(place);
                tokio::time::sleep(pause).await;
            }
        });
    }

    fn learn(&self, found: io::Result<Vec<SocketAddr>>) {
        let found = found.and_then(|mut found| {
            found.truncate(MOST);
            let none = || io::Error::other("it has no address");
            (!found.is_empty()).then_some(found).ok_or_else(none)
        });
        self.found.send_modify(|known| match found {
            Ok(found) => {
                if known.fault.take().is_some() {
                    tracing::info!("the name {} is found again", self.host);
                }
                (known.addresses, known.at) = (found.into(), Some(Instant::now()));
            }
            Err(error) => {
                if known.fault.replace(error.to_string()).is_none() {
                    tracing::warn!("the name {} is not found: {error}", self.host);
                }
            }
        });
    }
}

impl Found {
    fn is_answered(&self) -> bool {
        !self.addresses.is_empty() || self.fault.is_some()
    }

    fn known(&self) -> Option<&[SocketAddr]> {
        let current = self.at.is_none_or(|at| at.elapsed() < KEPT);
        (current && !self.addresses.is_empty()).then_some(&*self.addresses)
    }
}

fn is_cooling(failed: &[(SocketAddr, Instant)], address: SocketAddr, cooldown: Duration) -> bool {
    let failed = failed.iter().find(|(other, _)| *other == address);
    failed.is_some_and(|(_, at)| at.elapsed() < cooldown)
}

/// After this long a name is looked up anew.
const FRESH: Duration = Duration::from_secs(30);

/// The same, when it was not found.
const AGAIN: Duration = Duration::from_secs(2);

/// For how long what was found counts when nothing is found any more: RFC 8767 §5 speaks of one to three days.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Addresses of a name that are made use of.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::advance;

    use super::*;

    type Answers = VecDeque<io::Result<Vec<SocketAddr>>>;

    /// Answers as it is told, and then not at all.
    #[derive(Default)]
    struct Script {
        answers: Mutex<Answers>,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Resolver for Script {
        async fn addresses(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = self.answers.lock().pop_front();
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    fn at(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 80).into()
    }

    fn place(answers: impl Into<Answers>) -> (Arc<Place>, Arc<Script>) {
        let script = Arc::new(Script::default());
        *script.answers.lock() = answers.into();
        let address = Address::parse("http://shield.example:80").unwrap();
        (Place::new(&address, Arc::clone(&script) as _), script)
    }

    async fn next(place: &Arc<Place>) -> Option<SocketAddr> {
        place.next(PATIENCE, COOLDOWN).await.ok()
    }

    /// Lets more than that pass, in which everything happens that would.
    async fn pass(time: Duration) {
        tokio::time::sleep(time + Duration::from_millis(1)).await;
    }

    const PATIENCE: Duration = Duration::from_secs(2);
    const COOLDOWN: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_dead_resolver_stops_nothing_that_is_known_for_a_day() {
        let (place, script) = place([Ok(vec![at(1)])]);
        let begun = Instant::now();
        assert_eq!(next(&place).await, Some(at(1)));
        advance(FRESH).await;
        for _ in 0..1000 {
            assert_eq!(next(&place).await, Some(at(1)));
        }
        assert_eq!(begun.elapsed(), FRESH, "nobody waits");
        assert_eq!(script.asked.load(Ordering::Relaxed), 2, "nor asks beside");
        advance(KEPT).await;
        assert_eq!(next(&place).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_before_the_first_answer_wait_for_one_lookup_and_not_for_ever() {
        let (place, script) = place([]);
        let begun = Instant::now();
        let all = (0..100).map(|_| next(&place));
        let got = futures_util::future::join_all(all).await;
        assert!(got.iter().all(Option::is_none));
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(script.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_not_found_is_looked_up_again_and_what_was_found_stays() {
        let down = || Err(io::Error::other("no"));
        let (place, _) = place([down(), Ok(vec![at(1)]), down(), Ok(vec![at(2)])]);
        assert_eq!(next(&place).await, None);
        let begun = Instant::now();
        assert_eq!(next(&place).await, None);
        assert_eq!(
            begun.elapsed(),
            Duration::ZERO,
            "it is not waited for again"
        );
        pass(AGAIN).await;
        assert_eq!(
            (next(&place).await, place.state()),
            (Some(at(1)), (1, false))
        );
        pass(FRESH).await;
        assert_eq!(
            (next(&place).await, place.state()),
            (Some(at(1)), (1, true))
        );
        pass(AGAIN).await;
        assert_eq!(
            (next(&place).await, place.state()),
            (Some(at(2)), (1, false))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_take_turns_and_one_that_cannot_be_reached_is_passed_over() {
        let (place, _) = place([Ok(vec![at(1), at(2), at(3)])]);
        let mut turns = Vec::new();
        for _ in 0..6 {
            turns.push(next(&place).await.unwrap());
        }
        assert_eq!(turns, [1, 2, 3, 1, 2, 3].map(at));
        assert!(place.failed(at(1), COOLDOWN) && place.failed(at(3), COOLDOWN));
        for _ in 0..4 {
            assert_eq!(next(&place).await, Some(at(2)));
        }
        assert!(!place.failed(at(2), COOLDOWN), "there is no other");
        assert!(next(&place).await.is_some(), "one is tried all the same");
        place.reached(at(2));
        assert_eq!(next(&place).await, Some(at(2)));
        advance(COOLDOWN).await;
        let mut turns = Vec::new();
        for _ in 0..5 {
            turns.push(next(&place).await.unwrap());
        }
        let tries = |address| turns.iter().filter(|at| **at == address).count();
        assert_eq!((tries(at(1)), tries(at(3))), (1, 1), "{turns:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_gone_is_not_looked_up() {
        let found = || Ok(vec![at(1)]);
        let (place, script) = place([found(), found(), found()]);
        assert!(next(&place).await.is_some());
        drop(place);
        tokio::time::sleep(FRESH * 3).await;
        assert_eq!(script.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn the_system_knows_its_own_name() {
        let found = System.addresses("localhost", 80).await.unwrap();
        assert!(
            found
                .iter()
                .all(|at| at.ip().is_loopback() && at.port() == 80)
        );
        assert!(System.addresses(&"a".repeat(64), 80).await.is_err());
    }
}
