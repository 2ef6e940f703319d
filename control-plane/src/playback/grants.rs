//! Grants over HTTP: who may watch which films, and for how long.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use catalog::entitlements::{Covers, Grant, Granted, Wanted};
use catalog::users::Role;
use catalog::videos::State as Life;
use contracts::id::{ChannelId, GrantId, UserId, VideoId};
use contracts::time::UnixSeconds;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::viewer;
use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::page_of::Page;
use crate::problem::{self, catalogue};
use crate::random;

/// A grant that is wished: one of `user_id` and `viewer`, and one of `video_id`, `channel_id` and `site`.
#[derive(Deserialize, ToSchema)]
#[schema(as = GrantWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// Its name, 1 to 64 of letters, digits, `_` and `-`: the same wish again changes nothing. Drawn without it.
    #[serde(default)]
    grant_id: Option<String>,
    /// An account; `x-…` of an outside issuer, `v-…` of a viewer whom a backend names.
    #[serde(default)]
    user_id: Option<String>,
    /// A viewer, as backends name them.
    #[serde(default)]
    viewer: Option<String>,
    /// One film.
    #[serde(default)]
    video_id: Option<String>,
    /// The films that are in a channel when they are watched.
    #[serde(default)]
    channel_id: Option<String>,
    /// `true`: every film of the site.
    #[serde(default)]
    site: Option<bool>,
    /// From when on, in Unix seconds; at once without it.
    #[serde(default)]
    from: Option<u64>,
    /// Until when, in Unix seconds; without end without it.
    #[serde(default)]
    until: Option<u64>,
}

/// A grant.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
pub(crate) struct Shown {
    grant_id: String,
    user_id: String,
    /// The film that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    video_id: Option<String>,
    /// The channel whose films it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<String>,
    /// Whether it is for every film.
    site: bool,
    /// Unix seconds.
    from: u64,
    /// Unix seconds; `null` without end.
    until: Option<u64>,
    created_unix_s: u64,
}

/// Which grants are asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Those of an account.
    user_id: Option<String>,
    /// Those of a viewer, as backends name them.
    viewer: Option<String>,
    /// Those for this film itself.
    video_id: Option<String>,
    /// Those for this channel.
    channel_id: Option<String>,
    /// Where the page begins: the `next` of the page before.
    next: Option<String>,
    /// Entries a page, 1 to 100; 20 without it.
    limit: Option<u32>,
}

