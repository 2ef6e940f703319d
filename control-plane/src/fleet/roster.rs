//! The nodes that have enrolled, as routing knows them: looked up in the catalogue again and again, so that every
//! control plane of a site sees the same, whichever of them a node speaks to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use catalog::members::{Member, Members, Pulse};
use contracts::fleet::{Announce, Network};
use contracts::id::NodeId;
use contracts::time::UnixSeconds;
use runtime::shutdown::Shutdown;
use tokio::sync::Notify;

use super::door::Door;
use super::state::{self, State};
use crate::app::App;
use crate::routing::prefixes::Prefixes;
use crate::routing::rank::{Condition, Node};
use crate::routing::{Routing, Target};

/// How often the catalogue is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// After how many probes that failed, one after another, a node is not well.
const FAILURES: u32 = 2;
/// What an edge weighs of which nothing is known, and how much capacity in bits a second makes a weight of one.
const WEIGHT: u32 = 100;
const WEIGHED_BPS: u64 = 100_000_000;
/// The most that a node weighs by its own word: 100 Gbit/s. Beyond that it is for the operator to say.
const MOST_BY_ITS_WORD: u64 = 1000;

/// What is known of the nodes.
pub(crate) struct Roster {
    members: Arc<dyn Members>,
    quarantine: Duration,
    seen: ArcSwap<Vec<Entry>>,
    again: Notify,
    probes: Mutex<HashMap<NodeId, Probed>>,
    /// How each node stood when the log was last told.
    told: Mutex<HashMap<NodeId, State>>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) member: Member,
    pub(crate) pulse: Option<Pulse>,
}

/// What probes of a node have found, by what it announced then.
struct Probed {
    announce: Announce,
    /// How many failed, one after another, up to the last.
    failures: u32,
}

