//! Many clients at once on one cold object: how many requests reach the origin, and who waits for whom.

use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::task::{JoinSet, LocalSet};

use super::origin::Way;
use super::round::{NAME, Want};
use super::server::{Mode, Server};
use super::{Bench, Peers};
use crate::maths::percentile;
use crate::wire::{Lane, Protocol};

/// What a crowd saw.
#[derive(Debug, Serialize)]
pub(super) struct Crowd {
    pub(super) what: &'static str,
    pub(super) server: &'static str,
    pub(super) over: Protocol,
    pub(super) clients: usize,
    /// Requests at the origin, the most of all rounds.
    pub(super) origin_requests: usize,
    /// From the first byte of a body that the origin sent to the first that a client had, in ms.
    pub(super) first_p50_ms: f64,
    pub(super) first_most_ms: f64,
    /// From asking until the last client was done, in ms.
    pub(super) done_ms: f64,
}

/// A kind of object and how often it is tried.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    way: Way,
    bytes: usize,
    rounds: usize,
}

const CASES: [Case; 3] = [
    Case {
        what: "4 MB at 2 MB/s",
        way: Way::Slow,
        bytes: 4 << 20,
        rounds: 3,
    },
    Case {
        what: "not to be stored",
        way: Way::NoStore,
        bytes: 64 << 10,
        rounds: 1,
    },
    Case {
        what: "503",
        way: Way::Down,
        bytes: 64,
        rounds: 1,
    },
];

impl Bench<'_> {
    /// Tries every case over every protocol.
    pub(super) async fn collapse(&self, edge: &Server, nginx: &Peers) -> Result<Vec<Crowd>> {
        let mut crowds = Vec::new();
        for case in CASES {
            for protocol in self.protocols() {
                for server in std::iter::once(edge).chain(nginx.over(protocol)) {
                    let skips = case.way != Way::Slow && self.skips(protocol);
                    if skips || server.address(protocol).is_none() {
                        continue;
                    }
                    eprintln!("{}: {} over {}", case.what, server.name, protocol.name());
                    let crowd = self.crowd(case, server, protocol).await;
                    crowds.push(crowd.with_context(|| format!("{}: {}", case.what, server.name))?);
                }
            }
        }
        Ok(crowds)
    }

    async fn crowd(&self, case: Case, server: &Server, protocol: Protocol) -> Result<Crowd> {
        let address = server.address(protocol).context("not spoken there")?;
        let mut lanes = Vec::new();
        for _ in 0..self.effort.crowd {
            let opened = self.client.connect(address, NAME, protocol, 1).await?;
            lanes.extend(opened);
        }
        let (mut firsts, mut origin_requests, mut done_ms) = (Vec::new(), 0, 0.0_f64);
        let rounds = if self.arguments.quick { 1 } else { case.rounds };
        for round in 0..rounds {
            let number = round * 1000 + self.origin.requests();
            let path = case.way.path(case.bytes, number);
            let target = server.target(&self.signer, Mode::Cache, &path)?;
            let want = Want::new(target, &path, case.bytes)?;
            let want = if case.way == Way::Down {
                want.failing()
            } else {
                want
            };
            let start = Instant::now();
            let (back, times) = at_once(lanes, Rc::new(want)).await?;
            lanes = back;
            let watched = self.origin.watched(&path);
            let first = watched.first.context("the origin sent nothing")?;
            origin_requests = origin_requests.max(watched.requests);
            for (begun, done) in times {
                firsts.push(since(first, begun));
                done_ms = done_ms.max(since(start, done));
            }
        }
        firsts.sort_by(f64::total_cmp);
        let at = |hundredths| percentile(&firsts, hundredths).unwrap_or_default();
        Ok(Crowd {
            what: case.what,
            server: server.name,
            over: protocol,
            clients: self.effort.crowd,
            origin_requests,
            first_p50_ms: at(50),
            first_most_ms: at(100),
            done_ms,
        })
    }
}

/// Lets every lane ask for the same at once; when each had its first byte and when its last come back.
async fn at_once(lanes: Vec<Lane>, want: Rc<Want>) -> Result<(Vec<Lane>, Vec<(Instant, Instant)>)> {
    let work = async {
        let mut tasks = JoinSet::new();
        for mut lane in lanes {
            let want = Rc::clone(&want);
            tasks.spawn_local(async move {
                let first = want.get(&mut lane, true).await?;
                Ok::<_, anyhow::Error>((lane, (first, Instant::now())))
            });
        }
        let (mut lanes, mut times) = (Vec::new(), Vec::new());
        while let Some(ended) = tasks.join_next().await {
            let (lane, time) = ended.context("a client's task ended early")??;
            lanes.push(lane);
            times.push(time);
        }
        Ok((lanes, times))
    };
    LocalSet::new().run_until(work).await
}

/// Milliseconds from one moment to another, which may lie before it.
fn since(from: Instant, to: Instant) -> f64 {
    let after = to.saturating_duration_since(from).as_secs_f64();
    let before = from.saturating_duration_since(to).as_secs_f64();
    (after - before) * 1e3
}
