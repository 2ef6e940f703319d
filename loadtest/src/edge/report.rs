//! The outcome: tables for people, and the same as JSON.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::Arguments;
use super::collapse::Crowd;
use super::connections::{Fresh, Idle};
use super::gate;
use super::server::speaks_quic;
use super::side::Line;
use crate::machine;
use crate::maths::ratio;
use crate::table::{Table, fine, percent, whole};

/// Everything that a run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    environment: Vec<String>,
    pub(super) lines: Vec<Line>,
    pub(super) crowds: Vec<Crowd>,
    pub(super) fresh: Vec<Fresh>,
    pub(super) idle: Vec<Idle>,
    pub(super) token: Vec<gate::Line>,
}

/// What the figures depend on: network, machine, versions, effort.
pub(super) fn environment(arguments: &Arguments) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(fault) = machine::noisy_network() {
        lines.push(format!(
            "not comparable with figures from a private network namespace: {fault}"
        ));
    }
    lines.push(machine::describe());
    let programs = [
        (Some(arguments.millrace.as_path()), "--version"),
        (arguments.nginx.as_deref(), "-v"),
        (arguments.nginx_h3.as_deref(), "-v"),
    ];
    let found = programs
        .into_iter()
        .filter_map(|(program, asked)| machine::version(program?, asked));
    lines.push(found.collect::<Vec<_>>().join("; "));
    let [nginx, nginx_h3] = [&arguments.nginx, &arguments.nginx_h3];
    let mut peers = nginx.iter().chain(nginx_h3).peekable();
    if peers.peek().is_none() {
        lines.push("without nginx: nothing to compare with".to_owned());
    } else if !peers.any(|program| speaks_quic(program)) {
        lines.push("no nginx with HTTP/3: beside our h3 stands HTTP/1.1 over TLS".to_owned());
    }
    if arguments.quick {
        lines.push("quick: rounds too short for figures to rely on".to_owned());
    }
    lines
}

impl Report {
    /// An empty report.
    pub(super) const fn new(environment: Vec<String>) -> Self {
        Self {
            environment,
            lines: Vec::new(),
            crowds: Vec::new(),
            fresh: Vec::new(),
            idle: Vec::new(),
            token: Vec::new(),
        }
    }

    /// Writes it as JSON.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(std::fs::write(file, json)?)
    }

    /// Prints the tables.
    pub(super) fn print(&self) -> Result<()> {
        let mut out = String::new();
        for line in &self.environment {
            writeln!(out, "{line}")?;
        }
        for part in ["hits, memory", "hits, warm disk", "fills"] {
            self.load_table(part, &mut out)?;
        }
        self.crowd_table(&mut out)?;
        self.connection_tables(&mut out)?;
        self.token_table(&mut out)?;
        Ok(std::io::stdout().write_all(out.as_bytes())?)
    }

    fn load_table(&self, part: &str, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            part,
            "what,server,spoken,CPU µs,spread,s/GB,req/s,p50 ms,p99 ms,busy,loader busy,\"edge ÷ it\"",
        );
        for line in self.lines.iter().filter(|line| line.part == part) {
            let beside = if line.ours {
                String::new()
            } else {
                self.times(line)
            };
            table.row([
                format!("{:>7} {}", size(line.bytes), line.protocol.name()),
                line.server.to_owned(),
                line.over.name().to_owned(),
                fine(line.cpu_us.median),
                percent(line.cpu_us.spread()),
                format!("{:.3}", line.s_gb),
                whole(line.requests_s),
                fine(line.p50_ms),
                fine(line.p99_ms),
                percent(line.busy * 1e2),
                percent(line.loader_busy * 1e2),
                beside,
            ]);
        }
        table.print(out)
    }

    /// By how much ours costs more than what a line tells.
    fn times(&self, line: &Line) -> String {
        let same = |one: &&Line| {
            one.ours
                && one.part == line.part
                && one.bytes == line.bytes
                && one.protocol == line.protocol
        };
        let ours = self.lines.iter().find(same);
        ours.map_or_else(String::new, |ours| {
            fine(ratio(ours.cpu_us.median, line.cpu_us.median))
        })
    }

    fn crowd_table(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            "Clients at once on one cold object; first byte since the origin's",
            "what,server,spoken,clients,origin requests,first p50 ms,first most ms,last done ms",
        );
        for crowd in &self.crowds {
            table.row([
                crowd.what.to_owned(),
                crowd.server.to_owned(),
                crowd.over.name().to_owned(),
                crowd.clients.to_string(),
                crowd.origin_requests.to_string(),
                fine(crowd.first_p50_ms),
                fine(crowd.first_most_ms),
                whole(crowd.done_ms),
            ]);
        }
        table.print(out)
    }

    fn connection_tables(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new(
            "New connections, one request of 4 KiB each",
            "server,spoken,CPU µs,spread",
        );
        for line in &self.fresh {
            table.row([
                line.server.to_owned(),
                line.over.name().to_owned(),
                whole(line.cpu_us.median),
                percent(line.cpu_us.spread()),
            ]);
        }
        table.print(out)?;
        let mut table = Table::new(
            "Idle connections that have asked once",
            "server,spoken,connections,KiB each",
        );
        for line in &self.idle {
            table.row([
                line.server.to_owned(),
                line.over.name().to_owned(),
                line.connections.to_string(),
                fine(line.each / 1024.0),
            ]);
        }
        table.print(out)
    }

    fn token_table(&self, out: &mut String) -> Result<()> {
        let mut table = Table::new("The check of a token by itself", "what,µs,spread");
        for line in &self.token {
            let (what, us) = line.cells();
            table.row([what, format!("{:.3}", us.median), percent(us.spread())]);
        }
        table.print(out)
    }
}

fn size(bytes: usize) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes >> 10)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}
