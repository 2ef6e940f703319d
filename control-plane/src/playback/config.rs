//! The keys of `[playback]`: how long sessions live, and how many at once.

use std::time::Duration;

use ::config::{Problems, Span};
use serde::{Deserialize, Serialize};

use crate::config::span;

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
}

impl Default for PlaybackConfig {
    fn default() -> Self {
        Self {
            lease: Span::seconds(90),
            streams: 0,
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
        Playback {
            lease: self.lease.0,
            streams: (self.streams > 0).then_some(self.streams),
        }
    }
}

/// The highest limit of streams.
pub(crate) const MOST_STREAMS: u32 = 1000;
