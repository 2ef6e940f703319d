//! Channels over HTTP: films that belong together, and to whom.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use catalog::channels::Channel;
use catalog::users::Role;
use contracts::id::{ChannelId, VideoId};
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use crate::app::App;
use crate::caller::Caller;
use crate::page_of::{Page, page};
use crate::problem::{self, catalogue};
use crate::random;

/// A channel that is wished.
#[derive(Deserialize, ToSchema)]
#[schema(as = ChannelWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// 1 to 100 characters.
    name: String,
}

/// A channel.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
pub(crate) struct Shown {
    channel_id: String,
    name: String,
    owner_user_id: String,
    created_unix_s: u64,
}

/// A page of channels.
#[derive(Serialize, ToSchema)]
#[schema(as = Channels)]
pub(crate) struct Listed {
    channels: Vec<Shown>,
    /// What to give as `next` for the following page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Where a film is to be.
#[derive(Deserialize, ToSchema)]
#[schema(as = ChannelOfVideo)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// A channel, or `null` for none.
    // It must be there: nobody takes something away by leaving it out.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    channel_id: Option<String>,
}

/// Makes a channel of one's own. For publishers and operators.
#[utoipa::path(post, path = "/channels", request_body = Wish,
    responses((status = 201, body = Shown), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let person = caller.person()?;
    if person.role < Role::Publisher {
        return Err(problem::not_allowed());
    }
    let Json(wish) = wish?;
    let channel = Channel {
        id: ChannelId::from_random(random::bits()?),
        owner: person.id.clone(),
        name: words::name(&wish.name)?,
        created: app.clock.now(),
    };
    let made = app.catalog.channels.create(&channel).await;
    made.map_err(catalogue)?;
    Ok((StatusCode::CREATED, Json(channel.into())))
}

/// One's own channels, by their ids.
#[utoipa::path(get, path = "/channels", params(Page),
    responses((status = 200, body = Listed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listed>, Problem> {
    let owner = &caller.person()?.id;
    let (limit, after) = page(asked, ChannelId::parse)?;
    let channels = app
        .catalog
        .channels
        .list(owner, after.as_ref(), limit.ask())
        .await;
    let (channels, next) = limit.cut(channels.map_err(catalogue)?, |one| one.id.to_string());
    Ok(Json(Listed {
        channels: channels.into_iter().map(Shown::from).collect(),
        next,
    }))
}

/// A channel.
#[utoipa::path(get, path = "/channels/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Shown), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(app.channel(&id).await?.into()))
}

/// Puts a film into a channel, or out of its own. For operators, and for publishers between
/// channels of their own.
#[utoipa::path(put, path = "/videos/{id}/channel", params(("id" = String, Path)), request_body = Place,
    responses((status = 204, description = "it is there"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    place: Result<Json<Place>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let operator = caller.operator();
    if operator.is_err() {
        caller.person()?;
    }
    let Json(place) = place?;
    let video = VideoId::parse(&id).map_err(|_| Problem::no_video())?;
    let from = app.catalog.channels.of(&video).await.map_err(catalogue)?;
    let own = |channel: &Option<Channel>| {
        let person = caller.person().ok();
        channel
            .as_ref()
            .zip(person)
            .is_some_and(|(channel, person)| {
                channel.owner == person.id && person.role >= Role::Publisher
            })
    };
    // Whose films one cannot see one cannot move either, and does not learn of.
    if operator.is_err() && !own(&from) {
        app.visible(&id, &caller).await?;
        return Err(problem::not_allowed());
    }
    let to = match &place.channel_id {
        Some(id) => Some(app.channel(id).await?),
        None => None,
    };
    if operator.is_err() && to.is_some() && !own(&to) {
        return Err(problem::not_allowed());
    }
    let (from, to) = (from.map(|from| from.id), to.map(|to| to.id));
    let put = app
        .catalog
        .channels
        .put(&video, from.as_ref(), to.as_ref())
        .await;
    if put.map_err(catalogue)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    match app.catalog.videos.find(&video).await.map_err(catalogue)? {
        Some(_) => Err(problem::moved_meanwhile()),
        None => Err(Problem::no_video()),
    }
}

impl App {
    async fn channel(&self, id: &str) -> Result<Channel, Problem> {
        let id = ChannelId::parse(id).map_err(|_| problem::no_channel())?;
        let channel = self.catalog.channels.find(&id).await;
        channel.map_err(catalogue)?.ok_or_else(problem::no_channel)
    }
}

impl From<Channel> for Shown {
    fn from(channel: Channel) -> Self {
        Self {
            channel_id: channel.id.to_string(),
            name: channel.name,
            owner_user_id: channel.owner.to_string(),
            created_unix_s: channel.created.0,
        }
    }
}
