//! The catalogue over HTTP: films, their state, and their logical addresses.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::users::Role;
use catalog::videos::{State as Life, Video};
use contracts::address::{Address, Item, View};
use contracts::asset::{Image, Privacy, Still, StillSize};
use contracts::id::{UserId, VideoId};
use contracts::token::Claims;
use runtime::problem::{Named, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::client::Client;
use crate::page_of::{Page, page};
use crate::playback::viewer::Viewer;
use crate::problem::{self, catalogue};
use crate::routing::{Place, Watcher};

/// A film.
#[derive(Serialize, ToSchema)]
pub(crate) struct Film {
    video_id: String,
    title: String,
    /// A logical address: it answers 302 to an edge, with a fresh token.
    playlist_url: String,
    /// `uploading`, `processing`, `ready` or `failed`.
    state: &'static str,
    /// Whether it can be watched: it is ready, or its first renditions are there while the others are made.
    playable: bool,
    /// `public`, `unlisted` or `private`.
    privacy: &'static str,
    /// Length in seconds, once it is playable.
    duration_s: Option<f64>,
    /// When its upload began, in Unix seconds.
    created_unix_s: u64,
    /// How often it was watched, as far as it is counted.
    views: u64,
    /// Pictures of it, once it is playable: at its start, and after each quarter.
    thumbnails: Vec<Thumbnail>,
}

/// A picture of a film in three sizes, whose addresses are signed for some hours.
#[derive(Serialize, ToSchema)]
pub(crate) struct Thumbnail {
    /// Which moment it shows, in seconds.
    at_s: f64,
    small: Picture,
    medium: Picture,
    large: Picture,
}

/// An image at an edge.
#[derive(Serialize, ToSchema)]
pub(crate) struct Picture {
    url: String,
    width: u32,
    height: u32,
}

/// How far a film is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    video_id: String,
    /// `uploading`, `processing`, `ready` or `failed`.
    state: &'static str,
    /// 0 to 100; it only rises.
    progress: u8,
    /// Whether it can be watched. A film of which some renditions are there, and the others are being made, is
    /// `processing` and playable.
    playable: bool,
    /// Why it failed, for its publisher; of a film that is processing, what it waits for; or, of one that is ready, why it
    /// has fewer renditions than it was to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A page of films.
#[derive(Serialize, ToSchema)]
pub(crate) struct Films {
    videos: Vec<Listed>,
    /// What to give as `next` for the following page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A film in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Listed {
    video_id: String,
    title: String,
    duration_s: Option<f64>,
    /// Its poster at an edge, signed for some hours.
    poster: Option<String>,
}

/// The films that everybody may see, newest first.
#[utoipa::path(get, path = "/videos", params(Page), responses((status = 200, body = Films), (status = 400, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    client: Client,
    asked: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Films>, Problem> {
    let (limit, after) = page(asked, VideoId::parse)?;
    let videos = app.catalog.videos.list(after.as_ref(), limit.ask()).await;
    let (videos, next) = limit.cut(videos.map_err(catalogue)?, |video| video.id.to_string());
    let videos = videos.iter().map(|video| Listed {
        video_id: video.id.to_string(),
        title: video.title.clone(),
        duration_s: seconds(video),
        poster: app.poster(video, client.address),
    });
    Ok(Json(Films {
        videos: videos.collect(),
        next,
    }))
}

/// A film.
#[utoipa::path(get, path = "/videos/{id}", params(("id" = String, Path)), responses((status = 200, body = Film), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    client: Client,
) -> Result<Json<Film>, Problem> {
    let video = app.visible(&id, &caller).await?;
    let thumbnails = app.thumbnails(&video, client.address).await?;
    let views = app.catalog.plays.views(&video.id).await;
    Ok(Json(Film {
        views: views.map_err(catalogue)?,
        playlist_url: format!("{}/v/{}/master.m3u8", app.public_base, video.id),
        video_id: video.id.to_string(),
        duration_s: seconds(&video),
        playable: video.is_playable(),
        title: video.title,
        state: video.state.as_str(),
        privacy: video.privacy.as_str(),
        created_unix_s: video.created.0,
        thumbnails,
    }))
}

/// How far a film is.
#[utoipa::path(get, path = "/videos/{id}/status", params(("id" = String, Path)), responses((status = 200, body = Status), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<Json<Status>, Problem> {
    let video = app.visible(&id, &caller).await?;
    Ok(Json(Status {
        video_id: video.id.to_string(),
        state: video.state.as_str(),
        progress: video.progress,
        playable: video.is_playable(),
        reason: video.failure,
    }))
}

