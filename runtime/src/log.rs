//! Structured logs on standard error.

use std::error::Error;
use std::fmt;
use std::io::IsTerminal as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, time::SystemTime};
use tracing_subscriber::registry::LookupSpan;

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
        Format::Json => builder
            .event_format(json())
            .fmt_fields(JsonFields::new())
            .try_init(),
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

fn json() -> WithCauses<format::Format<format::Json, SystemTime>> {
    WithCauses(format::format().json().flatten_event(true))
}

/// Lines of JSON that tell the causes of errors, as text does: `error.sources` beside `error`.
struct WithCauses<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithCauses<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut causes = Causes::default();
        event.record(&mut causes);
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let members = Value::Object(causes.0).to_string();
        match (line.trim_end().strip_suffix('}'), members.strip_prefix('{')) {
            (Some(line), Some(members)) if members != "}" => writeln!(writer, "{line},{members}"),
            _ => writer.write_str(&line),
        }
    }
}

/// What caused the errors among an event's fields.
#[derive(Default)]
struct Causes(Map<String, Value>);

impl Visit for Causes {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let sources = std::iter::successors(error.source(), |&cause| cause.source());
        let sources: Vec<Value> = sources.map(|cause| cause.to_string().into()).collect();
        if !sources.is_empty() {
            self.0.insert(format!("{field}.sources"), sources.into());
        }
    }
}

const HELD: [&str; 6] = [
    "pingora_core=warn",
    "pingora_proxy=warn",
    "pingora_cache=warn",
    "h2=warn",
    "hyper=warn",
    "reqwest=warn",
];

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("writing failed")]
    struct Failed(#[source] io::Error);

    #[test]
    fn a_line_of_json_tells_what_caused_an_error() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(json())
            .fmt_fields(JsonFields::new());
        tracing::subscriber::with_default(subscriber.finish(), || {
            let error = Failed(io::Error::other("no \"such\" bucket"));
            tracing::error!(error = &error as &dyn Error, id = 7, "a request failed");
            tracing::info!("all is well");
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["error"], "writing failed");
        assert_eq!(
            lines[0]["error.sources"],
            serde_json::json!(["no \"such\" bucket"])
        );
        assert_eq!(
            (&lines[0]["id"], &lines[0]["level"]),
            (&7.into(), &"ERROR".into())
        );
        assert_eq!(lines[1]["message"], "all is well");
        assert!(lines[1].get("error.sources").is_none());
    }
}
