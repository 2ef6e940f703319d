//! What a session comes to: a function of the set of its events alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use catalog::plays::{Figures, Slot};
use contracts::id::VideoId;
use serde::{Deserialize, Serialize};

use super::startup;
use crate::event::{Event, Kind, OTHER};
use crate::record::{Record, Source};

/// What stands for an edge or a network that is not known.
pub const UNKNOWN: &str = "unknown";

/// How many codes of errors a session may have that are counted each.
const MOST_CODES: usize = 8;
/// An hour, in seconds.
const HOUR_S: u64 = 3600;

/// What is remembered of a session: the rule by which it counts, and its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// For how long it must have run to count as a view, in milliseconds: the rule that held when it was first heard.
    view_after_ms: u64,
    video: VideoId,
    /// When it began, in Unix seconds.
    started: u64,
    /// The viewer's network, as its event with the lowest number said it.
    isp: Option<(u32, String)>,
    /// Its events in the order of their numbers, each number once.
    events: Vec<Event>,
    /// The same of what came as Common Media Client Data.
    cmcd: Vec<Event>,
}

impl Told {
    /// A session that has told nothing.
    pub(crate) fn nothing(record: &Record, view_after: Duration) -> Self {
        Self {
            view_after_ms: u64::try_from(view_after.as_millis()).unwrap_or(u64::MAX),
            video: record.video.clone(),
            started: record.started,
            isp: None,
            events: Vec::new(),
            cmcd: Vec::new(),
        }
    }

    /// Adds what a record tells; whether anything of it was new. Of two events with one number the lesser counts, so
    /// that it does not matter which came first.
    pub(crate) fn add(&mut self, record: &Record) -> bool {
        let mut new = false;
        let list = match record.source {
            Source::Events => &mut self.events,
            Source::Cmcd => &mut self.cmcd,
        };
        for event in &record.events {
            match list.binary_search_by_key(&event.seq, |known| known.seq) {
                Err(at) => {
                    list.insert(at, event.clone());
                    new = true;
                }
                Ok(at) => {
                    if let Some(known) = list.get_mut(at).filter(|known| event < *known) {
                        *known = event.clone();
                        new = true;
                    }
                }
            }
        }
        let first = record.events.iter().map(|event| event.seq).min();
        if let (Some(seq), Some(name)) = (first, &record.isp) {
            let said = (seq, name.clone());
            if self.isp.as_ref().is_none_or(|known| said < *known) {
                self.isp = Some(said);
                new = true;
            }
        }
        new
    }
}

/// What a session comes to, by hour, edge and network. A session that told nothing comes to nothing.
#[must_use]
pub fn count(told: &Told) -> BTreeMap<Slot, Figures> {
    let events = match told.events.as_slice() {
        [] => &told.cmcd,
        _ => &told.events,
    };
    if events.is_empty() {
        return BTreeMap::new();
    }
    let first_edge = events.iter().find_map(|event| event.edge.clone());
    let mut tally = Tally {
        told,
        edge: first_edge.unwrap_or_else(|| UNKNOWN.into()),
        startup_ms: events.iter().find_map(|event| event.startup_ms),
        now: 0,
        state: State::default(),
        codes: BTreeSet::new(),
        figures: BTreeMap::new(),
    };
    tally.at(0).sessions += 1;
    for event in events {
        tally.run_until(event.at_ms);
        if let Some(edge) = &event.edge {
            tally.edge.clone_from(edge);
        }
        tally.happen(event);
    }
    tally.finish()
}

/// What goes on while events pass by.
struct Tally<'a> {
    told: &'a Told,
    edge: String,
    startup_ms: Option<u32>,
    /// In milliseconds after the session began; it only rises.
    now: u64,
    state: State,
    /// Codes of errors that were met.
    codes: BTreeSet<String>,
    figures: BTreeMap<Slot, Figures>,
}

/// What is so at a moment.
#[derive(Default)]
struct State {
    started: bool,
    paused: bool,
    /// It stands still; whether because the viewer jumped.
    stalled: Option<bool>,
    /// It is over, or has failed.
    over: bool,
    failed: bool,
    kbps: Option<u32>,
    watched_ms: u64,
    viewed: bool,
    /// When, before its start, it failed or was left first.
    failed_before: Option<u64>,
    left_before: Option<u64>,
}

