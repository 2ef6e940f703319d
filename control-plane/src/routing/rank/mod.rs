//! Which edges a film plays from, the best first: a function of what is known of them, without I/O.
//!
//! 1. Left out is what cannot play it: unhealthy, draining, without a lease, not made for it, or a partner's elsewhere.
//! 2. By priority, then by how near an edge is: the client's site, its region, elsewhere.
//! 3. Among equals by rendezvous hashing on the film, weighted by capacity: each edge keeps a part of the films warm,
//!    and losing one moves only its films.
//! 4. What is overloaded comes after everything that is not.

use std::cmp::Reverse;
use std::collections::HashMap;

use contracts::time::UnixSeconds;
use sha2::{Digest as _, Sha256};

/// The most edges of an answer.
pub const MOST: usize = 8;
/// The load above which an edge gives up viewers, the more the nearer it is to 1.
const CALM: f64 = 0.85;

/// An edge, as far as it stays the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// As it calls itself.
    pub name: String,
    /// The site that it stands in; empty: none in particular.
    pub site: String,
    /// The region that its site is in; empty: none in particular.
    pub region: String,
    /// Smaller comes first, wherever it stands.
    pub priority: u32,
    /// Its capacity beside those of others.
    pub weight: u32,
    /// Whether a partner runs it: it serves the viewers of its site and region.
    pub partner: bool,
    /// Whether it checks `m2` tokens alone: it has no key with which one could make tokens.
    pub m2: bool,
    /// Whether protected films may come from it.
    pub protected: bool,
}

/// How an edge is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// It answers.
    pub healthy: bool,
    /// It is being emptied: nobody new is sent there.
    pub draining: bool,
    /// How much of its capacity is used, 0 to 1.
    pub load: f64,
    /// Until when its lease goes on, as far as is known; `None`: it has none.
    pub lease: Option<UnixSeconds>,
}

/// Who wishes what.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The site, or the region, of the client's address.
    pub site: Option<&'a str>,
    /// The film.
    pub asset: &'a str,
    /// Whether it is protected.
    pub protected: bool,
    /// Whether `m2` tokens can be made.
    pub m2: bool,
    /// The time.
    pub now: UnixSeconds,
    /// By what it is drawn whether this viewer is among those that an overloaded edge gives up.
    pub draw: u64,
    /// The edge that the viewer has now: it stays the first as long as none is nearer.
    pub current: Option<&'a str>,
}

/// All edges, in the order in which they are looked for.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    nodes: Vec<Seeded>,
    by_site: HashMap<String, Vec<usize>>,
    by_region: HashMap<String, Vec<usize>>,
    region_of: HashMap<String, String>,
    /// Those that serve viewers from anywhere.
    open: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Seeded {
    node: Node,
    seed: u64,
}

/// What an edge is sorted by.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    at: usize,
    crowded: bool,
    priority: u32,
    distance: u8,
    score: f64,
}

impl Default for Condition {
    /// Of an edge of which nothing bad is known.
    fn default() -> Self {
        Self {
            healthy: true,
            draining: false,
            load: 0.0,
            lease: None,
        }
    }
}

impl Fleet {
    /// The edges, found by site and region.
    #[must_use]
    pub fn new(nodes: Vec<Node>) -> Self {
        let mut fleet = Self::default();
        for (at, node) in nodes.into_iter().enumerate() {
            if !node.site.is_empty() {
                let site = fleet.by_site.entry(node.site.clone());
                site.or_default().push(at);
            }
            if !node.region.is_empty() {
                let region = fleet.by_region.entry(node.region.clone());
                region.or_default().push(at);
                if !node.site.is_empty() {
                    let of = fleet.region_of.entry(node.site.clone());
                    of.or_insert_with(|| node.region.clone());
                }
            }
            if !node.partner || (node.site.is_empty() && node.region.is_empty()) {
                fleet.open.push(at);
            }
            let seed = seed(&node.name);
            fleet.nodes.push(Seeded { node, seed });
        }
        fleet
    }

