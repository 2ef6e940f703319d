//! The HTTP client that roles and verbs share, with its limits.

use std::error::Error;
use std::time::Duration;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may stay silent within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A builder with the limits that every client of the house has; redirects are not followed
/// unless the caller asks for it.
pub fn client() -> reqwest::ClientBuilder {
    crate::tls::install_provider();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
}

/// An error with what led to it: the last cause is the one that helps.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
