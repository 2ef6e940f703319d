//! Playback sessions over HTTP: a session begins, lives by heartbeats, ends.
//!
//! 1. [`viewer`] says whose session it is: a person's, or one's whom a backend names;
//! 2. the catalogue begins it, unless the account has as many streams as it may ([`streams`]);
//! 3. heartbeats prolong its lease; a session that counts against a limit ends with it.

pub(crate) mod config;
pub(crate) mod streams;
pub(crate) mod viewer;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use catalog::sessions::{Beat as Said, Ending, NewSession, Repeat, Session, Started};
use catalog::videos::Video;
use contracts::id::{SessionId, VideoId};
use contracts::keys::System;
use contracts::time::UnixSeconds;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use self::viewer::Viewer;
use crate::app::App;
use crate::caller::Caller;
use crate::client::Client;
use crate::drm::offer::{self, Offer};
use crate::problem::{self, catalogue};
use crate::routing::{Place, Watcher};
use crate::videos::no_edge;

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 128;

/// How much of a device's name is kept, in characters.
const LONGEST_DEVICE: usize = 100;

/// A wish to watch.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    video_id: String,
    /// What the player runs on. `hdcp` and `max_height` decide which keys of a protected film it gets, and the
    /// first of `drm` that is offered gives them where `drm` wishes none. Lists of streams show its `name`, else its
    /// `type`, else its `id`; other members are not looked at.
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
    /// For backends: for whom it asks, by a name of its own of 1 to 255 bytes. Limits count for each viewer.
    #[serde(default)]
    viewer: Option<String>,
    /// For backends: where the viewer is, an IP address.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    viewer_ip: Option<IpAddr>,
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
    /// Where a player asks, while it plays, which edge to take; `null` where fewer than two can play the film. The
    /// manifests of `steered` name it.
    steering_url: Option<String>,
    /// The film's manifests with a pathway for each edge, for players that can be steered; `null` as `steering_url`.
    steered: Option<Manifests>,
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
    /// How long the session is believed to be watched after the last one. A session that counts against a limit
    /// of streams ends then.
    lease_s: u64,
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
    /// Which of its heartbeats this is, rising: what an older one says does not count.
    seq: Option<u64>,
}

/// What the player shall do.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer {
    /// `continue`, or `stop` where the session was ended here. One that its player stopped, or whose token is over,
    /// is answered 410.
    action: &'static str,
    /// Why the player shall stop: `lease_lost`, `not_entitled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// When the token ends, in Unix seconds.
    expires_at: u64,
}

/// Begins a session and gives the addresses of the film's manifests, signed.
#[utoipa::path(post, path = "/playback/start", request_body = Wish,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 printable ASCII characters; the same key with the same body gives the same session")),
    responses((status = 201, body = Playback), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem, description = "`video-not-ready`, or `concurrency_limit` with `active`"), (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Playback>), Problem> {
    let Json(wish) = wish?;
    let position_ms = milliseconds(wish.position_s)?;
    let repeat = repeat(&headers, &caller, &wish)?;
    let viewer = Viewer::of(&caller, client, wish.viewer.as_deref(), wish.viewer_ip)?;
    let video = app.playable(&wish.video_id, &caller).await?;
    let at = viewer.address;
    let places = app.places(&video, Watcher::at(at));
    if places.is_empty() {
        return Err(no_edge());
    }
    let device = wish.device.as_ref();
    let system = offer::choose(&app, &video, wish.drm.as_deref(), device)?;
    let now = app.clock.now();
    let new = NewSession {
        id: fresh_id()?,
        video: video.id.clone(),
        seat: viewer.seat(&app),
        device: label(device),
        started: now,
        expires: app.expiry(&video, now),
        lease: now.plus(app.settings.playback.lease.as_secs()),
        position_ms,
        revocable: caller != Caller::Anonymous,
        repeat,
    };
    let session = begin(&app, new).await?;
    let mut playback = app.playback(&session, &video, &places, (system, at))?;
    if let Some(system) = system {
        playback.drm = offer::begin(&app, &session, system, device).await?;
    }
    Ok((StatusCode::CREATED, Json(playback)))
}

