//! What becomes of orders: purges and revocations are put in force, and kept over a restart.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contracts::feed::{Order, Page, Purge};
use contracts::id::FeedId;
use contracts::revocation::{Revocation, Revoked};
use contracts::time::UnixSeconds;
use parking_lot::Mutex;

use super::state::{Found, Line, State};
use crate::error::Error;
use crate::purge::{Marks, Purged, Purges};

/// Puts revocations in force.
pub trait Revokes: Send + Sync + 'static {
    /// Puts a revocation in force; one that is known changes nothing.
    ///
    /// # Errors
    /// Why it is not in force.
    fn revoke(&self, revocation: Revocation) -> Result<(), String>;
}

/// The orders of a node: what they say is in force in its [`Purges`] and its [`Revokes`], and stands in a file.
pub struct Orders {
    purges: Arc<Purges>,
    revokes: Option<Arc<dyn Revokes>>,
    kept: Mutex<Kept>,
}

struct Kept {
    state: Option<State>,
    /// Another process has the file, and takes what is ordered by hand.
    lent: bool,
    /// The feed whose numbers were applied last, as far as it said so.
    feed: Option<FeedId>,
    /// Those that have not ended, in force or not.
    revocations: HashMap<Revoked, UnixSeconds>,
    /// The file does not say what it should.
    outdated: bool,
    /// Some revocations are not in force.
    short: bool,
}

/// What could not be done of what was ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// Revocations that are not in force, and why the last of them.
    pub unrevoked: Option<(usize, String)>,
    /// Why orders would not survive a restart.
    pub unsaved: Option<String>,
}

/// What became of an order by hand that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// It was not taken: another process is taking over.
    #[error("another process is taking over")]
    Elsewhere,
    /// It is in force, and would not survive a restart.
    #[error("{0}")]
    Unsaved(String),
}

