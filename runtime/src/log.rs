//! Structured logs on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `filter` is a `tracing` directive list such as `info,tier=debug`; one that does
/// not parse counts as `info`. A second call changes nothing.
pub fn start(format: Format, filter: &str) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(self::filter(filter))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An error says that logging was started already, by a test beside this one, say.
    let _ = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// The filter that [`start`] makes of directives: theirs, save that libraries which print requests
/// as they came, tokens included, are held at warnings.
#[must_use]
pub fn filter(directives: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let held = HELD.iter().filter_map(|directive| directive.parse().ok());
    held.fold(filter, EnvFilter::add_directive)
}

const HELD: [&str; 6] = [
    "pingora_core=warn",
    "pingora_proxy=warn",
    "pingora_cache=warn",
    "h2=warn",
    "hyper=warn",
    "reqwest=warn",
];
