//! `[node]`: what a node that has joined a house announces of itself.

use config::{ByteSize, Problems};
use contracts::fleet::{Announce, MAX_PREFIXES, Network, Origin};
use serde::{Deserialize, Serialize};
use tier::intake::Terms;

/// `[node]`: how viewers reach a node that has joined a house, and whose addresses it serves. Of no effect on others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// The base URL by which viewers reach it, such as `https://edge.isp.example`. Needed to join.
    pub base: String,
    /// The same for its listener without TLS, if it has one; empty: none.
    pub plain: String,
    /// Networks whose viewers it serves, such as `192.0.2.0/24`, 1000 at most, all within those that its join allows.
    /// Default none: the house knows by itself who its viewers are.
    pub prefixes: Vec<String>,
    /// Bytes a second that it can send; 0B: it does not say. At most 1TiB. Default `0B`. With more, more viewers are
    /// sent to it.
    pub capacity: ByteSize,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            base: String::new(),
            plain: String::new(),
            prefixes: Vec::new(),
            capacity: ByteSize(0),
        }
    }
}

impl Node {
    /// What it announces, where it fetches on these terms; `None` where the section is empty.
    pub(super) fn check(&self, fill: &Terms, problems: &mut Problems) -> Option<Announce> {
        if *self == Self::default() {
            return None;
        }
        let origin = |problems: &mut Problems, key: &str, text: &str| {
            let read = Origin::parse(text);
            problems.take(key, read.map_err(|error| format!("{text:?} is {error}")))
        };
        let base = origin(problems, "node.base", &self.base);
        let has_plain = !self.plain.is_empty();
        let plain = has_plain.then(|| origin(problems, "node.plain", &self.plain));
        let prefixes = self.prefixes.iter().map(|text| {
            let network = Network::parse(text);
            network.map_err(|error| format!("{text:?} is {error}"))
        });
        let prefixes: Vec<Network> = prefixes
            .filter_map(|prefix| problems.take("node.prefixes", prefix))
            .collect();
        if self.prefixes.len() > MAX_PREFIXES {
            problems.add("node.prefixes", format!("must be {MAX_PREFIXES} at most"));
        }
        if self.capacity.0 > 1 << 40 {
            problems.add("node.capacity", "must be at most 1TiB");
        }
        Some(Announce {
            base: base?,
            plain: plain.flatten(),
            prefixes,
            capacity_bps: self.capacity.0.saturating_mul(8),
            withholds: fill.may_withhold(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_announces_what_its_section_says_and_each_fault_has_its_key() {
        let mut problems = Problems::default();
        assert_eq!(
            Node::default().check(&Terms::default(), &mut problems),
            None
        );
        let node = Node {
            base: "https://edge.isp.example".to_owned(),
            plain: "http://edge.isp.example".to_owned(),
            prefixes: vec!["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()],
            capacity: ByteSize(1_250_000_000),
        };
        let announce = node.check(&Terms::default(), &mut problems).unwrap();
        assert_eq!(announce.capacity_bps, 10_000_000_000);
        assert_eq!(announce.prefixes.len(), 2);
        assert_eq!(problems.or(()), Ok(()));
        let mut problems = Problems::default();
        let faulty = Node {
            base: "edge.isp.example".to_owned(),
            plain: "ftp://a".to_owned(),
            prefixes: vec!["192.0.2.1/24".to_owned()],
            capacity: ByteSize(1 << 41),
        };
        assert_eq!(faulty.check(&Terms::default(), &mut problems), None);
        let keys = problems.into_vec().into_iter().map(|problem| problem.key);
        let expected = ["node.base", "node.plain", "node.prefixes", "node.capacity"];
        assert_eq!(keys.collect::<Vec<_>>(), expected);
    }
}
