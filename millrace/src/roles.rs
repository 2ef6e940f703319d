//! Running one role as a process: configuration, start, the line that tells where it listens, stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use config::Problem;
use runtime::clock::{Clock, System};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{USAGE, cli};

/// The roles that are processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Edge,
    Shield,
    Origin,
    Control,
    Ingest,
}

/// What a role says on its standard output once it listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Address by listener name: `http`, `https`, `internal`.
    pub(crate) listen: BTreeMap<String, SocketAddr>,
}

type Listen = BTreeMap<String, SocketAddr>;

fn listen<const N: usize>(pairs: [(&str, Option<SocketAddr>); N]) -> Listen {
    pairs
        .into_iter()
        .filter_map(|(name, address)| Some((name.to_owned(), address?)))
        .collect()
}

/// Loads a role's settings, or says everything that is wrong with them.
macro_rules! settings {
    ($options:expr, $role:literal, $config:ty) => {
        match checked::<$config, _>($options, $role, <$config>::check)? {
            Ok(settings) => settings,
            Err(code) => return Ok(code),
        }
    };
}

/// Tells that a role listens, waits for the wish to stop, and stops it.
macro_rules! serve {
    ($options:expr, $running:expr, $listen:expr) => {{
        announce($listen)?;
        wait($options.leash).await?;
        $running.stop().await;
    }};
}

/// Runs a role until it is asked to stop.
pub(crate) async fn run(role: Role, options: &cli::Role) -> anyhow::Result<ExitCode> {
    let format = if options.log_json {
        runtime::log::Format::Json
    } else {
        runtime::log::Format::Text
    };
    let filter = std::env::var("MILLRACE_LOG").unwrap_or_else(|_| "info".to_owned());
    runtime::log::start(format, &filter);
    let clock: Arc<dyn Clock> = Arc::new(System);
    match role {
        Role::Edge => {
            let settings = settings!(options, "edge", edge::config::Config);
            let running = edge::start(settings, clock).await?;
            let at = listen([
                ("https", Some(running.https)),
                ("http", running.plain),
                ("internal", Some(running.internal)),
            ]);
            serve!(options, running, at);
        }
        Role::Shield => {
            let settings = settings!(options, "shield", origin_shield::config::Config);
            let running = origin_shield::start(settings).await?;
            let at = listen([
                ("http", Some(running.plain)),
                ("internal", Some(running.internal)),
            ]);
            serve!(options, running, at);
        }
        Role::Origin => {
            let settings = settings!(options, "origin", origin::config::Config);
            let running = origin::start(settings).await?;
            let at = listen([
                ("http", Some(running.listen)),
                ("internal", Some(running.internal)),
            ]);
            serve!(options, running, at);
        }
        Role::Control => {
            let settings = settings!(options, "control", control_plane::config::Config);
            let running = control_plane::start(settings, clock).await?;
            let at = listen([
                ("http", Some(running.listen)),
                ("internal", Some(running.internal)),
            ]);
            serve!(options, running, at);
        }
        Role::Ingest => {
            let settings = settings!(options, "ingest", ingest::Config);
            let running = ingest::start(settings, clock).await?;
            let at = listen([
                ("http", Some(running.listen)),
                ("internal", Some(running.internal)),
            ]);
            serve!(options, running, at);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings, or the code to exit with: 64 when they are unusable, 0 when only a check was
/// asked for.
fn checked<C, S>(
    options: &cli::Role,
    role: &str,
    check: fn(C) -> Result<S, Vec<Problem>>,
) -> anyhow::Result<Result<S, ExitCode>>
where
    C: DeserializeOwned + Serialize + Default,
{
    let file = match options.config.as_deref().map(read).transpose() {
        Ok(file) => file,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(Err(ExitCode::from(USAGE)));
        }
    };
    let file = options.config.as_deref().zip(file.as_deref());
    match config::load::<C>(role, file, environment()).and_then(check) {
        Ok(_) if options.check => {
            eprintln!("the configuration of {role} is right");
            Ok(Err(ExitCode::SUCCESS))
        }
        Ok(settings) => Ok(Ok(settings)),
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            eprintln!(
                "{} in the configuration of {role}; nothing was started",
                count(problems.len())
            );
            Ok(Err(ExitCode::from(USAGE)))
        }
    }
}

/// The variables that are text; others are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn count(problems: usize) -> String {
    if problems == 1 {
        "1 fault".to_owned()
    } else {
        format!("{problems} faults")
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
fn announce(listen: Listen) -> anyhow::Result<()> {
    for (listener, address) in &listen {
        tracing::info!(listener, %address, "listens for {listener} on {address}");
    }
    say!("{}", serde_json::to_string(&Ready { listen })?);
    Ok(())
}

/// Resolves at SIGINT or SIGTERM, or when the leash (standard input) is let go.
async fn wait(leash: bool) -> anyhow::Result<()> {
    tokio::select! {
        signal = runtime::shutdown::signal() => signal.context("cannot wait for signals"),
        () = let_go(), if leash => Ok(()),
    }
}

/// A thread of its own reads the leash: it may wait for ever, and must not keep the process alive.
async fn let_go() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Whatever is written there is of no meaning; only its end counts.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    // An error says that the thread is gone, which ends the leash as well.
    let _ = end.await;
}
