//! The routes, and what every request passes through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on, post, put};
use axum::{Extension, Router};
use catalog::Catalog;
use contracts::fleet::MAX_BODY;
use runtime::clock::Clock;
use runtime::operator::Operator;
use runtime::problem::Problem;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Settings;
use crate::fleet::{Fleet, enrolling, feed, joins, nodes, orders::Orders, purges, removal};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::people::{People, accounts, api_keys, channels, login, whose};
use crate::playback::geo::Geo;
use crate::routing::Routing;
use crate::signer::Signer;
use crate::steering::template::Templates;
use crate::telemetry::{Telemetry, cmcd, events, qoe, stats};
use crate::{drm, keys, notices, page, playback, problem, reading, status, steering, videos};

/// The largest body of a request, in bytes.
const BODY: usize = 64 * 1024;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// The route whose answers are held back, and how long those may take.
const FEED: &str = "/v1/fleet/feed";
const FEED_ANSWER: Duration = Duration::from_secs(45);
/// What ingest takes of uploads.
const UPLOADS: MethodFilter = MethodFilter::GET
    .or(MethodFilter::PUT)
    .or(MethodFilter::POST)
    .or(MethodFilter::PATCH)
    .or(MethodFilter::DELETE);
/// The request's name, told to the client.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What the handlers share.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) public_base: String,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signer: Signer,
    pub(crate) geo: Geo,
    pub(crate) routing: Arc<Routing>,
    pub(crate) templates: Templates,
    pub(crate) operator: Operator,
    pub(crate) people: People,
    pub(crate) keys: Option<Keys>,
    pub(crate) orders: Orders,
    /// Held while edges are told of what ended, so that they are told once.
    pub(crate) telling: tokio::sync::Mutex<()>,
    pub(crate) fleet: Fleet,
    pub(crate) telemetry: Telemetry,
    pub(crate) metrics: Metrics,
    pub(crate) request_ids: RequestIds,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millrace control plane",
        description = "Playback sessions, the catalogue, and where films play. Refusals are application/problem+json. The same paths answer under /api/v1.",
    ),
    paths(
        to_ingest,
        subtitles_to_ingest,
        subtitle_to_ingest,
        quota_to_ingest,
        retry_to_ingest,
        description,
        videos::logical
    )
)]
struct Document;

#[derive(OpenApi)]
#[openapi(info(
    title = "Millrace control plane, for nodes",
    description = "Over TLS with certificates of the fleet's own authority. All but `enroll` want a node's certificate."
))]
struct Door;

/// The API as documented, and its routes under `/v1`.
fn api() -> OpenApiRouter<Arc<App>> {
    let version_1 = OpenApiRouter::new()
        .routes(routes!(videos::list))
        .routes(routes!(videos::show, removal::remove))
        .routes(routes!(videos::status))
        .routes(routes!(playback::start))
        .routes(routes!(playback::heartbeat))
        .routes(routes!(playback::stop))
        .routes(routes!(playback::stop_by_post))
        .routes(routes!(playback::streams::show, playback::streams::put))
        .routes(routes!(playback::grants::create, playback::grants::list))
        .routes(routes!(playback::grants::show, playback::grants::remove))
        .routes(routes!(playback::rules::show, playback::rules::put))
        .routes(routes!(steering::show))
        .routes(routes!(steering::manifest))
        .routes(routes!(steering::manifest_of_view))
        .routes(routes!(events::take))
        .routes(routes!(cmcd::take))
        .routes(routes!(stats::show))
        .routes(routes!(qoe::show))
        .routes(routes!(notices::list))
        .routes(routes!(status::show))
        .routes(routes!(keys::show))
        .routes(routes!(keys::resealing::reseal))
        .routes(routes!(keys::rotation::rotate))
        .routes(routes!(feed::show))
        .routes(routes!(feed::renew))
        .routes(routes!(joins::create, joins::list))
        .routes(routes!(joins::withdraw))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::show, nodes::change, nodes::dismiss))
        .routes(routes!(purges::order))
        .routes(routes!(purges::show))
        .routes(routes!(login::login))
        .routes(routes!(login::refresh))
        .routes(routes!(login::logout))
        .routes(routes!(accounts::sign_up, accounts::list))
        .routes(routes!(accounts::me))
        .routes(routes!(accounts::change_password))
        .routes(routes!(accounts::set_role))
        .routes(routes!(accounts::remove))
        .routes(routes!(accounts::invite))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::remove))
        .routes(routes!(whose::show))
        .routes(routes!(channels::create, channels::list))
        .routes(routes!(channels::show))
        .routes(routes!(channels::put))
        .routes(routes!(drm::offer::renew))
        .routes(routes!(drm::clearkey::license))
        .routes(routes!(drm::cpix::show))
        .routes(routes!(drm::speke::exchange))
        .routes(routes!(drm::proxy::widevine))
        .routes(routes!(drm::proxy::playready))
        .routes(routes!(drm::proxy::fairplay));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(drm::jwks::show))
        .nest("/v1", version_1)
}