async fn begin(app: &App, new: NewSession) -> Result<Session, Problem> {
    let started = app.catalog.sessions.start(new).await;
    match started.map_err(catalogue)? {
        Started::New(session) => {
            app.metrics.sessions.inc();
            tracing::info!(session.id = %session.id, video.id = %session.video, "session {} begins for video {}", session.id, session.video);
            Ok(session)
        }
        Started::Same(session) => Ok(session),
        Started::Conflict => Err(problem::repeated_key()),
        Started::Full(active) => Err(problem::concurrency_limit(&active)),
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
    let said = Said {
        position_ms: milliseconds(beat.position_s)?,
        seq: beat.seq,
    };
    let id = SessionId::parse(&id).map_err(|_| problem::no_session())?;
    let now = app.clock.now();
    let lease = now.plus(app.settings.playback.lease.as_secs());
    let session = app.catalog.sessions.beat(&id, said, now, lease).await;
    let session = session
        .map_err(catalogue)?
        .ok_or_else(problem::no_session)?;
    let (action, reason) = match session.ended {
        None if now < session.expires => ("continue", None),
        None | Some((_, Ending::Stopped)) => return Err(problem::session_over()),
        Some((_, why)) => ("stop", Some(why.as_str())),
    };
    Ok(Json(Answer {
        action,
        reason,
        expires_at: session.expires.0,
    }))
}

/// Ends a session: its heartbeats are answered 410 from now on, and edges are ordered to refuse its
/// tokens.
#[utoipa::path(delete, path = "/playback/{session}", params(("session" = String, Path)),
    responses((status = 204, description = "it is over"), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    app.stop(&id).await
}

/// The same, for pages that are being closed: `navigator.sendBeacon` posts.
#[utoipa::path(post, path = "/playback/{session}/stop", params(("session" = String, Path)),
    responses((status = 204, description = "it is over"), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn stop_by_post(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    app.stop(&id).await
}

impl App {
    async fn stop(&self, id: &str) -> Result<StatusCode, Problem> {
        let id = SessionId::parse(id).map_err(|_| problem::no_session())?;
        let now = self.clock.now();
        let sessions = &self.catalog.sessions;
        let session = sessions.find(&id).await.map_err(catalogue)?;
        let session = session.ok_or_else(problem::no_session)?;
        let lives = session.ended.is_none() && now < session.expires;
        if lives {
            // First: whoever is told that the session is over can rely on it, and who is not asks again.
            let ordered = self.orders.revoke(&id, session.expires).await;
            ordered.map_err(catalogue)?;
        }
        let stopped = sessions.stop(&id, Ending::Stopped, now).await;
        stopped.map_err(catalogue)?;
        if lives {
            sessions.told(&id).await.map_err(catalogue)?;
        }
        Ok(StatusCode::NO_CONTENT)
    }

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
        (system, at): (Option<System>, IpAddr),
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
        let steering = self.can_steer(session, video, at);
        let steering = steering.then(|| self.steering_url(&session.id));
        Ok(Playback {
            session_id: session.id.to_string(),
            asset_id: video.id.to_string(),
            manifest_url: first.manifests.hls.clone(),
            manifests: first.manifests,
            drm: None,
            thumbnails: Thumbnails {
                poster: self.poster(video, at),
            },
            subtitles: Vec::new(),
            steered: steering
                .as_deref()
                .map(|room| Manifests::in_room(room, way)),
            steering_url: steering,
            heartbeat: Heartbeat {
                url: format!("{}/v1/playback/{}/heartbeat", self.public_base, session.id),
                every_s: self.settings.heartbeat.as_secs(),
                lease_s: self.settings.playback.lease.as_secs(),
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
        Self::in_room(&format!("{base}/~{token}/v/{video}"), way)
    }

    fn in_room(room: &str, way: Way) -> Self {
        let at = |file: &str| format!("{room}/{file}");
        Self {
            hls: at(way.hls),
            hls_ts: way.ts.then(|| at("master_ts.m3u8")),
            dash: at("manifest.mpd"),
        }
    }
}

/// What a device is called where an account's streams are listed.
fn label(device: Option<&serde_json::Value>) -> Option<String> {
    let said = |name| device?.get(name)?.as_str().filter(|text| !text.is_empty());
    let text = said("name")
        .or_else(|| said("type"))
        .or_else(|| said("id"))?;
    let shown = text.chars().filter(|one| !one.is_control());
    Some(shown.take(LONGEST_DEVICE).collect())
}

/// By what a repeated wish is known: whose it is, the client's key, and a digest of what was wished.
fn repeat(headers: &HeaderMap, caller: &Caller, wish: &Wish) -> Result<Option<Repeat>, Problem> {
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
        key: format!("{}\n{key}", viewer::owner(caller)),
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