/// The logical address of a manifest: 302 to the film's edge, with a fresh token. Outside `/v1`,
/// since players ask for it.
#[utoipa::path(get, path = "/v/{id}/{file}", params(("id" = String, Path), ("file" = String, Path, description = "`master.m3u8`, `master_ts.m3u8` or `manifest.mpd`")),
    responses((status = 302, description = "the manifest at an edge; Location says where"), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn logical(
    State(app): State<Arc<App>>,
    Named((id, file)): Named<(String, String)>,
    caller: Caller,
    client: Client,
) -> Result<Response, Problem> {
    if !matches!(
        file.as_str(),
        "master.m3u8" | "master_ts.m3u8" | "manifest.mpd"
    ) {
        return Err(Problem::no_route());
    }
    let viewer = Viewer::of(&caller, client, None, None)?;
    let admitted = app.admitted(&id, &caller, &viewer).await?;
    // What is counted, and what may be taken back, is a session's.
    if admitted.by_grant || app.is_limited(&viewer).await? {
        return Err(problem::session_needed());
    }
    let video = admitted.video;
    let now = app.clock.now();
    let places = app.places(&video, Watcher::at(viewer.address));
    let place = places.first().ok_or_else(no_edge)?;
    let bounds = app.bounds(&admitted.rules, &viewer)?;
    let expires = app.whole(&video, now);
    // Nobody renews it.
    if app.expiry(&video, now) < expires {
        return Err(problem::session_needed());
    }
    let claims = bounds.bounded(Claims::new(format!("/v/{}/", video.id), expires));
    let token = app.signer.token(&claims, place, now)?;
    let to = format!("{}/~{token}/v/{}/{file}", place.base, video.id);
    Ok((
        StatusCode::FOUND,
        [
            (header::LOCATION, to),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ],
        [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")],
    )
        .into_response())
}

pub(crate) fn no_edge() -> Problem {
    problem::unavailable(
        "No edge may carry this film now; the operator must name one that can in the configuration.",
    )
}

impl App {
    /// A film that whoever asks may know of: private ones are for operators, backends, the owner of
    /// their channel, and those to whom they are or were granted.
    pub(crate) async fn visible(&self, id: &str, caller: &Caller) -> Result<Video, Problem> {
        // A text that is no id names no video.
        let id = VideoId::parse(id).map_err(|_| Problem::no_video())?;
        let video = self
            .catalog
            .videos
            .find(&id)
            .await
            .map_err(catalogue)?
            .filter(|video| video.state != Life::Deleted)
            .ok_or_else(Problem::no_video)?;
        let any =
            caller.may(Scope::Videos) || caller.may(Scope::Playback) || caller.may(Scope::Grants);
        if any || video.privacy != Privacy::Private {
            return Ok(video);
        }
        // As if it did not exist: nothing may tell a private id from one that nobody has.
        match caller.person() {
            Ok(person) if self.knows(&person.id, &video).await? => Ok(video),
            _ => Err(Problem::no_video()),
        }
    }

    /// Whether a film is in a channel of an account's.
    pub(crate) async fn owns(&self, account: &UserId, video: &VideoId) -> Result<bool, Problem> {
        let channel = self.catalog.channels.of(video).await.map_err(catalogue)?;
        Ok(channel.is_some_and(|channel| channel.owner == *account))
    }

    /// Whether a film is in a channel of the caller's, who is a publisher.
    pub(crate) async fn owns_to_publish(
        &self,
        caller: &Caller,
        video: &VideoId,
    ) -> Result<bool, Problem> {
        match caller.person() {
            Ok(person) if person.role >= Role::Publisher => self.owns(&person.id, video).await,
            _ => Ok(false),
        }
    }

    /// The film's poster at its edge, good as long as a token would be.
    pub(crate) fn poster(&self, video: &Video, at: IpAddr) -> Option<String> {
        self.poster_at(video, &self.pathways(video, Watcher::at(at)))
    }

    /// The same at the first of these places that can be given one.
    pub(crate) fn poster_at(&self, video: &Video, places: &[Place]) -> Option<String> {
        self.image_at(&format!("/t/{}/default.jpg", video.id), places)
    }

    fn image_at(&self, path: &str, places: &[Place]) -> Option<String> {
        let now = self.clock.now();
        let expires = now.plus(self.settings.token_margin.as_secs());
        let mut signed = places
            .iter()
            .map(|place| self.signer.address(path, place, now, expires));
        // A partner's key may be for films alone.
        signed.find_map(|address| address)
    }

    /// The film's stills at its edge; none of one that cannot be watched, or while no edge may carry it.
    async fn thumbnails(&self, video: &Video, at: IpAddr) -> Result<Vec<Thumbnail>, Problem> {
        if !video.is_playable() {
            return Ok(Vec::new());
        }
        let contents = self.catalog.encodings.of(&video.id).await;
        let stills = contents.map_err(catalogue)?.stills;
        let places = self.pathways(video, Watcher::at(at));
        let picture = |number: u32, still: &Still, size: StillSize| {
            let Image { width, height, .. } = *still.image(size);
            let address = Address {
                video: video.id.clone(),
                view: View::default(),
                item: Item::Still(number, size),
            };
            let url = self.image_at(&address.path(), &places)?;
            Some(Picture { url, width, height })
        };
        let told = (1..).zip(&stills).filter_map(|(number, still)| {
            Some(Thumbnail {
                at_s: in_seconds(still.at_ms),
                small: picture(number, still, StillSize::Small)?,
                medium: picture(number, still, StillSize::Medium)?,
                large: picture(number, still, StillSize::Large)?,
            })
        });
        Ok(told.collect())
    }
}

fn seconds(video: &Video) -> Option<f64> {
    video.duration_ms.map(in_seconds)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a film is far shorter than 2^53 ms"
)]
pub(crate) const fn in_seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
