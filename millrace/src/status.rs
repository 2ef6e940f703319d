//! `millrace status`: what runs, and how it is.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::api::Api;
use crate::cli;
pub(crate) async fn run(options: &cli::Status) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let status = api.json(api.request(Method::GET, "/v1/status")).await?;
    if options.json {
        say!("{status}");
    } else {
        print_value("", &status);
    }
    Ok(ExitCode::SUCCESS)
}

/// A JSON value as indented lines: whatever the control plane tells is shown.
fn print_value(indent: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::Object(_) | Value::Array(_) => {
                        say!("{indent}{key}");
                        print_value(&format!("{indent}  "), value);
                    }
                    Value::String(text) => say!("{indent}{key:<14} {text}"),
                    other => say!("{indent}{key:<14} {other}"),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| print_value(indent, item)),
        Value::String(text) => say!("{indent}{text}"),
        other => say!("{indent}{other}"),
    }
}
