//! Playback sessions over HTTP: a session begins, lives by heartbeats, ends.
//!
//! 1. [`viewer`] says whose session it is: a person's, or one's whom a backend names;
//! 2. [`watching`] gathers whether they may watch the film, by its rules ([`rules`]) and what was granted them
//!    ([`grants`]): `entitlement` decides; `geo` says where they are;
//! 3. the catalogue begins it, unless the account has as many streams as it may ([`streams`]);
//! 4. [`addresses`] says where it plays, with tokens that say what [`terms`] decided;
//! 5. heartbeats prolong its lease, and get it new tokens before the old ones end; a session that counts against a
//!    limit ends with its lease;
//! 6. of what ended before its tokens, `ending` tells the edges.

mod addresses;
pub(crate) mod config;
mod device;
mod ending;
mod entitlement;
pub(crate) mod geo;
pub(crate) mod grants;
pub(crate) mod player;
pub(crate) mod rules;
mod shapes;
pub(crate) mod streams;
pub(crate) mod terms;
pub(crate) mod viewer;
mod watching;

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
use contracts::id::SessionId;
use contracts::keys::System;
use contracts::time::UnixSeconds;
use runtime::problem::{Named, Problem};
use sha2::{Digest as _, Sha256};

use self::entitlement::Verdict;
use self::player::Player;
use self::shapes::{Answer, Beat, Manifests, Playback, Wish};
use self::terms::Terms;
use self::viewer::Viewer;
use self::watching::Admitted;
use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::client::Client;
use crate::drm::offer;
use crate::drm::policy::Device;
use crate::problem::{self, catalogue};
use crate::random;
use crate::routing::{Place, Watcher};
use crate::videos::no_edge;

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 128;

/// How many heartbeats before its token's end a session gets another one.
const RENEWED_BEATS: u64 = 3;

/// Begins a session and gives the addresses of the film's manifests, signed.
#[utoipa::path(post, path = "/playback/start", request_body = Wish,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 printable ASCII characters; the same key with the same body gives the same session")),
    responses((status = 201, body = Playback), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem, description = "`forbidden`, `not_entitled`, `geo_blocked`, `device_policy`, `drm-not-offered`"), (status = 404, body = Problem), (status = 409, body = Problem, description = "`video-not-ready`, or `concurrency_limit` with `active`"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Playback>), Problem> {
    let Json(wish) = wish?;
    app.people.count_start(&caller, client, app.clock.now())?;
    let position_ms = milliseconds(wish.position_s)?;
    let player = Player::read(wish.device.as_ref())?;
    let repeat = repeat(&headers, viewer::owner(&caller, client), &wish)?;
    let viewer = Viewer::of(&caller, client, wish.viewer.as_deref(), wish.viewer_ip)?;
    let admitted = app.admitted(&wish.video_id, &caller, &viewer).await?;
    let video = &admitted.video;
    let at = viewer.address;
    let places = app.places(video, Watcher::at(at));
    if places.is_empty() {
        return Err(no_edge());
    }
    let system = offer::choose(&app, video, wish.drm.as_deref(), &player.drm)?;
    let device = player.device;
    let terms = app.terms(&admitted, &viewer, device, system).await?;
    let now = app.clock.now();
    let new = NewSession {
        id: SessionId::from_random(random::bits()?),
        video: video.id.clone(),
        seat: viewer.seat(&app),
        device: player.name,
        started: now,
        expires: sooner(app.expiry(video, now), admitted.until),
        lease: now.plus(app.settings.playback.lease.as_secs()),
        position_ms,
        terms: terms.written(),
        revocable: caller != Caller::Anonymous,
        repeat,
    };
    let id = new.id.clone();
    let session = begin(&app, new).await?;
    let told = told_to_play(&app, &session, &admitted, (system, device), (&places, at)).await;
    // One of which nobody learns holds no stream.
    if told.is_err() && session.id == id {
        app.stop(id.as_str(), false).await?;
    }
    told.map(|playback| (StatusCode::CREATED, Json(playback)))
}

async fn told_to_play(
    app: &App,
    session: &Session,
    admitted: &Admitted,
    (system, device): (Option<System>, Device),
    (places, at): (&[Place], IpAddr),
) -> Result<Playback, Problem> {
    // What was taken back since it was looked at did not find this session.
    if admitted.by_grant {
        app.unless_taken_back(session).await?;
    }
    // What the same wish began keeps what was decided then.
    let terms = Terms::read(session.terms.as_deref());
    let video = &admitted.video;
    let mut playback = app.playback(session, video, (places, at), &terms).await?;
    if let Some(system) = system {
        playback.drm = offer::begin(app, session, system, device).await?;
    }
    Ok(playback)
}

async fn begin(app: &App, new: NewSession) -> Result<Session, Problem> {
    let started = app.catalog.sessions.start(new).await;
    match started.map_err(catalogue)? {
        Started::New(session) => {
            app.metrics.sessions.inc();
            let (mark, video) = (session.id.mark(), &session.video);
            tracing::info!(session.mark = %mark, video.id = %video, "session {mark} begins for video {video}");
            Ok(session)
        }
        Started::Same(session) => Ok(session),
        Started::Conflict => Err(problem::repeated_key()),
        Started::Full(active) => Err(problem::concurrency_limit(&active)),
    }
}

