//! The house that is measured: a control plane, and one ingest or several, over a store in a directory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::RootCertStore;
use serde::Deserialize;
use serde_json::Value;

use crate::machine;
use crate::process;
use crate::wire::{Ask, Client, Lane, Protocol, Trust};

/// Roles that run; dropped, they are stopped.
pub(super) struct Site {
    folder: PathBuf,
    control: Role,
    ingests: Vec<Role>,
}

/// A role as a process of its own.
struct Role {
    child: Child,
    listen: Listen,
}

/// What a role says once it listens.
#[derive(Deserialize)]
struct Ready {
    listen: Listen,
}

#[derive(Deserialize)]
struct Listen {
    http: SocketAddr,
    internal: SocketAddr,
}

/// How a film is, as the control plane tells it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) playable: bool,
    reason: Option<String>,
}

impl Site {
    /// Starts a house in an empty folder, with an ingest for each of these sets of cores.
    pub(super) fn start(
        folder: &Path,
        program: &Path,
        ingests: &[&[usize]],
        settings: &str,
    ) -> Result<Self> {
        clear(folder)?;
        let dir = folder.display();
        let common = format!(
            "listen = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"\ncatalog = \"sqlite://{dir}/catalog.db\"\n"
        );
        let control = folder.join("control.toml");
        fs::write(&control, &common).context("cannot write a configuration")?;
        let all = machine::cores()?;
        let control = Role::start(program, "control", &control, &all)?;
        let file = folder.join("ingest.toml");
        let own =
            format!("store = \"file://{dir}/store\"\nwork = \"{dir}/work\"\nmax_film = \"1TiB\"\n");
        fs::write(&file, common + &own + settings).context("cannot write a configuration")?;
        let ingests = ingests
            .iter()
            .map(|cores| Role::start(program, "ingest", &file, cores));
        Ok(Self {
            folder: folder.to_owned(),
            control,
            ingests: ingests.collect::<Result<_>>()?,
        })
    }

    /// Waits until the first ingest knows of so many workers; those that came later know of it.
    pub(super) async fn knows(&self, workers: u32) -> Result<()> {
        let wanted = f64::from(workers);
        for _ in 0..300 {
            if (self.metric("millrace_ingest_workers").await? - wanted).abs() < 0.5 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("an ingest does not know of {workers} workers");
    }

    /// Where uploads go.
    pub(super) fn ingest(&self) -> Result<SocketAddr> {
        let first = self.ingests.first().context("no ingest")?;
        Ok(first.listen.http)
    }

    /// Processor time of all ingests and what they have run.
    pub(super) fn time(&self) -> Result<Duration> {
        let times = self.ingests.iter();
        times
            .map(|role| machine::family_time(role.child.id()))
            .sum()
    }

    /// The first ingest's memory.
    pub(super) fn resident(&self) -> Result<machine::Resident> {
        let first = self.ingests.first().context("no ingest")?;
        machine::resident(first.child.id())
    }

    /// The sum of what all ingests tell of themselves by that name.
    pub(super) async fn metric(&self, name: &str) -> Result<f64> {
        let mut sum = 0.0;
        for role in &self.ingests {
            let text = fetch(role.listen.internal, "/metrics").await?;
            let text = String::from_utf8(text)?;
            let found = text.lines().find_map(|line| {
                let (told, value) = line.split_once(' ')?;
                (told == name).then_some(value)
            });
            let value: f64 = found
                .with_context(|| format!("no metric {name}"))?
                .parse()?;
            // Each tells of the whole house's workers.
            if name == "millrace_ingest_workers" {
                return Ok(value);
            }
            sum += value;
        }
        Ok(sum)
    }

    /// How a film is.
    pub(super) async fn status(&self, video: &str) -> Result<Status> {
        let path = format!("/v1/videos/{video}/status");
        let answer = fetch(self.control.listen.http, &path).await?;
        let status: Status = serde_json::from_slice(&answer)?;
        let reason = status.reason.as_deref().unwrap_or_default();
        ensure!(status.state != "failed", "the film failed: {reason}");
        Ok(status)
    }

    /// Asks until the film is as wanted, and tells when that was.
    pub(super) async fn until(
        &self,
        video: &str,
        is_wanted: impl Fn(&Status) -> bool,
    ) -> Result<std::time::Instant> {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            if is_wanted(&self.status(video).await?) {
                return Ok(std::time::Instant::now());
            }
        }
    }

    /// The lengths of all mezzanines in the store, from the shortest.
    pub(super) fn mezzanines(&self) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.join("store/encoded")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "mp4") {
                    found.push(fs::metadata(path)?.len());
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for role in self.ingests.iter_mut().chain([&mut self.control]) {
            let _ = role.child.kill();
            let _ = role.child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Role {
    fn start(program: &Path, role: &str, config: &Path, cores: &[usize]) -> Result<Self> {
        let (child, ready) = process::role_on::<Ready>(program, role, config, cores)?;
        Ok(Self {
            child,
            listen: ready.listen,
        })
    }
}

/// Makes an empty folder.
pub(super) fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot remove what an earlier run left")?;
    }
    fs::create_dir_all(folder).context("cannot make a folder")
}

/// Opens connections.
pub(super) async fn lanes(address: SocketAddr, count: usize) -> Result<Vec<Lane>> {
    let client = Client::new(&Trust::These(RootCertStore::empty()))?;
    let mut lanes = Vec::new();
    for _ in 0..count {
        let opened = client.connect(address, "127.0.0.1", Protocol::Plain, 1);
        lanes.extend(opened.await?);
    }
    Ok(lanes)
}

/// Asks for JSON with JSON.
pub(super) async fn told(address: SocketAddr, path: &str, wish: &Value) -> Result<Value> {
    let ask = Ask::telling(
        &address.to_string(),
        ("POST", path),
        "content-type: application/json\r\n",
        wish.to_string().as_bytes(),
    )?;
    Ok(serde_json::from_slice(&answer(address, &ask).await?)?)
}

async fn fetch(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    answer(address, &Ask::get(&address.to_string(), path)?).await
}

async fn answer(address: SocketAddr, ask: &Ask) -> Result<Vec<u8>> {
    let mut lanes = lanes(address, 1).await?;
    let lane = lanes.first_mut().context("no connection")?;
    let mut body = Vec::new();
    let answer = lane.get(ask, |piece| body.extend_from_slice(piece)).await?;
    let said = || String::from_utf8_lossy(&body);
    ensure!(
        matches!(answer.status, 200..=202),
        "{} was answered {}: {}",
        ask.path,
        answer.status,
        said()
    );
    Ok(body)
}

/// How often is asked how a film is.
const LOOK: Duration = Duration::from_millis(20);