/// Everything that the control plane answers.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (version_1, document) = api().split_for_parts();
    let document = runtime::description::completed(document);
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let version_1 = version_1
        .route("/v1/openapi.json", get(description))
        .route("/v1/videos/upload/{*rest}", on(UPLOADS, to_ingest))
        .route("/v1/videos/{id}/subtitles", get(to_ingest))
        .route("/v1/users/{id}/quota", get(to_ingest).put(to_ingest))
        .route(
            "/v1/videos/{id}/subtitles/{lang}",
            put(to_ingest).delete(to_ingest),
        )
        .route("/v1/videos/{id}/retry", post(to_ingest))
        .route("/v/{id}/{file}", get(videos::logical))
        .layer(Extension(document))
        .method_not_allowed_fallback(async || Problem::method())
        .fallback(async || Problem::no_route())
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            reading::counted,
        ))
        .layer(cors(&app.settings.allowed_origins))
        .with_state(Arc::clone(&app));
    let aliased = version_1.clone();
    page::routes(app.settings.web_root.as_deref())
        .nest_service("/api", middleware_free(aliased))
        .fallback_service(version_1)
        .layer(middleware::from_fn_with_state(app, watched))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal().into_response()
        }))
}

/// What the listener of nodes answers.
pub(crate) fn door(app: Arc<App>) -> Router {
    let version_1 = OpenApiRouter::new()
        .routes(routes!(enrolling::enrol))
        .routes(routes!(enrolling::certify))
        .routes(routes!(enrolling::heartbeat))
        .routes(routes!(enrolling::settings))
        .routes(routes!(enrolling::orders));
    let described = OpenApiRouter::with_openapi(Door::openapi()).nest("/v1", version_1);
    let (routes, document) = described.split_for_parts();
    let document = runtime::description::completed_for_certificates(document);
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    routes
        .route("/v1/openapi.json", get(description))
        .layer(Extension(document))
        .method_not_allowed_fallback(async || Problem::method())
        .fallback(async || Problem::no_route())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::clone(&app))
        .layer(middleware::from_fn_with_state(app, watched))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal().into_response()
        }))
}

/// The same routes below `/api`: `/api/v1/…` is `/v1/…`.
fn middleware_free(routes: Router) -> Router {
    Router::new().fallback_service(routes)
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
async fn description(Extension(document): Extension<Arc<str>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, document.to_string()).into_response()
}

/// Uploads and subtitles go to ingest: no video byte passes here.
#[utoipa::path(method(get, post, put, patch, delete, head), path = "/v1/videos/upload/{rest}", params(("rest" = String, Path, description = "the rest of the path, as ingest has it")),
    responses((status = 307, description = "the same request, at ingest; Location says where")))]
async fn to_ingest(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let to = format!("{}{path}", app.settings.ingest_base);
    match HeaderValue::try_from(to) {
        Ok(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Err(_) => Problem::bad_request("the path cannot be redirected").into_response(),
    }
}

/// The list of a film's subtitles is at ingest.
#[utoipa::path(get, path = "/v1/videos/{id}/subtitles", params(("id" = String, Path)),
    responses((status = 307, description = "the same request, at ingest; Location says where")))]
