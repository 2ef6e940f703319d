//! Purges: what was ordered, and whether an object is usable all the same.
//!
//! An object bears the number that was applied when its fetch began, or less where a parent knew less
//! ([`contracts::header::SEQ`]); it is judged by the [`Table`] on each hit. So a purge costs nothing but an entry, it
//! reaches fills in flight, and a parent that is behind cannot bring back what was purged: a node that knows of a
//! purge asks its parent for nothing older ([`contracts::header::MIN_SEQ`]).
//!
//! [`crate::feed::state`] lets purges survive a restart, and [`Lease`] says how long a node may serve without news.

mod canonical;
mod history;
mod lease;
pub mod table;

use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub(crate) use canonical::canonical;
use history::History;
pub use lease::Lease;
pub use table::{Marks, Purged, Subject, Table, Verdict};

/// What a node knows of purges. Shared by the one who brings orders and those who serve.
#[derive(Debug)]
pub struct Purges {
    known: RwLock<Known>,
    follows: bool,
    when_lost: WhenLost,
    lease_immutable: Duration,
    /// When a parent last gave what may be from before a purge, without a number.
    laundered: Mutex<Option<Instant>>,
    /// The node's right to serve by what it knows.
    pub lease: Lease,
}

#[derive(Debug)]
struct Known {
    table: Table,
    through: u64,
    history: History,
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
    /// How long it then goes on without validating what says that it never changes.
    pub lease_immutable: Duration,
    /// What it does then.
    pub when_lost: WhenLost,
}

/// What a node does while it does not know what was ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenLost {
    /// It serves on.
    Serve,
    /// It asks its parent on each use whether what it has is still so. While the parent cannot be reached it serves that
    /// as it is, for as long as [`Settings::lease_immutable`]; then it serves nothing that it cannot ask about.
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

impl Settings {
    /// How long after its last news of the feed a node may go on to serve what was purged meanwhile; `None`: for ever.
    #[must_use]
    pub const fn stops(&self) -> Option<Duration> {
        match self.when_lost {
            WhenLost::Serve => None,
            WhenLost::Revalidate => Some(self.lease_immutable),
            WhenLost::Refuse => Some(self.lease),
        }
    }
}

impl Purges {
    /// Nothing was purged yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            known: RwLock::new(Known {
                table: Table::new(settings.memory),
                through: 0,
                history: History::new(Instant::now()),
            }),
            laundered: Mutex::new(None),
            follows: settings.follows,
            when_lost: settings.when_lost,
            lease_immutable: settings.lease_immutable,
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

    /// Whether an object is to be validated because the feed has been lost for too long. Of what never changes, a feed
    /// can only say that it is not to be served, and for a while it may be enough that players are not led to it.
    #[must_use]
    pub fn doubts(&self, is_immutable: impl FnOnce() -> bool) -> bool {
        self.lost() == Some(WhenLost::Revalidate)
            && !(self.lease.is_younger(self.lease_immutable) && is_immutable())
    }

    /// Whether the feed has been lost for so long, or has said nothing yet, that nothing is served of which no parent says
    /// that it is still so.
    #[must_use]
    pub fn must_know(&self) -> bool {
        self.lost() == Some(WhenLost::Revalidate) && !self.lease.is_younger(self.lease_immutable)
    }

    /// Judges an object by the number it bears.
    #[must_use]
    pub fn judge(&self, subject: Subject<'_>, fill_seq: u64) -> Judged {
        let known = self.known.read();
        // No object bears a number that was never applied: this one's is of another numbering, or of a feed that has
        // not been read to its end again since the start.
        let fill_seq = if fill_seq <= known.through {
            fill_seq
        } else if self.lease.is_held() {
            return Judged {
                verdict: Verdict::Gone,
                through: 0,
            };
        } else {
            0
        };
        let verdict = known.table.judge(subject, fill_seq);
        let through = match verdict {
            Verdict::Usable => known.through,
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
    pub fn apply(&self, purged: &[Purged], through: u64) {
        let mut known = self.known.write();
        for purged in purged {
            known.table.note(purged);
        }
        known.through = known.through.max(through);
        let through = known.through;
        known.history.note(through, Instant::now());
    }

    /// Whether an answer of so many seconds may be from before an order that concerns its object: then a cache gave it
    /// that follows no feed, for it bears no number. `None`: an age that nobody knows. Where it is so, that is
    /// remembered for a while.
    #[must_use]
    pub fn may_be_older(&self, subject: Subject<'_>, age: Option<Duration>) -> bool {
        let known = self.known.read();
        let newest = known.table.marks(subject).newest();
        if newest == 0 {
            return false;
        }
        let since = known.history.since(newest, Instant::now());
        let is_newer = since.zip(age).is_some_and(|(since, age)| age < since);
        drop(known);
        if !is_newer {
            *self.laundered.lock() = Some(Instant::now());
        }
        !is_newer
    }

    /// Whether a parent that follows no feed was met lately.
    #[must_use]
    pub fn was_laundered(&self) -> bool {
        let laundered = *self.laundered.lock();
        laundered.is_some_and(|at| at.elapsed() < LATELY)
    }

    /// Takes note of what concerns all objects that bear no tenant's tag.
    pub fn apply_untagged(&self, marks: Marks) {
        self.known.write().table.note_untagged(marks);
    }

    /// Reads the table.
    pub fn table<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.known.read().table)
    }
}

/// For so long it is said that a parent follows no feed.
const LATELY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_number_of_another_numbering_saves_no_object() {
        let purges = Purges::new(&Settings {
            memory: 1 << 16,
            follows: true,
            lease: Duration::from_secs(60),
            lease_immutable: Duration::from_secs(60),
            when_lost: WhenLost::Revalidate,
        });
        let subject = Subject {
            address: "/v/a/x",
            tags: "a:a",
        };
        // Given by hand, in milliseconds; the feed counts from one.
        let theirs = 1_800_000_000_000;
        let everything = Purged::everything(Marks::hard(2));
        purges.apply(&[], 1);
        let judged = purges.judge(subject, theirs);
        assert_eq!((judged.verdict, judged.through), (Verdict::Usable, 1));
        purges.apply(&[everything], 3);
        assert_eq!(purges.judge(subject, theirs).verdict, Verdict::Gone);
        assert_eq!(purges.judge(subject, 2).verdict, Verdict::Usable);
        purges.apply(&[], 4);
        let other = Subject {
            address: "/v/b/x",
            tags: "",
        };
        purges.lease.renew(Instant::now());
        assert_eq!(
            purges.judge(other, 5).verdict,
            Verdict::Gone,
            "all that the feed has is applied"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_changes_is_doubted_later() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let purges = Purges::new(&Settings {
            memory: 1 << 16,
            follows: true,
            lease: Duration::from_secs(60),
            lease_immutable: hours(24),
            when_lost: WhenLost::Revalidate,
        });
        let doubted = || (purges.doubts(|| false), purges.doubts(|| true));
        assert_eq!(doubted(), (true, true), "nothing is known yet");
        purges.lease.renew(Instant::now());
        assert_eq!(doubted(), (false, false));
        advance(hours(1)).await;
        assert_eq!(doubted(), (true, false));
        advance(hours(24)).await;
        assert_eq!(doubted(), (true, true));
    }
}
