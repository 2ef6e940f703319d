//! What stands in the log: what one session told at once.

use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// A playback session, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playback {
    /// The session.
    pub session: SessionId,
    /// The film.
    pub video: VideoId,
    /// When it began.
    pub started: UnixSeconds,
    /// When its token ends.
    pub expires: UnixSeconds,
    /// The network of whoever tells, where it is known.
    pub isp: Option<String>,
}

/// Which way events came. They are numbered apart, and where a session told both ways, what came as
/// Common Media Client Data does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// As events of this API.
    Events,
    /// As Common Media Client Data.
    Cmcd,
}

/// What one session told at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When it was taken, in Unix seconds.
    pub(crate) at: u64,
    pub(crate) session: SessionId,
    pub(crate) video: VideoId,
    /// When the session began, and when its token ends, in Unix seconds.
    pub(crate) started: u64,
    pub(crate) expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) isp: Option<String>,
    pub(crate) source: Source,
    pub(crate) events: Vec<Event>,
}

impl Record {
    pub(crate) fn new(
        playback: &Playback,
        source: Source,
        events: Vec<Event>,
        now: UnixSeconds,
    ) -> Self {
        Self {
            at: now.0,
            session: playback.session.clone(),
            video: playback.video.clone(),
            started: playback.started.0,
            expires: playback.expires.0,
            isp: playback.isp.clone(),
            source,
            events,
        }
    }
}