#[expect(dead_code, reason = "describes a route of `to_ingest`")]
const fn subtitles_to_ingest() {}

/// Subtitles are put and removed at ingest.
#[utoipa::path(method(put, delete), path = "/v1/videos/{id}/subtitles/{lang}", params(("id" = String, Path), ("lang" = String, Path)),
    responses((status = 307, description = "the same request, at ingest; Location says where")))]
#[expect(dead_code, reason = "describes a route of `to_ingest`")]
const fn subtitle_to_ingest() {}

/// How much an account has uploaded, and may, is at ingest.
#[utoipa::path(method(get, put), path = "/v1/users/{id}/quota", params(("id" = String, Path)),
    responses((status = 307, description = "the same request, at ingest; Location says where")))]
#[expect(dead_code, reason = "describes a route of `to_ingest`")]
const fn quota_to_ingest() {}

/// A failed film is tried once more at ingest.
#[utoipa::path(post, path = "/v1/videos/{id}/retry", params(("id" = String, Path)),
    responses((status = 307, description = "the same request, at ingest; Location says where")))]
#[expect(dead_code, reason = "describes a route of `to_ingest`")]
const fn retry_to_ingest() {}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| origin.parse().ok())
        .collect();
    // Licences are for whoever shows a token, manifests for whoever knows the session, and so may tell of it, on
    // whatever page the player is: nothing is given to a cookie.
    let anywhere = ["/v1/drm/", "/v1/steering/"];
    let allowed = move |origin: &HeaderValue, request: &Parts| {
        let path = request.uri.path();
        let told = matches!(path, "/v1/playback/events" | "/v1/playback/cmcd");
        told || anywhere.iter().any(|room| path.starts_with(room)) || origins.contains(origin)
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        // Content decryption modules bring headers of their own, `SOAPAction` say.
        .allow_headers(AllowHeaders::mirror_request())
}

/// Bounds the answer's time, counts it, names it, and writes one line to the log. The line has the
/// route, not the path: a path that came here by mistake may hold a token. What does not say how long
/// it may be kept is not kept: most answers are for one caller, and for now.
async fn watched(State(app): State<Arc<App>>, request: Request<Body>, next: Next) -> Response {
    let method = request.method().clone();
    let route = family(request.uri().path());
    let began = Instant::now();
    let limit = if route == FEED { FEED_ANSWER } else { ANSWER };
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| {
        problem::unavailable("The answer took too long; try again in a moment.").into_response()
    });
    let status = response.status().as_u16();
    app.metrics
        .requests
        .with_label_values(&[route, status.to_string().as_str()])
        .inc();
    if let Some(problem) = response.extensions().get::<Problem>() {
        app.metrics
            .refusals
            .with_label_values(&[problem.kind()])
            .inc();
    }
    let id = app.request_ids.next();
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(request.id = %id, %method, route, status, took_ms, "{method} {route} {status}");
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Names for requests, so that a client's report finds its line in the log: what this process drew
/// at its start, and a number.
pub(crate) struct RequestIds {
    process: String,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) const fn new(process: String) -> Self {
        Self {
            process,
            count: AtomicU64::new(0),
        }
    }

    fn next(&self) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number:x}", self.process)
    }
}