    /// The edges in the order that they were given in.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.iter().map(|seeded| &seeded.node)
    }

    /// The edges for a film and a client, the best first, [`MOST`] at most, by their numbers in [`Fleet::nodes`];
    /// `conditions` are in that order. When all that could play it seem unhealthy, or nobody's lease is known to go on,
    /// they are tried all the same: it may be here that nothing is heard of them.
    #[must_use]
    pub fn rank(&self, conditions: &[Condition], ask: &Ask<'_>) -> Vec<usize> {
        let near = self.near(ask.site);
        let mut standings = self.standings(conditions, ask, &near, false);
        if standings.is_empty() {
            standings = self.standings(conditions, ask, &near, true);
        }
        let best = |a: &Standing, b: &Standing| {
            let order = |s: &Standing| (s.crowded, s.priority, s.distance);
            let by_score = Reverse(a.score.to_bits()).cmp(&Reverse(b.score.to_bits()));
            order(a).cmp(&order(b)).then(by_score)
        };
        if standings.len() > MOST {
            standings.select_nth_unstable_by(MOST, best);
            standings.truncate(MOST);
        }
        standings.sort_unstable_by(best);
        self.keep_current(&mut standings, ask.current);
        standings.iter().map(|standing| standing.at).collect()
    }

    /// The edges to choose among, by how far they are: 0 in the site, 1 in its region, 2 elsewhere.
    fn near(&self, site: Option<&str>) -> Vec<(usize, u8)> {
        let none: &[usize] = &[];
        let of = |table: &'_ HashMap<String, Vec<usize>>, name: Option<&str>| {
            let found = name.and_then(|name| table.get(name));
            found.map_or_else(|| none.to_vec(), Clone::clone)
        };
        let region = site.and_then(|site| self.region_of.get(site));
        let region = region.map(String::as_str).or(site);
        let mut near: Vec<(usize, u8)> = of(&self.by_site, site)
            .into_iter()
            .map(|at| (at, 0))
            .chain(of(&self.by_region, region).into_iter().map(|at| (at, 1)))
            .chain(self.open.iter().map(|at| (*at, 2)))
            .collect();
        near.sort_unstable();
        near.dedup_by_key(|(at, _)| *at);
        near
    }

    fn standings(
        &self,
        conditions: &[Condition],
        ask: &Ask<'_>,
        near: &[(usize, u8)],
        unwell_too: bool,
    ) -> Vec<Standing> {
        let film = seed(ask.asset);
        let standing = |&(at, distance): &(usize, u8)| {
            let Seeded { node, seed } = self.nodes.get(at)?;
            let condition = conditions.get(at).copied().unwrap_or_default();
            let able = (node.protected || !ask.protected) && (ask.m2 || !node.m2);
            if !able || condition.draining || !(unwell_too || condition.is_well(ask.now)) {
                return None;
            }
            Some(Standing {
                at,
                crowded: condition.gives_up(ask.draw),
                priority: node.priority,
                distance,
                score: score(*seed, film, node.weight),
            })
        };
        near.iter().filter_map(standing).collect()
    }

    /// A viewer is not moved between edges that are as near and as free.
    fn keep_current(&self, standings: &mut [Standing], current: Option<&str>) {
        let Some(current) = current else { return };
        let is_current = |s: &Standing| {
            let node = self.nodes.get(s.at);
            node.is_some_and(|seeded| seeded.node.name == current)
        };
        let Some(first) = standings.first().copied() else {
            return;
        };
        let equal = |s: &Standing| {
            (s.crowded, s.priority, s.distance) == (first.crowded, first.priority, first.distance)
        };
        if let Some(at) = standings.iter().position(|s| is_current(s) && equal(s))
            && let Some(better) = standings.get_mut(..=at)
        {
            better.rotate_right(1);
        }
    }
}

impl Condition {
    /// Whether it answers, and its lease goes on as far as is known.
    pub(crate) fn is_well(&self, now: UnixSeconds) -> bool {
        self.healthy && self.lease.is_none_or(|until| now < until)
    }

    /// Above [`CALM`] a share of the viewers goes to the next edge, all of them at full load: what is told of loads
    /// is some seconds old, and all at once would only move the crowd.
    fn gives_up(&self, draw: u64) -> bool {
        let share = (self.load - CALM) / (1.0 - CALM);
        share > unit(draw)
    }
}

/// The greatest score of `weight / -ln(u)`, `u` drawn by edge and film, falls to each edge in proportion to its weight.
fn score(edge: u64, film: u64, weight: u32) -> f64 {
    f64::from(weight) / -unit(mixed(edge ^ mixed(film))).ln()
}

/// A number within 0 and 1, neither of them.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits, the half among them, fit"
)]
fn unit(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// Every bit of the number counts for every bit of the result (the finalizer of MurmurHash3, Austin Appleby).
const fn mixed(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// A name as a number; the same at every control plane.
pub(crate) fn seed(name: &str) -> u64 {
    let digest = Sha256::digest(name);
    let first = digest.first_chunk::<8>();
    first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
