//! Playback sessions over HTTP.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use catalog::sessions::{NewSession, Repeat, Session, Started};
use catalog::videos::Video;
use contracts::id::{SessionId, VideoId};
use contracts::keys::System;
use contracts::time::UnixSeconds;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::Caller;
use crate::client::Client;
use crate::drm::offer::{self, Offer};
use crate::problem::{self, catalogue};
use crate::routing::{Place, Viewer};
use crate::videos::no_edge;

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 128;

/// A wish to watch.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    video_id: String,
    /// What the player runs on. `hdcp` and `max_height` decide which keys of a protected film it gets, and the
    /// first of `drm` that is offered gives them where `drm` wishes none; other members are not looked at.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    device: Option<serde_json::Value>,
    /// The DRM system whose licences are wished: `clearkey`, `widevine`, `playready`, `fairplay`; `identity` for
    /// none. It does not count for films that are not protected.
    #[serde(default)]
    drm: Option<String>,
    /// Where the player begins, in seconds.
    #[serde(default)]
    position_s: Option<f64>,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct Playback {
    session_id: String,
    asset_id: String,
    /// The manifest that most players take: HLS.
    manifest_url: String,
    manifests: Manifests,
    /// Where licences of a protected film are asked for; `null` where none are needed, or none were wished.
    drm: Option<Offer>,
    thumbnails: Thumbnails,
    subtitles: Vec<String>,
    /// Content steering is not offered: always `null`.
    steering_url: Option<String>,
    heartbeat: Heartbeat,
    /// When the token ends, in Unix seconds.
    expires_at: u64,
    /// Where else the film plays, the best first; those without TLS last.
    alternatives: Vec<Alternative>,
}

/// The film's manifests at one edge.
#[derive(Serialize, ToSchema)]
pub(crate) struct Manifests {
    /// HLS with fMP4 segments.
    hls: String,
    /// HLS with TS segments; absent where a protected film does not come so.
    #[serde(skip_serializing_if = "Option::is_none")]
    hls_ts: Option<String>,
    /// DASH.
    dash: String,
}

/// The film's images.
#[derive(Serialize, ToSchema)]
pub(crate) struct Thumbnails {
    poster: Option<String>,
}

/// Where and how often a player says that it lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Heartbeat {
    url: String,
    every_s: u64,
}

/// The same film at another edge.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alternative {
    name: String,
    manifests: Manifests,
}

/// What a player says of itself.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Beat {
    /// Where it is, in seconds from the start.
    position_s: Option<f64>,
    /// `playing`, `paused`, `buffering` or `ended`.
    state: Option<String>,
}

/// What the player shall do.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer {
    /// `continue`; a session that is over is answered 410.
    action: &'static str,
    /// When the token ends, in Unix seconds.
    expires_at: u64,
}

/// Begins a session and gives the addresses of the film's manifests, signed.
#[utoipa::path(post, path = "/playback/start", request_body = Wish,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 printable ASCII characters; the same key with the same body gives the same session")),
    responses((status = 201, body = Playback), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Playback>), Problem> {
    let Json(wish) = wish?;
    let position = milliseconds(wish.position_s)?;
    let repeat = repeat(&headers, &wish)?;
    let video = app.playable(&wish.video_id, &caller).await?;
    let places = app.places(&video, Viewer::at(client.address));
    if places.is_empty() {
        return Err(no_edge());
    }
    let device = wish.device.as_ref();
    let system = offer::choose(&app, &video, wish.drm.as_deref(), device)?;
    let session = begin(&app, &video, position, repeat).await?;
    let mut playback = app.playback(&session, &video, &places, (system, client))?;
    if let Some(system) = system {
        playback.drm = offer::begin(&app, &session, system, device).await?;
    }
    Ok((StatusCode::CREATED, Json(playback)))
}

async fn begin(
    app: &App,
    video: &Video,
    position_ms: Option<u64>,
    repeat: Option<Repeat>,
) -> Result<Session, Problem> {
    let now = app.clock.now();
    let new = NewSession {
        id: fresh_id()?,
        video: video.id.clone(),
        started: now,
        expires: app.expiry(video, now),
        position_ms,
        repeat,
    };
    match app.catalog.sessions.start(new).await.map_err(catalogue)? {
        Started::New(session) => {
            app.metrics.sessions.inc();
            tracing::info!(session.id = %session.id, video.id = %video.id, "session {} begins for video {}", session.id, video.id);
            Ok(session)
        }
        Started::Same(session) => Ok(session),
        Started::Conflict => Err(problem::repeated_key()),
    }
}

