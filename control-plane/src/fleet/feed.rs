//! `GET /v1/fleet/feed`: orders, for the nodes that follow them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use catalog::nodes::Sighting;
use contracts::feed::{MAX_SEQ, Page};
use contracts::fleet::{Kind, Question};
use runtime::problem::Problem;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::Caller;
use crate::error::Error;
use crate::problem::{self, catalogue};

/// The longest that an answer without orders is held back.
const HELD: Duration = Duration::from_secs(25);

/// [`Question`], as the API's description shows it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what is read as `Question`")]
pub(crate) struct Parameters {
    /// The last order that the node has applied; 0: none.
    after: Option<u64>,
    /// For how many seconds it waits where there is nothing new; 25 at most are taken.
    wait: Option<u64>,
    /// The feed whose orders it has applied.
    feed: Option<String>,
    /// Its name, 1 to 32 of `a-z 0-9 -`. Whoever gives none is not counted among the nodes.
    node: Option<String>,
    /// `edge` or `shield`.
    kind: Option<String>,
    /// For how many seconds after this question it may go on to serve what is purged, should it hear no more; absent:
    /// for ever.
    #[param(format = "uint64")]
    stops_s: Option<u64>,
}

/// [`Page`], as the API's description shows it.
#[derive(ToSchema)]
#[schema(as = FeedPage)]
#[expect(dead_code, reason = "describes what is written as `Page`")]
pub(crate) struct Document {
    /// Which feed it is.
    feed: String,
    /// The number of its newest order.
    head: u64,
    /// `{"through", "revocations"}`: orders up to `through` cannot be told one by one; everything was purged.
    gap: Option<serde_json::Value>,
    /// `{"seq", "purge", "value", "mode"}` or `{"seq", "revoke", "value", "until"}`, by rising `seq`.
    entries: Vec<serde_json::Value>,
}

/// The orders after a number, for edges and shields, which show a credential of `fleet.hop_secrets`.
/// Where there are none, the answer is held back until there are.
#[utoipa::path(get, path = "/fleet/feed", params(Parameters, ("millrace-hop" = String, Header, description = "a credential of `fleet.hop_secrets`")),
    responses((status = 200, body = Document, description = "never to be stored: `Cache-Control: no-store`"), (status = 400, body = Problem),
        (status = 403, body = Problem, description = "`hop-refused`: not such a credential, or the name of a node that has enrolled, which asks with its certificate"),
        (status = 404, body = Problem, description = "`not-found`: `fleet.hop_secrets` is not configured"), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Response, Problem> {
    if !app.fleet.is_open() {
        return Err(Problem::no_route());
    }
    if !app.fleet.admits(&headers) {
        return Err(problem::no_tier());
    }
    let Query(question) = question?;
    // What a node that has enrolled says, it says with its certificate: others do not speak for it.
    if let Some(name) = &question.node
        && app.fleet.has_enrolled(name)
    {
        return Err(problem::no_tier());
    }
    tell(&app, &question).await
}

/// Answers a node that may ask.
pub(crate) async fn tell(app: &App, question: &Question) -> Result<Response, Problem> {
    if question.after > MAX_SEQ {
        return Err(Problem::bad_request(format!("after is {MAX_SEQ} at most")));
    }
    hear(app, question);
    let page = answer(app, question).await.map_err(catalogue)?;
    if page.head < question.after && app.fleet.is_news(app.clock.now()) {
        lost(question, &page);
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)).into_response())
}

/// A feed that begins anew.
#[derive(Serialize, ToSchema)]
pub(crate) struct Renewed {
    /// The number that all its orders are beyond.
    begins: u64,
}

/// Has the feed begin anew, because orders may be lost: after the catalogue was put back to a backup. Every node takes
/// everything for purged; what is revoked stays so. For operators.
#[utoipa::path(post, path = "/fleet/feed/renew",
    responses((status = 200, body = Renewed), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Renewed>, Problem> {
    caller.operator()?;
    let renewed = app.orders.renew().await;
    let begins = renewed.map_err(|error| match error {
        Error::Catalog(error) => catalogue(error),
        error => {
            tracing::error!("the feed cannot be renewed: {error}");
            Problem::internal()
        }
    })?;
    tracing::warn!("the feed begins anew, at {begins}: every node takes everything for purged");
    Ok(Json(Renewed { begins }))
}

fn hear(app: &App, question: &Question) {
    if let Some(name) = &question.node {
        app.fleet.heard.add(Sighting {
            name: name.clone(),
            kind: question.kind.unwrap_or(Kind::Edge),
            at: app.clock.now(),
            feed: question.feed.clone(),
            applied: question.after,
            stops_s: question.stops_s,
        });
    }
}

/// What a node is answered, once it is written down that it asked: it may serve on from its question, and whoever is
/// asked for how long must know of it, whatever becomes of this process.
async fn answer(app: &App, question: &Question) -> Result<Page, catalog::Error> {
    let page = wait(app, question).await?;
    app.fleet.heard.write().await?;
    Ok(page)
}

/// A page with orders, or one without when the node has waited long enough, as many wait as may, or this process ends.
async fn wait(app: &App, question: &Question) -> Result<Page, catalog::Error> {
    // Before the first look: what is ordered from then on is news.
    let mut orders = app.orders.watch();
    let until = Instant::now() + Duration::from_secs(question.wait).min(HELD);
    let mut page = app.orders.after(question.after).await?;
    let is_news = |page: &Page| page.head != question.after || page.gap.is_some();
    if is_news(&page) || question.wait == 0 {
        return Ok(page);
    }
    let Some(_place) = app.fleet.waiting.take(question.node.as_ref()) else {
        return Ok(page);
    };
    while !is_news(&page) {
        tokio::select! {
            more = orders.changed() => {
                if more.is_err() || app.orders.is_closed() {
                    break;
                }
                page = app.orders.after(question.after).await?;
            }
            () = tokio::time::sleep_until(until) => break,
        }
    }
    Ok(page)
}

/// A node that has applied what this feed never gave: either it followed another, or the feed was put back to a backup.
fn lost(question: &Question, page: &Page) {
    let node = question
        .node
        .as_ref()
        .map_or("a node", |name| name.as_str());
    let (applied, head) = (question.after, page.head);
    if question.feed.is_some() && question.feed == page.feed {
        tracing::error!(
            "{node} has applied order {applied} and the feed ends at {head}: orders are lost, as after a backup was put back; renew the feed"
        );
    } else {
        tracing::warn!(
            "{node} has applied order {applied} of another feed, and this one ends at {head}"
        );
    }
}
