//! One viewer: reads the playlists, fetches segment after segment, and fares as the network lets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::abr::Rule;
use super::buffer::{Buffer, Limits};
use super::lists::{self, Ladder, List, Place};
use crate::wire::{Ask, Client, Lane, Protocol};

/// What a viewer watches, and how.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) client: Arc<Client>,
    pub(super) address: SocketAddr,
    /// The server's name, for TLS.
    pub(super) name: String,
    pub(super) authority: String,
    /// Path of the multivariant playlist, its token included.
    pub(super) path: String,
    pub(super) protocol: Protocol,
    pub(super) limits: Limits,
    /// When the viewer leaves, at the latest.
    pub(super) time: Duration,
}

/// How a viewer fared.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) buffer: Buffer,
    /// Changes of the rung.
    pub(super) switches: u64,
    /// Bits a second of each segment that was played.
    pub(super) rates: Vec<f64>,
    pub(super) bytes: usize,
    pub(super) requests: usize,
    /// Requests that failed and were tried again.
    pub(super) failures: usize,
    /// Why the viewer gave up, if so.
    pub(super) gave_up: Option<String>,
}

/// A viewer at work.
struct Viewer {
    plan: Plan,
    begun: Instant,
    lane: Option<Lane>,
    seen: Seen,
}

/// Watches until the film or the time is over.
pub(super) async fn watch(plan: Plan) -> Seen {
    let mut viewer = Viewer {
        begun: Instant::now(),
        lane: None,
        seen: Seen {
            buffer: Buffer::new(plan.limits),
            switches: 0,
            rates: Vec::new(),
            bytes: 0,
            requests: 0,
            failures: 0,
            gave_up: None,
        },
        plan,
    };
    if let Err(error) = viewer.film().await {
        viewer.seen.gave_up = Some(format!("{error:#}"));
    }
    let now = viewer.now();
    viewer.seen.buffer.level(now);
    viewer.seen
}

impl Viewer {
    async fn film(&mut self) -> Result<()> {
        let path = self.plan.path.clone();
        let ladder = lists::ladder(&self.fetch(&path).await?, &self.place(&path))?;
        let sound = match ladder.sound.clone() {
            Some(path) => Some(self.list(&path).await?),
            None => None,
        };
        let mut lists: Vec<Option<List>> = ladder.rungs.iter().map(|_| None).collect();
        let rates: Vec<f64> = ladder.rungs.iter().map(|rung| rung.rate).collect();
        let (mut rule, mut rung) = (Rule::default(), 0);
        for number in 0.. {
            let now = self.now();
            let chosen = rule.choose(&rates, rung, self.seen.buffer.level(now));
            self.seen.switches += u64::from(chosen != rung);
            rung = chosen;
            let list = self.rung(&ladder, &mut lists, rung).await?;
            let Some(segment) = list.segments.get(number) else {
                self.seen.buffer.finish(self.now());
                return Ok(());
            };
            let (path, length) = (segment.path.clone(), segment.length);
            let start = Instant::now();
            let bytes = self.fetch(&path).await?.len();
            rule.learn(bytes, start.elapsed());
            let beside = sound.as_ref().and_then(|list| list.segments.get(number));
            if let Some(beside) = beside {
                self.fetch(&beside.path).await?;
            }
            let rate = crate::maths::count(bytes) * 8.0 / length.as_secs_f64().max(1e-3);
            self.seen.rates.push(rate);
            self.seen.buffer.add(length, self.now());
            let wait = self.seen.buffer.wait(self.now());
            if self.now() + wait >= self.plan.time {
                let rest = self.plan.time.saturating_sub(self.now());
                tokio::time::sleep(rest).await;
                return Ok(());
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// A rung's playlist, read when it is first wanted, and with it the initialization segment.
    async fn rung<'l>(
        &mut self,
        ladder: &Ladder,
        lists: &'l mut [Option<List>],
        rung: usize,
    ) -> Result<&'l List> {
        let known = lists.get_mut(rung).context("no such rung")?;
        if known.is_none() {
            let path = &ladder.rungs.get(rung).context("no such rung")?.path;
            *known = Some(self.list(path).await?);
        }
        known.as_ref().context("no such rung")
    }

    async fn list(&mut self, path: &str) -> Result<List> {
        let list = lists::list(&self.fetch(path).await?, &self.place(path))?;
        if let Some(map) = &list.map {
            self.fetch(map).await?;
        }
        Ok(list)
    }

    fn place<'a>(&'a self, path: &'a str) -> Place<'a> {
        Place {
            authority: &self.plan.authority,
            path,
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Fetches, and tries again some times as players do.
    async fn fetch(&mut self, path: &str) -> Result<Vec<u8>> {
        for attempt in 1.. {
            match self.once(path).await {
                Ok(body) => return Ok(body),
                Err(error) if attempt == ATTEMPTS || self.now() >= self.plan.time => {
                    return Err(error);
                }
                Err(_) => {
                    self.seen.failures += 1;
                    // Whatever failed, another connection may do.
                    self.lane = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        bail!("no attempt was made")
    }

    async fn once(&mut self, path: &str) -> Result<Vec<u8>> {
        let ask = Ask::get(&self.plan.authority, path)?;
        self.seen.requests += 1;
        let mut body = Vec::new();
        let mut too_long = false;
        let lane = self.lane().await?;
        let answered = lane.get(&ask, |piece| {
            too_long |= body.len() + piece.len() > MOST;
            if !too_long {
                body.extend_from_slice(piece);
            }
        });
        let answer = tokio::time::timeout(PATIENCE, answered)
            .await
            .context("no answer in time")??;
        if answer.status != 200 || too_long {
            // The path holds a token.
            bail!("answered {} with {} bytes", answer.status, answer.bytes);
        }
        self.seen.bytes += body.len();
        Ok(body)
    }

    async fn lane(&mut self) -> Result<&mut Lane> {
        if self.lane.is_none() {
            let Plan {
                client,
                address,
                name,
                protocol,
                ..
            } = &self.plan;
            let opened = client.connect(*address, name, *protocol, 1);
            let opened = tokio::time::timeout(PATIENCE, opened).await;
            let lanes = opened.context("no connection in time")??;
            self.lane = lanes.into_iter().next();
        }
        self.lane.as_mut().context("a connection has a lane")
    }
}

const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest segment that is taken.
const MOST: usize = 256 << 20;
