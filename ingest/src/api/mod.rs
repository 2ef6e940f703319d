//! The upload API over HTTP: routes, what handlers share, who may call.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, Method, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use catalog::{channels::Channels, videos::Videos};
use reqwest::Url;
use runtime::{clock::Clock, problem::Problem};
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::caller::Door;
use crate::{
    Error,
    jobs::Queue,
    metrics::Metrics,
    texts::Publishing,
    tus::{self, Places},
    upload::{
        Limits, Uploads,
        quota::{Quota, Quotas},
        streams::Streams,
        turn::Turns,
    },
};

pub(crate) mod begin;
mod body;
pub(crate) mod caller;
pub(crate) mod chunk;
mod direct;
pub(crate) mod life;
pub(crate) mod problem;
mod quota;
mod retry;
pub(crate) mod sender;
mod subtitles;
#[cfg(test)]
mod tests;
pub(crate) mod whole;

/// What the handlers share.
pub(crate) struct App {
    pub(crate) uploads: Arc<dyn Uploads>,
    /// Those of them whose bytes come in order.
    pub(crate) streams: Arc<dyn Streams>,
    /// Who adds to which of those.
    pub(crate) places: Places,
    /// Who joins or cancels which upload.
    pub(crate) turns: Arc<Turns>,
    pub(crate) videos: Arc<dyn Videos>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) publishing: Publishing,
    /// Places for subtitles that are coming; see [`TEXTS_AT_ONCE`].
    pub(crate) texts: Arc<Semaphore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    /// Wakes this process's workers.
    pub(crate) wake: Arc<Notify>,
    pub(crate) limits: Limits,
    /// How long an upload may take.
    pub(crate) upload_ttl: Duration,
    pub(crate) quotas: Arc<dyn Quotas>,
    /// What an owner may take up who has no quota of their own.
    pub(crate) quota: Quota,
    /// How the outside reaches this API, without a slash at the end.
    pub(crate) public_base: String,
    /// How clients reach the control plane, without a slash at the end.
    pub(crate) control_base: String,
    pub(crate) channels: Arc<dyn Channels>,
    /// Who may call.
    pub(crate) door: Door,
    pub(crate) allowed_origins: Vec<String>,
    /// Fills a buffer with random bytes.
    pub(crate) random: fn(&mut [u8]) -> Result<(), Error>,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Millrace ingest",
    description = "Uploading films in chunks, and their subtitles. Refusals are application/problem+json. The same paths answer under /api/v1."
))]
struct Document;

/// Everything that ingest answers to publishers.
pub(crate) fn router(app: Arc<App>) -> Router {
    let uploads = OpenApiRouter::new()
        .routes(routes!(life::initiate))
        .routes(routes!(life::show, life::cancel))
        .routes(routes!(life::complete))
        .routes(routes!(chunk::put))
        .routes(routes!(retry::retry))
        .routes(routes!(subtitles::list))
        .routes(routes!(subtitles::put, subtitles::remove))
        .routes(routes!(quota::show, quota::put))
        .merge(tus::routes());
    let (routes, document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest("/v1", uploads)
        .split_for_parts();
    let document = runtime::description::completed(document);
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let routes = routes
        .route("/v1/openapi.json", get(description))
        .layer(Extension(document))
        .method_not_allowed_fallback(async || Problem::method())
        .fallback(async || Problem::no_route())
        .layer(DefaultBodyLimit::max(JSON_BYTES))
        .with_state(Arc::clone(&app));
    Router::new()
        .nest_service("/api", routes.clone())
        .fallback_service(routes)
        .layer(cors(&app.allowed_origins, &app.control_base))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal().into_response()
        }))
        .layer(from_fn_with_state(app.limits.max_film_bytes, tus::speak))
}

async fn description(Extension(document): Extension<Arc<str>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, document.to_string()).into_response()
}

/// Lets pages of these origins, and the control plane's own pages, upload.
fn cors(origins: &[String], control_base: &str) -> CorsLayer {
    let origins = origins.iter().cloned().chain(origin_of(control_base));
    let origins = origins.filter_map(|origin| HeaderValue::from_str(&origin).ok());
    let sent = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        CONTENT_DIGEST,
        CHUNK_SHA256,
    ];
    let tus = tus::SENT.map(HeaderName::from_static);
    let shown = tus::SHOWN.map(HeaderName::from_static);
    let shown = [&[header::LOCATION, header::RETRY_AFTER][..], &shown].concat();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([&sent[..], &tus].concat())
        .expose_headers(shown)
        .max_age(Duration::from_secs(3600))
}

/// The origin of what is below an address, as browsers write it: scheme, host in lower case, and a port that is not the
/// scheme's own (RFC 6454 §6).
fn origin_of(base: &str) -> Option<String> {
    let origin = Url::parse(base).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// Files of subtitles that may come at once: each is read and parsed in memory, at most 2 MiB.
pub(crate) const TEXTS_AT_ONCE: usize = 16;
/// The largest JSON body.
const JSON_BYTES: usize = 64 * 1024;
/// RFC 9530 §2.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// The same in hexadecimal, for those who have no base64 at hand.
const CHUNK_SHA256: HeaderName = HeaderName::from_static("x-chunk-sha256");

#[cfg(test)]
mod origins {
    use super::origin_of;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (base, origin) in [
            ("https://Site.Example", Some("https://site.example")),
            ("https://site.example:443/", Some("https://site.example")),
            (
                "https://site.example:8443/api",
                Some("https://site.example:8443"),
            ),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://[::1]:80/x", Some("http://[::1]")),
            ("site.example", None),
            ("", None),
        ] {
            assert_eq!(origin_of(base).as_deref(), origin, "{base}");
        }
    }
}
