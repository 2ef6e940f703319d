//! Content steering: a player is told which edges its film plays from, and in which order, while it plays.
//!
//! 1. `playback/start` offers it where two edges or more can play the film;
//! 2. [`manifest`] gives the session's top-level manifest: the shared one of the edges ([`template`]) with a pathway
//!    for each edge filled in ([`hls`], [`dash`]). What it leads to is at the edges, the same for everybody;
//! 3. [`show`] answers the order of the pathways as it is now.
//!
//! An edge knows nothing of this, and a player that cannot ask goes on with the pathways that it has.

mod dash;
mod hls;
mod said;
pub(crate) mod template;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use catalog::sessions::Session;
use catalog::videos::Video;
use contracts::address::{Address, Item};
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use contracts::token::Claims;
use runtime::problem::{Named, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use self::said::Said;
use crate::app::App;
use crate::client::Client;
use crate::playback::terms::Terms;
use crate::problem::{self, catalogue};
use crate::routing::rank::seed;
use crate::routing::{Place, Watcher};
use crate::videos::no_edge;

/// The most pathways of a manifest: each is a copy of all that a player chooses among.
const PATHWAYS: usize = 4;
/// How long the token lives with which a shared manifest is fetched, in seconds.
const FETCH_S: u64 = 60;
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Writes a manifest with these ways, from a shared one and the address of the steering.
type Fill = fn(&str, &str, &[Way<'_>]) -> Option<String>;

/// One edge in a manifest.
pub(crate) struct Way<'a> {
    /// Its name.
    pub(crate) id: &'a str,
    /// What the relative addresses of the shared manifest become at this edge, token and final slash included.
    pub(crate) base: String,
}

/// Which pathways a player shall take, as HLS (draft-pantos-hls-rfc8216bis §7.2) and DASH (ETSI TS 103 998 §6) have it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub(crate) struct Steering {
    /// 1.
    version: u8,
    /// When to ask again, in seconds.
    ttl: u64,
    /// Names of edges, the best first; of those that a manifest does not name players take no notice.
    pathway_priority: Vec<String>,
}

/// The order of a session's pathways now. A player that says its own keeps it while none is nearer or freer.
#[utoipa::path(get, path = "/steering/{session}",
    params(("session" = String, Path), ("_HLS_pathway" = Option<String>, Query, description = "the pathway that an HLS player has; what is not a name does not count"), ("_HLS_throughput" = Option<String>, Query, description = "what it measured, in bits a second"), ("_DASH_pathway" = Option<String>, Query, description = "the same of a DASH player, in quotes or without"), ("_DASH_throughput" = Option<String>, Query)),
    responses((status = 200, body = Steering), (status = 404, body = Problem), (status = 410, body = Problem, description = "the session is over: do not ask again"), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    client: Client,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (session, video) = app.watched(&id).await?;
    let said = Said::read(query.as_deref().unwrap_or_default());
    let places = app.pathways(
        &video,
        app.steered(&session, client.address, said.pathway.as_deref()),
    );
    let best = places.first().ok_or_else(no_edge)?;
    let kept = said.pathway.as_deref().is_none_or(|now| now == best.name);
    let action = if kept { "stay" } else { "move" };
    app.metrics
        .steered
        .with_label_values(&[said.by, action])
        .inc();
    let bits = said.throughput_bps;
    let mark = session.id.mark();
    tracing::debug!(session.mark = %mark, best = best.name, action, throughput_bps = bits, "session {mark} is steered");
    let steering = Steering {
        version: 1,
        ttl: app.settings.steering_ttl.as_secs(),
        pathway_priority: places.into_iter().map(|place| place.name).collect(),
    };
    Ok(([(header::CACHE_CONTROL, NO_STORE)], Json(steering)).into_response())
}

/// A session's top-level manifest: the film's, with a pathway for each edge.
#[utoipa::path(get, path = "/steering/{session}/{file}",
    params(("session" = String, Path), ("file" = String, Path, description = "`master.m3u8`, `master_ts.m3u8` or `manifest.mpd`")),
    responses((status = 200, description = "the manifest, for this session alone", content_type = "application/vnd.apple.mpegurl"), (status = 404, body = Problem), (status = 410, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn manifest(
    State(app): State<Arc<App>>,
    Named((id, file)): Named<(String, String)>,
    client: Client,
) -> Result<Response, Problem> {
    app.filled(&id, "", &file, client).await
}

/// The same of a film packed another way.
#[utoipa::path(get, path = "/steering/{session}/{view}/{file}",
    params(("session" = String, Path), ("view" = String, Path, description = "such as `@clearkey`"), ("file" = String, Path)),
    responses((status = 200, description = "the manifest, for this session alone", content_type = "application/vnd.apple.mpegurl"), (status = 404, body = Problem), (status = 410, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn manifest_of_view(
    State(app): State<Arc<App>>,
    Named((id, view, file)): Named<(String, String, String)>,
    client: Client,
) -> Result<Response, Problem> {
    app.filled(&id, &format!("{view}/"), &file, client).await
}

impl App {
    /// Whether a player of this session may be steered.
    pub(crate) fn can_steer(&self, session: &Session, video: &Video, at: IpAddr) -> bool {
        self.pathways(video, self.steered(session, at, None)).len() > 1
    }

    /// The address of the session's steering.
    pub(crate) fn steering_url(&self, session: &SessionId) -> String {
        format!("{}/v1/steering/{session}", self.public_base)
    }

    fn steered<'a>(
        &self,
        session: &Session,
        address: IpAddr,
        current: Option<&'a str>,
    ) -> Watcher<'a> {
        Watcher {
            address,
            // The same for the whole session, so that a load that stays moves nobody twice.
            draw: seed(session.id.as_str()),
            current,
        }
    }

    /// A session that is neither stopped nor over, and its film.
    async fn watched(&self, id: &str) -> Result<(Session, Video), Problem> {
        let id = SessionId::parse(id).map_err(|_| problem::no_session())?;
        let session = self.catalog.sessions.find(&id).await.map_err(catalogue)?;
        let session = session.ok_or_else(problem::no_session)?;
        if !session.lives(self.clock.now()) {
            return Err(problem::session_over());
        }
        let video = self.catalog.videos.find(&session.video).await;
        let video = video
            .map_err(catalogue)?
            .ok_or_else(problem::session_over)?;
        Ok((session, video))
    }

    async fn filled(
        &self,
        id: &str,
        view: &str,
        file: &str,
        client: Client,
    ) -> Result<Response, Problem> {
        let (session, video) = self.watched(id).await?;
        let path = format!("/v/{}/{view}{file}", video.id);
        let (fill, media_type): (Fill, _) = match Address::parse(&path).map(|address| address.item)
        {
            Ok(Item::Master(_)) => (hls::fill, "application/vnd.apple.mpegurl"),
            Ok(Item::Manifest) => (dash::fill, "application/dash+xml"),
            _ => return Err(Problem::no_route()),
        };
        let viewer = self.steered(&session, client.address, None);
        let terms = Terms::read(session.terms.as_deref());
        let template = self.template(&video, &path, &terms, viewer).await?;
        let mut places = self.pathways(&video, viewer);
        places.truncate(PATHWAYS);
        let bases = self.bases(&session, &places, &terms)?;
        let ways = ways(&bases, &video, view);
        let filled = fill(&template, &self.steering_url(&session.id), &ways);
        let filled = filled.ok_or_else(|| {
            tracing::error!(video.id = %video.id, "an edge's manifest of video {} cannot be filled in", video.id);
            problem::unavailable("No edge gives this manifest as it should be.")
        })?;
        let head = [
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (header::CACHE_CONTROL, NO_STORE),
        ];
        Ok((head, filled).into_response())
    }

    /// The manifest that all share who may have the same renditions, fetched with a token of its own: it belongs to no
    /// session. It comes from an edge of the house where there is one: a partner could lead everybody elsewhere with it.
    /// Where there are partners alone, each viewer is told what the one says that comes first for them, as they would
    /// be without steering.
    async fn template(
        &self,
        video: &Video,
        path: &str,
        terms: &Terms,
        viewer: Watcher<'_>,
    ) -> Result<Arc<str>, Problem> {
        let now = self.clock.now();
        let until = UnixSeconds(now.0.saturating_add(FETCH_S));
        let mut claims = Claims::new(format!("/v/{}/", video.id), until);
        // An edge lists only what a token admits.
        claims.renditions.clone_from(&terms.renditions);
        let mut kept_as = terms.renditions.iter().fold(path.to_owned(), |kept, one| {
            format!("{kept} {}", one.as_str())
        });
        let mut places = self.own_places(video, viewer);
        if places.is_empty() {
            places = self.places(video, viewer);
            let first = places.first().map_or("", |place| &place.name);
            kept_as = format!("{kept_as} of {first}");
        }
        let url = |place: &Place| {
            let token = self.signer.token(&claims, place, now)?;
            Ok(format!("{}/~{token}{path}", place.base))
        };
        let urls = places.iter().map(url).collect::<Result<_, Problem>>()?;
        self.templates.at(&kept_as, urls).await
    }
}

fn ways<'a>(bases: &'a [(String, String)], video: &Video, view: &str) -> Vec<Way<'a>> {
    let way = |(name, base): &'a (String, String)| Way {
        id: name,
        base: format!("{base}/v/{}/{view}", video.id),
    };
    bases.iter().map(way).collect()
}
