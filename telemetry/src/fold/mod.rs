//! Folding: what stands in the log becomes counts in the catalogue.
//!
//! A step reads some records, adds their events to what their sessions told before, and gives the catalogue the
//! difference that this makes to what each session comes to ([`session::count`]), together with the new position.
//! All of that is one transaction: a folder that is killed has taken the step or has not. Several control planes fold
//! their logs into one catalogue; whoever finds that another wrote a session meanwhile reads again.

mod session;
mod startup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::plays::{Figures, Fold, Plays, Remembered, Slot};
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use runtime::clock::Clock;
use runtime::shutdown::Shutdown;

use crate::log::{Offset, Shared};
use crate::metrics::Metrics;
use crate::record::Record;

pub use session::{Told, UNKNOWN, count};
pub use startup::quantile;

/// How much of the log a step reads, in bytes: some hundreds of sessions, of each of which what it told before may take
/// some 400 KB.
const STEP: usize = 64 * 1024;
/// How long after a failure it is tried again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often old counts and sessions are forgotten.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long a record waits to be folded before nobody may remember its session, in seconds: a week.
const LONGEST_WAIT_S: u64 = 7 * 86_400;
/// How long after its token's end a session may still tell something, in seconds.
const AFTERWARDS_S: u64 = 2 * 86_400;

/// How counts are made.
pub struct Rules {
    /// For how long a film must have run to count as a view.
    pub view_after: Duration,
    /// How long counts by hour are kept. Views are kept for good.
    pub keep: Duration,
}

/// Who folds a log.
pub struct Folder {
    log: Shared,
    plays: Arc<dyn Plays>,
    clock: Arc<dyn Clock>,
    rules: Rules,
    metrics: Metrics,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was taken; more may follow.
    Taken,
    /// There is nothing behind this place.
    Nothing(Offset),
    /// Another wrote meanwhile: it is to be tried again.
    Again,
}

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The catalogue failed.
    #[error("the catalogue failed: {0}")]
    Catalog(#[from] catalog::Error),
}

impl Folder {
    /// Who folds `log` into `plays`.
    #[must_use]
    pub fn new(
        log: Shared,
        plays: Arc<dyn Plays>,
        clock: Arc<dyn Clock>,
        rules: Rules,
        metrics: Metrics,
    ) -> Self {
        Self {
            log,
            plays,
            clock,
            rules,
            metrics,
        }
    }

