//! `millrace purge`: every edge and shield forgets something.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::Method;
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
    let mut told = String::new();
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
        let awaited = awaited(&state);
        if awaited != told {
            eprintln!("waits for {awaited}");
            told = awaited;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The nodes that have not said that they have applied it, by name, and when the last of them stops serving it.
fn awaited(state: &Value) -> String {
    let nodes = state.get("pending").and_then(Value::as_array);
    let names = nodes.into_iter().flatten().map(|node| {
        let name = node.get("name").and_then(Value::as_str);
        name.unwrap_or("?")
    });
    let names = names.collect::<Vec<_>>().join(", ");
    match state.get("bounded_at").and_then(Value::as_u64) {
        Some(at) => format!("{names}; should they not be heard of, until {at} (Unix seconds)"),
        None => names,
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
