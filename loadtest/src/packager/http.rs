//! Part B: a real origin over HTTP, on a core of its own: cost, time to first byte, memory; nginx as the yardstick.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::machine::Cores;
use crate::maths::{count, percentile, ratio};
use crate::packager::client::Client;
use crate::packager::load::{self, Kind};
use crate::packager::packing::{Effort, spread};
use crate::packager::publish::{self, COPIES, LOCKED, Published, Ready, Shelf};
use crate::packager::server::Server;

/// What the measurements need.
pub(crate) struct Bench<'a> {
    pub(crate) program: &'a Path,
    pub(crate) published: &'a Published,
    pub(crate) folder: &'a Path,
    pub(crate) cores: Cores,
    pub(crate) effort: Effort,
}

/// Everything that was measured over HTTP.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) warm: Vec<load::Line>,
    pub(crate) cold: Vec<Cold>,
    pub(crate) memory: Vec<Memory>,
    /// Kinds that this origin answers 404.
    pub(crate) not_served: Vec<String>,
}

/// The first request of films whose indexes are not in memory yet.
#[derive(Debug, Serialize)]
pub(crate) struct Cold {
    pub(crate) film: &'static str,
    pub(crate) what: String,
    pub(crate) films: usize,
    pub(crate) first_byte_p50_ms: f64,
    pub(crate) first_byte_most_ms: f64,
}

/// The memory of an origin while so many connections fetch segments.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) what: String,
    pub(crate) connections: usize,
    /// Resident bytes before, one film's index in memory.
    pub(crate) before: u64,
    /// The most that was resident.
    pub(crate) peak: u64,
    /// Bytes of a segment.
    pub(crate) segment: f64,
    /// What each connection added.
    pub(crate) each: f64,
}

impl Bench<'_> {
    /// Measures the origin, and nginx if it is there.
    pub(crate) fn run(&self, shelf: &Shelf, nginx: Option<&Path>) -> Result<Measured> {
        let mut measured = Measured::default();
        let kinds = kinds(shelf)?;
        let origin = self.origin()?;
        for kind in &kinds {
            if !load::is_served(&origin, kind)? {
                measured
                    .not_served
                    .push(format!("{} {}", kind.film, kind.what));
                continue;
            }
            for connections in CONNECTIONS {
                let line = load::measure(&origin, "origin", kind, connections, self.effort)?;
                measured.warm.push(line);
            }
        }
        if let Some(program) = nginx {
            let files = self.copy_files(&origin, &kinds)?;
            drop(origin);
            for (name, sendfile) in [("nginx, sendfile off", "off"), ("nginx, sendfile on", "on")] {
                let root = self.folder.join("static");
                let server = Server::nginx(program, &root, sendfile, self.cores)?;
                for (kind, connections) in files
                    .iter()
                    .flat_map(|kind| CONNECTIONS.map(|many| (kind, many)))
                {
                    let line = load::measure(&server, name, kind, connections, self.effort)?;
                    measured.warm.push(line);
                }
            }
        }
        for kind in kinds.iter().filter(|kind| is_asked_cold(kind)) {
            measured.cold.push(self.cold(kind)?);
        }
        for kind in kinds.iter().filter(|kind| is_weighed(kind)) {
            for connections in CROWDS {
                measured.memory.push(self.memory(kind, connections)?);
            }
        }
        Ok(measured)
    }

    fn origin(&self) -> Result<Server> {
        Server::origin(self.program, self.published, self.folder, self.cores)
    }

    /// Files with the very bytes that the origin serves, for a server of files.
    fn copy_files(&self, origin: &Server, kinds: &[Kind]) -> Result<Vec<Kind>> {
        let root = self.folder.join("static");
        let mut client = Client::connect(origin.address)?;
        let mut files = Vec::new();
        for kind in kinds
            .iter()
            .filter(|kind| STATIC.contains(&(kind.film, kind.name)))
        {
            for path in &kind.paths {
                let (_, body) = client.body(path)?;
                let file = root.join(path.trim_start_matches('/'));
                fs::create_dir_all(file.parent().unwrap_or(&root))?;
                fs::write(&file, body).context("cannot write a file for nginx")?;
            }
            files.push(kind.clone());
        }
        Ok(files)
    }

    /// Asks for each copy of a film once. The process and its connection are warm, and so is the page cache; what
    /// is not is everything that the origin knows of the film.
    fn cold(&self, kind: &Kind) -> Result<Cold> {
        eprintln!("origin: {} {}, cold", kind.film, kind.what);
        let origin = self.origin()?;
        let mut client = Client::connect(origin.address)?;
        let path = kind.paths.first().context("nothing to ask for")?;
        let mut times = Vec::new();
        client.get(path)?;
        for copy in 0..COPIES {
            let copy = publish::copy_name(kind.film, copy);
            let path = path.replacen(kind.film, &copy, 1);
            let reply = client.get(&path)?;
            if reply.status != 200 {
                bail!("{path} is answered {}", reply.status);
            }
            times.push(reply.first_byte.as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let at = |hundredths| percentile(&times, hundredths).unwrap_or_default();
        Ok(Cold {
            film: kind.film,
            what: kind.what.clone(),
            films: times.len(),
            first_byte_p50_ms: at(50),
            first_byte_most_ms: at(100),
        })
    }

    /// Weighs a fresh origin while it answers so many connections at once.
    fn memory(&self, kind: &Kind, connections: usize) -> Result<Memory> {
        let origin = self.origin()?;
        // The film's index belongs to the film, not to a request.
        Client::connect(origin.address)?.get(&format!("/v/{}/master.m3u8", kind.film))?;
        let before = origin.resident()?.now;
        origin.forget_peak()?;
        let effort = Effort {
            rounds: 1,
            ..self.effort
        };
        let line = load::measure(&origin, "origin", kind, connections, effort)?;
        let peak = origin.resident()?.peak;
        Ok(Memory {
            what: kind.what.clone(),
            connections,
            before,
            peak,
            segment: line.bytes,
            each: ratio(
                count(usize::try_from(peak.saturating_sub(before))?),
                count(connections),
            ),
        })
    }
}

fn is_asked_cold(kind: &Kind) -> bool {
    let names = ["fMP4", "TS", "master", "playlist", "mpd"];
    ["short", "long"].contains(&kind.film) && names.contains(&kind.name)
}

fn is_weighed(kind: &Kind) -> bool {
    kind.film == "short" && ["fMP4", "TS"].contains(&kind.name)
}

fn kinds(shelf: &Shelf) -> Result<Vec<Kind>> {
    let mut kinds = Vec::new();
    for film in [&shelf.short, &shelf.long] {
        kinds.extend(of_film(film, film.name, &CLEAR)?);
        if film.name == "short" {
            kinds.extend(of_film(film, LOCKED, &PROTECTED)?);
        }
    }
    Ok(kinds)
}

fn of_film(film: &Ready, published: &'static str, shapes: &[Shape]) -> Result<Vec<Kind>> {
    let picture = film.presentation.videos().last().context("no picture")?;
    let id = picture.id();
    let kinds = shapes.iter().map(|shape| {
        let Shape { name, what, path } = *shape;
        let path = path
            .replace("FILM", published)
            .replace("PICTURE", id.as_str());
        let numbers = if path.contains("{n}") {
            spread(picture.segment_count())
        } else {
            vec![1]
        };
        Kind {
            film: published,
            name,
            what: what.replace("PICTURE", id.as_str()),
            paths: numbers
                .iter()
                .map(|n| path.replace("{n}", &n.to_string()))
                .collect(),
        }
    });
    Ok(kinds.collect())
}

/// A kind of address.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    what: &'static str,
    path: &'static str,
}

