//! A round: many requests over some connections, each answer looked at.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::{JoinSet, LocalSet};

use super::Engine;
use crate::machine;
use crate::maths::{count, ratio};
use crate::wire::{Ask, Client, Protocol};

/// A request, and the status that must come back.
#[derive(Clone, Debug)]
pub(super) struct Want {
    method: &'static str,
    path: String,
    /// What is shown; empty: nothing.
    shown: String,
    body: String,
    status: u16,
}

impl Want {
    /// A session of somebody who is signed in.
    pub(super) fn start(shown: &str) -> Self {
        let body = r#"{"video_id":"film"}"#;
        Self::post("/v1/playback/start", body, 201).showing(shown)
    }

    /// A heartbeat of a session.
    pub(super) fn heartbeat(session: &str) -> Self {
        let body = r#"{"position_s":3.5,"state":"playing","seq":1}"#;
        Self::post(&format!("/v1/playback/{session}/heartbeat"), body, 200)
    }

    /// The end of a session.
    pub(super) fn stop(session: &str) -> Self {
        Self::post(&format!("/v1/playback/{session}/stop"), "{}", 204)
    }

    /// Any request with JSON.
    pub(super) fn post(path: &str, body: &str, status: u16) -> Self {
        Self {
            method: "POST",
            path: path.to_owned(),
            shown: String::new(),
            body: body.to_owned(),
            status,
        }
    }

    /// The same from somebody.
    pub(super) fn showing(self, shown: &str) -> Self {
        Self {
            shown: shown.to_owned(),
            ..self
        }
    }

    /// As it goes over HTTP/1.1, from an address that no limit has counted yet.
    fn ask(&self, number: usize) -> Result<Ask> {
        let (body, method) = (&self.body, self.method);
        let [.., a, b, c] = number.to_be_bytes();
        let mut head =
            format!("content-type: application/json\r\nmillrace-client-ip: 10.{a}.{b}.{c}\r\n");
        if !self.shown.is_empty() {
            head += &format!("authorization: Bearer {}\r\n", self.shown);
        }
        Ask::telling("bench.test", (method, &self.path), &head, body.as_bytes())
    }
}

/// What a round found.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) what: &'static str,
    pub(super) engine: Engine,
    pub(super) connections: usize,
    pub(super) requests: usize,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) most_ms: f64,
    pub(super) requests_s: f64,
    /// Processor time of the control plane a request, in µs.
    pub(super) cpu_us: f64,
    /// The same of the server of the catalogue and its processes.
    pub(super) database_cpu_us: Option<f64>,
    /// How much of the time the bench itself worked.
    pub(super) loader_busy: f64,
}

/// Whose processor time is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processes {
    pub(super) control: u32,
    pub(super) database: Option<u32>,
}

impl Processes {
    fn times(self) -> Result<(Duration, Option<Duration>)> {
        let database = self.database.map(machine::family_time).transpose()?;
        Ok((machine::process_time(self.control)?, database))
    }
}

/// What the connections of a round share.
struct Shared {
    wants: Vec<Want>,
    next: usize,
    bodies: Vec<Vec<u8>>,
    times: Histogram<u64>,
}

/// Asks for everything once, and gives what was answered beside the figures.
pub(super) async fn run(
    (what, engine): (&'static str, Engine),
    wants: Vec<Want>,
    connections: usize,
    (client, address): (&Client, SocketAddr),
    processes: Processes,
) -> Result<(Line, Vec<Vec<u8>>)> {
    let requests = wants.len();
    let shared = Rc::new(RefCell::new(Shared {
        wants,
        next: 0,
        bodies: Vec::with_capacity(requests),
        times: Histogram::new(3)?,
    }));
    let mut lanes = Vec::new();
    for _ in 0..connections {
        let opened = client.connect(address, "bench.test", Protocol::Plain, 1);
        lanes.extend(opened.await?);
    }
    let (before, busy, began) = (processes.times()?, machine::thread_time(), Instant::now());
    let local = LocalSet::new();
    let mut asking = JoinSet::new();
    for mut lane in lanes {
        let shared = Rc::clone(&shared);
        asking.spawn_local_on(async move { ask(&mut lane, &shared).await }, &local);
    }
    let done = async {
        while let Some(asked) = asking.join_next().await {
            asked.context("a connection panicked")??;
        }
        Ok::<_, anyhow::Error>(())
    };
    local.run_until(done).await?;
    let (wall, busy, after) = (
        began.elapsed(),
        machine::thread_time() - busy,
        processes.times()?,
    );
    let shared = Rc::into_inner(shared).context("a connection goes on")?;
    let shared = shared.into_inner();
    let each = |time: Duration| ratio(time.as_secs_f64() * 1e6, count(requests));
    let ms = |quantile| shared.times.value_at_quantile(quantile) as f64 / 1e3;
    let database = before.1.zip(after.1);
    let line = Line {
        what,
        engine,
        connections,
        requests,
        p50_ms: ms(0.5),
        p90_ms: ms(0.9),
        p99_ms: ms(0.99),
        most_ms: shared.times.max() as f64 / 1e3,
        requests_s: ratio(count(requests), wall.as_secs_f64()),
        cpu_us: each(after.0.saturating_sub(before.0)),
        database_cpu_us: database.map(|(before, after)| each(after.saturating_sub(before))),
        loader_busy: ratio(busy.as_secs_f64(), wall.as_secs_f64()),
    };
    Ok((line, shared.bodies))
}

async fn ask(lane: &mut crate::wire::Lane, shared: &RefCell<Shared>) -> Result<()> {
    loop {
        let taken = {
            let mut shared = shared.borrow_mut();
            let number = shared.next;
            shared.next += 1;
            shared.wants.get(number).cloned().map(|want| (number, want))
        };
        let Some((number, want)) = taken else {
            return Ok(());
        };
        let (ask, mut body) = (want.ask(number)?, Vec::new());
        let began = Instant::now();
        let answer = lane
            .get(&ask, |piece| body.extend_from_slice(piece))
            .await?;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        ensure!(
            answer.status == want.status,
            "{} was answered {}: {}",
            want.path,
            answer.status,
            String::from_utf8_lossy(&body)
        );
        let mut shared = shared.borrow_mut();
        shared.times.record(took)?;
        shared.bodies.push(body);
    }
}
