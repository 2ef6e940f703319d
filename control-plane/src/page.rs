//! The pages (films, watching, the studio): static files with the headers that keep it harmless.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, any_service, get};
use runtime::problem::Problem;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;

/// What the page may load: its own scripts and styles; media from whatever edge the API names.
const POLICY: &str = "default-src 'none'; font-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    worker-src 'self' blob:; connect-src 'self' https: http: blob: data:; \
    img-src 'self' https: http: blob: data:; media-src 'self' https: http: blob: data:; \
    frame-ancestors 'self'; base-uri 'none'; form-action 'self'";

/// The routes of the page; without its folder a text that says what to do.
pub(crate) fn routes(root: Option<&Path>) -> Router {
    let index = root
        .map(|root| root.join("index.html"))
        .filter(|index| index.is_file());
    let routes = match (root, index) {
        (Some(root), Some(index)) => Router::new()
            .route("/", any_service(document(&index)))
            .route("/watch", any_service(document(&index)))
            .route("/studio", any_service(document(&index)))
            .nest_service("/assets", immutable(root)),
        _ => Router::new()
            .route("/", get(absent))
            .route("/watch", get(absent))
            .route("/studio", get(absent)),
    };
    routes
        .layer(fixed(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
}

/// The document names the files of its build, so that it is asked for anew each time.
fn document(index: &Path) -> Router {
    Router::new()
        .fallback_service(ServeFile::new(index))
        .layer(fixed(header::CACHE_CONTROL, "no-cache"))
}

/// Built files have a digest in their names, so that they never change.
fn immutable(root: &Path) -> Router {
    Router::new()
        .fallback_service(
            ServeDir::new(root.join("assets"))
                .append_index_html_on_directories(false)
                .fallback(any(async || Problem::no_route())),
        )
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            for_ever,
        ))
}

/// What is found stays for ever; that a file is missing may be a build that is on its way.
fn for_ever(response: &Response) -> Option<HeaderValue> {
    let found = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    found.then(|| HeaderValue::from_static("public, max-age=31536000, immutable"))
}

fn fixed(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

async fn absent() -> impl IntoResponse {
    let text = "The watch page is not built, or web_root does not name its folder.\n\
        Build it with `npm ci && npm run build` in web/ and set web_root to web/dist.\n";
    (
        StatusCode::NOT_FOUND,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        text,
    )
}
