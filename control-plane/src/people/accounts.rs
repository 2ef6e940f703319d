//! Accounts over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::SecretDigest;
use catalog::users::{Joined, NewUser, Role, User};
use contracts::id::UserId;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::config::SignUp;
use super::guesses::Who;
use super::limits::Limit;
use super::{network, secret, words};
use crate::app::App;
use crate::caller::Caller;
use crate::client::Client;
use crate::page_of::{Page, page};
use crate::playback::viewer::is_elsewhere;
use crate::problem::{self, catalogue};
use crate::random;

/// What invitations begin with.
pub(super) const INVITATION: &str = "minv_";
/// How long an invitation is good at most, in seconds.
const LONGEST_INVITATION_S: u64 = 30 * 86_400;

/// An account that is wished.
#[derive(Deserialize, ToSchema)]
#[schema(as = AccountWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    email: String,
    /// At least 10 characters, at most 512 bytes.
    password: String,
    /// 1 to 100 characters.
    name: String,
    /// The invitation, where one is needed. It gives the account its role.
    #[serde(default)]
    invitation: Option<String>,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    user_id: String,
    email: String,
    name: String,
    /// `viewer`, `publisher` or `operator`.
    role: &'static str,
    created_unix_s: u64,
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accounts {
    users: Vec<Account>,
    /// What to give as `next` for the following page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A role that somebody is to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    /// `viewer`, `publisher` or `operator`.
    role: String,
}

/// An invitation that is wished.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    /// `viewer`, `publisher` or `operator`.
    role: String,
    /// How long it is good, in seconds, 60 to 2592000; a week without it.
    #[serde(default)]
    expires_in_s: Option<u64>,
}

/// An invitation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invitation {
    /// Shown this once.
    invitation: String,
    role: &'static str,
    /// Unix seconds.
    expires_at: u64,
}

/// Who one is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    user_id: String,
    /// `viewer`, `publisher` or `operator`.
    role: &'static str,
    /// Absent for users of an outside issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// A change of one's password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passwords {
    password: String,
    /// At least 10 characters, at most 512 bytes.
    new_password: String,
}

/// Makes an account: a viewer's where everybody may have one, else by an invitation.
#[utoipa::path(post, path = "/users", request_body = Wish,
    responses((status = 201, body = Account), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn sign_up(
    State(app): State<Arc<App>>,
    client: Client,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Account>), Problem> {
    let Json(wish) = wish?;
    app.people.accounts()?;
    let now = app.clock.now();
    app.people
        .count(Limit::SignUp, network(client.address), now)?;
    let (email, name) = (words::email(&wish.email)?, words::name(&wish.name)?);
    let password = words::new_password(wish.password)?;
    if wish.invitation.is_none() && app.people.sign_up == SignUp::Invited {
        return Err(problem::not_invited());
    }
    let new = NewUser {
        id: UserId::from_random(random::bits()?),
        email,
        name,
        role: Role::Viewer,
        password: app.people.passwords.hash(password).await?,
    };
    let users = &app.catalog.users;
    let joined = match &wish.invitation {
        Some(invitation) => users.join(new, &SecretDigest::of(invitation), now).await,
        None => users.create(new, now).await,
    };
    match joined.map_err(catalogue)? {
        Joined::New(user) => {
            let (id, role) = (&user.id, user.role.as_str());
            tracing::info!(user.id = %id, role, "{id} joined as a {role}");
            Ok((StatusCode::CREATED, Json(user.into())))
        }
        Joined::EmailTaken => Err(problem::email_taken()),
        Joined::NotInvited => Err(problem::not_invited()),
    }
}

/// Who one is.
#[utoipa::path(get, path = "/users/me", responses((status = 200, body = Me), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn me(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Me>, Problem> {
    let person = caller.person()?;
    let user = app.catalog.users.find(&person.id).await;
    let user = user.map_err(catalogue)?;
    Ok(Json(Me {
        user_id: person.id.to_string(),
        role: person.role.as_str(),
        email: user.as_ref().map(|user| user.email.clone()),
        name: user.map(|user| user.name),
    }))
}