/// A page of grants.
#[derive(Serialize, ToSchema)]
pub(crate) struct Grants {
    grants: Vec<Shown>,
    /// What to give as `next` for the following page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Grants somebody a film, a channel or everything. For operators, API keys with the scope `grants`, and publishers
/// for what is in channels of their own. What it names must be there; users of outside issuers and viewers whom
/// backends name may come later.
#[utoipa::path(post, path = "/grants", request_body = Wish,
    responses((status = 201, body = Shown), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem, description = "`video-not-found`, `channel-not-found`, `user-not-found`"), (status = 409, body = Problem, description = "`grant-exists`: the id stands for something else"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    known(&caller)?;
    let Json(wish) = wish?;
    let covers = covers(
        wish.video_id.as_deref(),
        wish.channel_id.as_deref(),
        wish.site,
    )?
    .ok_or_else(|| Problem::bad_request("one of video_id, channel_id and site must be said"))?;
    let account = account(wish.user_id.as_deref(), wish.viewer.as_deref())?
        .ok_or_else(|| Problem::bad_request("one of user_id and viewer must be said"))?;
    app.may_grant(&caller, &covers).await?;
    let now = app.clock.now();
    let id = match &wish.grant_id {
        Some(id) => GrantId::parse(id)
            .map_err(|error| Problem::bad_request(format!("grant_id: {error}")))?,
        None => GrantId::from_random(random::bits()?),
    };
    // A named grant that is sent again must be the same, whenever it comes.
    let at_once = if wish.grant_id.is_some() { 0 } else { now.0 };
    let from = wish.from.unwrap_or(at_once);
    if wish.until.is_some_and(|until| until <= from) || wish.until.max(Some(from)) > Some(LAST) {
        return Err(Problem::bad_request(
            "until must be after from, and both Unix seconds",
        ));
    }
    let grant = Grant {
        id,
        account,
        covers,
        from: UnixSeconds(from),
        until: wish.until.map(UnixSeconds),
        created: now,
    };
    app.may_be_granted(&grant).await?;
    let granted = app.catalog.entitlements.grant(&grant).await;
    let grant = match granted.map_err(catalogue)? {
        Granted::New => grant,
        Granted::Same(before) => before,
        Granted::Conflict => return Err(problem::grant_exists()),
    };
    tracing::info!(grant.id = %grant.id, user.id = %grant.account, "grant {} is made", grant.id);
    Ok((StatusCode::CREATED, Json(grant.into())))
}

/// Grants, in the order of their ids. For operators and API keys with the scope `grants`; for publishers those for
/// one film or one channel of their own.
#[utoipa::path(get, path = "/grants", params(Asked),
    responses((status = 200, body = Grants), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Grants>, Problem> {
    known(&caller)?;
    let Query(asked) = asked?;
    let wanted = Wanted {
        account: account(asked.user_id.as_deref(), asked.viewer.as_deref())?,
        covers: covers(asked.video_id.as_deref(), asked.channel_id.as_deref(), None)?,
    };
    app.may_grant(&caller, wanted.covers.as_ref().unwrap_or(&Covers::Site))
        .await?;
    let page = Page {
        next: asked.next,
        limit: asked.limit,
    };
    let (limit, after) = page.read(GrantId::parse)?;
    let entitlements = &app.catalog.entitlements;
    let grants = entitlements
        .list(&wanted, after.as_ref(), limit.ask())
        .await;
    let (grants, next) = limit.cut(grants.map_err(catalogue)?, |grant| grant.id.to_string());
    Ok(Json(Grants {
        grants: grants.into_iter().map(Shown::from).collect(),
        next,
    }))
}

/// A grant. For whoever may make it.
#[utoipa::path(get, path = "/grants/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Shown), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(app.grant(&id, &caller).await?.into()))
}

/// Takes a grant back. Sessions of its account that may not go on without it end. For whoever may make it.
#[utoipa::path(delete, path = "/grants/{id}", params(("id" = String, Path)),
    responses((status = 204, description = "it is gone"), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let grant = app.grant(&id, &caller).await?;
    // First: should this end half way, the grant is there, and is taken back the next time.
    let mut ended = app
        .end_not_entitled(&grant.account, Some(&grant.id))
        .await?;
    let gone = app.catalog.entitlements.take_back(&grant.id).await;
    let gone = gone.map_err(catalogue)?.ok_or_else(problem::no_grant)?;
    // Those that began meanwhile.
    ended += app.end_not_entitled(&gone.account, None).await?;
    tracing::info!(grant.id = %gone.id, ended, "grant {} is taken back, {ended} sessions end", gone.id);
    Ok(StatusCode::NO_CONTENT)
}

impl App {
    /// A grant that the caller may deal with; another is as if it were not there.
    async fn grant(&self, id: &str, caller: &Caller) -> Result<Grant, Problem> {
        known(caller)?;
        let id = GrantId::parse(id).map_err(|_| problem::no_grant())?;
        let grant = self.catalog.entitlements.find(&id).await;
        let grant = grant.map_err(catalogue)?.ok_or_else(problem::no_grant)?;
        let may = self.may_grant(caller, &grant.covers).await;
        may.map_err(|_| problem::no_grant())?;
        Ok(grant)
    }

