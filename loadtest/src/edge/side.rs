//! Load on several servers in turn, so that what ails the machine ails all of them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Bench;
use super::hits::disk_hits;
use super::round::{self, Round, Wants};
use super::server::{Kind, Server};
use crate::machine::thread_time;
use crate::maths::{Figure, count, ratio};
use crate::wire::{Lane, Protocol};

/// A server under one kind of load.
pub(super) struct Side<'a> {
    pub(super) server: &'a Server,
    /// What the server is there as, for the table.
    pub(super) name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) wants: Wants,
}

/// What all sides of a comparison have in common.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) part: &'static str,
    pub(super) bytes: usize,
    /// What is compared; a server that does not speak it stands there by another.
    pub(super) protocol: Protocol,
    pub(super) source: Source,
}

/// Where what is asked for must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The origin has a request for each of ours.
    Origin,
    /// The origin has none.
    Cache,
    /// Nor does an edge of ours have it in memory.
    Disk,
}

/// What a server took.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) part: &'static str,
    pub(super) server: &'static str,
    pub(super) ours: bool,
    /// What is compared.
    pub(super) protocol: Protocol,
    /// What was spoken.
    pub(super) over: Protocol,
    /// Bytes of a body.
    pub(super) bytes: usize,
    pub(super) connections: usize,
    /// Streams of each.
    pub(super) streams: usize,
    /// Requests of all rounds.
    pub(super) requests: usize,
    /// Processor time of the server a request, in µs.
    pub(super) cpu_us: Figure,
    /// Seconds of processor time a GB (10⁹ bytes) of bodies.
    pub(super) s_gb: f64,
    /// Requests a second that the loader saw.
    pub(super) requests_s: f64,
    /// From request to the end of the answer, in ms.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Parts of the time in which the server, and the loader, were at work: near 1, it is they who set the pace.
    pub(super) busy: f64,
    pub(super) loader_busy: f64,
}

/// A side in progress.
struct Player<'a> {
    side: Side<'a>,
    lanes: Vec<Lane>,
    requests: usize,
    cpu_us: Vec<f64>,
    wall: Duration,
    loader: Duration,
    latency: Histogram<u64>,
}

impl Bench<'_> {
    /// Measures all sides, a round of each in turn.
    pub(super) async fn compare(&self, load: Load, sides: Vec<Side<'_>>) -> Result<Vec<Line>> {
        let mut players = Vec::new();
        for side in sides {
            let lanes = self.lanes(side.server, side.protocol, load.bytes).await?;
            let wanted = round::calibrate(lanes, &side.wants, self.effort.round).await;
            let (lanes, requests) = wanted.with_context(|| load.names(&side))?;
            players.push(Player {
                side,
                lanes,
                requests,
                cpu_us: Vec::new(),
                wall: Duration::ZERO,
                loader: Duration::ZERO,
                latency: Histogram::new(3)?,
            });
        }
        for _ in 0..self.effort.rounds {
            for player in &mut players {
                let before = self.reads(load.source, player.side.server)?;
                let played = player.round().await;
                let round = played.with_context(|| load.names(&player.side))?;
                let after = self.reads(load.source, player.side.server)?;
                let reads = (after.0 - before.0, after.1 - before.1);
                ensure!(
                    reads == load.source.expects(player.side.server, round.requests),
                    "{}: {} requests gave {} at the origin and {} reads from the disk",
                    load.names(&player.side),
                    round.requests,
                    reads.0,
                    reads.1
                );
            }
        }
        players
            .into_iter()
            .map(|player| player.line(load))
            .collect()
    }

    /// Requests that the origin has had, and objects that an edge has found on its disks where it is to.
    fn reads(&self, source: Source, server: &Server) -> Result<(usize, usize)> {
        let disk = match source.expects(server, 1).1 {
            0 => 0,
            _ => disk_hits(server)?,
        };
        Ok((self.origin.requests(), disk))
    }

    /// Connections as this size of bodies wants them, with their lanes.
    pub(super) async fn lanes(
        &self,
        server: &Server,
        protocol: Protocol,
        bytes: usize,
    ) -> Result<Vec<Lane>> {
        let (connections, streams) = crowd(protocol, bytes);
        let address = server.address(protocol).context("not spoken there")?;
        let mut lanes = Vec::new();
        for _ in 0..connections {
            let opened = self.client.connect(address, round::NAME, protocol, streams);
            lanes.extend(opened.await?);
        }
        Ok(lanes)
    }
}

impl Source {
    /// Requests at the origin, and objects found on the disks, of so many requests.
    fn expects(self, server: &Server, requests: usize) -> (usize, usize) {
        match (self, server.kind) {
            (Self::Origin, _) => (requests, 0),
            (Self::Disk, Kind::Ours) => (0, requests),
            (Self::Disk | Self::Cache, _) => (0, 0),
        }
    }
}

impl Load {
    fn names(&self, side: &Side<'_>) -> String {
        format!(
            "{}: {}, {} bytes over {}",
            self.part,
            side.name,
            self.bytes,
            side.protocol.name()
        )
    }
}

impl Player<'_> {
    async fn round(&mut self) -> Result<Round> {
        let lanes = std::mem::take(&mut self.lanes);
        let (before, own) = (self.side.server.time()?, thread_time());
        let (lanes, round) = round::run(lanes, &self.side.wants, self.requests).await?;
        self.loader += thread_time() - own;
        let used = self.side.server.time()?.saturating_sub(before);
        self.lanes = lanes;
        self.cpu_us
            .push(ratio(used.as_secs_f64() * 1e6, count(round.requests)));
        self.wall += round.wall;
        self.latency.add(&round.latency)?;
        Ok(round)
    }

    fn line(self, load: Load) -> Result<Line> {
        let requests = self.requests * self.cpu_us.len();
        let cpu_us = Figure::of(self.cpu_us).context("no round was measured")?;
        let (connections, streams) = crowd(self.side.protocol, load.bytes);
        let at = |quantile| ms(self.latency.value_at_quantile(quantile));
        Ok(Line {
            part: load.part,
            server: self.side.name,
            ours: self.side.server.kind == Kind::Ours,
            protocol: load.protocol,
            over: self.side.protocol,
            bytes: load.bytes,
            connections,
            streams,
            requests,
            s_gb: ratio(cpu_us.median * 1e3, count(load.bytes)),
            requests_s: ratio(count(requests), self.wall.as_secs_f64()),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            busy: ratio(
                cpu_us.median * count(requests),
                self.wall.as_secs_f64() * 1e6,
            ),
            loader_busy: ratio(self.loader.as_secs_f64(), self.wall.as_secs_f64()),
            cpu_us,
        })
    }
}

/// Connections, and streams of each.
const fn crowd(protocol: Protocol, bytes: usize) -> (usize, usize) {
    let small = bytes <= 4 << 10;
    match protocol {
        Protocol::Plain | Protocol::Tls if small => (32, 1),
        Protocol::Plain | Protocol::Tls => (8, 1),
        Protocol::H2 | Protocol::H3 if small => (4, 8),
        Protocol::H2 | Protocol::H3 => (4, 4),
    }
}

/// Nanoseconds in ms.
pub(super) fn ms(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
}
