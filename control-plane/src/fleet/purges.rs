//! Purges over HTTP: ordering one, and asking how far it has come.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::nodes::standing::Standing;
use contracts::feed::{Folder, Mode, Order, Purge, Scope, Text};
use contracts::id::{TenantId, VideoId};
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::{self, Caller};
use crate::people::limits::Limit;
use crate::problem::{self, catalogue};

/// What is to be forgotten by every cache: one of `url`, `tag`, `prefix`, `video`, `all`.
#[derive(Deserialize, ToSchema)]
#[schema(as = PurgeWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// A path, `/v/film/master.m3u8`, with any query, or with the one that is written; in front of a site
    /// `//host/path`.
    url: Option<String>,
    /// What bears this tag in `Surrogate-Key`.
    tag: Option<String>,
    /// What is below a path that ends in `/`; in front of a site `//host/path/`.
    prefix: Option<String>,
    /// All of a film that is, or was, in the catalogue.
    video: Option<String>,
    /// `true`: everything.
    all: Option<bool>,
    /// On whose behalf, for operators and API keys: a node that runs short of memory for purges forgets what bears the
    /// tag `t:{tenant}` before it forgets everything. What is purged must bear that tag, or none that begins with `t:`.
    tenant: Option<String>,
    /// `hard`: never served again; `soft`: stale. `hard` without it.
    #[schema(value_type = Option<String>)]
    mode: Option<Mode>,
}

/// A purge that was ordered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Given {
    /// Its number.
    seq: u64,
    /// Where to ask how far it has come.
    state_url: String,
}

/// How far a purge has come.
#[derive(Serialize, ToSchema)]
#[schema(as = Purge)]
pub(crate) struct Shown {
    /// Its number.
    pub(crate) seq: u64,
    /// `pending`: some node may still serve what was purged. `bounded`: some have not said that they have applied it,
    /// and all of those have stopped by themselves. `complete`: every node has applied it.
    state: &'static str,
    /// The nodes that have applied it.
    acked: Vec<String>,
    /// Those that have not said so.
    pending: Vec<Waiting>,
    /// By when the last of those stops serving what was purged, should none of them be heard of, in Unix seconds.
    /// Absent where none is pending, and where one never stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounded_at: Option<u64>,
}

/// A node that has not said that it has applied a purge.
#[derive(Serialize, ToSchema)]
pub(crate) struct Waiting {
    name: String,
    /// `edge` or `shield`.
    kind: &'static str,
    /// When it was last heard of, in Unix seconds.
    last_seen_at: u64,
    /// By when it stops serving what was purged, should it not be heard of; `null`: never (`feed.when_lost` is
    /// `serve`).
    stops_at: Option<u64>,
}

/// Orders every cache to forget something. For operators, API keys with the scope `purge`, and, as `video`, publishers
/// for films of their channels.
#[utoipa::path(post, path = "/purge", request_body = Wish,
    responses((status = 202, body = Given, description = "it is ordered, and survives a restart; Location says where to ask"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, description = "`video-not-found`"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn order(
    State(app): State<Arc<App>>,
    caller: Caller,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wish) = wish?;
    let mode = wish.mode.unwrap_or_default();
    let tenant = wish.tenant.as_deref().map(TenantId::parse).transpose();
    let tenant = tenant.map_err(|error| Problem::bad_request(format!("tenant: {error}")))?;
    let wanted = wish.read()?;
    if !caller.may(caller::Scope::Purge) {
        if tenant.is_some() || !app.publishes(&caller, &wanted).await? {
            return Err(caller.refused());
        }
        // Each is an order to every edge and shield. Backends have their rate.
        let (of, now) = (caller.person()?.id.as_str(), app.clock.now());
        app.people.count(Limit::PurgesOf, of, now)?;
    }
    if let Wanted::Video(video) = &wanted {
        // One that was deleted may still be in caches.
        let video = app.catalog.videos.find(video).await.map_err(catalogue)?;
        video.ok_or_else(Problem::no_video)?;
    }
    let purge = Purge {
        scope: wanted.scope()?,
        mode,
        tenant,
    };
    let seq = app.orders.purge(purge).await.map_err(catalogue)?;
    tracing::info!(seq, "purge {seq} is ordered");
    let state_url = format!("{}/v1/purge/{seq}", app.public_base);
    let location = [(header::LOCATION, state_url.clone())];
    let given = Json(Given { seq, state_url });
    Ok((StatusCode::ACCEPTED, location, given).into_response())
}

/// How far a purge has come. For whoever may order it.
#[utoipa::path(get, path = "/purge/{seq}", params(("seq" = u64, Path)),
    responses((status = 200, body = Shown), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "`purge-not-found`: no such purge, or none that is still told one by one"), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(seq): Named<u64>,
) -> Result<Json<Shown>, Problem> {
    let found = app.catalog.feed.find(seq).await.map_err(catalogue)?;
    let purge = found.and_then(|ordered| match ordered.order {
        Order::Purge(purge) => Some(purge),
        _ => None,
    });
    if !caller.may(caller::Scope::Purge) {
        let video = purge.as_ref().and_then(of_video);
        let own = match video {
            Some(video) => app.owns_to_publish(&caller, &video).await?,
            None => false,
        };
        if !own {
            return Err(caller.refused());
        }
    }
    purge.ok_or_else(problem::no_purge)?;
    Ok(Json(Shown::of(seq, app.standing(seq).await?)))
}