    /// Looks whether the log is the one that was folded; to be awaited before it takes anything. One that ends before
    /// its position was put back from a copy, and is folded again from its beginning, which counts nothing twice.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub async fn prepare(&self) -> Result<(), Error> {
        let (log, extent) = (self.log.name().to_owned(), self.log.extent());
        let from = self.plays.position(&log).await?;
        if from.is_none_or(|at| at <= extent.end) {
            return Ok(());
        }
        tracing::warn!("the log of events is older than what was folded of it; it is folded again");
        let again = Fold {
            log,
            from,
            to: extent.first,
            sessions: Vec::new(),
            figures: BTreeMap::new(),
        };
        // Should another have moved the position meanwhile, the log has two owners, which cannot be.
        self.plays.fold(&again).await?;
        Ok(())
    }

    /// Folds until shutdown.
    pub async fn run(self, mut shutdown: Shutdown) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = sweep.tick() => self.sweep().await,
                () = self.go_on() => {}
            }
        }
    }

    /// Takes a step and waits until another can be taken.
    async fn go_on(&self) {
        match self.step().await {
            Ok(Step::Taken | Step::Again) => {}
            Ok(Step::Nothing(end)) => self.log.grown(end).await,
            Err(error) => {
                self.metrics.failures.inc();
                tracing::warn!("events are not folded for now: {error}");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`Error`]; the step was not taken, or it was and the answer was lost.
    ///
    /// # Cancel safety
    /// The step was taken or was not.
    pub async fn step(&self) -> Result<Step, Error> {
        let extent = self.log.extent();
        let from = self.plays.position(self.log.name()).await?;
        let at = from.unwrap_or(extent.first);
        self.metrics.lag(extent.end.saturating_sub(at));
        self.metrics.size(extent.end - extent.first);
        let page = self.log.read(at, STEP).await?;
        if page.next <= at {
            return Ok(Step::Nothing(at));
        }
        if page.damaged > 0 {
            let bytes = page.damaged;
            self.metrics.lost.inc_by(bytes);
            tracing::error!(
                bytes,
                "{bytes} bytes of the log of events are damaged and passed over"
            );
        }
        let mut fold = self.fold(&page.records).await?;
        (fold.from, fold.to) = (from, page.next);
        if !self.plays.fold(&fold).await? {
            return Ok(Step::Again);
        }
        self.metrics
            .lag(self.log.extent().end.saturating_sub(page.next));
        self.log.release(page.next).await?;
        Ok(Step::Taken)
    }

    /// What records add.
    async fn fold(&self, records: &[Vec<u8>]) -> Result<Fold, Error> {
        let mut by_session: BTreeMap<SessionId, Vec<Record>> = BTreeMap::new();
        let now = self.clock.now().0;
        for bytes in records {
            let record: Option<Record> = serde_json::from_slice(bytes).ok();
            // After so long what its session told before may be forgotten, and it would count anew.
            let fresh = record.filter(|record| now.saturating_sub(record.at) <= LONGEST_WAIT_S);
            match fresh {
                Some(record) => by_session
                    .entry(record.session.clone())
                    .or_default()
                    .push(record),
                None => self.metrics.lost.inc_by(bytes.len() as u64),
            }
        }
        let ids: Vec<SessionId> = by_session.keys().cloned().collect();
        let known = self.plays.remembered(&ids).await?.into_iter();
        let mut known: BTreeMap<_, _> = known.map(|one| (one.session.clone(), one)).collect();
        let mut fold = Fold {
            log: self.log.name().to_owned(),
            from: None,
            to: 0,
            sessions: Vec::new(),
            figures: BTreeMap::new(),
        };
        for (id, records) in by_session {
            let before = known.remove(&id);
            self.fold_session(id, before, &records, &mut fold);
        }
        Ok(fold)
    }

    /// What records of one session add to what it came to before.
    fn fold_session(
        &self,
        id: SessionId,
        before: Option<Remembered>,
        records: &[Record],
        fold: &mut Fold,
    ) {
        let Some(first) = records.first() else {
            return;
        };
        let version = before.as_ref().map_or(0, |known| known.version);
        let needed = before.as_ref().map_or(0, |known| known.until.0);
        let remembered = before.map(|known| serde_json::from_slice(&known.told));
        let mut told: Told = match remembered.transpose() {
            Ok(told) => told.unwrap_or_else(|| Told::nothing(first, self.rules.view_after)),
            Err(error) => {
                let mark = id.mark();
                tracing::error!(session.mark = %mark, "what session {mark} told cannot be read, and what it tells is not counted: {error}");
                return;
            }
        };
        let came_to = count(&told);
        let mut new = false;
        for record in records {
            new |= told.add(record);
        }
        if !new {
            return;
        }
        add(&mut fold.figures, &came_to, -1);
        add(&mut fold.figures, &count(&told), 1);
        let until = records.iter().map(|record| record.expires).max();
        let until = until.unwrap_or_default() + AFTERWARDS_S + LONGEST_WAIT_S;
        fold.sessions.push(Remembered {
            session: id,
            version,
            // What another log told of it may hold longer.
            until: UnixSeconds(until.max(needed)),
            // Numbers and texts: it can be written.
            told: serde_json::to_vec(&told).unwrap_or_default(),
        });
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        let hours = UnixSeconds(now.0.saturating_sub(self.rules.keep.as_secs()));
        if let Err(error) = self.plays.forget(now, hours).await {
            tracing::warn!("old counts of what was played stay for now: {error}");
        }
    }
}

fn add(sum: &mut BTreeMap<Slot, Figures>, figures: &BTreeMap<Slot, Figures>, times: i64) {
    for (slot, figures) in figures {
        sum.entry(slot.clone()).or_default().add(figures, times);
    }
}
