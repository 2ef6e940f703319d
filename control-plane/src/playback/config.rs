//! The keys of `[playback]`: how long sessions live, and how many at once.

use std::path::PathBuf;
use std::time::Duration;

use ::config::{Problems, Span};
use contracts::token::Countries;
use serde::{Deserialize, Serialize};

use super::geo;
use crate::config::{file, span};

/// The keys of `[playback]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlaybackConfig {
    /// How long a session is believed to be watched after its last heartbeat, 10 s to 1 h and longer
    /// than `heartbeat`. Longer bears with worse networks, shorter sets the stream of a player that
    /// is gone free sooner. Default `90s`.
    pub lease: Span,
    /// How many streams an account may watch at once, 0 to 1000; 0: any number. Where there is a
    /// limit, players must send heartbeats. Default 0.
    pub streams: u32,
    /// A MaxMind DB file of countries, read again when it changes. Empty: every country is unknown
    /// (`ZZ`). Default empty.
    pub geo_file: String,
    /// Where the site may be watched: codes of ISO 3166-1, all without `!` (in these alone) or all with
    /// it (in all but these); `ZZ` is a country that is not known. Default none: everywhere.
    pub countries: Vec<String>,
    /// What tokens are bound to beside their session: `country`, the client's country; `network`, its
    /// IPv4 /24 or IPv6 /48. A viewer who leaves it must start anew. Default none.
    pub bind: Vec<Bound>,
    /// How long a token is good that heartbeats renew, 2 m to 24 h and at least four heartbeats; 0s:
    /// as long as the film and `token_margin`. Shorter makes a passed-on address worth less, and asks
    /// players to take up new ones. Default `0s`.
    pub token_ttl: Span,
}

/// What a token may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The client's country.
    Country,
    /// The client's network.
    Network,
}

impl Default for PlaybackConfig {
    fn default() -> Self {
        Self {
            lease: Span::seconds(90),
            streams: 0,
            geo_file: String::new(),
            countries: Vec::new(),
            bind: Vec::new(),
            token_ttl: Span::seconds(0),
        }
    }
}

/// [`PlaybackConfig`], checked.
#[derive(Clone, Debug)]
pub struct Playback {
    /// How long a session is believed to be watched after its last heartbeat.
    pub lease: Duration,
    /// How many streams an account may watch at once.
    pub streams: Option<u32>,
    /// A MaxMind DB file of countries.
    pub geo_file: Option<PathBuf>,
    /// Where the site may be watched.
    pub countries: Option<Countries>,
    /// What tokens are bound to.
    pub bind: Vec<Bound>,
    /// How long a token is good that heartbeats renew.
    pub token_ttl: Option<Duration>,
}

impl PlaybackConfig {
    pub(crate) fn check(self, heartbeat: Span, problems: &mut Problems) -> Playback {
        span(problems, "playback.lease", self.lease, 10..=3600);
        if self.lease <= heartbeat {
            problems.add("playback.lease", "must be longer than heartbeat");
        }
        if self.streams > MOST_STREAMS {
            problems.add("playback.streams", format!("must be 0 to {MOST_STREAMS}"));
        }
        if self.token_ttl != Span::seconds(0) {
            span(problems, "playback.token_ttl", self.token_ttl, 120..=86_400);
            if self.token_ttl.0 < heartbeat.0 * BEATS {
                problems.add("playback.token_ttl", "must be at least four heartbeats");
            }
        }
        Playback {
            lease: self.lease.0,
            streams: (self.streams > 0).then_some(self.streams),
            geo_file: file(self.geo_file),
            countries: countries(self.countries, problems),
            bind: self.bind,
            token_ttl: (self.token_ttl != Span::seconds(0)).then_some(self.token_ttl.0),
        }
    }
}

fn countries(texts: Vec<String>, problems: &mut Problems) -> Option<Countries> {
    if texts.is_empty() {
        return None;
    }
    let without = |text: &String| text.strip_prefix('!').map(str::to_owned);
    let except: Vec<String> = texts.iter().filter_map(without).collect();
    let rule = if except.is_empty() {
        geo::codes(texts).map(Countries::Only)
    } else if except.len() == texts.len() {
        geo::codes(except).map(Countries::Except)
    } else {
        Err("must all begin with ! or none".to_owned())
    };
    problems.take("playback.countries", rule)
}

/// How many heartbeats a token must outlive: one that is lost, and one that is late, must not end a film.
const BEATS: u32 = 4;

/// The highest limit of streams.
pub(crate) const MOST_STREAMS: u32 = 1000;
