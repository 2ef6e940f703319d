//! How much of the house an account takes up, and may.

use std::sync::Arc;

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
};
use contracts::id::UserId;
use runtime::problem::{Named, Problem};

use super::{
    App,
    body::{Amount, Quota, QuotaWish},
    caller::Caller,
    problem,
};
use crate::upload::quota::Own;

/// How much an account takes up, and may. For operators and for oneself.
#[utoipa::path(get, path = "/users/{id}/quota", params(("id" = String, Path, description = "an account; `me`")),
    responses((status = 200, body = Quota), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<Quota>, Problem> {
    let owner = match (&caller, id.as_str()) {
        (Caller::Publisher(own), "me") => own.clone(),
        (Caller::Publisher(own), id) if own.as_str() == id => own.clone(),
        (Caller::Operator, id) if id != "me" => parse(id)?,
        (Caller::Operator, _) => return Err(problem::no_user()),
        _ => return Err(problem::operators_only()),
    };
    told(&app, &owner).await.map(Json)
}

/// Gives an account a quota of its own. It counts from the next upload on. For operators.
#[utoipa::path(put, path = "/users/{id}/quota", params(("id" = String, Path, description = "an account")), request_body = QuotaWish,
    responses((status = 200, body = Quota), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem)))]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
    wish: Result<Json<QuotaWish>, JsonRejection>,
) -> Result<Json<Quota>, Problem> {
    if caller != Caller::Operator {
        return Err(problem::operators_only());
    }
    let Json(wish) = wish?;
    let owner = parse(&id)?;
    let amounts = [wish.bytes, wish.uploads, wish.films];
    if amounts.into_iter().flatten().any(|amount| amount > MOST) {
        let detail = format!("bytes, uploads and films are 0 to {MOST}, or null");
        return Err(Problem::bad_request(detail));
    }
    let own = Own {
        bytes: wish.bytes,
        uploads: wish.uploads,
        films: wish.films,
    };
    app.quotas.set(&owner, own).await?;
    told(&app, &owner).await.map(Json)
}

async fn told(app: &App, owner: &UserId) -> Result<Quota, Problem> {
    let own = app.quotas.own(owner).await?;
    let usage = app.quotas.usage(owner).await?;
    let quota = own.within(app.quota);
    let amount = |limit, own_limit, used| Amount {
        limit,
        own_limit,
        used,
    };
    Ok(Quota {
        user_id: owner.to_string(),
        bytes: amount(quota.bytes, own.bytes, usage.bytes),
        uploads: amount(quota.uploads, own.uploads, usage.uploads),
        films: amount(quota.films, own.films, usage.films),
    })
}

fn parse(id: &str) -> Result<UserId, Problem> {
    UserId::parse(id).map_err(|_| problem::no_user())
}

/// Numbers that JavaScript holds.
const MOST: u64 = 1 << 53;
