//! Which edges a film plays from: the ranked list for a client's address.
//!
//! 1. [`prefixes`] tells the site of an address, from the file that `file` reads again when it changes;
//! 2. [`rank`] orders the edges, by what is known of them now;
//! 3. `probe` asks edges how they are, and `leases` looks which of those that follow the feed were heard of; who
//!    else knows tells `Routing::tell`. Nodes that have enrolled come by `Routing::enrol`, from `fleet::roster`.

pub(crate) mod config;
pub mod file;
pub(crate) mod leases;
pub mod prefixes;
pub(crate) mod probe;
pub mod rank;
pub(crate) mod reach;
mod said;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use contracts::time::UnixSeconds;

use self::config::Edge;
use self::prefixes::Prefixes;
use self::rank::{Ask, Condition, Fleet, Node};
use self::said::Said;

/// A place from which a film can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) base: String,
    /// Whether it checks `m2` tokens alone: it has no key with which one could make tokens.
    pub(crate) m2: bool,
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
    /// Whether there are `m2` tokens for it.
    pub(crate) m2: bool,
}

/// An edge that viewers can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it ranks.
    pub(crate) node: Node,
    /// How viewers reach it.
    pub(crate) base: String,
    /// The same without TLS; empty: not.
    pub(crate) plain: String,
    /// Whether there are times when it fetches nothing, so that others do not send their viewers here.
    pub(crate) withholds: bool,
}

/// What is known of edges and of clients' networks.
pub(crate) struct Routing {
    /// The edges of the configuration.
    edges: Vec<Edge>,
    table: ArcSwap<Table>,
}

/// All that a viewer's edges follow from. It is made beside the one that counts, and put in its place.
#[derive(Clone)]
struct Table {
    /// Of the configured file.
    prefixes: Arc<Prefixes>,
    /// Of what nodes announce.
    announced: Arc<Prefixes>,
    /// The edges of the configuration, and after them the nodes that have enrolled.
    targets: Arc<[Target]>,
    fleet: Arc<Fleet>,
    /// In the order of the targets.
    conditions: Vec<Condition>,
    said: Arc<Said>,
}

impl Routing {
    /// Routes to these edges, all of which are taken to be well.
    pub(crate) fn new(edges: Vec<Edge>, prefixes: Prefixes) -> Self {
        let targets: Arc<[Target]> = edges.iter().map(Edge::target).collect();
        let table = Table {
            prefixes: Arc::new(prefixes),
            announced: Arc::default(),
            fleet: Arc::new(Fleet::new(nodes(&targets))),
            conditions: vec![Condition::default(); targets.len()],
            said: Arc::new(Said::of(&targets, edges.len(), &Said::default())),
            targets,
        };
        Self {
            edges,
            table: ArcSwap::from_pointee(table),
        }
    }

    /// The edges of the configuration.
    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// All edges, with how each is.
    pub(crate) fn overview(&self) -> Vec<(Target, Condition)> {
        let table = self.table.load();
        let all = table.targets.iter().cloned();
        all.zip(table.conditions.iter().copied()).collect()
    }

    /// From now on these networks are of these sites.
    pub(crate) fn learn(&self, prefixes: Prefixes) {
        let prefixes = Arc::new(prefixes);
        self.table.rcu(|table| Table {
            prefixes: Arc::clone(&prefixes),
            ..Table::clone(table)
        });
    }

    /// From now on these are the nodes that have enrolled, beside the edges of the configuration, whose names count
    /// first; and these the networks that they announce. What is known of those that stay is kept.
    pub(crate) fn enrol(&self, enrolled: &[Target], announced: Prefixes) {
        let known = |target: &&Target| !self.edges.iter().any(|e| e.name == target.node.name);
        let configured = self.edges.iter().map(Edge::target);
        let enrolled = enrolled.iter().filter(known).cloned();
        let targets: Arc<[Target]> = configured.chain(enrolled).collect();
        let fleet = Arc::new(Fleet::new(nodes(&targets)));
        let announced = Arc::new(announced);
        self.table.rcu(|table| {
            let before: HashMap<&str, Condition> = names(&table.targets)
                .zip(table.conditions.iter().copied())
                .collect();
            let condition = |name| before.get(name).copied().unwrap_or_default();
            Table {
                prefixes: Arc::clone(&table.prefixes),
                announced: Arc::clone(&announced),
                conditions: names(&targets).map(condition).collect(),
                targets: Arc::clone(&targets),
                fleet: Arc::clone(&fleet),
                said: Arc::new(Said::of(&targets, self.edges.len(), &table.said)),
            }
        });
    }