/// Says that the player lives.
#[utoipa::path(post, path = "/playback/{session}/heartbeat", request_body = Beat, params(("session" = String, Path)),
    responses((status = 200, body = Answer), (status = 400, body = Problem), (status = 404, body = Problem), (status = 410, body = Problem)))]
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    beat: Result<Option<Json<Beat>>, JsonRejection>,
) -> Result<Json<Answer>, Problem> {
    let Json(beat) = beat?.unwrap_or_default();
    let known = ["playing", "paused", "buffering", "ended"];
    if beat
        .state
        .as_deref()
        .is_some_and(|state| !known.contains(&state))
    {
        return Err(Problem::bad_request(format!(
            "state must be one of {}",
            known.join(", ")
        )));
    }
    let position = milliseconds(beat.position_s)?;
    let id = SessionId::parse(&id).map_err(|_| problem::no_session())?;
    let now = app.clock.now();
    let session = app
        .catalog
        .sessions
        .beat(&id, position, now)
        .await
        .map_err(catalogue)?
        .ok_or_else(problem::no_session)?;
    if session.stopped.is_some() || session.expires <= now {
        return Err(problem::session_over());
    }
    Ok(Json(Answer {
        action: "continue",
        expires_at: session.expires.0,
    }))
}

/// Ends a session: its heartbeats are answered 410 from now on. Its token stays good until it
/// expires, since edges do not hear of ended sessions.
#[utoipa::path(delete, path = "/playback/{session}", params(("session" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    let id = SessionId::parse(&id).map_err(|_| problem::no_session())?;
    let stopped = app.catalog.sessions.stop(&id, app.clock.now()).await;
    if stopped.map_err(catalogue)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(problem::no_session())
    }
}

impl App {
    /// When a token that is made now ends: the film can be watched with pauses.
    pub(crate) fn expiry(&self, video: &Video, now: UnixSeconds) -> UnixSeconds {
        let film = video.duration_ms.unwrap_or(0).div_ceil(1000);
        now.plus(film).plus(self.settings.token_margin.as_secs())
    }

    /// Without a view, HLS names DRM systems before keys as they are, and those before Clear Key. Transport streams of
    /// a protected film are opened by keys as they are alone.
    fn way(&self, video: &Video, system: Option<System>) -> Way {
        let systems = &self.settings.drm.systems;
        Way {
            hls: match system {
                Some(System::ClearKey) => "@clearkey/master.m3u8",
                _ => "master.m3u8",
            },
            ts: !video.protected || systems.contains(&System::Identity),
        }
    }

    fn playback(
        &self,
        session: &Session,
        video: &Video,
        places: &[Place],
        (system, client): (Option<System>, Client),
    ) -> Result<Playback, Problem> {
        let now = self.clock.now();
        let tokens = self
            .signer
            .tokens(&video.id, Some(&session.id), now, session.expires)?;
        let way = self.way(video, system);
        let all = places.iter().map(|place| {
            Ok(Alternative {
                name: place.name.clone(),
                manifests: Manifests::at(&place.base, tokens.of(place)?, &video.id, way),
            })
        });
        let mut all = all.collect::<Result<VecDeque<_>, Problem>>()?;
        let first = all.pop_front().ok_or_else(no_edge)?;
        Ok(Playback {
            session_id: session.id.to_string(),
            asset_id: video.id.to_string(),
            manifest_url: first.manifests.hls.clone(),
            manifests: first.manifests,
            drm: None,
            thumbnails: Thumbnails {
                poster: self.poster(video, client),
            },
            subtitles: Vec::new(),
            steering_url: None,
            heartbeat: Heartbeat {
                url: format!("{}/v1/playback/{}/heartbeat", self.public_base, session.id),
                every_s: self.settings.heartbeat.as_secs(),
            },
            expires_at: session.expires.0,
            alternatives: all.into(),
        })
    }
}

/// In which ways a film comes.
#[derive(Clone, Copy)]
struct Way {
    /// The manifest of HLS with fMP4 that names the keys as the system wants it.
    hls: &'static str,
    /// Whether it comes in transport streams.
    ts: bool,
}

impl Manifests {
    fn at(base: &str, token: &str, video: &VideoId, way: Way) -> Self {
        let at = |file: &str| format!("{base}/~{token}/v/{video}/{file}");
        Self {
            hls: at(way.hls),
            hls_ts: way.ts.then(|| at("master_ts.m3u8")),
            dash: at("manifest.mpd"),
        }
    }
}

/// By what a repeated wish is known: the client's key and a digest of what was wished.
fn repeat(headers: &HeaderMap, wish: &Wish) -> Result<Option<Repeat>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    let key = key.ok_or_else(|| {
        Problem::bad_request(format!(
            "Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters"
        ))
    })?;
    let body = serde_json::to_vec(wish).map_err(|_| Problem::internal())?;
    Ok(Some(Repeat {
        key: key.to_owned(),
        digest: B64.encode(Sha256::digest(body)),
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before"
)]
pub(crate) fn milliseconds(seconds: Option<f64>) -> Result<Option<u64>, Problem> {
    match seconds {
        None => Ok(None),
        Some(seconds) if (0.0..1e9).contains(&seconds) => Ok(Some((seconds * 1000.0) as u64)),
        Some(_) => Err(Problem::bad_request(
            "position_s must be seconds from the start, 0 or more",
        )),
    }
}

/// 128 random bits.
fn fresh_id() -> Result<SessionId, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!("no randomness: {error}");
        Problem::internal()
    })?;
    Ok(SessionId::from_random(bytes))
}