const fn shape(name: &'static str, what: &'static str, path: &'static str) -> Shape {
    Shape { name, what, path }
}

const CLEAR: [Shape; 9] = [
    shape(
        "fMP4",
        "fMP4 segment, PICTURE",
        "/v/FILM/PICTURE/segment_{n}.m4s",
    ),
    shape(
        "TS",
        "TS segment, PICTURE with sound",
        "/v/FILM/PICTURE/segment_{n}.ts",
    ),
    shape(
        "sound",
        "fMP4 segment, sound",
        "/v/FILM/audio-und/segment_{n}.m4s",
    ),
    shape(
        "I-frame",
        "fMP4 I-frame, PICTURE",
        "/v/FILM/PICTURE/iframe_{n}.m4s",
    ),
    shape("init", "init segment", "/v/FILM/PICTURE/init.mp4"),
    shape(
        "playlist",
        "HLS media playlist, fMP4",
        "/v/FILM/PICTURE/playlist.m3u8",
    ),
    shape(
        "playlist TS",
        "HLS media playlist, TS",
        "/v/FILM/PICTURE/playlist_ts.m3u8",
    ),
    shape("master", "HLS master", "/v/FILM/master.m3u8"),
    shape("mpd", "DASH MPD", "/v/FILM/manifest.mpd"),
];
const PROTECTED: [Shape; 5] = [
    shape(
        "cenc",
        "fMP4 segment, cenc, PICTURE",
        "/v/FILM/@cenc/PICTURE/segment_{n}.m4s",
    ),
    shape(
        "cbcs",
        "fMP4 segment, cbcs, PICTURE",
        "/v/FILM/@cbcs/PICTURE/segment_{n}.m4s",
    ),
    shape(
        "fMP4 AES-128",
        "fMP4 segment, AES-128, PICTURE",
        "/v/FILM/@aes128/PICTURE/segment_{n}.m4s",
    ),
    shape(
        "TS AES-128",
        "TS segment, AES-128, PICTURE with sound",
        "/v/FILM/@aes128/PICTURE/segment_{n}.ts",
    ),
    shape(
        "TS SAMPLE-AES",
        "TS segment, SAMPLE-AES, PICTURE with sound",
        "/v/FILM/@sampleaes/PICTURE/segment_{n}.ts",
    ),
];
/// What nginx serves as files: a large body and a small one.
const STATIC: [(&str, &str); 2] = [("short", "fMP4"), ("short", "playlist")];
const CONNECTIONS: [usize; 2] = [1, 8];
const CROWDS: [usize; 3] = [1, 8, 64];
