//! Whether a node fetches from its parents now, and how fast: what its operator allows of a line that others use too.
//!
//! Only what is about to ask a parent asks here first; what the cache has is given without a look at this.

mod hours;
mod line;
mod settings;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use contracts::reason::Reason;
use contracts::target;
use prometheus::{Counter, IntCounter, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

pub use hours::{Hours, NoHours};
use line::Line;
pub use settings::{Fill, Terms};

/// What may be taken from parents, by all requests of a node together.
pub struct Intake {
    terms: ArcSwap<Terms>,
    line: Line,
    /// Fills in progress that share the rate.
    sharing: Arc<AtomicUsize>,
    bytes: IntCounter,
    waited: Counter,
    withheld: IntCounterVec,
}

/// The permit to ask a parent. Until it is dropped, the rate is shared with this fill.
#[derive(Debug)]
pub(crate) struct Permit {
    /// What to wait before.
    pub(crate) wait: Duration,
    _share: Option<Share>,
}

/// Nothing is fetched for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Withheld {
    pub(crate) reason: Reason,
    /// When it is worth asking again, as far as that is known.
    pub(crate) retry_after: Option<Duration>,
}

/// What is told of it, beside the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The node fetches at this time of the day.
    pub open: bool,
    /// Bytes a second that it may take; zero: no limit.
    pub cap: u64,
    /// Bytes that came from parents so far.
    pub bytes: u64,
}

/// An edge that has what is not fetched here, by its base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback(String);

/// The text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host or https://host, with a port or without, and no path")]
pub struct NoFallback;

#[derive(Debug)]
struct Share(Arc<AtomicUsize>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Intake {
    /// What is allowed on these terms; its figures are registered.
    ///
    /// # Errors
    /// When the registry holds them already.
    pub fn register(terms: Terms, registry: &Registry) -> Result<Self, prometheus::Error> {
        let intake = Self {
            terms: ArcSwap::from_pointee(terms),
            line: Line::default(),
            sharing: Arc::default(),
            bytes: IntCounter::new(
                "millrace_tier_intake_bytes_total",
                "Bytes that came from parents, headers included, as they came",
            )?,
            waited: Counter::new(
                "millrace_tier_intake_waited_seconds_total",
                "Time for which fills waited to keep to fill.rate, each by itself, in seconds",
            )?,
            withheld: IntCounterVec::new(
                Opts::new(
                    "millrace_tier_intake_withheld_total",
                    "Requests for which no parent was asked, because of fill.hours or fill.rate",
                ),
                &["reason"],
            )?,
        };
        for reason in [Reason::FillHours, Reason::FillRate] {
            intake.withheld.with_label_values(&[reason.code()]);
        }
        registry.register(Box::new(intake.bytes.clone()))?;
        registry.register(Box::new(intake.waited.clone()))?;
        registry.register(Box::new(intake.withheld.clone()))?;
        Ok(intake)
    }

    /// Other terms, for what is asked and what comes from now on.
    pub fn set(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self, now: SystemTime) -> State {
        State {
            open: self.is_open(now),
            cap: self.terms.load().rate.map_or(0, NonZeroU64::get),
            bytes: self.bytes.get(),
        }
    }

    /// Whether the node fetches at this time of the day.
    #[must_use]
    pub fn is_open(&self, now: SystemTime) -> bool {
        let terms = self.terms.load();
        terms.hours.as_ref().is_none_or(|hours| hours.are_open(now))
    }

    /// Whether there is anything for which a request might be withheld.
    pub(crate) fn has_limits(&self) -> bool {
        self.terms.load().may_withhold()
    }

    /// Asks whether a parent may be asked now.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn ask(&self, now: SystemTime) -> Result<Permit, Withheld> {
        let permit = self.judge(now);
        if let Err(withheld) = &permit {
            let label = withheld.reason.code();
            self.withheld.with_label_values(&[label]).inc();
        }
        permit
    }

    fn judge(&self, now: SystemTime) -> Result<Permit, Withheld> {
        let terms = self.terms.load();
        if let Some(hours) = terms.hours.as_ref().filter(|hours| !hours.are_open(now)) {
            return Err(Withheld {
                reason: Reason::FillHours,
                retry_after: hours.open_in(now),
            });
        }
        let Some(rate) = terms.rate else {
            return Ok(Permit {
                wait: Duration::ZERO,
                _share: None,
            });
        };
        let share = Share(Arc::clone(&self.sharing));
        let others = self.sharing.fetch_add(1, Ordering::Relaxed);
        let wait = self.line.busy_for(Instant::now());
        // With each fill a piece more comes before the next of any.
        let turn = Duration::from_secs_f64(others as f64 * PIECE / rate.get() as f64);
        if others > 0 && wait.max(turn) > terms.longest_wait {
            return Err(Withheld {
                reason: Reason::FillRate,
                retry_after: Some(AGAIN),
            });
        }
        self.waited.inc_by(wait.as_secs_f64());
        Ok(Permit {
            wait,
            _share: Some(share),
        })
    }

    /// Hears that so many bytes came; gives what to wait before the next are taken.
    pub(crate) fn came(&self, bytes: usize) -> Option<Duration> {
        self.bytes.inc_by(bytes as u64);
        let rate = self.terms.load().rate?;
        let wait = self.line.take(bytes as u64, rate, Instant::now());
        self.waited.inc_by(wait.as_secs_f64());
        Some(wait).filter(|wait| !wait.is_zero())
    }

    /// Where to ask for what is not fetched here: the target as it came, at the best fallback, which sends nobody further.
    pub(crate) fn elsewhere(&self, target: &str) -> Option<String> {
        // Of a target in another form nobody can tell where its path begins.
        if !target.starts_with('/') {
            return None;
        }
        let terms = self.terms.load();
        let best = terms.fallbacks.first()?;
        Some(format!("{}{}", best.0, target::sent_on(target)))
    }
}

impl Fallback {
    /// Reads a base URL.
    ///
    /// # Errors
    /// When it is anything but scheme, host and perhaps port.
    pub fn parse(base: &str) -> Result<Self, NoFallback> {
        let uri: http::Uri = base.parse().map_err(|_| NoFallback)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = !base.contains(['@', '?', '#']) && matches!(uri.path(), "" | "/");
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        (known && bare && has_host)
            .then(|| Self(base.trim_end_matches('/').to_owned()))
            .ok_or(NoFallback)
    }
}

/// What a fill takes at a time, in bytes.
const PIECE: f64 = 65_536.0;

/// When the rate may have room again.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
