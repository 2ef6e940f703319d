//! `millrace purge`: every edge and shield forgets something.

use std::process::ExitCode;
use std::time::Duration;

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
    loop {
        let state = api.json(api.request(Method::GET, &path)).await?;
        if state.get("state").and_then(Value::as_str) != Some("pending") {
            say!("{state}");
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(LOOK).await;
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
    match named {
        Some((name, value)) => json!({ name: value, "mode": mode }),
        None => json!({ "all": options.all, "mode": mode }),
    }
}
