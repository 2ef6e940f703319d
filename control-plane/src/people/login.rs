//! Logging in, staying so, logging out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::SecretDigest;
use catalog::logins::{NewLogin, Renewal};
use contracts::id::{LoginId, UserId};
use runtime::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guesses::Who;
use super::limits::Limit;
use super::{network, secret, words};
use crate::app::App;
use crate::client::Client;
use crate::problem::{self, catalogue};
use crate::random;

/// What refresh tokens begin with.
const REFRESH: &str = "mrt_";

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[schema(as = LoginWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    email: String,
    password: String,
}

/// What keeps a login alive, or ends it.
#[derive(Deserialize, ToSchema)]
#[schema(as = RefreshToken)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    refresh_token: String,
}

/// A login.
#[derive(Serialize, ToSchema)]
pub(crate) struct Login {
    /// To be sent as `Authorization: Bearer`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long the access token is good, in seconds.
    expires_in_s: u64,
    /// Good for one renewal, at `/v1/auth/refresh`.
    refresh_token: String,
    /// How long that is good, in seconds.
    refresh_expires_in_s: u64,
    user_id: String,
}

/// Begins a login.
#[utoipa::path(post, path = "/auth/login", request_body = Wish,
    responses((status = 200, body = Login), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    client: Client,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wish) = wish?;
    app.people.accounts()?;
    let (email, now) = (words::email(&wish.email)?, app.clock.now());
    let from = network(client.address);
    app.people.count(Limit::LoginFrom, from, now)?;
    let guess = app.may_guess(Who::Anybody, &email, from, now).await?;
    let password = words::password(wish.password)?;
    let found = app.catalog.users.find_by_email(&email).await;
    let (user, hash) = found.map_err(catalogue)?.unzip();
    // As long for an address that nobody has.
    let right = app.people.passwords.check(password, hash.clone()).await?;
    let Some((user, hash)) = user.zip(hash).filter(|_| right) else {
        guess.was_wrong(&app, now).await?;
        return Err(problem::login_failed());
    };
    let login = LoginId::from_random(random::bits()?);
    let refresh = secret(REFRESH)?;
    let new = NewLogin {
        id: login.clone(),
        user: user.id.clone(),
        token: SecretDigest::of(&refresh),
        started: now,
        expires: now.plus(app.people.refresh_ttl.as_secs()),
    };
    let begun = app.catalog.logins.begin(new, &hash).await;
    if !begun.map_err(catalogue)? {
        // The account went meanwhile, or its password did.
        return Err(problem::login_failed());
    }
    guess.was_right(&app, now).await?;
    tracing::info!(user.id = %user.id, login.id = %login, "{} logged in", user.id);
    app.answer(&user.id, &login, refresh)
}

/// Gives a new access token and a new refresh token for a refresh token.
#[utoipa::path(post, path = "/auth/refresh", request_body = Shown,
    responses((status = 200, body = Login), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn refresh(
    State(app): State<Arc<App>>,
    client: Client,
    shown: Result<Json<Shown>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(shown) = shown?;
    app.people.accounts()?;
    let now = app.clock.now();
    app.people
        .count(Limit::Refresh, network(client.address), now)?;
    let next = secret(REFRESH)?;
    let (token, next_token) = (
        SecretDigest::of(&shown.refresh_token),
        SecretDigest::of(&next),
    );
    let expires = now.plus(app.people.refresh_ttl.as_secs());
    let renewal = app
        .catalog
        .logins
        .renew(&token, &next_token, now, expires)
        .await;
    match renewal.map_err(catalogue)? {
        Renewal::Renewed(holder) => app.answer(&holder.user, &holder.login, next),
        Renewal::Unknown => Err(problem::login_over()),
        Renewal::Reused(user) => {
            tracing::warn!(user.id = %user, "a refresh token of {user} was used twice: the login is ended");
            Err(problem::login_over())
        }
    }
}

/// Ends the login that a refresh token is of; its access tokens end with it.
#[utoipa::path(post, path = "/auth/logout", request_body = Shown,
    responses((status = 204, description = "the login is over, if it was one"), (status = 400, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    client: Client,
    shown: Result<Json<Shown>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(shown) = shown?;
    app.people.accounts()?;
    let now = app.clock.now();
    app.people
        .count(Limit::Refresh, network(client.address), now)?;
    let token = SecretDigest::of(&shown.refresh_token);
    app.catalog.logins.end_by(&token).await.map_err(catalogue)?;
    Ok(StatusCode::NO_CONTENT)
}

impl App {
    fn answer(
        &self,
        user: &UserId,
        login: &LoginId,
        refresh_token: String,
    ) -> Result<Response, Problem> {
        let tokens = self.people.accounts()?;
        let login = Login {
            access_token: tokens.mint(user, login, self.clock.now())?,
            token_type: "Bearer",
            expires_in_s: tokens.ttl().as_secs(),
            refresh_token,
            refresh_expires_in_s: self.people.refresh_ttl.as_secs(),
            user_id: user.to_string(),
        };
        // RFC 6749 §5.1.
        Ok(([(header::CACHE_CONTROL, "no-store")], Json(login)).into_response())
    }
}
