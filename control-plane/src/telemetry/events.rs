//! Events, as players tell them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use contracts::id::SessionId;
use runtime::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use telemetry::event::Event;
use telemetry::{Source, Taken};
use utoipa::ToSchema;

use super::MOST;
use crate::app::App;
use crate::client::Client;
use crate::problem;

/// What a session tells.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Told {
    /// The session, as `playback/start` named it.
    session_id: String,
    /// At most 100 events.
    #[schema(value_type = Vec<TellsOf>, max_items = 100)]
    events: Vec<Value>,
}

/// An event. Members that are not known are passed over.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes what is read event by event")]
pub(crate) struct TellsOf {
    /// Its number within the session: counted up from 0, the same when it is told again.
    #[schema(maximum = 4999)]
    seq: u32,
    /// When it happened, in milliseconds after `playback/start` was answered.
    #[schema(maximum = 604_800_000)]
    t_ms: u64,
    /// `start` (the first picture was shown), `pause`, `resume`, `rebuffer_start`, `rebuffer_end`, `quality_change`,
    /// `error`, `end`, `progress` (nothing new).
    r#type: String,
    /// With `start`: how long the first picture took, in milliseconds; without it, `t_ms`.
    #[schema(maximum = 3_600_000)]
    startup_ms: Option<u32>,
    /// With any: the bitrate that is shown from now on, in kbit/s; needed with `quality_change`.
    #[schema(maximum = 1_000_000)]
    bitrate_kbps: Option<u32>,
    /// With any: the edge that the film comes from, from now on: its name, or the host of its addresses.
    #[schema(max_length = 128)]
    edge: Option<String>,
    /// With `rebuffer_start`: `stall` (without it), or `seek`, which is not counted.
    cause: Option<String>,
    /// With `error`: whether the film cannot go on; without it, true.
    fatal: Option<bool>,
    /// With `end`: whether the film was seen to its end; without it, false.
    completed: Option<bool>,
}

/// What came of it.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Outcome {
    /// How many were taken; they are counted, whatever happens.
    accepted: usize,
    /// How many had been taken before. Where that was too long ago to be remembered they are among `accepted`, and
    /// count once all the same.
    duplicates: usize,
    /// Those that were not taken. To tell them again is of no use.
    rejected: Vec<Rejection>,
}

/// Something that was not taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rejection {
    /// Its place in what was told, from 0.
    index: usize,
    /// `malformed`, `unknown-type`, `out-of-bounds`, `out-of-session` (before its session, after its end, or yet to
    /// come), `too-late` (a day after it happened), `session-not-found`.
    reason: String,
}

/// Takes what a session tells, a day after it happened at the latest, in any order and as often as it is told; also of
/// a session that is over. The body is JSON, whatever its `Content-Type` says.
#[utoipa::path(post, path = "/playback/events", request_body(content = Told, content_type = "application/json"),
    responses((status = 202, body = Outcome), (status = 400, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    client: Client,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Outcome>), Problem> {
    let now = app.clock.now();
    let (collector, body) = app.telemetry.hear(client, body, now)?;
    let told: Told =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_request(error.to_string()))?;
    if told.events.len() > MOST {
        return Err(Problem::bad_request(format!(
            "at most {MOST} events at once"
        )));
    }
    let id = SessionId::parse(&told.session_id).ok();
    let session = match &id {
        Some(id) => {
            app.telemetry.count_of(id, now)?;
            app.session(id).await?
        }
        None => None,
    };
    let session = session.ok_or_else(|| {
        collector.refuse(told.events.len());
        problem::no_session()
    })?;
    let events = told.events.iter().map(Event::read).enumerate().collect();
    let taken = app
        .telemetry
        .take(session, client.address, Source::Events, events, now);
    let mut outcome = Outcome::default();
    outcome.add(taken.await?);
    Ok((StatusCode::ACCEPTED, Json(outcome)))
}

impl Outcome {
    /// Adds what came of some of what was told.
    pub(crate) fn add(&mut self, taken: Taken) {
        self.accepted += taken.accepted;
        self.duplicates += taken.duplicates;
        let rejected = taken.rejected.into_iter();
        self.rejected.extend(rejected.map(|one| Rejection {
            index: one.index,
            reason: one.fault.to_string(),
        }));
        self.rejected.sort_by_key(|one| one.index);
    }
}
