//! `millrace invite`, `nodes`, `drain` and `dismiss`: the nodes of the house.

use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli;

pub(crate) async fn invite(options: &cli::Invite) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let request = api.request(Method::POST, "/v1/fleet/joins");
    let made = api.json(request.json(&wish(options))).await?;
    if options.json {
        say!("{made}");
        return Ok(ExitCode::SUCCESS);
    }
    let text = |name: &str| made.get(name).and_then(Value::as_str);
    let token = text("token").context("the house gives no token")?;
    let name = text("name").context("the house gives no name")?;
    // The token alone is what goes into a variable.
    say!("{token}");
    eprintln!("\nIt lets one node enrol, as {name}, and is not shown again. On that node:\n");
    eprintln!("  millrace edge --join TOKEN --config isp.toml");
    if made.get("replaces") == Some(&Value::Bool(true)) {
        eprintln!(
            "\nnote: {name} has enrolled already. Whoever uses this token takes its place, and its key counts no more; if that \
             is not what you want, invite a node of another name. Until it is used, {name} stays as it is."
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn nodes(options: &cli::Nodes) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let answer = api
        .json(api.request(Method::GET, "/v1/fleet/nodes"))
        .await?;
    if options.json {
        say!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let nodes = answer.get("nodes").and_then(Value::as_array);
    say!(
        "{}",
        line(["name", "kind", "state", "lag", "used", "site", "base"])
    );
    for node in nodes.into_iter().flatten() {
        say!("{}", shown(node));
        if let Some(fault) = fault(node) {
            say!("  is not reached: {fault}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn drain(options: &cli::Drain) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let request = api.request(Method::PATCH, &place(&options.name));
    let node = api
        .json(request.json(&json!({"drain": !options.undo})))
        .await?;
    say!("{}", shown(&node));
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn dismiss(options: &cli::Dismiss) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let request = api.request(Method::DELETE, &place(&options.name));
    say!("{}", api.json(request).await?);
    Ok(ExitCode::SUCCESS)
}

fn wish(options: &cli::Invite) -> Value {
    let mut wish = json!({
        "site": options.site,
        "region": options.region,
        "prefixes": options.prefixes,
        "partner": !options.ours,
        "protected": options.protected,
        "probe": !options.no_probe,
        "priority": options.priority,
        "expires_s": options.expires.0.as_secs(),
    });
    let name = options.name.as_deref().map(Value::from);
    for (key, said) in [("name", name), ("weight", options.weight.map(Value::from))] {
        if let (Some(wish), Some(said)) = (wish.as_object_mut(), said) {
            wish.insert(key.to_owned(), said);
        }
    }
    wish
}

fn place(name: &str) -> String {
    format!("/v1/fleet/nodes/{name}")
}

/// Why a node was not found where it announces to be reached.
fn fault(node: &Value) -> Option<&str> {
    node.pointer("/enrolled/probe_fault")?.as_str()
}

/// A node in one line.
fn shown(node: &Value) -> String {
    let of = |place: &str| match node.pointer(place) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let used = node.pointer("/enrolled/used").and_then(Value::as_f64);
    let used = used.map_or_else(|| "-".to_owned(), |used| format!("{:.0}%", used * 100.0));
    line([
        &of("/name"),
        &of("/kind"),
        &of("/state"),
        &of("/lag"),
        &used,
        &of("/enrolled/site"),
        &of("/enrolled/base"),
    ])
}

fn line([name, kind, state, lag, used, site, base]: [&str; 7]) -> String {
    format!("{name:<24} {kind:<7} {state:<12} {lag:>5} {used:>5} {site:<16} {base}")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Arguments, Command};

    #[test]
    fn an_invitation_says_what_the_operator_said_and_no_more() {
        let typed = [
            "millrace",
            "invite",
            "--site",
            "isp-1",
            "--prefix",
            "192.0.2.0/24",
            "--prefix",
            "2001:db8::/32",
            "--ours",
            "--expires",
            "2h",
        ];
        let Command::Invite(options) = Arguments::try_parse_from(typed).unwrap().command else {
            unreachable!("the verb is invite");
        };
        let said = wish(&options);
        assert_eq!(said["prefixes"], json!(["192.0.2.0/24", "2001:db8::/32"]));
        assert_eq!(
            (&said["partner"], &said["expires_s"]),
            (&json!(false), &json!(7200))
        );
        assert_eq!((said.get("name"), said.get("weight")), (None, None));
    }

    #[test]
    fn a_node_is_a_line_whatever_is_known_of_it() {
        let node = json!({"name": "isp-1", "kind": "edge", "state": "active", "lag": 0,
            "enrolled": {"used": 0.256, "site": "north", "base": "https://edge.isp.example"}});
        let words: Vec<String> = shown(&node).split_whitespace().map(str::to_owned).collect();
        let wanted = [
            "isp-1",
            "edge",
            "active",
            "0",
            "26%",
            "north",
            "https://edge.isp.example",
        ];
        assert_eq!(words, wanted);
        assert!(shown(&json!({"name": "shield-1", "lag": null})).contains("shield-1"));
        assert_eq!(fault(&node), None);
        let node =
            json!({"name": "isp-1", "enrolled": {"probe_fault": "https://a does not answer"}});
        assert_eq!(fault(&node), Some("https://a does not answer"));
    }
}
