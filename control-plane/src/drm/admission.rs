//! Who may have a licence: whoever shows a token of this site that is fresh, for this system, of a session that lives.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use catalog::sessions::Session;
use contracts::id::{SessionId, VideoId};
use contracts::keys::{KeyId, System};
use runtime::operator::bearer;
use runtime::problem::Problem;
use serde::Deserialize;

use super::token::{Licence, Refused};
use crate::app::App;
use crate::keys::{self, Keys, sets::Sets};
use crate::problem::{self, catalogue};

/// The token where a player can set no header.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Shown {
    /// The licence token, for players that can set no `Authorization: Bearer`.
    token: Option<String>,
}

/// What a player shows.
pub(crate) type Asked = Result<Query<Shown>, QueryRejection>;

/// The token of a request for a licence of this system, once it and its session are in order, and the film's keys. It
/// names those that replaced what it was made for, too.
pub(crate) async fn admit(
    app: &App,
    keys: &Keys,
    system: System,
    headers: &HeaderMap,
    query: Asked,
) -> Result<(Licence, Sets), Problem> {
    let Query(query) = query?;
    let shown = bearer(headers).or(query.token.as_deref());
    let shown = shown.ok_or_else(problem::no_license_token)?;
    let licence = Licence::verify(&keys.licensing.keyring.current(), shown, app.clock.now());
    let mut licence = licence.map_err(problem::license_token)?;
    if licence.system != system {
        return Err(problem::license_refused("system"));
    }
    let session = keys.licensing.seal.open(&licence);
    let session = session.ok_or_else(|| problem::license_token(Refused::Invalid))?;
    live(app, &session, &licence.asset).await?;
    let sets = keys::of(app, keys, &licence.asset).await?;
    licence.kids = sets.alike(&licence.kids);
    Ok((licence, sets))
}

/// Counts a use of the token for these keys, all of which must be its own. Where the keys cannot be read, none are told.
pub(crate) fn take(
    app: &App,
    keys: &Keys,
    licence: &Licence,
    kids: Option<&[KeyId]>,
) -> Result<(), Problem> {
    let mut wanted = kids.into_iter().flatten();
    if wanted.any(|kid| !licence.kids.contains(kid)) {
        return Err(problem::license_refused("keys"));
    }
    let uses = &keys.licensing.uses;
    if !uses.take(licence, kids, app.clock.now()) {
        return Err(problem::license_refused("used-up"));
    }
    Ok(())
}

/// Counts a licence that is given, and tells of it.
pub(crate) fn given(app: &App, licence: &Licence) {
    let system = licence.system.as_str();
    app.metrics.licences.with_label_values(&[system]).inc();
    let session = &licence.sid;
    tracing::info!(session.mark = %session, video.id = %licence.asset, system, "a {system} licence for session {session}");
}

/// A session of this film that is neither stopped nor over.
pub(crate) async fn live(
    app: &App,
    session: &SessionId,
    video: &VideoId,
) -> Result<Session, Problem> {
    let session = app.catalog.sessions.find(session).await;
    let session = session.map_err(catalogue)?;
    let lives = |session: &Session| session.lives(app.clock.now()) && session.video == *video;
    let session = session.filter(lives);
    session.ok_or_else(|| problem::license_refused("session-over"))
}
