//! What was played, by hour: counts that are folded from what players told, and how far they are folded.

pub mod conformance;
pub mod sql;

use std::collections::BTreeMap;

use async_trait::async_trait;
use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;

use crate::error::Error;

/// How many codes of errors are told at once, in all groups together.
pub const MOST_CODES: u32 = 4096;

/// Where counts belong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// When the hour begins, in Unix seconds.
    pub hour_unix_s: u64,
    /// The film.
    pub video: VideoId,
    /// The edge that it came from.
    pub edge: String,
    /// The network of the viewer.
    pub isp: String,
}

/// Counts. They may be negative where something is taken back that was counted before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions that told anything.
    pub sessions: i64,
    /// Sessions whose first picture was shown.
    pub starts: i64,
    /// Sessions that failed before it.
    pub start_failures: i64,
    /// Sessions that were left before it.
    pub exits_before_start: i64,
    /// Sessions that count as a view.
    pub views: i64,
    /// Sessions that failed after their first picture.
    pub failures: i64,
    /// How long films ran, in milliseconds.
    pub watch_ms: i64,
    /// How often they stood still although nobody had asked for it.
    pub rebuffers: i64,
    /// For how long, in milliseconds.
    pub rebuffer_ms: i64,
    /// Changes of the bitrate.
    pub switches: i64,
    /// What was shown while the bitrate was known, in kilobits.
    pub known_kbit: i64,
    /// How long films ran while the bitrate was known, in milliseconds.
    pub known_ms: i64,
    /// Errors, fatal or not.
    pub errors: i64,
    /// The same by their codes; of all that are counted together, those with the most, and the rest in none of them.
    pub codes: BTreeMap<String, i64>,
    /// Starts by the class of the time that they took; what a class is is the caller's.
    pub startup: BTreeMap<u16, i64>,
}

/// The columns of a row of counts, in the order of [`Figures::counts`].
const COLUMNS: [&str; 13] = [
    "sessions",
    "starts",
    "start_failures",
    "exits_before_start",
    "views",
    "failures",
    "watch_ms",
    "rebuffers",
    "rebuffer_ms",
    "switches",
    "known_kbit",
    "known_ms",
    "errors",
];

impl Figures {
    const fn counts(&self) -> [i64; 13] {
        [
            self.sessions,
            self.starts,
            self.start_failures,
            self.exits_before_start,
            self.views,
            self.failures,
            self.watch_ms,
            self.rebuffers,
            self.rebuffer_ms,
            self.switches,
            self.known_kbit,
            self.known_ms,
            self.errors,
        ]
    }

    const fn of_counts(counts: [i64; 13]) -> Self {
        let [
            sessions,
            starts,
            start_failures,
            exits_before_start,
            views,
            failures,
            watch_ms,
            rebuffers,
            rebuffer_ms,
            switches,
            known_kbit,
            known_ms,
            errors,
        ] = counts;
        Self {
            sessions,
            starts,
            start_failures,
            exits_before_start,
            views,
            failures,
            watch_ms,
            rebuffers,
            rebuffer_ms,
            switches,
            known_kbit,
            known_ms,
            errors,
            codes: BTreeMap::new(),
            startup: BTreeMap::new(),
        }
    }

    /// Adds others, `times` times: -1 takes them back.
    pub fn add(&mut self, others: &Self, times: i64) {
        let mut counts = self.counts();
        for (count, other) in counts.iter_mut().zip(others.counts()) {
            *count += other * times;
        }
        let mut startup = std::mem::take(&mut self.startup);
        sum(&mut startup, &others.startup, times);
        let mut codes = std::mem::take(&mut self.codes);
        sum(&mut codes, &others.codes, times);
        *self = Self {
            startup,
            codes,
            ..Self::of_counts(counts)
        };
    }

    /// Whether there is nothing to count.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

fn sum<K: Ord + Clone>(counts: &mut BTreeMap<K, i64>, others: &BTreeMap<K, i64>, times: i64) {
    for (key, count) in others {
        *counts.entry(key.clone()).or_default() += count * times;
    }
    counts.retain(|_, count| *count != 0);
}

/// What is remembered of a session, so that what it tells later is counted with what it told before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The session.
    pub session: SessionId,
    /// How often it was written; 0: not yet.
    pub version: u64,
    /// Until when it is needed.
    pub until: UnixSeconds,
    /// What it told, as the caller writes it.
    pub told: Vec<u8>,
}

/// A step of folding a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The log.
    pub log: String,
    /// Up to where it was folded before; `None`: not at all.
    pub from: Option<u64>,
    /// Up to where it is folded with this.
    pub to: u64,
    /// The sessions that it concerns, each once, with the version that was read.
    pub sessions: Vec<Remembered>,
    /// What is to be added.
    pub figures: BTreeMap<Slot, Figures>,
}

/// Views of a film within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hour {
    /// When it begins, in Unix seconds.
    pub hour_unix_s: u64,
    /// Views.
    pub views: u64,
    /// How long it ran, in milliseconds.
    pub watch_ms: u64,
}

/// By what counts are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// All in one.
    Nothing,
    /// The edge.
    Edge,
    /// The viewer's network.
    Isp,
    /// The film.
    Video,
    /// The hour; its group is named by the Unix second of its beginning.
    Hour,
}

/// Which counts are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Hours that begin here or later.
    pub from_unix_s: u64,
    /// Hours that begin before.
    pub to_unix_s: u64,
    /// Of one film.
    pub video: Option<VideoId>,
    /// Of one edge.
    pub edge: Option<String>,
    /// Of one network.
    pub isp: Option<String>,
}

/// What was played on a site.
#[async_trait]
pub trait Plays: Send + Sync {
    /// Up to where a log is folded; `None`: not at all.
    async fn position(&self, log: &str) -> Result<Option<u64>, Error>;

    /// What is remembered of sessions; of those that nothing is remembered of, nothing.
    async fn remembered(&self, sessions: &[SessionId]) -> Result<Vec<Remembered>, Error>;

    /// Takes a step: adds the counts, remembers the sessions and moves the position, all or nothing.
    /// False, and nothing is changed, when the position is not the one that the step begins at, or when
    /// one of the sessions was written since it was read.
    async fn fold(&self, step: &Fold) -> Result<bool, Error>;

    /// Hours in which a film was watched, oldest first, that begin at `from` or later and before `to`.
    async fn hours(&self, video: &VideoId, from: u64, to: u64) -> Result<Vec<Hour>, Error>;

    /// All views of a film.
    async fn views(&self, video: &VideoId) -> Result<u64, Error>;

    /// Counts, put together; of the groups those with the most sessions, at most `limit`, and of two
    /// with as many the one whose name comes first. What was taken back whole makes no group. Of the codes of
    /// errors those with the most are told, [`MOST_CODES`] of all groups together.
    async fn groups(
        &self,
        by: By,
        of: &Wanted,
        limit: u32,
    ) -> Result<Vec<(String, Figures)>, Error>;

    /// Forgets sessions that are not needed any more at `now`, and counts of hours that began before
    /// `hours`. Views and how long films ran stay for good. Tells how many sessions.
    async fn forget(&self, now: UnixSeconds, hours: UnixSeconds) -> Result<u64, Error>;
}
