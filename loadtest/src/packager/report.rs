//! The outcome: a table for people, and the same as JSON.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::machine;
use crate::maths::ratio;
use crate::packager::Arguments;
use crate::packager::http::Measured;
use crate::packager::media::Films;
use crate::packager::packing;
use crate::packager::peers::{NGINX_VOD, Peers, Recorded};
use crate::table::{Table, fine, megabytes, percent, whole};

/// Everything that a run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) environment: Vec<String>,
    pub(crate) packing: Vec<packing::Line>,
    pub(crate) http: Measured,
    pub(crate) peers: Peers,
    /// Beside figures that were taken elsewhere.
    pub(crate) recorded: Vec<Compared>,
}

/// A figure that was recorded elsewhere, and ours.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    #[serde(flatten)]
    recorded: Recorded,
    /// Ours in µs; none where the origin does not serve it.
    ours_us: Option<f64>,
}

/// What the figures depend on: machine, versions, effort.
pub(crate) fn environment(millrace: Option<&Path>, arguments: &Arguments) -> Vec<String> {
    let mut lines = vec![machine::describe()];
    let programs = [
        (millrace, "--version"),
        (Some(Path::new("ffmpeg")), "-version"),
        (arguments.nginx.as_deref(), "-v"),
        (arguments.shaka.as_deref(), "--version"),
    ];
    let found = programs
        .into_iter()
        .filter_map(|(program, asked)| machine::version(program?, asked));
    let versions = found.collect::<Vec<_>>().join("; ");
    lines.push(versions);
    if arguments.quick {
        lines.push("quick: rounds too short for figures to rely on".to_owned());
    }
    lines
}

impl Report {
    /// An empty report.
    pub(crate) fn new(mut environment: Vec<String>, films: &Films) -> Self {
        for film in [&films.short, &films.long] {
            environment.push(format!("{}: {}", film.name, film.about));
        }
        Self {
            environment,
            packing: Vec::new(),
            http: Measured::default(),
            peers: Peers::default(),
            recorded: Vec::new(),
        }
    }

    /// Puts our figures, over one connection, beside the recorded ones.
    pub(crate) fn compare(&mut self) {
        let ours = |recorded: &Recorded| {
            let lines = self.http.warm.iter().filter(|line| line.server == "origin");
            let mut lines =
                lines.filter(|line| line.film == recorded.film && line.name == recorded.ours);
            lines
                .find(|line| line.connections == 1)
                .map(|line| line.cpu_us.median)
        };
        let compared = NGINX_VOD.iter().map(|recorded| Compared {
            recorded: *recorded,
            ours_us: ours(recorded),
        });
        self.recorded = compared.collect();
    }

    /// Writes it as JSON.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(std::fs::write(file, json)?)
    }

    /// Prints the tables.
    pub(crate) fn print(&self) -> Result<()> {
        let mut out = String::new();
        for line in &self.environment {
            writeln!(out, "{line}")?;
        }
        self.packing_table(&mut out)?;
        self.http_tables(&mut out)?;
        self.peer_tables(&mut out)?;
        Ok(std::io::stdout().write_all(out.as_bytes())?)
    }

    fn packing_table(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            "Packing alone, one thread of this process",
            "film,what,bytes,µs,spread,µs fresh memory,spread,new pages,MB/s core",
        );
        for line in &self.packing {
            let fresh = |value: fn(&crate::maths::Figure) -> String| {
                line.fresh_us.as_ref().map_or_else(String::new, value)
            };
            table.row([
                line.film.to_owned(),
                line.what.clone(),
                whole(line.bytes),
                fine(line.warm_us.median),
                percent(line.warm_us.spread()),
                fresh(|figure| fine(figure.median)),
                fresh(|figure| percent(figure.spread())),
                if line.fresh_us.is_some() {
                    whole(line.fresh_pages)
                } else {
                    String::new()
                },
                whole(line.mb_s),
            ]);
        }
        table.print(out)
    }

    fn http_tables(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            "Over HTTP/1.1, kept connections; processor time is the server's",
            "server,film,what,conns,bytes,CPU µs,spread,s/GB,MB/s core,req/s,first byte p50 ms,p99 ms",
        );
        for line in &self.http.warm {
            table.row([
                line.server.to_owned(),
                line.film.to_owned(),
                line.what.clone(),
                line.connections.to_string(),
                whole(line.bytes),
                fine(line.cpu_us.median),
                percent(line.cpu_us.spread()),
                format!("{:.3}", line.s_gb),
                whole(line.mb_s_core),
                whole(line.requests_s),
                format!("{:.3}", line.first_byte_p50_ms),
                format!("{:.3}", line.first_byte_p99_ms),
            ]);
        }
        table.print(out)?;
        for kind in &self.http.not_served {
            writeln!(out, "not served by this origin: {kind}")?;
        }
        let mut table = Table::new(
            "The first request of a film: nothing of it in the origin's memory, files in the page cache",
            "film,what,films,first byte p50 ms,most ms",
        );
        for line in &self.http.cold {
            table.row([
                line.film.to_owned(),
                line.what.clone(),
                line.films.to_string(),
                format!("{:.3}", line.first_byte_p50_ms),
                format!("{:.3}", line.first_byte_most_ms),
            ]);
        }
        table.print(out)?;
        let mut table = Table::new(
            "Memory of an origin while connections fetch segments",
            "what,conns,segment MB,before MB,peak MB,MB a connection",
        );
        for line in &self.http.memory {
            table.row([
                line.what.clone(),
                line.connections.to_string(),
                megabytes(line.segment),
                megabytes(line.before as f64),
                megabytes(line.peak as f64),
                megabytes(line.each),
            ]);
        }
        table.print(out)
    }

    fn peer_tables(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            "Other packagers, the whole short film (1080p and sound) in one process, in this run",
            "program,what,CPU µs a segment,spread,MB/s core",
        );
        for line in &self.peers.lines {
            table.row([
                line.program.to_owned(),
                line.what.to_owned(),
                fine(line.segment_us.median),
                percent(line.segment_us.spread()),
                whole(line.mb_s),
            ]);
        }
        table.print(out)?;
        for program in &self.peers.missing {
            writeln!(out, "not measured: {program}")?;
        }
        let mut table = Table::new(
            "nginx-vod-module: NOT of this run; CPU µs a request, ours over one connection",
            "what,\"nginx-vod-module, recorded elsewhere\",ours,ours / theirs",
        );
        for line in &self.recorded {
            let ours = |value: fn(f64, f64) -> String| {
                line.ours_us
                    .map_or_else(|| "–".to_owned(), |us| value(us, line.recorded.cpu_us))
            };
            table.row([
                line.recorded.what.to_owned(),
                fine(line.recorded.cpu_us),
                ours(|us, _| fine(us)),
                ours(|us, theirs| format!("{:.2}", ratio(us, theirs))),
            ]);
        }
        table.print(out)
    }
}