/// A bounded set of names for paths, since a metric must not grow with what clients invent.
fn family(path: &str) -> &'static str {
    let path = path.strip_prefix("/api").unwrap_or(path);
    match path
        .trim_start_matches('/')
        .split('/')
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["" | "watch" | "studio"] | ["assets", ..] => "page",
        ["v1", "videos"] => "/v1/videos",
        ["v1", "videos", "upload", ..] => "/v1/videos/upload",
        ["v1", "videos", _] => "/v1/videos/{id}",
        ["v1", "videos", _, "subtitles", ..] => "/v1/videos/{id}/subtitles",
        ["v1", "videos", _, "retry"] => "/v1/videos/{id}/retry",
        ["v1", "videos", _, "status"] => "/v1/videos/{id}/status",
        ["v1", "playback", "start"] => "/v1/playback/start",
        ["v1", "playback", "events"] => "/v1/playback/events",
        ["v1", "playback", "cmcd"] => "/v1/playback/cmcd",
        ["v1", "videos", _, "stats"] => "/v1/videos/{id}/stats",
        ["v1", "qoe"] => "/v1/qoe",
        ["v1", "events"] => "/v1/events",
        ["v1", "playback", _, "heartbeat"] => "/v1/playback/{session}/heartbeat",
        ["v1", "playback", _] => "/v1/playback/{session}",
        ["v1", "playback", _, "stop"] => "/v1/playback/{session}/stop",
        ["v1", "users", _, "streams"] => "/v1/users/{id}/streams",
        ["v1", "users", _, "quota"] => "/v1/users/{id}/quota",
        ["v1", "grants"] => "/v1/grants",
        ["v1", "grants", _] => "/v1/grants/{id}",
        ["v1", "videos", _, "rules"] => "/v1/videos/{id}/rules",
        ["v1", "steering", _] => "/v1/steering/{session}",
        ["v1", "steering", _, _] => "/v1/steering/{session}/{file}",
        ["v1", "steering", _, _, _] => "/v1/steering/{session}/{view}/{file}",
        ["v1", "status"] => "/v1/status",
        ["v1", "vault", "reseal"] => "/v1/vault/reseal",
        ["v1", "keys", _] => "/v1/keys/{video}",
        ["v1", "videos", _, "keys", "rotate"] => "/v1/videos/{id}/keys/rotate",
        ["v1", "fleet", "feed"] => FEED,
        ["v1", "fleet", "feed", "renew"] => "/v1/fleet/feed/renew",
        ["v1", "fleet", "enroll"] => "/v1/fleet/enroll",
        ["v1", "fleet", "certificate"] => "/v1/fleet/certificate",
        ["v1", "fleet", "heartbeat"] => "/v1/fleet/heartbeat",
        ["v1", "fleet", "settings"] => "/v1/fleet/settings",
        ["v1", "fleet", "joins"] => "/v1/fleet/joins",
        ["v1", "fleet", "joins", _] => "/v1/fleet/joins/{id}",
        ["v1", "fleet", "nodes"] => "/v1/fleet/nodes",
        ["v1", "fleet", "nodes", _] => "/v1/fleet/nodes/{name}",
        ["v1", "purge"] => "/v1/purge",
        ["v1", "purge", _] => "/v1/purge/{seq}",
        ["v1", "videos", _, "cpix"] => "/v1/videos/{id}/cpix",
        ["v1", "speke"] => "/v1/speke",
        ["v1", "videos", _, "channel"] => "/v1/videos/{id}/channel",
        ["v1", "auth", "login"] => "/v1/auth/login",
        ["v1", "auth", "refresh"] => "/v1/auth/refresh",
        ["v1", "auth", "logout"] => "/v1/auth/logout",
        ["v1", "users"] => "/v1/users",
        ["v1", "users", "me"] => "/v1/users/me",
        ["v1", "users", "me", "password"] => "/v1/users/me/password",
        ["v1", "users", _] => "/v1/users/{id}",
        ["v1", "users", _, "role"] => "/v1/users/{id}/role",
        ["v1", "invitations"] => "/v1/invitations",
        ["v1", "api-keys"] => "/v1/api-keys",
        ["v1", "api-keys", _] => "/v1/api-keys/{id}",
        ["v1", "callers", "me"] => "/v1/callers/me",
        ["v1", "channels"] => "/v1/channels",
        ["v1", "channels", _] => "/v1/channels/{id}",
        ["v1", "drm", "token"] => "/v1/drm/token",
        [
            "v1",
            "drm",
            "clearkey" | "widevine" | "playready" | "fairplay",
            "license",
        ] => "/v1/drm/{system}/license",
        ["v1", "openapi.json"] => "/v1/openapi.json",
        [".well-known", "jwks.json"] => "/.well-known/jwks.json",
        ["v", _, _] => "/v/{id}/{file}",
        _ => "other",
    }
}