impl Roster {
    pub(crate) fn new(members: Arc<dyn Members>, quarantine: Duration) -> Self {
        Self {
            members,
            quarantine,
            seen: ArcSwap::default(),
            again: Notify::new(),
            probes: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// All nodes as they were last looked at.
    pub(crate) fn entries(&self) -> Arc<Vec<Entry>> {
        self.seen.load_full()
    }

    /// Has the catalogue looked at at once.
    pub(crate) fn look_again(&self) {
        self.again.notify_one();
    }

    /// How a node stands.
    pub(crate) fn state(&self, entry: &Entry, now: UnixSeconds) -> State {
        State::of(&entry.member, entry.pulse.as_ref(), now, self.quarantine)
    }

    /// Notes whether a node answered where it announced to be reached.
    pub(crate) fn probed(&self, node: &NodeId, announce: Announce, answered: bool) {
        let failures = {
            let mut probes = self.probes();
            let before = probes.remove(node);
            let before = before.filter(|before| before.announce.is_reached_as(&announce));
            let before = before.map_or(0, |before| before.failures);
            let failures = if answered {
                0
            } else {
                before.saturating_add(1)
            };
            probes.insert(node.clone(), Probed { announce, failures });
            failures
        };
        if failures == FAILURES {
            tracing::warn!(%node, "node {node} does not answer its probe");
        }
        self.look_again();
    }

    /// How many probes failed, one after another, of a node where it is reached now; `None`: it was not asked there.
    fn failures(&self, member: &Member) -> Option<u32> {
        let probes = self.probes();
        let probed = probes.get(&member.name)?;
        let is_there = probed.announce.is_reached_as(&member.announce);
        is_there.then_some(probed.failures)
    }

    /// Whether a node may serve that has not: it was heard often enough, and answered where it can be asked.
    fn is_ready(&self, entry: &Entry, now: UnixSeconds) -> bool {
        let heard = |pulse| state::is_heard(pulse, now, self.quarantine);
        let asked = || self.failures(&entry.member) == Some(0);
        entry.pulse.as_ref().is_some_and(heard) && (!entry.member.terms.probe || asked())
    }

    fn is_answering(&self, member: &Member) -> bool {
        let failures = self.failures(member);
        failures.is_none_or(|count| count < FAILURES)
    }

    fn probes(&self) -> MutexGuard<'_, HashMap<NodeId, Probed>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the catalogue, and tells routing of it.
    pub(crate) async fn look(
        &self,
        routing: &Routing,
        now: UnixSeconds,
    ) -> Result<(), catalog::Error> {
        let (entries, changed) = self.read().await?;
        if changed {
            let serving = || entries.iter().filter(|entry| serves(&entry.member));
            let targets: Vec<Target> = serving().map(|entry| target(&entry.member)).collect();
            routing.enrol(&targets, announced(serving().map(|entry| &entry.member)));
            let known = |name: &NodeId| entries.iter().any(|entry| entry.member.name == *name);
            self.probes().retain(|name, _| known(name));
        }
        let news = entries.iter().map(|entry| {
            let fresh = self.condition(entry, now);
            let change = move |condition: &mut Condition| {
                condition.healthy = fresh.healthy;
                condition.draining = fresh.draining;
                condition.load = fresh.load;
            };
            (entry.member.name.as_str(), change)
        });
        routing.tell_all(news);
        self.tell_changes(&entries, now);
        let joining = entries
            .iter()
            .filter(|entry| self.state(entry, now) == State::Joining && self.is_ready(entry, now));
        for entry in joining {
            let Member { name, revision, .. } = &entry.member;
            self.members.activate(name, *revision, now).await?;
            self.look_again();
        }
        self.seen.store(Arc::new(entries));
        Ok(())
    }

    /// All nodes, and whether they are others, or said other things of themselves, than when last looked at.
    async fn read(&self) -> Result<(Vec<Entry>, bool), catalog::Error> {
        let pulses = self.members.pulses().await?;
        let seen = self.seen.load();
        let before = seen
            .iter()
            .map(|Entry { member, .. }| (&member.name, member.revision));
        let same = before.eq(pulses.iter().map(|(name, revision, _)| (name, *revision)));
        let members: Vec<Member> = if same {
            seen.iter().map(|entry| entry.member.clone()).collect()
        } else {
            self.members.list().await?
        };
        let mut pulses: HashMap<NodeId, Option<Pulse>> = pulses
            .into_iter()
            .map(|(name, _, pulse)| (name, pulse))
            .collect();
        let entries = members.into_iter().map(|member| Entry {
            pulse: pulses.remove(&member.name).flatten(),
            member,
        });
        Ok((entries.collect(), !same))
    }

    fn condition(&self, entry: &Entry, now: UnixSeconds) -> Condition {
        let state = self.state(entry, now);
        let load = entry.pulse.as_ref();
        Condition {
            healthy: matches!(state, State::Active | State::Draining)
                && self.is_answering(&entry.member),
            draining: state == State::Draining,
            load: load.map_or(0.0, |pulse| state::load(&entry.member, pulse)),
            lease: None,
        }
    }

    /// Says in the log which nodes stand otherwise than when it was last said.
    fn tell_changes(&self, entries: &[Entry], now: UnixSeconds) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *told);
        for entry in entries {
            let (node, state) = (&entry.member.name, self.state(entry, now));
            if before.get(node).is_some_and(|before| *before != state) {
                let word = state.as_str();
                tracing::info!(%node, "node {node} is {word}");
            }
            told.insert(node.clone(), state);
        }
    }
}

