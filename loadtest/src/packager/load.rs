//! Load on one server: some connections that ask for the same kind of thing again and again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::maths::{Figure, count, percentile, ratio};
use crate::packager::client::Client;
use crate::packager::packing::Effort;
use crate::packager::server::Server;

/// One line of the table: a kind of request over some connections.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) server: &'static str,
    pub(crate) film: &'static str,
    /// The short name of the kind.
    pub(crate) name: &'static str,
    pub(crate) what: String,
    pub(crate) connections: usize,
    pub(crate) requests: usize,
    /// Bytes of a body.
    pub(crate) bytes: f64,
    /// Processor time of the server a request, in µs.
    pub(crate) cpu_us: Figure,
    /// Seconds of processor time a GB (10⁹ bytes) of bodies.
    pub(crate) s_gb: f64,
    /// MB/s that one core could serve: the inverse.
    pub(crate) mb_s_core: f64,
    /// Requests a second that were seen.
    pub(crate) requests_s: f64,
    /// From request to first byte, in ms.
    pub(crate) first_byte_p50_ms: f64,
    pub(crate) first_byte_p99_ms: f64,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) film: &'static str,
    /// A short name, to find it again.
    pub(crate) name: &'static str,
    pub(crate) what: String,
    /// Taken in turn.
    pub(crate) paths: Vec<String>,
}

/// What one round gave.
struct Round {
    requests: usize,
    bytes: usize,
    wall: Duration,
    cpu: Duration,
    first_bytes_ms: Vec<f64>,
}

/// Whether a server has this kind at all: a view that it does not know is answered 404.
pub(crate) fn is_served(server: &Server, kind: &Kind) -> Result<bool> {
    let path = kind.paths.first().context("nothing to ask for")?;
    match Client::connect(server.address)?.get(path)?.status {
        200 => Ok(true),
        404 => Ok(false),
        other => bail!("{path} is answered {other}"),
    }
}

/// Measures a kind over so many connections.
pub(crate) fn measure(
    server: &Server,
    name: &'static str,
    kind: &Kind,
    connections: usize,
    effort: Effort,
) -> Result<Line> {
    eprintln!("{name}: {} {}, {connections} at once", kind.film, kind.what);
    let mut clients = (0..connections)
        .map(|_| Client::connect(server.address))
        .collect::<Result<Vec<_>>>()?;
    for client in &mut clients {
        ask(client, kind, 0)?;
    }
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        rounds.push(round(server, &mut clients, kind, effort.round)?);
    }
    line(name, kind, connections, rounds)
}

fn round(server: &Server, clients: &mut [Client], kind: &Kind, time: Duration) -> Result<Round> {
    let before = server.time()?;
    let start = Instant::now();
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(first, client)| scope.spawn(move || repeat(client, kind, first, start + time)))
            .collect();
        let ended = workers.into_iter().map(|worker| {
            let ended = worker.join();
            ended.unwrap_or_else(|_| bail!("a connection's thread ended early"))
        });
        ended.collect::<Result<Vec<_>>>()
    })?;
    let mut sum = Round {
        requests: 0,
        bytes: 0,
        wall: start.elapsed(),
        cpu: server.time()? - before,
        first_bytes_ms: Vec::new(),
    };
    for (bytes, times) in parts {
        sum.requests += times.len();
        sum.bytes += bytes;
        sum.first_bytes_ms.extend(times);
    }
    Ok(sum)
}

/// Asks until the time is over; bytes and the times to the first byte come back.
fn repeat(
    client: &mut Client,
    kind: &Kind,
    first: usize,
    end: Instant,
) -> Result<(usize, Vec<f64>)> {
    let (mut bytes, mut times) = (0, Vec::new());
    while Instant::now() < end {
        let (got, first_byte) = ask(client, kind, first + times.len())?;
        bytes += got;
        times.push(first_byte.as_secs_f64() * 1e3);
    }
    Ok((bytes, times))
}

fn ask(client: &mut Client, kind: &Kind, at: usize) -> Result<(usize, Duration)> {
    let place = at.checked_rem(kind.paths.len()).unwrap_or_default();
    let path = kind.paths.get(place).context("nothing to ask for")?;
    let reply = client.get(path)?;
    if reply.status != 200 {
        bail!("{path} is answered {}", reply.status);
    }
    Ok((reply.bytes, reply.first_byte))
}

fn line(server: &'static str, kind: &Kind, connections: usize, rounds: Vec<Round>) -> Result<Line> {
    let requests = rounds.iter().map(|round| round.requests).sum();
    let bytes: usize = rounds.iter().map(|round| round.bytes).sum();
    let wall: Duration = rounds.iter().map(|round| round.wall).sum();
    let costs = rounds.iter().map(|round| {
        let cpu_us = round.cpu.as_secs_f64() * 1e6;
        ratio(cpu_us, count(round.requests))
    });
    let cpu_us = Figure::of(costs.collect()).context("no round was measured")?;
    let body = ratio(count(bytes), count(requests));
    let mut times: Vec<f64> = rounds
        .into_iter()
        .flat_map(|round| round.first_bytes_ms)
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |hundredths| percentile(&times, hundredths).unwrap_or_default();
    Ok(Line {
        server,
        film: kind.film,
        name: kind.name,
        what: kind.what.clone(),
        connections,
        requests,
        bytes: body,
        s_gb: ratio(cpu_us.median * 1e3, body),
        mb_s_core: ratio(body, cpu_us.median),
        requests_s: ratio(count(requests), wall.as_secs_f64()),
        first_byte_p50_ms: at(50),
        first_byte_p99_ms: at(99),
        cpu_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_sums_rounds_up_in_the_units_that_it_names() {
        let kind = Kind {
            film: "short",
            name: "fMP4",
            what: "segment".to_owned(),
            paths: vec!["/a".to_owned()],
        };
        let round = |cpu_ms| Round {
            requests: 10,
            bytes: 20_000_000,
            wall: Duration::from_millis(500),
            cpu: Duration::from_millis(cpu_ms),
            first_bytes_ms: vec![1.0, 3.0],
        };
        let line = line("origin", &kind, 1, vec![round(20), round(40), round(10)]).unwrap();
        assert_eq!((line.requests, line.bytes), (30, 2_000_000.0));
        assert!((line.cpu_us.median - 2000.0).abs() < 1e-9);
        assert!((line.s_gb - 1.0).abs() < 1e-9);
        assert!((line.mb_s_core - 1000.0).abs() < 1e-9);
        assert!((line.requests_s - 20.0).abs() < 1e-9);
        assert!((line.first_byte_p50_ms - 2.0).abs() < 1e-9);
    }
}
