//! The roles as child processes: started in order, watched, stopped together.
//!
//! A role tells on its standard output, in one JSON line, where it listens. Its standard input is
//! a leash: when it closes, because we closed it or because we are gone, the role stops.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::addresses::Addresses;
use super::plan::{self, Part};
use super::state::State;
use crate::cli;
use crate::roles::Ready;

/// How long a role may take to listen.
const START: Duration = Duration::from_secs(30);
/// How long a role may take to finish what it has in hand.
const STOP: Duration = Duration::from_secs(15);

/// A running house.
pub(crate) struct House {
    roles: Vec<Process>,
    addresses: Addresses,
}

struct Process {
    name: String,
    child: Child,
    leash: Option<ChildStdin>,
    log: PathBuf,
}

/// Starts every role, parents before children, and gives the house when all of them listen.
pub(crate) async fn start(state: &State, options: &cli::Up) -> anyhow::Result<House> {
    let mut roles = Vec::new();
    let mut plan = plan::Plan::new(state, options);
    while let Some(part) = plan.next()? {
        let (process, ready) = spawn(state, &part).await?;
        roles.push(process);
        eprintln!("  {:<8} {}", part.name, shown(&ready));
        plan.started(&part, ready);
    }
    state.keep_ports(&plan.ports())?;
    Ok(House {
        roles,
        addresses: plan.addresses()?,
    })
}

async fn spawn(state: &State, part: &Part) -> anyhow::Result<(Process, Ready)> {
    let name = &part.name;
    let config = state.path(&format!("run/{name}.toml"));
    std::fs::write(&config, &part.config)
        .with_context(|| format!("cannot write {}", config.display()))?;
    let log_path = state.path(&format!("log/{name}.log"));
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("cannot open {}", log_path.display()))?;
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    // What is set for some other house must not override what this one was told.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    let mut child = command
        .args([part.role, "--log-json", "--leash", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C in the terminal is ours; the roles are stopped by their leashes, in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let leash = child.stdin.take();
    let stdout = child.stdout.take().context("a role's output is not ours")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = match tokio::time::timeout(START, lines.next_line()).await {
        Ok(line) => line.context("a role's output cannot be read")?,
        Err(_) => bail!(
            "{name} did not start within {} s; see {}",
            START.as_secs(),
            log_path.display()
        ),
    };
    let Some(line) = line else {
        bail!(
            "{name} could not start; see {}\n{}",
            log_path.display(),
            tail(&log_path)
        );
    };
    let ready = serde_json::from_str(&line)
        .with_context(|| format!("{name} said something else than where it listens"))?;
    Ok((
        Process {
            name: name.clone(),
            child,
            leash,
            log: log_path,
        },
        ready,
    ))
}

impl House {
    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Resolves when a role has ended by itself, with an error that names it.
    pub(crate) async fn watch(&mut self) -> anyhow::Error {
        let ends = self.roles.iter_mut().map(|role| {
            let who = (role.name.clone(), role.log.clone());
            Box::pin(async move { (who, role.child.wait().await) })
        });
        let (((name, log), status), ..) = futures_util::future::select_all(ends).await;
        match status {
            Ok(status) => anyhow::anyhow!(
                "{name} has ended by itself ({status}), and so the house stops; its log is {}",
                log.display()
            ),
            Err(error) => anyhow::anyhow!("{name} is lost: {error}"),
        }
    }

    /// Stops every role, children before parents.
    pub(crate) async fn stop(mut self) {
        for role in self.roles.iter_mut().rev() {
            role.leash = None;
            if tokio::time::timeout(STOP, role.child.wait()).await.is_err() {
                eprintln!(
                    "{} did not stop within {} s and was killed",
                    role.name,
                    STOP.as_secs()
                );
                let _ = role.child.kill().await;
            }
        }
    }
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("MILLRACE_") && name.contains("__")
}

fn shown(ready: &Ready) -> String {
    ready
        .listen
        .iter()
        .map(|(name, address)| format!("{name} {address}"))
        .collect::<Vec<_>>()
        .join("  ")
}

/// The last lines of a log, for an error message.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(5))
        .map(|line| format!("    {line}\n"))
        .collect()
}

/// Ports by listener name, as they are noted for the next run.
pub(crate) type Ports = BTreeMap<String, u16>;