/// Changes one's password and ends all logins, this one too.
#[utoipa::path(put, path = "/users/me/password", request_body = Passwords,
    responses((status = 204, description = "changed"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    client: Client,
    caller: Caller,
    change: Result<Json<Passwords>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(change) = change?;
    let person = caller.person()?;
    let now = app.clock.now();
    let users = &app.catalog.users;
    let user = users.find(&person.id).await.map_err(catalogue)?;
    let user = user.ok_or_else(problem::not_ours)?;
    let from = network(client.address);
    app.people.count(Limit::LoginFrom, from, now)?;
    let guess = app.may_guess(Who::Holder, &user.email, from, now).await?;
    let new = words::new_password(change.new_password)?;
    let old = words::password(change.password)?;
    let found = users.find_by_email(&user.email).await.map_err(catalogue)?;
    let hash = found.map(|(_, hash)| hash);
    if !app.people.passwords.check(old, hash).await? {
        guess.was_wrong(&app, now).await?;
        return Err(problem::login_failed());
    }
    let hash = app.people.passwords.hash(new).await?;
    let changed = users.set_password(&person.id, &hash).await;
    changed.map_err(catalogue)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The accounts of the site, for its operators.
#[utoipa::path(get, path = "/users", params(Page),
    responses((status = 200, body = Accounts), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Accounts>, Problem> {
    caller.operator()?;
    let (limit, after) = page(asked, UserId::parse)?;
    let users = app.catalog.users.list(after.as_ref(), limit.ask()).await;
    let (users, next) = limit.cut(users.map_err(catalogue)?, |user| user.id.to_string());
    Ok(Json(Accounts {
        users: users.into_iter().map(Account::from).collect(),
        next,
    }))
}

/// Changes what somebody may do, from the next request on; sessions of films that they may not watch any more end. For
/// operators.
#[utoipa::path(post, path = "/users/{id}/role", params(("id" = String, Path)), request_body = NewRole,
    responses((status = 200, body = Account), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn set_role(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    wish: Result<Json<NewRole>, JsonRejection>,
) -> Result<Json<Account>, Problem> {
    caller.operator()?;
    let Json(wish) = wish?;
    let role = role(&wish.role)?;
    let id = UserId::parse(&id).map_err(|_| problem::no_user())?;
    let user = app.catalog.users.set_role(&id, role).await;
    let user = user.map_err(catalogue)?.ok_or_else(problem::no_user)?;
    tracing::info!(user.id = %id, role = role.as_str(), "{id} is a {} now", role.as_str());
    app.end_not_entitled(&id, None).await?;
    Ok(Json(user.into()))
}

/// Removes an account; its logins and its sessions end. For operators, and for oneself.
#[utoipa::path(delete, path = "/users/{id}", params(("id" = String, Path)),
    responses((status = 204, description = "it is gone"), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let own = caller.person().is_ok_and(|person| person.id.as_str() == id);
    if !own {
        caller.operator()?;
    }
    let id = UserId::parse(&id).map_err(|_| problem::no_user())?;
    let users = &app.catalog.users;
    if users.find(&id).await.map_err(catalogue)?.is_none() {
        return Err(problem::no_user());
    }
    // First: should this end half way, the account is there, and is removed the next time.
    app.end_sessions_of(&id).await?;
    if !users.remove(&id).await.map_err(catalogue)? {
        return Err(problem::no_user());
    }
    // Those that began meanwhile.
    tracing::info!(user.id = %id, "the account of {id} is removed");
    app.end_sessions_of(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes an invitation. For operators.
#[utoipa::path(post, path = "/invitations", request_body = Invite,
    responses((status = 201, body = Invitation), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn invite(
    State(app): State<Arc<App>>,
    caller: Caller,
    wish: Result<Json<Invite>, JsonRejection>,
) -> Result<Response, Problem> {
    caller.operator()?;
    let Json(wish) = wish?;
    app.people.accounts()?;
    let role = role(&wish.role)?;
    let ttl = wish.expires_in_s.unwrap_or(7 * 86_400);
    if !(60..=LONGEST_INVITATION_S).contains(&ttl) {
        return Err(Problem::bad_request("expires_in_s must be 60 to 2592000"));
    }
    let expires = app.clock.now().plus(Duration::from_secs(ttl).as_secs());
    let invitation = secret(INVITATION)?;
    let digest = SecretDigest::of(&invitation);
    let made = app.catalog.users.invite(&digest, role, expires).await;
    made.map_err(catalogue)?;
    let invitation = Invitation {
        invitation,
        role: role.as_str(),
        expires_at: expires.0,
    };
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, no_store, Json(invitation)).into_response())
}

impl App {
    /// Refuses an account that is not there, unless it is kept elsewhere: whose it is may come later.
    pub(crate) async fn may_come(&self, id: &UserId) -> Result<(), Problem> {
        if is_elsewhere(id) {
            return Ok(());
        }
        let user = self.catalog.users.find(id).await.map_err(catalogue)?;
        user.map(drop).ok_or_else(problem::no_user)
    }
}

fn role(word: &str) -> Result<Role, Problem> {
    let refused = || Problem::bad_request("role must be viewer, publisher or operator");
    Role::parse(word).ok_or_else(refused)
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id.to_string(),
            email: user.email,
            name: user.name,
            role: user.role.as_str(),
            created_unix_s: user.created.0,
        }
    }
}
