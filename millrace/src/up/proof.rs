//! `millrace up --check`: every manifest, over every protocol, from every edge, and then again to
//! see that the caches held it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::addresses::{Addresses, Stage};
use crate::api::Api;
use crate::play::{self, Protocol};

/// The formats in which a film is offered.
const FORMATS: [&str; 3] = ["hls", "hls_ts", "dash"];
/// The protocols that an edge speaks.
const PROTOCOLS: [(&str, Protocol); 3] = [
    ("h1", Protocol::H1),
    ("h2", Protocol::H2),
    ("h3", Protocol::H3),
];
/// The counter of the origin that stands still when the caches answer.
const ORIGIN_REQUESTS: &str = "millrace_origin_requests_total";
/// What caches keep for as long as they like; manifests they ask after every minute.
const IMMUTABLE: [&str; 2] = ["kind=\"init\"", "kind=\"segment\""];

/// What was seen.
pub(crate) struct Proof {
    plays: Vec<Play>,
    /// Requests that reached the origin in the first and in the second round.
    origin: (f64, f64),
    page: bool,
}

struct Play {
    edge: String,
    format: &'static str,
    protocol: &'static str,
    round: u8,
    report: play::Report,
}

/// Plays everything twice.
pub(crate) async fn play_everything(
    api: &Api,
    stage: &Stage,
    addresses: &Addresses,
) -> anyhow::Result<Proof> {
    let page = api
        .text(stage.fact("/watch"))
        .await
        .is_ok_and(|page| page.contains("<script"));
    let before = origin_requests(api, addresses).await?;
    let mut plays = Vec::new();
    play_round(&mut plays, stage, addresses, 1).await;
    let between = origin_requests(api, addresses).await?;
    play_round(&mut plays, stage, addresses, 2).await;
    let after = origin_requests(api, addresses).await?;
    Ok(Proof {
        plays,
        origin: (between - before, after - between),
        page,
    })
}

async fn play_round(plays: &mut Vec<Play>, stage: &Stage, addresses: &Addresses, round: u8) {
    for edge in &addresses.edges {
        for format in FORMATS {
            for (protocol, asked) in PROTOCOLS {
                let url = at_edge(stage.fact(&format!("/{format}")), &edge.https);
                // The certificate is the house's own, made a moment ago; the path is what is proved.
                let options = play::Options {
                    url,
                    protocol: Some(asked),
                    ca: None,
                    insecure: true,
                };
                let report = play::play(&options).await;
                eprintln!(
                    "  {} {format} over {protocol}, round {round}: {}",
                    edge.name,
                    verdict(&report)
                );
                plays.push(Play {
                    edge: edge.name.clone(),
                    format,
                    protocol,
                    round,
                    report,
                });
            }
        }
    }
}

/// The same signed path at another edge: a token is good at every edge.
fn at_edge(url: &str, base: &str) -> String {
    let path = url
        .find("/~")
        .and_then(|start| url.get(start..))
        .unwrap_or_default();
    format!("{base}{path}")
}

async fn origin_requests(api: &Api, addresses: &Addresses) -> anyhow::Result<f64> {
    let text = api
        .text(&format!("{}/metrics", addresses.internal("origin")?))
        .await?;
    let counted = |line: &&str| {
        line.starts_with(ORIGIN_REQUESTS) && IMMUTABLE.iter().any(|kind| line.contains(kind))
    };
    let samples = text.lines().filter(counted);
    Ok(samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum())
}

fn verdict(report: &play::Report) -> &'static str {
    if report.ok() { "right" } else { "WRONG" }
}

impl Proof {
    /// Whether all was right.
    pub(crate) fn ok(&self) -> bool {
        self.page && self.origin_was_asked_once() && self.plays.iter().all(|play| play.report.ok())
    }

    /// In the first round the origin is asked for segments, in the second it is not.
    fn origin_was_asked_once(&self) -> bool {
        self.origin.0 > 0.0 && self.origin.1 == 0.0
    }

    /// Prints what was seen.
    pub(crate) fn print(&self, as_json: bool, stage: &Stage) {
        if as_json {
            say!("{}", self.to_json(stage.facts()));
        } else {
            say!("{}", self.to_text());
        }
    }

    fn to_json(&self, facts: &Value) -> Value {
        let plays = self.plays.iter().map(|play| {
            json!({
                "edge": play.edge, "format": play.format, "protocol": play.protocol,
                "round": play.round, "report": play.report.to_json(),
            })
        });
        json!({
            "ok": self.ok(),
            "page": self.page,
            "origin_requests": {"first_round": self.origin.0, "second_round": self.origin.1},
            "plays": plays.collect::<Vec<_>>(),
            "house": facts,
        })
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for play in self.plays.iter().filter(|play| !play.report.ok()) {
            let _ = writeln!(
                text,
                "{} {} over {}:\n{}",
                play.edge,
                play.format,
                play.protocol,
                play.report.table()
            );
        }
        let good = self.plays.iter().filter(|play| play.report.ok()).count();
        let _ = writeln!(
            text,
            "watch page   {}",
            if self.page { "served" } else { "MISSING" }
        );
        let _ = writeln!(
            text,
            "origin       {} requests in the first round, {} in the second",
            self.origin.0, self.origin.1
        );
        let _ = write!(text, "plays        {good} of {} right", self.plays.len());
        text
    }
}
