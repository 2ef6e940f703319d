//! Taking what sessions tell: judged, told apart from what was taken before, and written to the log.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use moka::sync::Cache;

use crate::event::{Event, Fault, MOST_SEQ};
use crate::log::{Error, Shared};
use crate::metrics::Metrics;
use crate::record::{Playback, Record, Source};

/// How long after it happened an event is taken, in seconds: a day.
pub const LATEST_S: u64 = 86_400;
/// By how much a player's clock may be ahead, in seconds.
const AHEAD_S: u64 = 60;
/// Of how many sessions it is remembered what was taken; each takes some 700 bytes.
const SESSIONS: u64 = 20_000;

/// What came of events that were told at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many were taken.
    pub accepted: usize,
    /// How many had been taken before, as far as this process remembers.
    pub duplicates: usize,
    /// Those that were not taken.
    pub rejected: Vec<Rejected>,
}

/// An event that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in what was told, from 0.
    pub index: usize,
    /// Why.
    pub fault: Fault,
}

/// Which numbers of a session were taken, of each source.
type Seen = Arc<Mutex<[Vec<u64>; 2]>>;

/// Who takes what sessions tell.
pub struct Collector {
    log: Shared,
    seen: Cache<SessionId, Seen>,
    edge_of: EdgeOf,
    metrics: Metrics,
}

/// The name of an edge that a player named by it, or by the host of its addresses.
pub type EdgeOf = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Collector {
    /// Who takes events into a log.
    #[must_use]
    pub fn new(log: Shared, edge_of: EdgeOf, metrics: Metrics) -> Self {
        Self {
            log,
            seen: Cache::new(SESSIONS),
            edge_of,
            metrics,
        }
    }

    /// Takes what a session told, each with its place in what was told; what is taken survives a crash when this
    /// returns.
    ///
    /// # Errors
    /// [`Error`] of the log: then nothing counts as taken, and all may be told again.
    pub async fn take(
        &self,
        playback: &Playback,
        source: Source,
        told: Vec<(usize, Result<Event, Fault>)>,
        now: UnixSeconds,
    ) -> Result<Taken, Error> {
        let seen = self.seen.get_with(playback.session.clone(), Seen::default);
        let mut taken = Taken::default();
        let mut events: Vec<Event> = Vec::with_capacity(told.len());
        for (index, event) in told {
            match event.and_then(|event| judge(event, playback, now)) {
                Ok(event) if has(&seen, source, event.seq) => taken.duplicates += 1,
                Ok(event) if events.iter().any(|other| other.seq == event.seq) => {
                    taken.duplicates += 1;
                }
                Ok(mut event) => {
                    event.edge = event.edge.as_deref().and_then(&self.edge_of);
                    events.push(event);
                }
                Err(fault) => taken.rejected.push(Rejected { index, fault }),
            }
        }
        taken.accepted = events.len();
        if !events.is_empty() {
            let numbers: Vec<u32> = events.iter().map(|event| event.seq).collect();
            let record = Record::new(playback, source, events, now);
            let bytes = serde_json::to_vec(&record).unwrap_or_default();
            self.log.append(bytes).await?;
            note(&seen, source, &numbers);
        }
        self.count(&taken);
        Ok(taken)
    }

    /// Counts events whose session is not known.
    pub fn refuse(&self, events: usize) {
        let reason = Fault::NoSession.to_string();
        let counter = self.metrics.rejected.with_label_values(&[reason.as_str()]);
        counter.inc_by(events as u64);
    }

    fn count(&self, taken: &Taken) {
        self.metrics.accepted.inc_by(taken.accepted as u64);
        self.metrics.duplicates.inc_by(taken.duplicates as u64);
        for rejected in &taken.rejected {
            let reason = rejected.fault.to_string();
            let counter = self.metrics.rejected.with_label_values(&[reason.as_str()]);
            counter.inc();
        }
    }
}

/// Whether an event may be of its session, and is told in time.
fn judge(event: Event, playback: &Playback, now: UnixSeconds) -> Result<Event, Fault> {
    let at = playback.started.0.saturating_add(event.at_ms / 1000);
    if at > now.0.saturating_add(AHEAD_S) || at > playback.expires.0.saturating_add(AHEAD_S) {
        return Err(Fault::OutOfSession);
    }
    if at.saturating_add(LATEST_S) < now.0 {
        return Err(Fault::TooLate);
    }
    Ok(event)
}

fn has(seen: &Seen, source: Source, seq: u32) -> bool {
    let (word, bit) = place(seq);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let bits = of(&seen, source).get(word);
    bits.is_some_and(|bits| bits & bit != 0)
}

fn note(seen: &Seen, source: Source, numbers: &[u32]) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let [events, cmcd] = &mut *seen;
    let bits = match source {
        Source::Events => events,
        Source::Cmcd => cmcd,
    };
    for seq in numbers.iter().filter(|seq| **seq <= MOST_SEQ) {
        let (word, bit) = place(*seq);
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        if let Some(bits) = bits.get_mut(word) {
            *bits |= bit;
        }
    }
}

const fn of(seen: &[Vec<u64>; 2], source: Source) -> &Vec<u64> {
    let [events, cmcd] = seen;
    match source {
        Source::Events => events,
        Source::Cmcd => cmcd,
    }
}

const fn place(seq: u32) -> (usize, u64) {
    ((seq / 64) as usize, 1 << (seq % 64))
}
