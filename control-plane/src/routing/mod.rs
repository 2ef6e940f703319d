//! Which edges a film plays from: the ranked list for a client's address.
//!
//! 1. [`prefixes`] tells the site of an address, from the file that `file` reads again when it changes;
//! 2. [`rank`] orders the edges, by what is known of them now;
//! 3. `probe` asks edges how they are, and `leases` looks which of those that follow the feed were heard of; who
//!    else knows tells `Routing::tell`.

pub(crate) mod config;
pub mod file;
pub(crate) mod leases;
pub mod prefixes;
pub(crate) mod probe;
pub mod rank;
pub(crate) mod reach;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use contracts::time::UnixSeconds;

use self::config::Edge;
use self::prefixes::Prefixes;
use self::rank::{Ask, Condition, Fleet};

/// A place from which a film can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) base: String,
    /// Whether a partner runs it, who must not be able to make tokens.
    pub(crate) partner: bool,
}

/// Whose film plays where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watcher<'a> {
    pub(crate) address: IpAddr,
    /// By what it is drawn whether an overloaded edge gives this viewer up.
    pub(crate) draw: u64,
    /// The edge that it has now.
    pub(crate) current: Option<&'a str>,
}

/// A film as far as it matters where it plays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Film<'a> {
    pub(crate) id: &'a str,
    pub(crate) protected: bool,
    /// Whether there are tokens for it that partners' edges can check.
    pub(crate) partners: bool,
}

/// What is known of edges and of clients' networks.
pub(crate) struct Routing {
    prefixes: ArcSwap<Prefixes>,
    edges: Vec<Edge>,
    fleet: Fleet,
    /// In the order of the fleet's nodes.
    conditions: ArcSwap<Vec<Condition>>,
}

impl Routing {
    /// Routes to these edges, all of which are taken to be well.
    pub(crate) fn new(edges: Vec<Edge>, prefixes: Prefixes) -> Self {
        Self {
            prefixes: ArcSwap::from_pointee(prefixes),
            fleet: Fleet::new(edges.iter().map(Edge::node).collect()),
            conditions: ArcSwap::from_pointee(vec![Condition::default(); edges.len()]),
            edges,
        }
    }

    /// The edges of the configuration.
    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// From now on these networks are of these sites.
    pub(crate) fn learn(&self, prefixes: Prefixes) {
        self.prefixes.store(Arc::new(prefixes));
    }

    /// Notes how an edge is; of one that is not known nothing is noted.
    pub(crate) fn tell(&self, edge: &str, change: impl Fn(&mut Condition)) {
        let Some(at) = self.edges.iter().position(|known| known.name == edge) else {
            return;
        };
        self.conditions.rcu(|conditions| {
            let mut conditions = Vec::clone(conditions);
            if let Some(condition) = conditions.get_mut(at) {
                change(condition);
            }
            conditions
        });
    }

    /// The edges for a film and a viewer, the best first, each by the address that it is best reached at.
    pub(crate) fn places(
        &self,
        film: Film<'_>,
        viewer: Watcher<'_>,
        now: UnixSeconds,
    ) -> Vec<Place> {
        let ranked = self.ranked(film, viewer, now);
        ranked.iter().map(|edge| edge.place(&edge.base)).collect()
    }

    /// The same, and after them those of them that can be reached without TLS.
    pub(crate) fn all_places(
        &self,
        film: Film<'_>,
        viewer: Watcher<'_>,
        now: UnixSeconds,
    ) -> Vec<Place> {
        let ranked = self.ranked(film, viewer, now);
        let secure = ranked.iter().map(|edge| edge.place(&edge.base));
        let plain = ranked.iter().filter(|edge| !edge.plain.is_empty());
        let plain = plain.map(|edge| edge.place(&edge.plain));
        secure.chain(plain).collect()
    }

    fn ranked(&self, film: Film<'_>, viewer: Watcher<'_>, now: UnixSeconds) -> Vec<&Edge> {
        let prefixes = self.prefixes.load();
        let ask = Ask {
            site: prefixes.site(viewer.address),
            asset: film.id,
            protected: film.protected,
            partners: film.partners,
            now,
            draw: viewer.draw,
            current: viewer.current,
        };
        let ranked = self.fleet.rank(&self.conditions.load(), &ask);
        ranked.iter().filter_map(|at| self.edges.get(*at)).collect()
    }
}

impl Edge {
    fn place(&self, base: &str) -> Place {
        Place {
            name: self.name.clone(),
            base: base.to_owned(),
            partner: self.partner,
        }
    }
}
