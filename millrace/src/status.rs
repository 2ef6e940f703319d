//! `millrace status`: what runs, and how it is.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::api::Api;
use crate::cli;

#[expect(
    clippy::print_stdout,
    reason = "a verb's answer goes to standard output"
)]
pub(crate) async fn run(options: &cli::Status) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let status = api.json(api.request(Method::GET, "/v1/status")).await?;
    if options.json {
        println!("{status}");
    } else {
        print_value("", &status);
    }
    Ok(ExitCode::SUCCESS)
}

/// A JSON value as indented lines: whatever the control plane tells is shown.
#[expect(
    clippy::print_stdout,
    reason = "a verb's answer goes to standard output"
)]
fn print_value(indent: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::Object(_) | Value::Array(_) => {
                        println!("{indent}{key}");
                        print_value(&format!("{indent}  "), value);
                    }
                    Value::String(text) => println!("{indent}{key:<14} {text}"),
                    other => println!("{indent}{key:<14} {other}"),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| print_value(indent, item)),
        Value::String(text) => println!("{indent}{text}"),
        other => println!("{indent}{other}"),
    }
}