/// Looks at the catalogue until shutdown, at once whenever something is known to have changed.
pub(crate) async fn follow(app: Arc<App>, mut shutdown: Shutdown) {
    let Some(door) = app.fleet.door.as_ref() else {
        return;
    };
    loop {
        if let Err(error) = round(&app, door).await {
            tracing::warn!("the enrolled nodes stay as they were: {error}");
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = door.roster.again.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn round(app: &App, door: &Door) -> Result<(), catalog::Error> {
    let now = app.clock.now();
    door.beats.write().await?;
    door.roster.look(&app.routing, now).await?;
    let entries = door.roster.entries();
    for state in State::ALL {
        let count = entries.iter();
        let count = count.filter(|entry| door.roster.state(entry, now) == state);
        let gauge = app.metrics.members.with_label_values(&[state.as_str()]);
        gauge.set(i64::try_from(count.count()).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// Whether viewers may be sent to a node, as far as it does not change from second to second.
const fn serves(member: &Member) -> bool {
    member.activated.is_some() && member.dismissed.is_none()
}

fn target(member: &Member) -> Target {
    let terms = &member.terms;
    let plain = member.announce.plain.as_ref();
    Target {
        node: Node {
            name: member.name.to_string(),
            site: terms.site.clone(),
            region: terms.region.clone(),
            priority: terms.priority,
            weight: weight(member),
            partner: terms.partner,
            m2: true,
            protected: terms.protected,
        },
        base: member.announce.base.to_string(),
        plain: plain.map_or_else(String::new, ToString::to_string),
        withholds: member.announce.withholds,
    }
}

/// What the operator says a node weighs, or else by what it says that it can send.
pub(crate) fn weight(member: &Member) -> u32 {
    let by_capacity = || match member.announce.capacity_bps {
        0 => WEIGHT,
        capacity => {
            let weight = (capacity / WEIGHED_BPS).clamp(1, MOST_BY_ITS_WORD);
            u32::try_from(weight).unwrap_or(WEIGHT)
        }
    };
    member.terms.weight.unwrap_or_else(by_capacity)
}

/// The networks that nodes announce, as far as the operator allows them now.
fn announced<'a>(members: impl Iterator<Item = &'a Member>) -> Prefixes {
    let networks = members.flat_map(|member| {
        let allowed = |network: &&Network| {
            let mut all = member.terms.prefixes.iter();
            all.any(|all| network.is_within(all))
        };
        let announced = member.announce.prefixes.iter().filter(allowed);
        announced.map(|network| (*network, member.terms.site.as_str()))
    });
    Prefixes::of(networks)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use catalog::members::{Beat, Newcomer};
    use contracts::fleet::{Announce, Heartbeat};
    use runtime::clock::Fixed;

    use super::super::state::tests::member;
    use super::*;
    use crate::routing::{Film, Watcher};

    fn names(routing: &Routing, address: &str, now: u64) -> Vec<String> {
        let film = Film {
            id: "film",
            protected: false,
            m2: true,
        };
        let watcher = Watcher {
            address: address.parse::<IpAddr>().unwrap(),
            draw: u64::MAX / 2,
            current: None,
        };
        let places = routing.places(film, watcher, UnixSeconds(now));
        places.into_iter().map(|place| place.name).collect()
    }

    async fn catalogue() -> catalog::Catalog {
        let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
        catalog::open("sqlite::memory:", clock).await.unwrap()
    }

    /// A partner's node of a closed network that has announced one.
    async fn enrol(members: &dyn Members, name: &str, network: &str) {
        let like = member(name);
        let network = Network::parse(network).unwrap();
        let mut terms = like.terms;
        terms.prefixes = vec![network];
        terms.probe = false;
        let secret = catalog::SecretDigest::of(name);
        let join = catalog::members::Join {
            id: contracts::id::JoinId::parse(name).unwrap(),
            node: like.name,
            terms,
            created: UnixSeconds(1000),
            expires: UnixSeconds(2000),
            used: false,
        };
        members.invite(&join, &secret).await.unwrap();
        let newcomer = Newcomer {
            key: name.to_owned(),
            announce: Announce {
                prefixes: vec![network],
                ..like.announce
            },
            certificate_ends: UnixSeconds(9000),
        };
        let now = UnixSeconds(1000);
        members.enrol(&secret, &newcomer, now).await.unwrap();
    }

    async fn beat(members: &dyn Members, name: &str, at: u64, said: Heartbeat) {
        let beat = Beat {
            name: NodeId::parse(name).unwrap(),
            key: name.to_owned(),
            first: UnixSeconds(at),
            last: UnixSeconds(at),
            count: 1,
            said,
        };
        members.note(&[beat], 20).await.unwrap();
    }

    #[tokio::test]
    async fn a_node_gets_the_viewers_of_its_network_while_it_is_heard() {
        let catalog = catalogue().await;
        let members = || Arc::clone(&catalog.members);
        let ours = crate::config::Edge {
            name: "ours".to_owned(),
            ..crate::config::Edge::default()
        };
        let routing = Routing::new(vec![ours], Prefixes::default());
        // Two control planes that see the same.
        let (one, two) = (
            Roster::new(members(), Duration::from_secs(20)),
            Roster::new(members(), Duration::from_secs(20)),
        );
        let other = Routing::new(Vec::new(), Prefixes::default());
        enrol(&*catalog.members, "isp-1", "192.0.2.0/24").await;
        let looked = async |now| {
            // Again: what a look has changed is seen by the next.
            for _ in 0..2 {
                one.look(&routing, UnixSeconds(now)).await.unwrap();
                two.look(&other, UnixSeconds(now)).await.unwrap();
            }
            let (near, far) = (
                names(&routing, "192.0.2.7", now),
                names(&routing, "198.51.100.7", now),
            );
            assert_eq!(far, ["ours"], "at {now}");
            let there = names(&other, "192.0.2.7", now).len();
            assert_eq!(there, near.len() - 1, "at {now}");
            near
        };
        assert_eq!(looked(1000).await, ["ours"]);
        for (at, near) in [
            (1000, vec!["ours"]),
            (1005, vec!["ours"]),
            (1010, vec!["isp-1", "ours"]),
            (1015, vec!["isp-1", "ours"]),
        ] {
            beat(&*catalog.members, "isp-1", at, Heartbeat::default()).await;
            assert_eq!(looked(at).await, near, "at {at}");
        }
        assert_eq!(looked(1035).await, ["isp-1", "ours"]);
        // A node that alone is known is tried even when it is silent, hence the other has it still.
        one.look(&routing, UnixSeconds(1036)).await.unwrap();
        assert_eq!(names(&routing, "192.0.2.7", 1036), ["ours"]);
        for (at, near) in [(1040, 1), (1045, 1), (1050, 2)] {
            beat(&*catalog.members, "isp-1", at, Heartbeat::default()).await;
            one.look(&routing, UnixSeconds(at)).await.unwrap();
            assert_eq!(names(&routing, "192.0.2.7", at).len(), near, "at {at}");
        }
        let leaving = Heartbeat {
            draining: true,
            ..Heartbeat::default()
        };
        beat(&*catalog.members, "isp-1", 1055, leaving).await;
        one.look(&routing, UnixSeconds(1055)).await.unwrap();
        assert_eq!(names(&routing, "192.0.2.7", 1055), ["ours"]);
    }

    #[tokio::test]
    async fn a_node_that_is_overloaded_gives_up_viewers_to_the_next() {
        let catalog = catalogue().await;
        let roster = Roster::new(Arc::clone(&catalog.members), Duration::from_secs(20));
        let routing = Routing::new(Vec::new(), Prefixes::default());
        for name in ["isp-1", "isp-2"] {
            enrol(&*catalog.members, name, "192.0.2.0/24").await;
            for at in [1000, 1005, 1010] {
                beat(&*catalog.members, name, at, Heartbeat::default()).await;
            }
        }
        for _ in 0..2 {
            roster.look(&routing, UnixSeconds(1010)).await.unwrap();
        }
        let first = names(&routing, "192.0.2.7", 1010).swap_remove(0);
        let mut full = Heartbeat::default();
        // What `member` says that it can send.
        full.load.egress_bps = 1000;
        beat(&*catalog.members, &first, 1015, full).await;
        roster.look(&routing, UnixSeconds(1015)).await.unwrap();
        let after = names(&routing, "192.0.2.7", 1015);
        assert_eq!(after.len(), 2);
        assert_eq!(after[1], first, "it comes last and is still there");
    }

    #[test]
    fn a_node_weighs_what_the_operator_says_or_what_it_can_send() {
        let mut node = member("isp-1");
        for (capacity, wanted) in [
            (0, 100),
            (1, 1),
            (10_000_000_000, 100),
            (100_000_000_000, 1000),
            (u64::MAX, 1000),
        ] {
            node.announce.capacity_bps = capacity;
            assert_eq!(weight(&node), wanted);
        }
        node.terms.weight = Some(7);
        assert_eq!(weight(&node), 7);
    }
}
