//! What the bench prints and writes down.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{Bench, encode, playable, upload};
use crate::machine;
use crate::maths::Figure;
use crate::table::{Table, fine, megabytes, percent, whole};

/// Everything that a run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    environment: Vec<String>,
    film: String,
    rounds: usize,
    pub(super) uploads: Vec<upload::Line>,
    pub(super) encodes: Vec<encode::Line>,
    pub(super) playable: Option<playable::Line>,
}

impl Report {
    pub(super) fn new(bench: &Bench<'_>) -> Self {
        let programs = [
            (Some(bench.millrace), "--version"),
            (bench.nginx, "-v"),
            (Some(Path::new("ffmpeg")), "-version"),
        ];
        let versions = programs
            .into_iter()
            .filter_map(|(program, argument)| machine::version(program?, argument));
        Self {
            environment: [machine::describe()].into_iter().chain(versions).collect(),
            film: bench.films.about.clone(),
            rounds: bench.rounds,
            uploads: Vec::new(),
            encodes: Vec::new(),
            playable: None,
        }
    }

    pub(super) fn print(&self) -> Result<()> {
        let mut out = String::new();
        for line in &self.environment {
            writeln!(out, "{line}")?;
        }
        writeln!(
            out,
            "medians of {} rounds; film: {}",
            self.rounds, self.film
        )?;
        self.print_uploads(&mut out)?;
        self.print_encodes(&mut out)?;
        if let Some(line) = &self.playable {
            writeln!(
                out,
                "\nA film that can be shown as it comes: to be watched {} s after `complete` was sent \
                 ({} to {}), its ladder there after {} s",
                fine(line.playable_s.median),
                fine(line.playable_s.least),
                fine(line.playable_s.most),
                fine(line.ready_s.median)
            )?;
        }
        Ok(std::io::stdout().write_all(out.as_bytes())?)
    }

    fn print_uploads(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            "Bytes in",
            "server,MB,MB/s,spread,CPU s/GB,idle MB,peak MB,joining s,joining CPU s/GB,MB/s joined,ready s after,loader busy",
        );
        for line in &self.uploads {
            let joining = |value: fn(&upload::Joining) -> &Figure| {
                let joining = line.joining.as_ref();
                joining.map_or_else(String::new, |joining| fine(value(joining).median))
            };
            let memory = |at: usize| {
                let bytes = line.memory.as_ref().and_then(|memory| memory.get(at));
                bytes.map_or_else(String::new, |bytes| megabytes(*bytes as f64))
            };
            table.row([
                line.server.to_owned(),
                whole(line.bytes as f64 / 1e6),
                whole(line.mb_s.median),
                percent(line.mb_s.spread()),
                fine(line.s_gb.median),
                memory(0),
                memory(1),
                joining(|joining| &joining.seconds),
                joining(|joining| &joining.s_gb),
                joining(|joining| &joining.whole_mb_s),
                joining(|joining| &joining.ready),
                percent(line.loader_busy * 1e2),
            ]);
        }
        table.print(out)
    }

    fn print_encodes(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            "Making a film's ladder of five, and its sound",
            "what,cores,s,spread,CPU s,of it in encoders s,s ÷ ffmpeg,CPU ÷ ffmpeg",
        );
        for line in &self.encodes {
            table.row([
                line.what.to_owned(),
                line.cores.to_string(),
                fine(line.wall_s.median),
                percent(line.wall_s.spread()),
                fine(line.cpu_s.median),
                line.encoding_s
                    .map_or_else(String::new, |seconds| fine(seconds.median)),
                fine(line.beside_ffmpeg),
                fine(line.cpu_beside_ffmpeg),
            ]);
        }
        table.print(out)
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(std::fs::write(file, json)?)
    }
}
