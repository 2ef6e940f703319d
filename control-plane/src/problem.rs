//! What the control plane alone refuses, and what it answers when the catalogue fails.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use catalog::sessions::Session;
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use runtime::problem::Problem;

use crate::drm::Refused;
use crate::playback::streams::Stream;

pub(crate) fn no_session() -> Problem {
    let detail = "There is no playback session with this id.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("session-not-found", status, "No such session", detail)
}

pub(crate) fn no_events() -> Problem {
    let detail = "No events are taken here: `telemetry.log` is not configured.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("events-not-taken", status, "No events here", detail)
}

pub(crate) fn session_over() -> Problem {
    let detail = "The playback session was stopped or has expired; start a new one.";
    let problem = Problem::new("session-over", StatusCode::GONE, "Session over", detail);
    problem.with("action", "stop")
}

/// 409: the account watches as many streams as it may. What it watches is told, and nothing that plays it.
pub(crate) fn concurrency_limit(active: &[Session]) -> Problem {
    let detail =
        "This account watches as many films at once as it may; stop one of `active` first.";
    let status = StatusCode::CONFLICT;
    let active: Vec<_> = active.iter().map(Stream::from).collect();
    Problem::new("concurrency_limit", status, "Too many streams", detail)
        .with("active", serde_json::to_value(active).unwrap_or_default())
}

/// 403: the film may be known of, and not watched; perhaps later.
pub(crate) fn not_entitled(from: Option<UnixSeconds>) -> Problem {
    let detail = match from {
        Some(from) => format!("This account may watch this film from {from} (Unix seconds) on."),
        None => "This account may not watch this film.".to_owned(),
    };
    let status = StatusCode::FORBIDDEN;
    let problem = Problem::new("not_entitled", status, "Not entitled", detail);
    match from {
        Some(from) => problem.with("from", from.0),
        None => problem,
    }
}

/// 403: where the film may not be watched.
pub(crate) fn geo_blocked(country: Option<&str>) -> Problem {
    let detail = "This film may not be watched in this country.";
    let status = StatusCode::FORBIDDEN;
    let problem = Problem::new("geo_blocked", status, "Not in this country", detail);
    problem.with("country", country.unwrap_or("ZZ"))
}

/// 403: the rules leave a device nothing that it could play.
pub(crate) fn no_picture() -> Problem {
    let detail = "The way to this device's screen is not protected as this film asks for.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("device_policy", status, "Not on this device", detail).with("reason", "hdcp")
}

/// 403: a device has no system of DRM that gives it keys here.
pub(crate) fn no_common_drm<'a>(offered: impl Iterator<Item = &'a str>) -> Problem {
    let detail = "This film needs a DRM system that this device does not say it has; `systems` lists those that do.";
    let status = StatusCode::FORBIDDEN;
    let problem = Problem::new("device_policy", status, "Not on this device", detail);
    problem
        .with("reason", "drm")
        .with("systems", offered.collect::<Vec<_>>())
}

/// 403: a logical address gives no session, and one is needed.
pub(crate) fn session_needed() -> Problem {
    let detail =
        "What is watched here is counted, granted or renewed; begin a session with playback/start.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("session-needed", status, "Session needed", detail)
}

pub(crate) fn no_grant() -> Problem {
    let detail = "There is no grant with this id.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("grant-not-found", status, "No such grant", detail)
}

pub(crate) fn grant_exists() -> Problem {
    let detail = "This grant_id stands for another grant; take another.";
    let status = StatusCode::CONFLICT;
    Problem::new("grant-exists", status, "Grant exists", detail)
}

pub(crate) fn film_is_public() -> Problem {
    let detail =
        "A public film is given to whoever asks; grants count for unlisted and private ones.";
    let status = StatusCode::CONFLICT;
    Problem::new("film-is-public", status, "Film is public", detail)
}

pub(crate) fn not_ready(
    video: &VideoId,
    state: &str,
    progress: u8,
    reason: Option<&str>,
) -> Problem {
    let detail = match reason {
        Some(reason) => format!("Video {video} cannot be watched: {reason}"),
        None => format!("Video {video} is {state} ({progress} %); ask again later."),
    };
    let status = StatusCode::CONFLICT;
    Problem::new("video-not-ready", status, "Video not ready", detail)
        .with("state", state)
        .with("progress", progress)
}

pub(crate) fn repeated_key() -> Problem {
    Problem::new(
        "idempotency-key-reused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "Idempotency key reused",
        "This Idempotency-Key stood for another request; use a new key for a new request.",
    )
}

pub(crate) fn no_tier() -> Problem {
    let detail = "Orders are for edges and shields that show a credential of fleet.hop_secrets; nodes that have enrolled ask with their certificates.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("hop-refused", status, "Not a tier's credential", detail)
}

/// 403: content keys are for few.
pub(crate) fn no_keys_credential() -> Problem {
    let detail = "Content keys are for whoever shows the credential of drm.keys_secret.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("hop-refused", status, "Not the credential for keys", detail)
}

