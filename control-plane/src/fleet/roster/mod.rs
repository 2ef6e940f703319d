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
use runtime::internal::Health;
use runtime::shutdown::Shutdown;
use tokio::sync::Notify;

use super::door::Door;
use super::probing::Fault;
use super::state::{self, State};
use crate::app::App;
use crate::routing::prefixes::Prefixes;
use crate::routing::rank::{Condition, Node};
use crate::routing::{Routing, Target};

/// Nodes that have enrolled verify `m2` alone.
pub(crate) const NO_M2: &str = "has no key of m2 with a seed: no viewers are sent to nodes that have enrolled (fleet.listen); tokens.md says how to make one";
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
    /// Why the last one failed.
    fault: Option<Fault>,
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

    /// Notes whether a node answered where it announced to be reached, or why it did not.
    pub(crate) fn probed(&self, node: &NodeId, announce: Announce, fault: Option<Fault>) {
        let failures = {
            let mut probes = self.probes();
            let before = probes.remove(node);
            let before = before.filter(|before| before.announce.is_reached_as(&announce));
            let before = before.map_or(0, |before| before.failures);
            let failures = fault.as_ref().map_or(0, |_| before.saturating_add(1));
            let probed = Probed {
                announce,
                failures,
                fault: fault.clone(),
            };
            probes.insert(node.clone(), probed);
            failures
        };
        if let Some(fault) = fault.filter(|_| failures == FAILURES) {
            tracing::warn!(%node, "node {node} does not answer its probe: {fault}");
        }
        self.look_again();
    }

    /// Why a node was not found where it says that it is reached now, when it was last asked there.
    pub(crate) fn fault(&self, member: &Member) -> Option<Fault> {
        let probes = self.probes();
        let probed = probes.get(&member.name)?;
        let counts = member.terms.probe && probed.announce.is_reached_as(&member.announce);
        probed.fault.clone().filter(|_| counts)
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
pub(crate) async fn follow(app: Arc<App>, health: Health, mut shutdown: Shutdown) {
    let Some(door) = app.fleet.door.as_ref() else {
        return;
    };
    let mut signs = true;
    loop {
        let signed = std::mem::replace(&mut signs, app.signer.has_m2(app.clock.now()));
        if signed && !signs {
            tracing::warn!("the keyring {NO_M2}");
        }
        health.degrade("keys", (!signs).then(|| format!("the keyring {NO_M2}")));
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
mod tests;
