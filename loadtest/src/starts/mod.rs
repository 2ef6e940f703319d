//! The bench of playback sessions: what it costs a control plane to begin them, to hear their heartbeats, to stop them.
//!
//! 1. [`site`] starts a control plane with a catalogue in a file or on a PostgreSQL, and signs viewers up;
//! 2. [`round`] asks over some connections, and takes latency and processor time.

mod round;
mod site;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;

use self::round::{Line, Want};
use self::site::Site;
use crate::machine::{self, Cores};
use crate::table::{Table, fine, percent, whole};

/// What the bench takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where configurations, catalogues and the outcome lie
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// The binary whose control plane is measured
    #[arg(long)]
    millrace: PathBuf,
    /// A tenth of the sessions: figures to see that everything works
    #[arg(long)]
    quick: bool,
    /// Only with these catalogues
    #[arg(long, value_delimiter = ',')]
    only: Vec<Engine>,
    /// Over so many connections at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    connections: Vec<usize>,
}

/// Where the catalogue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    /// In a file
    Sqlite,
    /// On a server of this machine
    Postgres,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Everything that a run found.
#[derive(Debug, Serialize)]
struct Report {
    environment: Vec<String>,
    lines: Vec<Line>,
}

/// Sessions of a viewer at once, as many as the limit lets in.
const STREAMS: usize = 20;
/// Viewers.
const VIEWERS: usize = 500;

/// Measures, prints and writes down.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    machine::open_many_files();
    let cores = Cores::choose()?;
    cores.stay()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(arguments, cores))?;
    print(&report)?;
    let file = std::path::absolute(&arguments.folder)?.join("starts.json");
    let mut json = serde_json::to_vec_pretty(&report)?;
    json.push(b'\n');
    std::fs::write(&file, json).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("the same figures: {}", file.display());
    Ok(())
}

async fn measure(arguments: &Arguments, cores: Cores) -> Result<Report> {
    let mut lines = Vec::new();
    let all = [Engine::Sqlite, Engine::Postgres];
    let chosen = |engine: &&Engine| arguments.only.is_empty() || arguments.only.contains(engine);
    for engine in all.iter().filter(chosen) {
        let viewers = if arguments.quick {
            VIEWERS / 10
        } else {
            VIEWERS
        };
        let folder = std::path::absolute(&arguments.folder)?.join("starts");
        let Some(site) = Site::start(&folder, &arguments.millrace, *engine, cores).await? else {
            continue;
        };
        eprintln!("{}: {viewers} viewers sign up …", engine.name());
        let shown = site.viewers(viewers).await?;
        for connections in &arguments.connections {
            let starts = shown.iter().cycle().take(viewers * STREAMS);
            let starts = starts.map(|shown| Want::start(shown)).collect();
            let (line, begun) = site.round("start", starts, *connections).await?;
            lines.push(line);
            let ids = site::sessions(&begun)?;
            let beats = ids.iter().map(|id| Want::heartbeat(id)).collect();
            lines.push(site.round("heartbeat", beats, *connections).await?.0);
            let stops = ids.iter().map(|id| Want::stop(id)).collect();
            lines.push(site.round("stop", stops, *connections).await?.0);
        }
    }
    let mut environment = vec![machine::describe()];
    environment.extend(machine::version(&arguments.millrace, "--version"));
    Ok(Report { environment, lines })
}

fn print(report: &Report) -> Result<()> {
    let mut out = String::new();
    for line in &report.environment {
        writeln!(out, "{line}")?;
    }
    let mut table = Table::new(
        "Playback sessions",
        "what,server,connections,requests,p50 ms,p90 ms,p99 ms,most ms,req/s,CPU µs,PostgreSQL CPU µs,loader busy",
    );
    for line in &report.lines {
        table.row([
            line.what.to_owned(),
            line.engine.name().to_owned(),
            line.connections.to_string(),
            line.requests.to_string(),
            fine(line.p50_ms),
            fine(line.p90_ms),
            fine(line.p99_ms),
            fine(line.most_ms),
            whole(line.requests_s),
            whole(line.cpu_us),
            line.database_cpu_us.map_or_else(String::new, whole),
            percent(line.loader_busy * 1e2),
        ]);
    }
    table.print(&mut out)?;
    Ok(std::io::stdout().write_all(out.as_bytes())?)
}
