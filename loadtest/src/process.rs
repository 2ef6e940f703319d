//! Servers as processes: a role of ours, which says where it listens, and nginx, which does not.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;

use crate::machine::{self, Cores};

/// Starts a role with one worker thread, and reads what it says once it listens.
pub(crate) fn role<Ready: DeserializeOwned>(
    program: &Path,
    role: &str,
    config: &Path,
    cores: Cores,
) -> Result<(Child, Ready)> {
    let mut command = leashed(program, role, config);
    command.env("TOKIO_WORKER_THREADS", "1");
    ready(cores.start(&mut command)?, role)
}

/// Starts a role on these cores, with the threads that it takes there by itself.
pub(crate) fn role_on<Ready: DeserializeOwned>(
    program: &Path,
    role: &str,
    config: &Path,
    cores: &[usize],
) -> Result<(Child, Ready)> {
    let mut command = leashed(program, role, config);
    ready(machine::start_on(cores, &mut command)?, role)
}

fn leashed(program: &Path, role: &str, config: &Path) -> Command {
    let mut command = Command::new(program);
    // The leash: should the bench be killed, its standard input ends and the role stops.
    command
        .args([role, "--leash", "--config"])
        .arg(config)
        .env("MILLRACE_LOG", "warn")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

fn ready<Ready: DeserializeOwned>(mut child: Child, role: &str) -> Result<(Child, Ready)> {
    let said = child.stdout.take().context("the role says nothing")?;
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line)?;
    let Ok(ready) = serde_json::from_str(&line) else {
        let _ = child.kill();
        let status = child.wait()?;
        bail!("the {role} did not start ({status})");
    };
    Ok((child, ready))
}

/// Starts an nginx in a folder of its own.
pub(crate) fn nginx(program: &Path, work: &Path, config: &Path, cores: Cores) -> Result<Child> {
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(work)
        .arg("-c")
        .arg(config)
        .args(["-e", "stderr"])
        .stdin(Stdio::null());
    cores.start(&mut command)
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