/// 401: something must be shown, and nothing was.
pub(crate) fn credentials_needed() -> Problem {
    let detail = "Send an access token, an API key or the operator key as Authorization: Bearer.";
    let status = StatusCode::UNAUTHORIZED;
    Problem::new("unauthorized", status, "Credentials needed", detail)
}

/// 401: what was shown does not count (RFC 6750 §3.1, `invalid_token`).
pub(crate) fn credentials_refused() -> Problem {
    let detail = "What was sent as Authorization: Bearer does not count, or no longer: renew the access token or log in.";
    let status = StatusCode::UNAUTHORIZED;
    Problem::new("unauthorized", status, "Credentials refused", detail)
}

pub(crate) fn login_failed() -> Problem {
    let detail = "There is no account with this email address and password.";
    let status = StatusCode::UNAUTHORIZED;
    Problem::new("login-failed", status, "Login failed", detail)
}

pub(crate) fn login_over() -> Problem {
    let detail = "This refresh token counts no more; log in again.";
    let status = StatusCode::UNAUTHORIZED;
    Problem::new("login-over", status, "Login over", detail)
}

pub(crate) fn not_allowed() -> Problem {
    let detail = "Whoever these credentials are of may not do this.";
    Problem::new("forbidden", StatusCode::FORBIDDEN, "Not allowed", detail)
}

pub(crate) fn account_needed() -> Problem {
    let detail = "This is for somebody with an account; log in and send the access token.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("account-needed", status, "Account needed", detail)
}

pub(crate) fn not_ours() -> Problem {
    let detail = "This account is kept by an outside issuer; change it there.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("account-needed", status, "Account kept elsewhere", detail)
}

pub(crate) fn not_invited() -> Problem {
    let detail = "An invitation is needed that is still good and that nobody has used; ask an operator for one.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("not-invited", status, "Not invited", detail)
}

pub(crate) fn no_accounts() -> Problem {
    let detail = "There are no accounts here: `accounts.token_keys` is not configured.";
    Problem::new("not-found", StatusCode::NOT_FOUND, "No accounts", detail)
}

pub(crate) fn email_taken() -> Problem {
    let detail = "There is an account with this email address.";
    let status = StatusCode::CONFLICT;
    Problem::new("email-taken", status, "Email address taken", detail)
}

pub(crate) fn no_user() -> Problem {
    let detail = "There is no account with this id.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("user-not-found", status, "No such account", detail)
}

pub(crate) fn no_api_key() -> Problem {
    let detail = "There is no API key with this id.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("api-key-not-found", status, "No such API key", detail)
}

pub(crate) fn no_channel() -> Problem {
    let detail = "There is no channel with this id.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("channel-not-found", status, "No such channel", detail)
}

pub(crate) fn no_purge() -> Problem {
    let detail = "There is no purge with this number, or it is too old to be told of.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("purge-not-found", status, "No such purge", detail)
}

pub(crate) fn no_enrolment() -> Problem {
    let detail = "Nodes cannot enrol here: `fleet.listen` is not configured.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("not-found", status, "No enrolment here", detail)
}

/// 403: a secret that is unknown, was used or has expired; which of them is not said.
pub(crate) fn no_join() -> Problem {
    let detail = "This join counts no more, or never did; ask the operator for another.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("join-refused", status, "Join refused", detail)
}

/// 400: networks that a node may not announce.
pub(crate) fn prefixes_refused(prefixes: Vec<String>) -> Problem {
    let mut named = prefixes.iter().take(NAMED).cloned().collect::<Vec<_>>();
    if prefixes.len() > NAMED {
        named.push(format!("{} more", prefixes.len() - NAMED));
    }
    let named = named.join(", ");
    let detail = format!("The operator has not allowed this node to announce {named}.");
    let status = StatusCode::BAD_REQUEST;
    let problem = Problem::new("prefixes-refused", status, "Prefixes refused", detail);
    problem.with("prefixes", prefixes)
}

/// 401: whoever asks this shows a node's certificate.
pub(crate) fn certificate_needed() -> Problem {
    let detail = "Show the certificate that enrolment gave.";
    let status = StatusCode::UNAUTHORIZED;
    Problem::new("unauthorized", status, "Certificate needed", detail)
}

/// 403: a certificate of a node that was dismissed, or whose place another has taken.
pub(crate) fn node_refused() -> Problem {
    let detail = "This certificate's node was dismissed, or another has its name.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("node-refused", status, "Node refused", detail)
}

/// 403: a certificate of the fleet's authority for a node that the catalogue has never heard of.
pub(crate) fn node_unknown() -> Problem {
    let detail = "The catalogue knows no node of this certificate's name; it may have been put back to a backup from before that node joined.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("node-unknown", status, "Node unknown", detail)
}

/// 409: a film that is in the clear has no keys.
pub(crate) fn not_protected() -> Problem {
    let detail = "This film is not protected: it has no keys that could be replaced.";
    let status = StatusCode::CONFLICT;
    Problem::new("not-protected", status, "Not protected", detail)
}