    /// Refuses what would be for nothing that is there, or for nobody. A grant that was made stays what it is when it
    /// is sent again.
    async fn may_be_granted(&self, grant: &Grant) -> Result<(), Problem> {
        let made = self.catalog.entitlements.find(&grant.id).await;
        if made.map_err(catalogue)?.is_some() {
            return Ok(());
        }
        match &grant.covers {
            Covers::Video(video) => {
                let video = self.catalog.videos.find(video).await.map_err(catalogue)?;
                let there = video.is_some_and(|video| video.state != Life::Deleted);
                there.then_some(()).ok_or_else(Problem::no_video)?;
            }
            Covers::Channel(channel) => {
                let channel = self.catalog.channels.find(channel).await;
                channel
                    .map_err(catalogue)?
                    .ok_or_else(problem::no_channel)?;
            }
            Covers::Site => {}
        }
        self.may_come(&grant.account).await
    }

    /// Refuses who may not grant this.
    pub(crate) async fn may_grant(&self, caller: &Caller, covers: &Covers) -> Result<(), Problem> {
        if caller.may(Scope::Grants) {
            return Ok(());
        }
        let person = caller.person().map_err(|_| problem::not_allowed())?;
        if person.role < Role::Publisher {
            return Err(problem::not_allowed());
        }
        let own = match covers {
            Covers::Video(video) => self.owns(&person.id, video).await?,
            Covers::Channel(channel) => {
                let channel = self.catalog.channels.find(channel).await;
                let channel = channel.map_err(catalogue)?;
                channel.is_some_and(|channel| channel.owner == person.id)
            }
            Covers::Site => false,
        };
        own.then_some(()).ok_or_else(problem::not_allowed)
    }
}

/// Refuses who could grant nothing, whatever is there.
fn known(caller: &Caller) -> Result<(), Problem> {
    match caller {
        Caller::User(person) if person.role >= Role::Publisher => Ok(()),
        _ => caller.need(Scope::Grants),
    }
}

fn account(user: Option<&str>, viewer: Option<&str>) -> Result<Option<UserId>, Problem> {
    match (user, viewer) {
        (Some(_), Some(_)) => Err(Problem::bad_request(
            "user_id and viewer exclude each other",
        )),
        (Some(user), None) => UserId::parse(user)
            .map(Some)
            .map_err(|error| Problem::bad_request(format!("user_id: {error}"))),
        (None, Some(viewer)) => viewer::account(viewer).map(Some),
        (None, None) => Ok(None),
    }
}

fn covers(
    video: Option<&str>,
    channel: Option<&str>,
    site: Option<bool>,
) -> Result<Option<Covers>, Problem> {
    match (video, channel, site) {
        (None, None, None | Some(false)) => Ok(None),
        (Some(video), None, None | Some(false)) => VideoId::parse(video)
            .map(|video| Some(Covers::Video(video)))
            .map_err(|error| Problem::bad_request(format!("video_id: {error}"))),
        (None, Some(channel), None | Some(false)) => ChannelId::parse(channel)
            .map(|channel| Some(Covers::Channel(channel)))
            .map_err(|error| Problem::bad_request(format!("channel_id: {error}"))),
        (None, None, Some(true)) => Ok(Some(Covers::Site)),
        _ => Err(Problem::bad_request(
            "video_id, channel_id and site exclude each other",
        )),
    }
}

impl From<Grant> for Shown {
    fn from(grant: Grant) -> Self {
        let (video, channel) = match &grant.covers {
            Covers::Video(video) => (Some(video.to_string()), None),
            Covers::Channel(channel) => (None, Some(channel.to_string())),
            Covers::Site => (None, None),
        };
        Self {
            grant_id: grant.id.to_string(),
            user_id: grant.account.to_string(),
            video_id: video,
            channel_id: channel,
            site: grant.covers == Covers::Site,
            from: grant.from.0,
            until: grant.until.map(|until| until.0),
            created_unix_s: grant.created.0,
        }
    }
}

/// The last instant that a grant names: the year 9999.
const LAST: u64 = 253_402_300_799;
