//! Uploading: bytes that come in over HTTP, what they cost, and what memory they take, beside nginx and a plain file.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Bench;
use super::content::{Content, Digests};
use super::peers::Nginx;
use super::sending::{self, CHUNK};
use super::site::{self, Site};
use crate::machine::{self, Cores};
use crate::maths::{Figure, ratio};

/// What a way to store bytes came to.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) server: &'static str,
    pub(super) bytes: u64,
    /// MB (10⁶ bytes) a second until all is acknowledged and on the disk.
    pub(super) mb_s: Figure,
    /// Seconds of the server's processor time a GB.
    pub(super) s_gb: Figure,
    /// The memory that the server had before and at most, in bytes.
    pub(super) memory: Option<[u64; 2]>,
    /// How much of the time the bench itself worked.
    pub(super) loader_busy: f64,
    /// What joining the chunks adds.
    pub(super) joining: Option<Joining>,
}

/// From the last chunk to a whole film.
#[derive(Debug, Serialize)]
pub(super) struct Joining {
    /// Seconds until `complete` is answered.
    pub(super) seconds: Figure,
    /// Its processor time, in seconds a GB.
    pub(super) s_gb: Figure,
    /// MB a second from the wish to upload until then.
    pub(super) whole_mb_s: Figure,
    /// Seconds from then until the film is ready: nothing of it is read that need not be.
    pub(super) ready: Figure,
}

/// One turn of one side.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    wall: Duration,
    cpu: Duration,
    loader: Duration,
    memory: Option<[u64; 2]>,
    joining: Option<[Duration; 3]>,
}

impl Bench<'_> {
    /// Has each side take the same bytes in turn.
    pub(super) async fn uploads(&self) -> Result<Vec<Line>> {
        let cores = Cores::choose()?;
        cores.stay()?;
        let film = std::fs::read(&self.films.tiny).context("cannot read the film")?;
        let content = Rc::new(Content::grown(film, self.upload_bytes, SEED)?);
        eprintln!("making and hashing {} MB …", content.size / 1_000_000);
        let digests = Rc::new(content.digests(CHUNK)?);
        let (mut file, mut nginx, mut ingest) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            eprintln!("uploading, round {round} of {} …", self.rounds);
            file.push(self.by_file(&content)?);
            if let Some(program) = self.nginx {
                nginx.push(self.by_nginx(program, &content, cores).await?);
            }
            ingest.push(self.by_ingest(&content, &digests, cores).await?);
        }
        machine::run_on(&self.cores)?;
        let sides = [(FILE, file), (NGINX, nginx), (INGEST, ingest)];
        Ok(sides
            .into_iter()
            .filter_map(|(server, turns)| line(server, content.size, &turns))
            .collect())
    }

    /// One thread writes a file from its beginning to its end and flushes it: what this disk takes.
    fn by_file(&self, content: &Content) -> Result<Turn> {
        let folder = self.folder.join("file");
        self.settle(&folder)?;
        let mut making = Duration::ZERO;
        let (began, before) = (Instant::now(), machine::thread_time());
        let mut file = File::create(folder.join("film")).context("cannot make a file")?;
        for number in 0..content.count(CHUNK) {
            let made = machine::thread_time();
            let piece = content.piece(number, CHUNK)?;
            making += machine::thread_time() - made;
            file.write_all(&piece).context("cannot write a file")?;
        }
        file.sync_all().context("cannot flush a file")?;
        let (wall, cpu) = (began.elapsed(), machine::thread_time() - before);
        std::fs::remove_dir_all(folder)?;
        Ok(Turn {
            wall,
            cpu: cpu.saturating_sub(making),
            loader: making,
            ..Turn::default()
        })
    }

    /// nginx takes the pieces as files; that they are on the disk is seen to at the end.
    async fn by_nginx(&self, program: &Path, content: &Rc<Content>, cores: Cores) -> Result<Turn> {
        let folder = self.folder.join("nginx");
        self.settle(&folder)?;
        let nginx = Nginx::start(program, &folder, cores)?;
        let idle = nginx.resident()?.now;
        let (began, cpu, busy) = (Instant::now(), nginx.time()?, machine::thread_time());
        let authority = nginx.address.to_string();
        let put = move |number: u64, piece: Vec<u8>| {
            let path = format!("/chunk_{number}");
            crate::wire::Ask::telling(&authority, ("PUT", &path), "", &piece)
        };
        sending::pieces((nginx.address, self.connections), content, CHUNK, put).await?;
        flush(&folder)?;
        let turn = Turn {
            wall: began.elapsed(),
            cpu: nginx.time()?.saturating_sub(cpu),
            loader: machine::thread_time() - busy,
            memory: Some([idle, nginx.resident()?.peak]),
            joining: None,
        };
        drop(nginx);
        std::fs::remove_dir_all(folder)?;
        Ok(turn)
    }

    async fn by_ingest(
        &self,
        content: &Rc<Content>,
        digests: &Rc<Digests>,
        cores: Cores,
    ) -> Result<Turn> {
        let folder = self.folder.join("house");
        self.settle(&folder)?;
        let site = Site::start(&folder, self.millrace, &[&[cores.server]], "")?;
        let idle = site.resident()?.now;
        let (before, busy) = (site.time()?, machine::thread_time());
        let sent = sending::chunks(&site, content, digests, self.connections).await?;
        let (cpu, last) = (site.time()?, Instant::now());
        let done = sent.complete(&site).await?;
        let after = site.time()?;
        let (loader, peak) = (machine::thread_time() - busy, site.resident()?.peak);
        let ready = site
            .until(&sent.video, |status| status.state == "ready")
            .await?;
        Ok(Turn {
            wall: sent.took,
            cpu: cpu.saturating_sub(before),
            loader,
            memory: Some([idle, peak]),
            joining: Some([
                done.duration_since(last),
                after.saturating_sub(cpu),
                ready.duration_since(done),
            ]),
        })
    }

    /// An empty folder, and a disk that has written what came before.
    fn settle(&self, folder: &Path) -> Result<()> {
        site::clear(folder)?;
        flush(folder)
    }
}

