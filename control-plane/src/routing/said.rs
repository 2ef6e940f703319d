//! What players call edges, in what they tell of them: by names, and by the hosts at which edges are reached.

use std::collections::{HashMap, VecDeque};

use super::Target;

/// The most names and hosts of nodes that have left, or are reached elsewhere now: a node may announce another base
/// every few seconds, for as long as it likes.
const MOST_LEFT: usize = 1024;

/// Edges by what they are called.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    now: HashMap<String, String>,
    /// What they were called before, the oldest first: players go on to tell of nodes that have left.
    left: VecDeque<(String, String)>,
}

impl Said {
    /// What these are called, and what was said before. The first so many are those of the configuration: no node that
    /// enrols takes their names or hosts.
    pub(super) fn of(targets: &[Target], configured: usize, before: &Self) -> Self {
        let mut now = HashMap::new();
        let (configured, enrolled) = targets.split_at(configured.min(targets.len()));
        // What is put later counts.
        for targets in [enrolled, configured] {
            now.extend(targets.iter().flat_map(hosts));
            // A name comes before a host that is spelt alike.
            now.extend(targets.iter().map(|target| (name(target), name(target))));
        }
        let gone = before
            .now
            .iter()
            .filter(|(said, _)| !now.contains_key(*said));
        let gone: Vec<_> = gone
            .map(|(said, edge)| (said.clone(), edge.clone()))
            .collect();
        let again =
            |said: &String| now.contains_key(said) || gone.iter().any(|(one, _)| one == said);
        let earlier = before.left.iter().filter(|(said, _)| !again(said)).cloned();
        let mut left: VecDeque<_> = earlier.chain(gone.iter().cloned()).collect();
        left.drain(..left.len().saturating_sub(MOST_LEFT));
        Self { now, left }
    }

    /// The edge that somebody means.
    pub(super) fn edge_of(&self, said: &str) -> Option<&str> {
        let left = || {
            let found = self.left.iter().rev().find(|(one, _)| one == said);
            found.map(|(_, edge)| edge)
        };
        self.now.get(said).or_else(left).map(String::as_str)
    }
}

fn name(target: &Target) -> String {
    target.node.name.clone()
}

fn hosts(target: &Target) -> impl Iterator<Item = (String, String)> {
    let hosts = [&target.base, &target.plain].map(|base| base.split_once("://"));
    let hosts = hosts.into_iter().flatten();
    hosts.map(|(_, host)| (host.to_owned(), name(target)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::config::Edge;

    fn target(name: &str, host: &str) -> Target {
        let edge = Edge {
            name: name.into(),
            base: format!("https://{host}"),
            ..Edge::default()
        };
        edge.target()
    }

    #[test]
    fn nobody_takes_the_name_or_the_host_of_an_edge_of_the_configuration() {
        let ours = target("edge-1", "edge.example");
        let thief = target("isp-1", "edge.example");
        let namesake = target("edge.example", "isp.example");
        let said = Said::of(&[ours, thief, namesake], 1, &Said::default());
        assert_eq!(said.edge_of("edge.example"), Some("edge-1"));
        assert_eq!(said.edge_of("edge-1"), Some("edge-1"));
        assert_eq!(said.edge_of("isp-1"), Some("isp-1"));
        assert_eq!(said.edge_of("isp.example"), Some("edge.example"));
        assert_eq!(said.edge_of("nowhere"), None);
    }

    #[test]
    fn who_has_left_is_known_for_a_while_however_often_somebody_moves() {
        let mut said = Said::of(&[target("isp-1", "old.example")], 0, &Said::default());
        said = Said::of(&[target("isp-2", "isp-2.example")], 0, &said);
        assert_eq!(said.edge_of("old.example"), Some("isp-1"));
        assert_eq!(said.edge_of("isp-1"), Some("isp-1"));
        for number in 0..3000 {
            let moved = target("isp-2", &format!("{number}.isp-2.example"));
            said = Said::of(&[moved], 0, &said);
        }
        assert_eq!(said.left.len(), MOST_LEFT);
        assert_eq!(said.edge_of("2998.isp-2.example"), Some("isp-2"));
        assert_eq!(said.edge_of("0.isp-2.example"), None);
        // What comes back is said once.
        said = Said::of(&[target("isp-2", "2998.isp-2.example")], 0, &said);
        let times = said
            .left
            .iter()
            .filter(|(one, _)| one == "2998.isp-2.example");
        assert_eq!(times.count(), 0);
    }
}