impl Orders {
    /// Puts in force what the file says, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(
        purges: Arc<Purges>,
        revokes: Option<Arc<dyn Revokes>>,
        file: Option<&Path>,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let mut kept = Kept {
            state: None,
            lent: false,
            feed: None,
            revocations: HashMap::new(),
            outdated: false,
            // None is in force yet.
            short: true,
        };
        if let Some(path) = file {
            let (found, through) = kept
                .read(path, &purges, now)
                .map_err(|source| Error::Read {
                    path: path.to_owned(),
                    source,
                })?;
            let damaged = found == Found::Damaged;
            if damaged {
                tracing::warn!("{} was damaged, and counts up to there", path.display());
            }
            kept.outdated = damaged || through.is_none();
            if kept.outdated && !purges.follows() {
                // Nobody can tell again what was ordered by hand; and of a file that is new, nobody can tell whether
                // there was another when what is on the disks was stored.
                tracing::info!("what was stored before {} is purged", path.display());
                let seq = millis(now).max(purges.through() + 1);
                purges.apply(&[Purged::everything(Marks::hard(seq))], seq);
            }
        }
        let orders = Self {
            purges,
            revokes,
            kept: Mutex::new(kept),
        };
        orders.revoke(&[]);
        orders.kept.lock().save(&orders.purges, &[], now);
        Ok(orders)
    }

    /// The newest order that was applied.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.purges.through()
    }

    /// The feed that they are of, as far as it said so.
    #[must_use]
    pub fn feed(&self) -> Option<FeedId> {
        self.kept.lock().feed.clone()
    }

    /// What they are in force in.
    #[must_use]
    pub const fn purges(&self) -> &Arc<Purges> {
        &self.purges
    }

    /// Whether a page is of another feed than what was applied before.
    #[must_use]
    pub fn is_of_another(&self, page: &Page) -> bool {
        let known = self.kept.lock().feed.clone();
        page.feed.is_some() && page.feed != known && self.through() > 0
    }

    /// Does what a page of the feed says, and puts it down. It writes to the disk: not for a thread that serves.
    pub fn take(&self, page: Page, now: SystemTime) -> Shortfall {
        let through = page.through(self.through());
        let mut purged = Vec::new();
        let mut revoked = Vec::new();
        if self.is_of_another(&page) {
            tracing::warn!("it is another feed: everything is purged up to order {through}");
            purged.push(Purged::everything(Marks::hard(through)));
        }
        // Nobody can tell when that was ordered which came while the node was away: it has been stale for long.
        let known = self.purges.lease.is_held();
        let at = if known { now } else { UNIX_EPOCH };
        if let Some(gap) = page.gap {
            tracing::warn!(
                "the feed has forgotten orders up to {}: everything is purged",
                gap.through
            );
            purged.push(Purged::everything(Marks::hard(gap.through)));
            revoked.extend(gap.revocations);
        }
        for entry in page.entries {
            match entry.order {
                Order::Purge(purge) => purged.push(Purged::by(purge, entry.seq, at)),
                Order::Revoke(revocation) => revoked.push(revocation),
                Order::UnknownPurge => {
                    tracing::warn!(
                        "order {} is a purge of a kind unknown here: everything is purged",
                        entry.seq
                    );
                    purged.push(Purged::everything(Marks::hard(entry.seq)));
                }
                Order::Unknown => {
                    tracing::info!("order {} is of a kind unknown here: passed over", entry.seq);
                }
            }
        }
        let news = !purged.is_empty() || !revoked.is_empty() || through > self.through();
        self.purges.apply(&purged, through);
        let mut lines: Vec<Line> = Vec::with_capacity(purged.len() + revoked.len() + 1);
        lines.extend(purged.into_iter().map(Line::purged));
        if self.revokes.is_some() {
            let mut kept = self.kept.lock();
            for revocation in &revoked {
                kept.keep(revocation.clone(), seconds(now));
            }
            lines.extend(revoked.iter().cloned().map(Line::Revoked));
        }
        let mut kept = self.kept.lock();
        if page.feed.is_some() && page.feed != kept.feed {
            kept.feed = page.feed;
            lines.extend(kept.feed.clone().map(|id| Line::Feed { id }));
        }
        drop(kept);
        if news {
            lines.push(Line::Through { seq: through });
        }
        Shortfall {
            unrevoked: self.revoke(&revoked),
            unsaved: self.kept.lock().save(&self.purges, &lines, now),
        }
    }

    /// Lets another process have the file: what is ordered from now on is in force here and not written down. Gives
    /// the newest order that is.
    pub fn lend(&self) -> u64 {
        let mut kept = self.kept.lock();
        kept.lent = true;
        kept.state = None;
        self.through()
    }

    /// Takes the file back from a process that has ended, and writes down what came meanwhile. It writes to the disk.
    ///
    /// # Errors
    /// Why orders would not survive a restart.
    pub fn reclaim(&self, file: Option<&Path>, now: SystemTime) -> Result<(), String> {
        let mut kept = self.kept.lock();
        kept.lent = false;
        if let Some(path) = file {
            // Another process may have answered for orders in the meantime.
            let read = kept.read(path, &self.purges, now);
            read.map_err(|error| error.to_string())?;
            kept.short = true;
            kept.outdated = true;
        }
        let saved = kept.save(&self.purges, &[], now);
        drop(kept);
        // What does not fit now is told when the next order comes.
        self.revoke(&[]);
        saved.map_or(Ok(()), Err)
    }

    /// Purges what somebody asks for by hand; gives the order's number. It writes to the disk.
    ///
    /// # Errors
    /// Whether and why it would not survive a restart; it is in force all the same then.
    pub fn by_hand(&self, purge: Purge, now: SystemTime) -> Result<u64, Unkept> {
        // Held from the number to the file: no two orders have one number, and the file has them by rising numbers.
        let mut kept = self.kept.lock();
        if kept.lent {
            return Err(Unkept::Elsewhere);
        }
        let seq = millis(now).max(self.through() + 1);
        let purged = Purged::by(purge, seq, now);
        self.purges.apply(std::slice::from_ref(&purged), seq);
        let lines = [Line::purged(purged), Line::Through { seq }];
        let saved = kept.save(&self.purges, &lines, now);
        saved.map_or(Ok(seq), |why| Err(Unkept::Unsaved(why)))
    }

    /// Puts new revocations in force; and where some did not fit before, all, because they may fit now.
    fn revoke(&self, new: &[Revocation]) -> Option<(usize, String)> {
        let revokes = self.revokes.as_ref()?;
        let mut kept = self.kept.lock();
        let again = kept.revocations.iter().filter(|_| kept.short);
        let again = again.map(|(what, until)| Revocation {
            what: what.clone(),
            until: *until,
        });
        let (mut count, mut why) = (0, None);
        for revocation in again.chain(new.iter().cloned()) {
            if let Err(refused) = revokes.revoke(revocation) {
                count += 1;
                why = Some(refused);
            }
        }
        kept.short = why.is_some();
        why.map(|why| (count, why))
    }
}

