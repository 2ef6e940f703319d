//! What a player is told of licences: where to ask, and with which token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use catalog::sessions::Session;
use catalog::videos::Video;
use contracts::keys::System;
use runtime::operator::bearer;
use runtime::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Licensing;
use super::admission::live;
use super::policy::{self, Device};
use super::token::{Grant, Renewal};
use crate::app::App;
use crate::keys::{self, Keys};
use crate::problem;
use crate::random;

/// Where and with what licences are asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Offer {
    /// `clearkey`, `widevine`, `playready` or `fairplay`.
    r#type: &'static str,
    /// Where players post what their content decryption module says.
    license_url: String,
    /// What they show there, as `Authorization: Bearer` or `?token=`.
    token: String,
    /// When that ends, in Unix seconds: at most five minutes from now.
    expires_at: u64,
    renewal: Next,
    /// Where the application certificate of FairPlay is; absent for other systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_url: Option<String>,
}

/// How the session gets its next licence token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Next {
    /// `POST` there.
    url: String,
    /// What is shown there as `Authorization: Bearer`; it opens nothing else.
    token: String,
}

/// Where the player is.
#[derive(Deserialize, Default, ToSchema)]
#[schema(as = LicenseWish)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Place {
    /// In seconds from the film's start: the token is for the keys from there on.
    position_s: Option<f64>,
}

/// A new licence token for a session that lives, and the renewal for the one after.
#[utoipa::path(post, path = "/drm/token", request_body = Option<Place>,
    params(("Authorization" = String, Header, description = "`Bearer` and `drm.renewal.token` of the session")),
    responses((status = 200, body = Offer), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`license-refused`, with `reason`"),
        (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    place: Result<Option<Json<Place>>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(place) = place?.unwrap_or_default();
    let position = crate::playback::milliseconds(place.position_s)?;
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    let shown = bearer(&headers).ok_or_else(problem::no_license_token)?;
    let now = app.clock.now();
    let renewal = Renewal::verify(&keys.licensing.keyring.current(), shown, now);
    let grant = renewal.map_err(problem::license_token)?.grant();
    let session = live(&app, &grant.session, &grant.video).await?;
    let offer = make(&app, keys, &session, &grant, position.unwrap_or(0)).await?;
    let secret = [(header::CACHE_CONTROL, "no-store")];
    Ok((secret, Json(offer)).into_response())
}

/// The system that a player gets licences of: the one that it wishes, the first that it says it has, or, where it
/// says nothing and is given the keys no other way, the first that is offered. None for a clear film, and for one whose
/// keys the player takes as they are.
pub(crate) fn choose(
    app: &App,
    video: &Video,
    wished: Option<&str>,
    has: &[String],
) -> Result<Option<System>, Problem> {
    let (true, Some(keys)) = (video.protected, &app.keys) else {
        return Ok(None);
    };
    let offered: Vec<System> = keys.licensing.offered().collect();
    let Some(wished) = wished else {
        let mut known = has.iter().filter_map(|word| System::parse(word));
        let system = known.find(|system| offered.contains(system));
        if system.is_some() || keys.licensing.drm.systems.contains(&System::Identity) {
            return Ok(system);
        }
        // What it says it has is nothing that gives it these keys; who says nothing may have what is offered.
        return match has.is_empty() {
            true => Ok(offered.first().copied()),
            false => Err(problem::no_common_drm(
                offered.into_iter().map(System::as_str),
            )),
        };
    };
    match System::parse(wished) {
        Some(System::Identity) if keys.licensing.drm.systems.contains(&System::Identity) => {
            Ok(None)
        }
        Some(system) if offered.contains(&system) => Ok(Some(system)),
        _ => Err(problem::no_such_drm(
            offered.into_iter().map(System::as_str),
        )),
    }
}

/// The offer for a session that begins.
pub(crate) async fn begin(
    app: &App,
    session: &Session,
    system: System,
    device: Device,
) -> Result<Option<Offer>, Problem> {
    let Some(keys) = &app.keys else {
        return Ok(None);
    };
    let rules = &keys.licensing.drm.rules;
    let tracks = rules.tracks(device);
    let grant = Grant {
        session: session.id.clone(),
        video: session.video.clone(),
        system,
        policy: rules.policy(&tracks),
        tracks,
    };
    let position = session.position_ms.unwrap_or(0);
    make(app, keys, session, &grant, position).await.map(Some)
}

async fn make(
    app: &App,
    keys: &Keys,
    session: &Session,
    grant: &Grant,
    position_ms: u64,
) -> Result<Offer, Problem> {
    let Licensing { keyring, drm, .. } = &keys.licensing;
    let now = app.clock.now();
    let sets = keys::of(app, keys, &grant.video).await?;
    let kids = policy::kids(sets.each(), &grant.tracks, position_ms);
    let life = drm.license_ttl.as_secs();
    let licence = grant.licence(kids, random::bits()?, now, life);
    let expires = licence.exp;
    let keyring = keyring.current();
    let sealed = keys.licensing.seal.seal(licence, &grant.session);
    let signed = sealed.and_then(|licence| keyring.sign(&licence));
    // A renewal may outlive the session's token, which heartbeats renew; it counts while the session lives.
    let until = match app.settings.playback.token_ttl {
        Some(_) => session.expires.plus(app.settings.token_margin.as_secs()),
        None => session.expires,
    };
    let renewal = keyring.sign(&grant.renewal(now, until));
    let (Some(token), Some(next)) = (signed, renewal) else {
        tracing::error!("a licence token cannot be signed");
        return Err(Problem::internal());
    };
    Ok(Offer {
        r#type: grant.system.as_str(),
        license_url: keys.licensing.license_url(grant.system, &app.public_base),
        token,
        expires_at: expires,
        certificate_url: keys.licensing.certificate_url(grant.system),
        renewal: Next {
            url: format!("{}/v1/drm/token", app.public_base),
            token: next,
        },
    })
}