/// Has the disk take everything that was written to its file system.
fn flush(folder: &Path) -> Result<()> {
    let folder = File::open(folder).context("cannot open a folder")?;
    rustix::fs::syncfs(&folder).context("cannot flush a disk")
}

fn line(server: &'static str, bytes: u64, turns: &[Turn]) -> Option<Line> {
    let gb = bytes as f64 / 1e9;
    let of =
        |value: &dyn Fn(&Turn) -> Option<f64>| Figure::of(turns.iter().filter_map(value).collect());
    let joined = |value: &dyn Fn(&Turn, [f64; 3]) -> f64| {
        of(&|turn| {
            let times = turn.joining?.map(|time| time.as_secs_f64());
            Some(value(turn, times))
        })
    };
    let busy = |turn: &Turn| ratio(turn.loader.as_secs_f64(), turn.wall.as_secs_f64());
    Some(Line {
        server,
        bytes,
        mb_s: of(&|turn| Some(ratio(gb * 1e3, turn.wall.as_secs_f64())))?,
        s_gb: of(&|turn| Some(ratio(turn.cpu.as_secs_f64(), gb)))?,
        memory: turns
            .iter()
            .filter_map(|turn| turn.memory)
            .max_by_key(|[_, peak]| *peak),
        loader_busy: of(&|turn| Some(busy(turn)))?.median,
        joining: joined(&|_, [seconds, ..]| seconds).and_then(|seconds| {
            Some(Joining {
                seconds,
                s_gb: joined(&|_, [_, cpu, _]| ratio(cpu, gb))?,
                whole_mb_s: joined(&|turn, [seconds, ..]| {
                    ratio(gb * 1e3, turn.wall.as_secs_f64() + seconds)
                })?,
                ready: joined(&|_, [_, _, ready]| ready)?,
            })
        }),
    })
}

const FILE: &str = "a file, flushed";
const NGINX: &str = "nginx, PUT";
const INGEST: &str = "ingest";
/// Any; the bytes are the same in every run.
const SEED: u64 = 0x6d69_6c6c_7261_6365;