    /// The name of the edge that somebody names by it, or by the host of its addresses.
    pub(crate) fn edge_of(&self, said: &str) -> Option<String> {
        self.table.load().said.edge_of(said).map(str::to_owned)
    }

    /// Notes how an edge is; of one that is not known nothing is noted.
    pub(crate) fn tell(&self, edge: &str, change: impl Fn(&mut Condition)) {
        self.tell_all([(edge, change)]);
    }

    /// Notes how edges are, all at once.
    pub(crate) fn tell_all<'a, F: Fn(&mut Condition)>(
        &self,
        news: impl IntoIterator<Item = (&'a str, F)>,
    ) {
        let news: HashMap<&str, F> = news.into_iter().collect();
        if !names(&self.table.load().targets).any(|name| news.contains_key(name)) {
            return;
        }
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            for (name, condition) in names(&table.targets).zip(&mut table.conditions) {
                if let Some(change) = news.get(name) {
                    change(condition);
                }
            }
            table
        });
    }

    /// The edges for a film and a viewer, the best first, each by the address that it is best reached at.
    pub(crate) fn places(
        &self,
        film: Film<'_>,
        viewer: Watcher<'_>,
        now: UnixSeconds,
    ) -> Vec<Place> {
        let table = self.table.load();
        let ranked = table.ranked(film, viewer, now);
        ranked.map(|edge| edge.place(&edge.base)).collect()
    }

    /// The same, and after them those of them that can be reached without TLS.
    pub(crate) fn all_places(
        &self,
        film: Film<'_>,
        viewer: Watcher<'_>,
        now: UnixSeconds,
    ) -> Vec<Place> {
        let table = self.table.load();
        let ranked: Vec<&Target> = table.ranked(film, viewer, now).collect();
        let secure = ranked.iter().map(|edge| edge.place(&edge.base));
        let plain = ranked.iter().filter(|edge| !edge.plain.is_empty());
        let plain = plain.map(|edge| edge.place(&edge.plain));
        secure.chain(plain).collect()
    }

    /// Whether any edge checks `m2` tokens alone.
    pub(crate) fn wants_m2(&self) -> bool {
        let table = self.table.load();
        table.targets.iter().any(|target| target.node.m2)
    }
}

impl Table {
    fn ranked(
        &self,
        film: Film<'_>,
        viewer: Watcher<'_>,
        now: UnixSeconds,
    ) -> impl Iterator<Item = &Target> {
        let ask = Ask {
            site: self.prefixes.site_or(&self.announced, viewer.address),
            asset: film.id,
            protected: film.protected,
            m2: film.m2,
            now,
            draw: viewer.draw,
            current: viewer.current,
        };
        let ranked = self.fleet.rank(&self.conditions, &ask);
        ranked.into_iter().filter_map(|at| self.targets.get(at))
    }
}

impl Target {
    fn place(&self, base: &str) -> Place {
        Place {
            name: self.node.name.clone(),
            base: base.to_owned(),
            m2: self.node.m2,
        }
    }
}

impl Edge {
    fn target(&self) -> Target {
        Target {
            node: self.node(),
            base: self.base.clone(),
            plain: self.plain.clone(),
            withholds: false,
        }
    }
}

fn nodes(targets: &[Target]) -> Vec<Node> {
    targets.iter().map(|target| target.node.clone()).collect()
}

fn names(targets: &[Target]) -> impl Iterator<Item = &str> {
    targets.iter().map(|target| target.node.name.as_str())
}