/// Says that the player lives.
#[utoipa::path(post, path = "/playback/{session}/heartbeat", request_body = Beat, params(("session" = String, Path)),
    responses((status = 200, body = Answer), (status = 400, body = Problem), (status = 404, body = Problem), (status = 410, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    client: Client,
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
    app.people.count_beat(&id, now)?;
    let lease = now.plus(app.settings.playback.lease.as_secs());
    let session = app.catalog.sessions.beat(&id, said, now, lease).await;
    let session = session
        .map_err(catalogue)?
        .ok_or_else(problem::no_session)?;
    if session.ended.is_none() && now >= session.expires {
        return Err(problem::session_over());
    }
    match session.ended {
        None => app.renewed(session, client.address).await.map(Json),
        Some((_, Ending::Stopped)) => Err(problem::session_over()),
        Some((_, why)) => Ok(Json(told_to_stop(&session, why))),
    }
}

fn told_to_stop(session: &Session, why: Ending) -> Answer {
    Answer {
        action: "stop",
        reason: Some(why.as_str()),
        expires_at: session.expires.0,
        manifest_url: None,
        manifests: None,
    }
}

/// Ends a session: its heartbeats are answered 410 from now on, and edges are ordered to refuse its
/// tokens. Of a session that nobody in particular began they are told when an operator or a backend (`playback`)
/// ends it; credentials that are not good change nothing.
#[utoipa::path(delete, path = "/playback/{session}", params(("session" = String, Path)),
    responses((status = 204, description = "it is over"), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Result<Caller, Problem>,
) -> Result<StatusCode, Problem> {
    let revokes = caller.is_ok_and(|caller| caller.may(Scope::Playback));
    app.stop(&id, revokes).await
}

/// The same, for pages that are being closed: `navigator.sendBeacon` posts.
#[utoipa::path(post, path = "/playback/{session}/stop", params(("session" = String, Path)),
    responses((status = 204, description = "it is over"), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn stop_by_post(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Result<Caller, Problem>,
) -> Result<StatusCode, Problem> {
    let revokes = caller.is_ok_and(|caller| caller.may(Scope::Playback));
    app.stop(&id, revokes).await
}

impl App {
    async fn stop(&self, id: &str, revokes: bool) -> Result<StatusCode, Problem> {
        let id = SessionId::parse(id).map_err(|_| problem::no_session())?;
        let now = self.clock.now();
        let stopped = self.catalog.sessions.stop(&id, Ending::Stopped, now).await;
        stopped
            .map_err(catalogue)?
            .ok_or_else(problem::no_session)?;
        if revokes {
            let revoked = self.catalog.sessions.revoke(&id, now).await;
            revoked.map_err(catalogue)?;
        }
        // Whoever is told that the session is over can rely on it, and who is not asks again.
        self.tell_of_ended().await?;
        Ok(StatusCode::NO_CONTENT)
    }

    /// What the player of a session that lives is told: to go on, with another token when the one that it has is
    /// about to end, unless it may not watch any more.
    async fn renewed(&self, mut session: Session, at: IpAddr) -> Result<Answer, Problem> {
        let now = self.clock.now();
        let mut manifests: Option<Manifests> = None;
        if session.expires <= now.plus(self.settings.heartbeat.as_secs() * RENEWED_BEATS) {
            let until = match self.still(&session).await? {
                Verdict::Free => None,
                Verdict::Granted(until) => until,
                Verdict::NotEntitled(_) | Verdict::Hidden => {
                    let why = Ending::NotEntitled;
                    let ended = self.catalog.sessions.stop(&session.id, why, now).await;
                    ended.map_err(catalogue)?;
                    self.tell_of_ended().await?;
                    return Ok(told_to_stop(&session, why));
                }
            };
            let video = self.catalog.videos.find(&session.video).await;
            let video = video
                .map_err(catalogue)?
                .ok_or_else(problem::session_over)?;
            let expires = sooner(self.expiry(&video, now), until);
            if expires > session.expires {
                let sessions = &self.catalog.sessions;
                let prolonged = sessions.prolong(&session.id, expires, now).await;
                // What was ended meanwhile is revoked until its old end alone: no token may outlive that.
                let lives = prolonged
                    .map_err(catalogue)?
                    .filter(|now_is| now_is.lives(now));
                session = lives.ok_or_else(problem::session_over)?;
                let terms = Terms::read(session.terms.as_deref());
                manifests = Some(self.manifests(&session, &video, at, &terms)?);
            }
        }
        Ok(Answer {
            action: "continue",
            reason: None,
            expires_at: session.expires.0,
            manifest_url: manifests.as_ref().map(|manifests| manifests.hls.clone()),
            manifests,
        })
    }

    /// When a session's token that is made now ends, unless it is renewed.
    pub(crate) fn expiry(&self, video: &Video, now: UnixSeconds) -> UnixSeconds {
        let whole = self.whole(video, now);
        let ttl = self.settings.playback.token_ttl;
        ttl.map_or(whole, |ttl| now.plus(ttl.as_secs()))
    }

    /// When the last token of a film that is made now ends.
    pub(crate) fn last_token(&self, video: &Video, now: UnixSeconds) -> UnixSeconds {
        self.whole(video, now).max(self.expiry(video, now))
    }

    /// When a token ends that nobody renews: the film can be watched with pauses.
    pub(crate) fn whole(&self, video: &Video, now: UnixSeconds) -> UnixSeconds {
        let film = video.duration_ms.unwrap_or(0).div_ceil(1000);
        now.plus(film).plus(self.settings.token_margin.as_secs())
    }
}

fn sooner(instant: UnixSeconds, limit: Option<UnixSeconds>) -> UnixSeconds {
    limit.map_or(instant, |limit| limit.min(instant))
}

/// By what a repeated wish is known: whose it is, the client's key, and a digest of what was wished.
fn repeat(headers: &HeaderMap, owner: String, wish: &Wish) -> Result<Option<Repeat>, Problem> {
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
        key: format!("{owner}\n{key}"),
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
