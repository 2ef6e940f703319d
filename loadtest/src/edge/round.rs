//! A round of load: a fixed number of requests over some lanes, each answer looked at.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::task::{JoinSet, LocalSet};

use super::origin::{MARK, PATTERN, mark};
use crate::wire::{Ask, Lane};

/// Something to ask for, and what must come back.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) ask: Ask,
    mark: [u8; MARK],
    bytes: usize,
    /// Whether the origin fails, so that any 5xx is right.
    fails: bool,
}

impl Want {
    /// A target whose origin answers `path` with so many bytes.
    pub(super) fn new(target: String, path: &str, bytes: usize) -> Result<Self> {
        Ok(Self {
            ask: Ask::get(NAME, target)?,
            mark: mark(path),
            bytes,
            fails: false,
        })
    }

    /// The same, from an origin that fails.
    pub(super) fn failing(self) -> Self {
        Self {
            fails: true,
            ..self
        }
    }

    /// Asks over a lane, and fails unless the answer is right. `whole` compares each byte.
    pub(super) async fn get(&self, lane: &mut Lane, whole: bool) -> Result<Instant> {
        let mut at = 0;
        let mut same = true;
        let answer = lane.get(&self.ask, |piece| {
            if whole {
                same &= self.is_at(at, piece);
            }
            at += piece.len();
        });
        let answer = answer
            .await
            .with_context(|| format!("asked for {}", self.ask.path))?;
        let right = match self.fails {
            true => (500..600).contains(&answer.status),
            false => answer.status == 200,
        };
        if !right {
            bail!("{} is answered {}", self.ask.path, answer.status);
        }
        if !self.fails {
            ensure!(
                at == self.bytes && answer.bytes == self.bytes,
                "{} has {at} bytes and not {}",
                self.ask.path,
                self.bytes
            );
            ensure!(same, "{} has other bytes", self.ask.path);
        }
        Ok(answer.first)
    }

    /// Whether a piece of the body is what stands there.
    fn is_at(&self, at: usize, piece: &[u8]) -> bool {
        let (marked, rest) = piece.split_at(MARK.saturating_sub(at).min(piece.len()));
        let behind = at + marked.len();
        self.mark
            .get(at.min(MARK)..)
            .unwrap_or_default()
            .starts_with(marked)
            && PATTERN.get(behind..behind + rest.len()) == Some(rest)
    }
}

/// What a round gave.
pub(super) struct Round {
    pub(super) requests: usize,
    pub(super) wall: Duration,
    /// From sending a request to the end of its answer, in ns.
    pub(super) latency: Histogram<u64>,
}

/// Gives what is to be asked for, by the number of the request.
pub(super) type Wants = Rc<dyn Fn(usize) -> Result<Rc<Want>>>;

/// Asks `requests` times over the lanes, which come back. Fails at the first wrong answer.
pub(super) async fn run(
    lanes: Vec<Lane>,
    wants: &Wants,
    requests: usize,
) -> Result<(Vec<Lane>, Round)> {
    let next = Rc::new(Cell::new(0));
    let latency = Rc::new(RefCell::new(Histogram::new(3)?));
    let start = Instant::now();
    let work = async {
        let mut tasks = JoinSet::new();
        for mut lane in lanes {
            let (next, wants) = (Rc::clone(&next), Rc::clone(wants));
            let latency = Rc::clone(&latency);
            tasks.spawn_local(async move {
                loop {
                    let number = next.get();
                    if number >= requests {
                        return Ok::<_, anyhow::Error>(lane);
                    }
                    next.set(number + 1);
                    let want = wants(number)?;
                    let begun = Instant::now();
                    want.get(&mut lane, number.is_multiple_of(SAMPLE)).await?;
                    let took = u64::try_from(begun.elapsed().as_nanos())?;
                    latency.borrow_mut().record(took)?;
                }
            });
        }
        let mut lanes = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            lanes.push(ended.context("a lane's task ended early")??);
        }
        Ok::<_, anyhow::Error>(lanes)
    };
    let lanes = tokio::time::timeout(PATIENCE, LocalSet::new().run_until(work))
        .await
        .context("a round takes too long")??;
    let wall = start.elapsed();
    let latency = latency.borrow().clone();
    Ok((
        lanes,
        Round {
            requests,
            wall,
            latency,
        },
    ))
}

/// How many requests take about so long, found by trying.
pub(super) async fn calibrate(
    mut lanes: Vec<Lane>,
    wants: &Wants,
    time: Duration,
) -> Result<(Vec<Lane>, usize)> {
    let mut requests = lanes.len() * 2;
    loop {
        let (back, round) = run(lanes, wants, requests).await?;
        lanes = back;
        let part = round.wall.as_secs_f64() / time.as_secs_f64();
        if part > 0.1 {
            let all = crate::maths::count(requests) / part;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate of requests"
            )]
            return Ok((lanes, (all as usize).max(1)));
        }
        requests *= 4;
    }
}

/// The name of the servers.
pub(super) const NAME: &str = "localhost";
/// One answer of so many is compared byte by byte.
const SAMPLE: usize = 61;
const PATIENCE: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_compared_piece_by_piece_with_its_mark_and_the_pattern() {
        let path = "/v/plain-4096/1080p/segment_1.m4s";
        let want = Want::new(path.to_owned(), path, 4096).unwrap();
        let body = [&mark(path)[..], &PATTERN[MARK..4096]].concat();
        for size in [1, 3, 8, 9, 4096] {
            let pieces = body.chunks(size).enumerate();
            assert!(
                pieces
                    .clone()
                    .all(|(at, piece)| want.is_at(at * size, piece))
            );
        }
        let mut other = body;
        other[4] ^= 1;
        assert!(!want.is_at(0, &other));
        other[4] ^= 1;
        other[1000] ^= 1;
        assert!(!want.is_at(0, &other));
        assert!(want.is_at(1001, &other[1001..]));
    }
}
