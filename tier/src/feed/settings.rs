//! `[feed]`: where orders come from, and what is kept of them.

use std::path::PathBuf;
use std::time::Duration;

use config::{ByteSize, Problems, Span};
use serde::{Deserialize, Serialize};

use super::{Pace, Place};
use crate::purge::{self, WhenLost};
use crate::settings::some;

/// `[feed]`: orders to purge and to revoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// Where they come from: `http://host:port/v1/fleet/feed`, the same with `https`, or `file:/path` with an order a
    /// line. A server is shown the credential of `upstream.hop_secret_file`. Empty: nowhere; then purges are ordered
    /// by hand at the internal port, and concern this node alone. Default empty.
    pub from: String,
    /// PEM file of the authority that signs the certificate of an `https` server at `from`; empty: that of
    /// `upstream.ca_file`. A server that asks for a certificate is shown that of `upstream`.
    pub ca_file: PathBuf,
    /// File by which orders survive a restart. Empty: none; then a feed is read from its beginning, and what was
    /// ordered by hand is forgotten, so there must be one where there are disks and no feed. Such a node serves
    /// nothing of its disks that is older than the file. Default empty.
    pub state_file: PathBuf,
    /// Memory for what was purged. 64KiB to 1GiB. Default `16MiB`, which is some 100000 tags. With less than is
    /// needed, purges become wider ones, and at worst one of everything.
    pub memory: ByteSize,
    /// How long a server is asked to hold back an answer with nothing new. At most 1m, and less than half of `lease`.
    /// Default `20s`. Less asks it more often.
    pub wait: Span,
    /// The least time between two questions without news, for a file how often it is looked at. 50ms to 1m. Default
    /// `1s`.
    pub every: Span,
    /// For how long the node serves as usual without news of the feed. 1s to 7d. Default `1m`. More lets it serve for
    /// longer what was purged meanwhile.
    pub lease: Span,
    /// For how long it then goes on without validating answers that say `immutable`, as segments do, where `when_lost`
    /// is `revalidate`: players are not led to a segment by a playlist that was purged. `lease` to 7d. Default `1d`.
    /// More spares the parents, and lets who knows a segment's address have it for longer.
    pub lease_immutable: Span,
    /// What it does then: `serve` on; `revalidate`: ask the parent on each use whether what is cached is still so,
    /// and serve it as it is while the parent cannot be reached, but nothing beyond `lease_immutable` that it cannot
    /// ask about; or `refuse` requests. Default `revalidate`.
    pub when_lost: WhenLost,
}

/// What `[feed]` means once checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where orders come from.
    pub from: Option<Place>,
    /// File by which they survive a restart.
    pub state_file: Option<PathBuf>,
    /// The authority of the server there, where it is not that of the parents.
    pub ca_file: Option<PathBuf>,
    /// What is kept of purges.
    pub purges: purge::Settings,
    /// How often the feed is asked.
    pub pace: Pace,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            from: String::new(),
            ca_file: PathBuf::new(),
            state_file: PathBuf::new(),
            memory: ByteSize::mib(16),
            wait: Span::seconds(20),
            every: Span::seconds(1),
            lease: Span::seconds(60),
            lease_immutable: Span::seconds(24 * 3600),
            when_lost: WhenLost::default(),
        }
    }
}

impl Feed {
    /// Checks it; faults are added to `problems`.
    pub fn check(&self, problems: &mut Problems) -> Settings {
        let from = (!self.from.is_empty())
            .then(|| {
                let place = Place::parse(&self.from);
                let place = place.map_err(|error| format!("{:?} {error}", self.from));
                problems.take("feed.from", place)
            })
            .flatten();
        if !(1 << 16..=1 << 30).contains(&self.memory.0) {
            problems.add("feed.memory", "must be 64KiB to 1GiB");
        }
        if self.lease < Span::seconds(1) || self.lease > LONGEST {
            problems.add("feed.lease", "must be 1s to 7d");
        }
        if self.lease_immutable < self.lease || self.lease_immutable > LONGEST {
            problems.add("feed.lease_immutable", "must be feed.lease to 7d");
        }
        if self.wait > Span::seconds(60) || self.wait.0 * 2 >= self.lease.0 {
            problems.add(
                "feed.wait",
                "must be at most 1m, and less than half of feed.lease",
            );
        }
        if self.every < Span::millis(50) || self.every > Span::seconds(60) {
            problems.add("feed.every", "must be 50ms to 1m");
        }
        let whole_seconds = Duration::from_secs(self.wait.0.as_secs());
        Settings {
            purges: purge::Settings {
                memory: usize::try_from(self.memory.0).unwrap_or(usize::MAX),
                follows: from.is_some(),
                lease: self.lease.0,
                lease_immutable: self.lease_immutable.0,
                when_lost: self.when_lost,
            },
            from,
            ca_file: some(&self.ca_file),
            state_file: some(&self.state_file),
            pace: Pace {
                wait: whole_seconds,
                every: self.every.0,
            },
        }
    }
}

const LONGEST: Span = Span::seconds(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_with_its_key() {
        let feed = Feed {
            from: "somewhere".to_owned(),
            memory: ByteSize(1),
            wait: Span::seconds(30),
            every: Span::millis(1),
            lease_immutable: Span::seconds(59),
            ..Feed::default()
        };
        let mut problems = Problems::default();
        feed.check(&mut problems);
        let problems = problems.or(()).unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(
            keys,
            [
                "feed.from",
                "feed.memory",
                "feed.lease_immutable",
                "feed.wait",
                "feed.every"
            ]
        );
    }
}