/// What a wish names.
enum Wanted {
    Url(String),
    Tag(String),
    Prefix(String),
    Video(VideoId),
    All,
}

impl Wish {
    fn read(self) -> Result<Wanted, Problem> {
        let all = self.all.filter(|all| *all).map(|_| Wanted::All);
        let video = self.video.as_deref().map(VideoId::parse).transpose();
        let video = video.map_err(|error| Problem::bad_request(format!("video: {error}")))?;
        let named = [
            self.url.map(Wanted::Url),
            self.tag.map(Wanted::Tag),
            self.prefix.map(Wanted::Prefix),
            video.map(Wanted::Video),
            all,
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(wanted), None) => Ok(wanted),
            _ => Err(Problem::bad_request(
                "name one of url, tag, prefix, video, all",
            )),
        }
    }
}

impl Wanted {
    fn scope(&self) -> Result<Scope, Problem> {
        let bad = |name: &str, rule: &dyn std::fmt::Display| {
            Problem::bad_request(format!("{name} {rule}"))
        };
        match self {
            Self::Url(path) if !path.starts_with('/') => Err(bad("url", &"must begin with /")),
            Self::Url(path) => {
                let path = Text::parse(path).map_err(|error| bad("url", &error))?;
                Ok(Scope::Url(path))
            }
            Self::Tag(tag) => {
                let tag = Text::parse(tag).map_err(|error| bad("tag", &error))?;
                Ok(Scope::Tag(tag))
            }
            Self::Prefix(prefix) => {
                let folder = Folder::parse(prefix).map_err(|error| bad("prefix", &error))?;
                Ok(Scope::Prefix(folder))
            }
            Self::Video(video) => tag(video),
            Self::All => Ok(Scope::All),
        }
    }
}

/// What bears a film's tag: everything that an origin gives of it.
pub(crate) fn tag(video: &VideoId) -> Result<Scope, Problem> {
    let tag = Text::parse(&format!("a:{video}"));
    tag.map(Scope::Tag).map_err(|_| Problem::internal())
}

fn of_video(purge: &Purge) -> Option<VideoId> {
    match &purge.scope {
        Scope::Tag(tag) => VideoId::parse(tag.as_str().strip_prefix("a:")?).ok(),
        _ => None,
    }
}

impl App {
    async fn publishes(&self, caller: &Caller, wanted: &Wanted) -> Result<bool, Problem> {
        match wanted {
            Wanted::Video(video) => self.owns_to_publish(caller, video).await,
            _ => Ok(false),
        }
    }

    /// How far an order has come.
    pub(crate) async fn standing(&self, seq: u64) -> Result<Standing, Problem> {
        let extent = self.catalog.feed.extent().await.map_err(catalogue)?;
        let extent = extent.ok_or_else(Problem::internal)?;
        let nodes = self.fleet.heard.list().await.map_err(catalogue)?;
        Ok(Standing::of(seq, &extent.id, nodes, self.clock.now()))
    }
}

impl Shown {
    /// An order's standing, as the API tells it.
    pub(crate) fn of(seq: u64, standing: Standing) -> Self {
        Self {
            seq,
            state: standing.state.as_str(),
            bounded_at: standing.bounded().map(|at| at.0),
            acked: standing.acked.iter().map(ToString::to_string).collect(),
            pending: standing
                .pending
                .into_iter()
                .map(|node| Waiting {
                    name: node.name.to_string(),
                    kind: node.kind.as_str(),
                    last_seen_at: node.last_seen.0,
                    stops_at: node.stops.map(|at| at.0),
                })
                .collect(),
        }
    }
}