impl Kept {
    /// Opens the file, puts the purges that it holds in force, and keeps the rest; tells the newest order that it says
    /// was applied, if it says so.
    fn read(
        &mut self,
        path: &Path,
        purges: &Purges,
        now: SystemTime,
    ) -> io::Result<(Found, Option<u64>)> {
        let (mut purged, mut through) = (Vec::new(), None);
        let (state, found) = State::open(path, |line| match line {
            Line::Through { seq } => through = through.max(Some(seq)),
            Line::Purged {
                scope,
                tenant,
                newest,
            } => {
                let marks = newest.into();
                purged.push(Purged {
                    scope,
                    tenant,
                    marks,
                });
                // At once, so that a long file does not lie in memory as a whole.
                if purged.len() >= AT_ONCE {
                    purges.apply(&std::mem::take(&mut purged), 0);
                }
            }
            Line::Feed { id } => self.feed = Some(id),
            Line::Untagged(newest) => purges.apply_untagged(newest.into()),
            Line::Revoked(revocation) => self.keep(revocation, seconds(now)),
        })?;
        purges.apply(&purged, through.unwrap_or(0));
        self.state = Some(state);
        Ok((found, through))
    }

    /// Adds lines to the file, or writes it anew where it is long or outdated; tells why it could not.
    fn save(&mut self, purges: &Purges, lines: &[Line], now: SystemTime) -> Option<String> {
        self.revocations.retain(|_, until| seconds(now) < *until);
        let needed = self.revocations.len() + purges.table(|table| table.len());
        let state = self.state.as_mut()?;
        let saved = if self.outdated || state.is_long(needed) {
            state.replace(&snapshot(purges, &self.revocations, self.feed.as_ref()))
        } else if lines.is_empty() {
            Ok(())
        } else {
            state.add(lines)
        };
        self.outdated = saved.is_err();
        saved.err().map(|error| error.to_string())
    }

    fn keep(&mut self, revocation: Revocation, now: UnixSeconds) {
        let Revocation { what, until } = revocation;
        let room = self.revocations.len() < MAX_REVOCATIONS || self.revocations.contains_key(&what);
        if now < until && room {
            let end = self.revocations.entry(what).or_insert(until);
            *end = until.max(*end);
        }
    }
}

fn snapshot(
    purges: &Purges,
    revocations: &HashMap<Revoked, UnixSeconds>,
    feed: Option<&FeedId>,
) -> Vec<Line> {
    let mut lines: Vec<Line> = purges.table(|table| {
        let untagged = table.untagged().map(|marks| Line::Untagged(marks.into()));
        table.entries().map(Line::purged).chain(untagged).collect()
    });
    lines.extend(revocations.iter().map(|(what, until)| {
        Line::Revoked(Revocation {
            what: what.clone(),
            until: *until,
        })
    }));
    lines.extend(feed.map(|id| Line::Feed { id: id.clone() }));
    lines.push(Line::Through {
        seq: purges.through(),
    });
    lines
}

fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn seconds(now: SystemTime) -> UnixSeconds {
    UnixSeconds(since_epoch(now).as_secs())
}

fn millis(now: SystemTime) -> u64 {
    u64::try_from(since_epoch(now).as_millis()).unwrap_or(u64::MAX)
}

/// Purges of a file that are applied at once.
const AT_ONCE: usize = 1024;

/// Revocations that are kept, beyond what any gate holds by default.
const MAX_REVOCATIONS: usize = 1_000_000;
