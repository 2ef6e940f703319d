//! Players: each follows a film's HLS playlists with a rule for its rate and a model of its buffer.
//!
//! ```sh
//! loadtest play --players 50 --over h3 --ca root.pem https://edge.example/~TOKEN/v/film/master.m3u8
//! curl -sd '{"video_id":"film"}' $CONTROL/v1/playback/start | loadtest play --answer - --ca root.pem
//! ```

mod abr;
mod buffer;
mod lists;
mod report;
mod viewer;

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::Uri;
use serde::Deserialize;
use tokio::task::JoinSet;

use self::buffer::Limits;
use self::report::Report;
use self::viewer::Plan;
use crate::machine;
use crate::wire::{Client, Protocol, Trust};

/// What players take.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Addresses of HLS multivariant playlists, tokens included, which players take in turn
    manifests: Vec<String>,
    /// A file with answers of `POST /v1/playback/start`, one after the other, instead of addresses; - is the standard
    /// input
    #[arg(long, conflicts_with = "manifests")]
    answer: Option<PathBuf>,
    /// Players at a time
    #[arg(long, default_value_t = 1)]
    players: usize,
    /// What they speak; plain goes with http addresses
    #[arg(long)]
    over: Option<Protocol>,
    /// Seconds for which each player watches, unless the film ends before
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds over which players come, one after the other
    #[arg(long, default_value_t = 0)]
    ramp: u64,
    /// Where to connect to, whatever the addresses say
    #[arg(long)]
    at: Option<SocketAddr>,
    /// PEM file of certificates that are trusted besides the system's
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Seconds of media with which a film starts
    #[arg(long, default_value_t = 4)]
    start: u64,
    /// Seconds of media with which it goes on after a stall
    #[arg(long, default_value_t = 8)]
    resume: u64,
    /// Seconds of media over which a player waits before it loads more
    #[arg(long, default_value_t = 30)]
    buffer: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// As much of the answer as a player needs.
#[derive(Deserialize)]
struct Started {
    manifests: Manifests,
}

#[derive(Deserialize)]
struct Manifests {
    hls: String,
}

/// Plays, and prints how it went.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    machine::open_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(play(arguments))?;
    report.print(arguments.json)
}

async fn play(arguments: &Arguments) -> Result<Report> {
    let client = Arc::new(Client::new(&Trust::system(arguments.ca.as_deref())?)?);
    let mut plans = Vec::new();
    for manifest in &manifests(arguments)? {
        plans.push(plan(arguments, &client, manifest).await?);
    }
    ensure!(
        !plans.is_empty(),
        "nothing to play: give addresses, or --answer"
    );
    let mut tasks = JoinSet::new();
    let ramp = Duration::from_secs(arguments.ramp);
    for (number, plan) in (0..arguments.players).zip(plans.iter().cycle()) {
        let plan = plan.clone();
        let share = crate::maths::ratio(
            crate::maths::count(number),
            crate::maths::count(arguments.players),
        );
        tasks.spawn(async move {
            tokio::time::sleep(ramp.mul_f64(share)).await;
            viewer::watch(plan).await
        });
    }
    let mut report = Report::new()?;
    while let Some(seen) = tasks.join_next().await {
        report.add(&seen.context("a player's task ended early")?)?;
    }
    Ok(report)
}

fn manifests(arguments: &Arguments) -> Result<Vec<String>> {
    let Some(file) = &arguments.answer else {
        return Ok(arguments.manifests.clone());
    };
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        let read = std::fs::read_to_string(file);
        text = read.with_context(|| format!("cannot read {}", file.display()))?;
    }
    started(&text)
}

/// The playlists' addresses of some answers.
fn started(text: &str) -> Result<Vec<String>> {
    let answers = serde_json::Deserializer::from_str(text).into_iter::<Started>();
    answers
        .map(|answer| Ok(answer.context("no answer of playback/start")?.manifests.hls))
        .collect()
}

async fn plan(arguments: &Arguments, client: &Arc<Client>, manifest: &str) -> Result<Plan> {
    // An error that shows the address would show its token.
    let uri: Uri = manifest.parse().ok().context("no address of a playlist")?;
    let authority = uri.authority().context("an address without a server")?;
    let protocol = match (uri.scheme_str(), arguments.over) {
        (Some("https"), None) => Protocol::H2,
        (Some("http"), None | Some(Protocol::Plain)) => Protocol::Plain,
        (Some("https"), Some(over)) if over != Protocol::Plain => over,
        _ => bail!("such an address is not played over that"),
    };
    let default = if protocol == Protocol::Plain { 80 } else { 443 };
    let name = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(default);
    let address = match arguments.at {
        Some(address) => address,
        None => tokio::net::lookup_host((name.as_str(), port))
            .await?
            .next()
            .with_context(|| format!("{name} has no address"))?,
    };
    let path = uri.path_and_query().context("an address without a path")?;
    Ok(Plan {
        client: Arc::clone(client),
        address,
        name,
        authority: authority.to_string(),
        path: path.to_string(),
        protocol,
        limits: Limits {
            start: Duration::from_secs(arguments.start),
            resume: Duration::from_secs(arguments.resume),
            full: Duration::from_secs(arguments.buffer),
        },
        time: Duration::from_secs(arguments.seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_playback_start_give_the_addresses_of_their_hls_playlists() {
        let text = r#"{"session_id":"s","manifests":{"hls":"https://e/a","dash":"https://e/b"}}
            {"manifests":{"hls":"https://e/c"}}"#;
        assert_eq!(started(text).unwrap(), ["https://e/a", "https://e/c"]);
        assert!(started("{\"detail\":\"no\"}").is_err());
    }
}