/// 500: the film's keys are sealed with a key-encryption key that is not configured here.
pub(crate) fn keys_shut() -> Problem {
    let detail = "The keys of this film are sealed with a key-encryption key that is not among those of `drm.key_encryption_key`.";
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new("keys-shut", status, "Keys do not open", detail)
}

/// How many networks a refusal names in its text; `prefixes` has all of them.
const NAMED: usize = 8;

/// 409: what was dismissed stays so.
pub(crate) fn node_dismissed() -> Problem {
    let detail = "This node was dismissed, for good; invite one of another name.";
    let status = StatusCode::CONFLICT;
    Problem::new("node-dismissed", status, "Node dismissed", detail)
}

pub(crate) fn no_node() -> Problem {
    let detail = "There is no such node, or none that has enrolled.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("node-not-found", status, "No such node", detail)
}

pub(crate) fn no_such_join() -> Problem {
    let detail = "There is no join with this id.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("join-not-found", status, "No such join", detail)
}

/// 409: a name that a new node cannot have.
pub(crate) fn name_taken(detail: &str) -> Problem {
    let status = StatusCode::CONFLICT;
    Problem::new("name-taken", status, "Name taken", detail)
}

pub(crate) fn moved_meanwhile() -> Problem {
    let detail = "Somebody else moved the film meanwhile; look where it is and try again.";
    let status = StatusCode::CONFLICT;
    Problem::new("conflict", status, "Moved meanwhile", detail)
}

pub(crate) fn too_many(wait: Duration) -> Problem {
    let detail = "Too many of these requests; Retry-After says when the next one is taken.";
    let status = StatusCode::TOO_MANY_REQUESTS;
    Problem::new("too-many-requests", status, "Too many requests", detail).retry_after(wait)
}

pub(crate) fn no_such_drm<'a>(offered: impl Iterator<Item = &'a str>) -> Problem {
    let detail = "No licences of this system are given here; `systems` lists those that are.";
    let status = StatusCode::FORBIDDEN;
    let problem = Problem::new("drm-not-offered", status, "No such DRM system here", detail);
    problem.with("systems", offered.collect::<Vec<_>>())
}

pub(crate) fn no_license_token() -> Problem {
    let detail = "Send a token of playback/start as Authorization: Bearer.";
    let status = StatusCode::UNAUTHORIZED;
    Problem::new(
        "license-token-needed",
        status,
        "Licence token needed",
        detail,
    )
}

pub(crate) fn license_token(refused: Refused) -> Problem {
    license_refused(match refused {
        Refused::Invalid => "invalid",
        Refused::Expired => "expired",
    })
}

pub(crate) fn license_refused(reason: &str) -> Problem {
    let detail = match reason {
        "expired" => "The token has ended; get the next one with the session's renewal.",
        "system" => "The token is for another system.",
        "session-over" => "The playback session was stopped or has expired; start a new one.",
        "keys" => "The token is not for these keys.",
        "persistence" => "Licences of this film may not be kept; ask for a temporary one.",
        "used-up" => "The token was used too often; get the next one with the session's renewal.",
        _ => "What was sent is no token of this site for this.",
    };
    let status = StatusCode::FORBIDDEN;
    let problem = Problem::new("license-refused", status, "No licence", detail);
    problem.with("reason", reason)
}

pub(crate) fn bad_vendor(what: &str) -> Problem {
    let detail = format!("The licence service {what}; try again in a moment.");
    let status = StatusCode::BAD_GATEWAY;
    Problem::new(
        "license-server-failed",
        status,
        "Licence service failed",
        detail,
    )
}

pub(crate) fn slow_vendor() -> Problem {
    let detail = "The licence service did not answer in time; try again in a moment.";
    let status = StatusCode::GATEWAY_TIMEOUT;
    Problem::new(
        "license-server-slow",
        status,
        "Licence service too slow",
        detail,
    )
}

pub(crate) fn too_large(rejection: BytesRejection) -> Problem {
    larger(rejection, "A request for a licence has at most 64 KiB.")
}

pub(crate) fn too_large_told(rejection: BytesRejection) -> Problem {
    larger(
        rejection,
        "At most 64 KiB are told at once; tell the rest in the next request.",
    )
}

fn larger(rejection: BytesRejection, detail: &str) -> Problem {
    match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new("too-large", status, "Body too large", detail)
        }
        _ => Problem::bad_request(rejection.body_text()),
    }
}

pub(crate) fn unavailable(detail: impl Into<String>) -> Problem {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new("unavailable", status, "Not available now", detail).retry_after(SOON)
}

/// The one place where the catalogue's failures are answered, hence logged.
pub(crate) fn catalogue(error: catalog::Error) -> Problem {
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the catalogue failed: {error}"
    );
    match error {
        catalog::Error::Engine(_) => {
            unavailable("The catalogue does not answer; try again in a moment.")
        }
        _ => Problem::internal(),
    }
}

/// What is not there now is not back at once, and clients come together.
const SOON: Duration = Duration::from_secs(5);
