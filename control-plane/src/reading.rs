//! How often one address may ask for what is given without credentials: films, their addresses, channels, steering,
//! licences, and what is said of sessions, which may be made up.
//!
//! Each such answer costs reads of the catalogue, writes or signatures, and nothing else bounds them: who starts
//! sessions, tells events or shows credentials is counted where that is done.

use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::client::Client;
use crate::people::Limit;

/// Counts a request that is such a question, and refuses it when there were too many.
pub(crate) async fn counted(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let limit = limit(request.method(), request.uri().path(), request.headers());
    let Some(limit) = limit else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let Ok(client) = Client::from_request_parts(&mut parts, &app).await;
    match app.people.count_from(limit, client, app.clock.now()) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refused) => refused.into_response(),
    }
}

/// What bounds a request that is such a question. What is shown for a licence is no credential of who asks for a film;
/// at the list of films and at channels nobody looks at any, and for a session its name is enough. What is said of
/// sessions counts for itself: a neighbour who asks for films without end must not stop what plays.
fn limit(method: &Method, path: &str, headers: &HeaderMap) -> Option<Limit> {
    let below = |rooms: &[&str]| rooms.iter().any(|room| path.starts_with(room));
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let is_shown = headers.contains_key(header::AUTHORIZATION);
    let is_of_a_film = below(&["/v/"]) || (is_read && below(&["/v1/videos/"]));
    let is_of_a_session = below(&["/v1/playback/"]) && !COUNTED_THERE.contains(&path);
    let is_read = below(&["/v1/steering/", "/v1/drm/"])
        || (is_read && (path == "/v1/videos" || below(&["/v1/channels/"])))
        || (!is_shown && is_of_a_film);
    match is_of_a_session {
        true => Some(Limit::SessionsFrom),
        false => is_read.then_some(Limit::ReadsFrom),
    }
}

/// What is counted by who starts, and by the session of which is told.
const COUNTED_THERE: [&str; 3] = [
    "/v1/playback/start",
    "/v1/playback/events",
    "/v1/playback/cmcd",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_and_is_given_to_anybody_is_counted() {
        let bare = HeaderMap::new();
        let shown = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer x".parse().unwrap())]);
        let (reads, sessions) = (Some(Limit::ReadsFrom), Some(Limit::SessionsFrom));
        for (method, path, headers, wanted) in [
            (Method::GET, "/v/film/master.m3u8", &bare, reads),
            (Method::GET, "/v/film/master.m3u8", &shown, None),
            (Method::GET, "/v1/steering/session", &bare, reads),
            (Method::POST, "/v1/drm/clearkey/license", &shown, reads),
            (Method::GET, "/v1/videos", &bare, reads),
            (Method::GET, "/v1/videos", &shown, reads),
            (Method::HEAD, "/v1/videos/film/status", &bare, reads),
            (Method::GET, "/v1/videos/film", &shown, None),
            (Method::PUT, "/v1/videos/film/rules", &bare, None),
            (Method::GET, "/v1/channels/mine", &shown, reads),
            (Method::GET, "/v1/channels", &shown, None),
            (
                Method::POST,
                "/v1/playback/session/heartbeat",
                &bare,
                sessions,
            ),
            (Method::DELETE, "/v1/playback/session", &shown, sessions),
            (Method::POST, "/v1/playback/session/stop", &bare, sessions),
            (Method::POST, "/v1/playback/start", &bare, None),
            (Method::POST, "/v1/playback/events", &bare, None),
            (Method::GET, "/v1/fleet/feed", &bare, None),
        ] {
            assert_eq!(limit(&method, path, headers), wanted, "{method} {path}");
        }
    }
}