impl Tally<'_> {
    /// Where what happens at a moment counts.
    fn at(&mut self, ms: u64) -> &mut Figures {
        let second = self.told.started + ms / 1000;
        let isp = self.told.isp.as_ref().map(|(_, name)| name.clone());
        let slot = Slot {
            hour_unix_s: second - second % HOUR_S,
            video: self.told.video.clone(),
            edge: self.edge.clone(),
            isp: isp.unwrap_or_else(|| UNKNOWN.into()),
        };
        self.figures.entry(slot).or_default()
    }

    /// What is so goes on until a moment; an earlier one than now is now.
    fn run_until(&mut self, ms: u64) {
        while self.now < ms {
            // Each hour has its own.
            let second = self.told.started + self.now / 1000;
            let hour_ends = (second - second % HOUR_S + HOUR_S - self.told.started) * 1000;
            let until = ms.min(hour_ends);
            self.run(until - self.now);
            self.now = until;
        }
    }

    /// What is so goes on for a while within an hour.
    fn run(&mut self, span_ms: u64) {
        if !self.state.started || self.state.over {
            return;
        }
        let (now, span) = (self.now, signed(span_ms));
        match self.state.stalled {
            Some(true) => {}
            Some(false) => self.at(now).rebuffer_ms += span,
            None if self.state.paused => {}
            None => {
                let kbps = self.state.kbps.map(i64::from);
                let left = self
                    .told
                    .view_after_ms
                    .saturating_sub(self.state.watched_ms);
                self.state.watched_ms += span_ms;
                let figures = self.at(now);
                figures.watch_ms += span;
                if let Some(kbps) = kbps {
                    figures.known_ms += span;
                    figures.known_kbit += kbps * span / 1000;
                }
                if left <= span_ms {
                    self.view(now + left);
                }
            }
        }
    }

    fn view(&mut self, ms: u64) {
        if !std::mem::replace(&mut self.state.viewed, true) {
            self.at(ms).views += 1;
        }
    }

    fn happen(&mut self, event: &Event) {
        let now = self.now;
        if let Kind::Error { .. } = event.kind {
            self.err(event.code.as_deref().unwrap_or(UNKNOWN));
        }
        match event.kind {
            Kind::Start | Kind::Playing => self.start(event.kind == Kind::Playing),
            Kind::Pause => self.state.paused = true,
            Kind::Resume => (self.state.paused, self.state.over) = (false, false),
            Kind::RebufferStart { seek } => {
                let runs = self.state.started && !self.state.over;
                if runs && self.state.stalled.is_none() {
                    self.state.stalled = Some(seek);
                    self.at(now).rebuffers += i64::from(!seek);
                }
            }
            Kind::RebufferEnd => self.state.stalled = None,
            Kind::Error { fatal: true } => self.fail(),
            Kind::End { completed } => self.end(completed),
            Kind::Error { fatal: false } | Kind::QualityChange | Kind::Progress => {}
        }
        if let Some(kbps) = event.bitrate_kbps {
            let before = self.state.kbps.replace(kbps);
            if self.state.started && before.is_some_and(|before| before != kbps) {
                self.at(now).switches += 1;
            }
        }
    }

    /// Something failed, whether or not it goes on.
    fn err(&mut self, code: &str) {
        let known = self.codes.len() < MOST_CODES || self.codes.contains(code);
        let code = if known { code } else { OTHER };
        self.codes.insert(code.to_owned());
        let figures = self.at(self.now);
        figures.errors += 1;
        *figures.codes.entry(code.to_owned()).or_default() += 1;
    }

    /// It is shown: for the first time, or, where players tell that it runs, again.
    fn start(&mut self, runs: bool) {
        self.state.over = false;
        if runs {
            (self.state.paused, self.state.stalled) = (false, None);
        }
        if std::mem::replace(&mut self.state.started, true) {
            return;
        }
        let now = self.now;
        let class = startup::class(self.startup_ms.map_or(now, u64::from));
        let figures = self.at(now);
        figures.starts += 1;
        *figures.startup.entry(class).or_default() += 1;
        if self.told.view_after_ms == 0 {
            self.view(now);
        }
    }

    fn fail(&mut self) {
        let now = self.now;
        if !self.state.started {
            self.state.failed_before.get_or_insert(now);
            return;
        }
        self.state.over = true;
        self.state.stalled = None;
        if !std::mem::replace(&mut self.state.failed, true) {
            self.at(now).failures += 1;
        }
    }

    fn end(&mut self, completed: bool) {
        let now = self.now;
        if !self.state.started {
            self.state.left_before.get_or_insert(now);
            return;
        }
        self.state.over = true;
        self.state.stalled = None;
        if completed {
            self.view(now);
        }
    }

    fn finish(mut self) -> BTreeMap<Slot, Figures> {
        if !self.state.started {
            match (self.state.failed_before, self.state.left_before) {
                (Some(ms), _) => self.at(ms).start_failures += 1,
                (None, Some(ms)) => self.at(ms).exits_before_start += 1,
                (None, None) => {}
            }
        }
        self.figures
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
