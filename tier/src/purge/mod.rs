//! Purges: what was ordered, and whether an object is usable all the same.
//!
//! An object bears the number that was applied when its fetch began, or less where a parent knew less
//! ([`contracts::header::SEQ`]); it is judged by the [`Table`] on each hit. So a purge costs nothing but an entry, it
//! reaches fills in flight, and a parent that is behind cannot bring back what was purged: a node that knows of a
//! purge asks its parent for nothing older ([`contracts::header::MIN_SEQ`]).
//!
//! [`state`] lets purges survive a restart, and [`Lease`] says how long a node may serve without news.

mod lease;
pub mod state;
pub mod table;

use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

pub use lease::Lease;
pub use table::{Marks, Subject, Table, Verdict};

use contracts::feed::Scope;

/// What a node knows of purges. Shared by the one who brings orders and those who serve.
#[derive(Debug)]
pub struct Purges {
    known: RwLock<Known>,
    follows: bool,
    when_lost: WhenLost,
    /// The node's right to serve by what it knows.
    pub lease: Lease,
}

#[derive(Debug)]
struct Known {
    table: Table,
    through: u64,
}

/// Where a node gets its orders, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Memory for what was purged, in bytes.
    pub memory: usize,
    /// Whether it follows a feed, as its parents and children do: then they compare numbers.
    pub follows: bool,
    /// How long it serves as usual without news of the feed.
    pub lease: Duration,
    /// What it does then.
    pub when_lost: WhenLost,
}

/// What a node does while it does not know what was ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenLost {
    /// It serves on.
    Serve,
    /// It asks its parent on each use whether what it has is still so, and serves it as it is only while the parent
    /// cannot be reached.
    #[default]
    Revalidate,
    /// It refuses requests.
    Refuse,
}

/// How an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What purges make of it.
    pub verdict: Verdict,
    /// It is known not to be concerned by orders up to this one.
    pub through: u64,
}

impl Purges {
    /// Nothing was purged yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            known: RwLock::new(Known {
                table: Table::new(settings.memory),
                through: 0,
            }),
            follows: settings.follows,
            when_lost: settings.when_lost,
            lease: Lease::new(settings.lease),
        }
    }

    /// The newest order that was applied: what a fetch that begins now is told of.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.known.read().through
    }

    /// Whether the node follows a feed.
    #[must_use]
    pub const fn follows(&self) -> bool {
        self.follows
    }

    /// What is to be done because the feed has been lost for too long; `None` while it is not.
    #[must_use]
    pub fn lost(&self) -> Option<WhenLost> {
        let lost = self.follows && !self.lease.is_held();
        lost.then_some(self.when_lost)
    }

    /// Judges an object by the number it bears.
    #[must_use]
    pub fn judge(&self, subject: Subject<'_>, fill_seq: u64) -> Judged {
        let known = self.known.read();
        let verdict = known.table.judge(subject, fill_seq);
        let through = match verdict {
            Verdict::Usable => known.through.max(fill_seq),
            Verdict::Stale(_) | Verdict::Gone => fill_seq,
        };
        Judged { verdict, through }
    }

    /// The newest orders that concern an object.
    #[must_use]
    pub fn marks(&self, subject: Subject<'_>) -> Marks {
        self.known.read().table.marks(subject)
    }

    /// Takes note of purges, and that all orders up to a number were applied. Both at once: a fetch that is told of
    /// an order must never be taken for one that came before it.
    pub fn apply(&self, purged: &[(Scope, Marks)], through: u64) {
        let mut known = self.known.write();
        for (scope, marks) in purged {
            known.table.mark(scope, *marks);
        }
        known.through = known.through.max(through);
    }

    /// Reads the table.
    pub fn table<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.known.read().table)
    }
}
