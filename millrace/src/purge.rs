//! `millrace purge`: every edge and shield forgets something.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::config::Span;
use anyhow::Context as _;
use contracts::time::UnixSeconds;
use reqwest::Method;
use runtime::clock::{Clock as _, System};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli;

/// How often the house is asked how far a purge has come.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn run(options: &cli::Purge) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let given = api
        .json(api.request(Method::POST, "/v1/purge").json(&wish(options)))
        .await?;
    if !options.wait {
        say!("{given}");
        return Ok(ExitCode::SUCCESS);
    }
    let seq = given.get("seq").context("the house names no number")?;
    let path = format!("/v1/purge/{seq}");
    let begun = Instant::now();
    let mut told = None;
    loop {
        let state = api.json(api.request(Method::GET, &path)).await?;
        if state.get("state").and_then(Value::as_str) != Some("pending") {
            say!("{state}");
            return Ok(ExitCode::SUCCESS);
        }
        if options
            .timeout
            .is_some_and(|most| begun.elapsed() >= most.0)
        {
            say!("{state}");
            return Ok(ExitCode::FAILURE);
        }
        let awaited = Awaited::of(&state);
        if told.as_ref() != Some(&awaited) {
            eprintln!("waits for {}", awaited.text(System.now()));
            told = Some(awaited);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The nodes that have not said that they have applied it, and when the last of them stops serving it.
#[derive(Debug, PartialEq, Eq)]
struct Awaited {
    names: String,
    until: Option<UnixSeconds>,
}

impl Awaited {
    fn of(state: &Value) -> Self {
        let nodes = state.get("pending").and_then(Value::as_array);
        let names = nodes.into_iter().flatten().map(|node| {
            let name = node.get("name").and_then(Value::as_str);
            name.unwrap_or("?")
        });
        let until = state.get("bounded_at").and_then(Value::as_u64);
        Self {
            names: names.collect::<Vec<_>>().join(", "),
            until: until.map(UnixSeconds),
        }
    }

    fn text(&self, now: UnixSeconds) -> String {
        let names = &self.names;
        let Some(until) = self.until else {
            return names.clone();
        };
        // As exact as somebody who waits wants to know it.
        let left = until.0.saturating_sub(now.0);
        let unit = match left {
            0..=120 => 1,
            121..=7200 => 60,
            _ => 3600,
        };
        let left = Span::seconds(left.div_ceil(unit) * unit);
        format!("{names}; should they not be heard of, for {left} at most")
    }
}

fn wish(options: &cli::Purge) -> Value {
    let mode = if options.soft { "soft" } else { "hard" };
    let named = [
        ("url", &options.url),
        ("tag", &options.tag),
        ("prefix", &options.prefix),
        ("video", &options.video),
    ];
    let named = named.into_iter().find(|(_, value)| value.is_some());
    let tenant = &options.tenant;
    match named {
        Some((name, value)) => json!({ name: value, "mode": mode, "tenant": tenant }),
        None => json!({ "all": options.all, "mode": mode, "tenant": tenant }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_for_how_long() {
        let state =
            json!({"pending": [{"name": "edge-1"}, {"name": "isp-1"}], "bounded_at": 100_000});
        let awaited = Awaited::of(&state);
        for (now, left) in [
            (99_910, "90s"),
            (99_000, "17m"),
            (100_000 - 86_401, "25h"),
            (100_000 - 86_400, "1d"),
        ] {
            let text = awaited.text(UnixSeconds(now));
            let wanted = format!("edge-1, isp-1; should they not be heard of, for {left} at most");
            assert_eq!(text, wanted);
        }
        let never = Awaited::of(&json!({"pending": [{"name": "edge-1"}]}));
        assert_eq!(never.text(UnixSeconds(1)), "edge-1");
    }
}
