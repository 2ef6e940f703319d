//! What connections cost: processor time of a new one with one request, and memory of those that are idle.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tokio::task::{JoinSet, LocalSet};

use super::origin::Way;
use super::round::{NAME, Want};
use super::server::{Mode, Server};
use super::{Bench, Peers};
use crate::maths::{Figure, count, ratio};
use crate::wire::Protocol;

/// What new connections cost.
#[derive(Debug, Serialize)]
pub(super) struct Fresh {
    pub(super) server: &'static str,
    pub(super) over: Protocol,
    /// Connections of a round.
    pub(super) connections: usize,
    /// Processor time of the server for a connection, one request and the end of both, in µs.
    pub(super) cpu_us: Figure,
}

/// What idle connections hold.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    pub(super) server: &'static str,
    pub(super) over: Protocol,
    pub(super) connections: usize,
    /// Resident bytes before, and what each connection added.
    pub(super) before: u64,
    pub(super) each: f64,
}

impl Bench<'_> {
    /// Opens new connections, each with a whole handshake, asks each once and closes it.
    pub(super) async fn fresh(&self, edge: &Server, nginx: &Peers) -> Result<Vec<Fresh>> {
        let mut all = Vec::new();
        for protocol in self.protocols().filter(|one| *one != Protocol::Plain) {
            eprintln!("new connections over {}", protocol.name());
            let mut sides = Vec::new();
            for server in std::iter::once(edge).chain(nginx.over(protocol)) {
                if server.address(protocol).is_some() {
                    let want = self.small(server)?;
                    want.get(&mut self.one_lane(server).await?, true).await?;
                    sides.push((server, want, Vec::new()));
                }
            }
            for _ in 0..self.effort.rounds {
                for (server, want, costs) in &mut sides {
                    let asked = self.origin.requests();
                    let before = server.time()?;
                    self.open_and_close(server, protocol, want).await?;
                    let used = server.time()?.saturating_sub(before);
                    let each = ratio(used.as_secs_f64() * 1e6, count(self.effort.fresh));
                    costs.push(each);
                    ensure!(self.origin.requests() == asked, "what is kept was fetched");
                }
            }
            for (server, _, costs) in sides {
                all.push(Fresh {
                    server: server.name,
                    over: protocol,
                    connections: self.effort.fresh,
                    cpu_us: Figure::of(costs).context("no round was measured")?,
                });
            }
        }
        Ok(all)
    }

    /// Weighs servers of their own before and after so many connections have asked once and stay.
    pub(super) async fn idle(&self) -> Result<Vec<Idle>> {
        let mut all = Vec::new();
        for protocol in self.protocols() {
            let edge = self.edge(("edge, idle", "memory = \"64MiB\"\nmax_object = \"8MiB\""))?;
            all.push(self.weigh("edge", &edge, protocol).await?);
            drop(edge);
            let nginx = self.nginx("-idle")?;
            let beside = nginx.over(protocol);
            if let Some(nginx) = beside.filter(|nginx| nginx.address(protocol).is_some()) {
                all.push(self.weigh(nginx.name, nginx, protocol).await?);
            }
        }
        Ok(all)
    }

    async fn weigh(&self, name: &'static str, server: &Server, protocol: Protocol) -> Result<Idle> {
        eprintln!("idle connections: {name} over {}", protocol.name());
        let address = server.address(protocol).context("not spoken there")?;
        let want = self.small(server)?;
        let mut open = Vec::new();
        let mut before = 0;
        for number in 0..self.effort.idle + ACQUAINTED {
            if number == ACQUAINTED {
                tokio::time::sleep(SETTLED).await;
                before = server.resident()?;
            }
            let mut lanes = self.client.connect(address, NAME, protocol, 1).await?;
            for lane in &mut lanes {
                want.get(lane, false).await?;
            }
            open.extend(lanes);
        }
        tokio::time::sleep(SETTLED).await;
        let grown = server.resident()?.saturating_sub(before);
        drop(open);
        Ok(Idle {
            server: name,
            over: protocol,
            connections: self.effort.idle,
            before,
            each: ratio(count(usize::try_from(grown)?), count(self.effort.idle)),
        })
    }

    fn small(&self, server: &Server) -> Result<Rc<Want>> {
        let bytes = 4 << 10;
        let path = Way::Plain.path(bytes, 0);
        let target = server.target(&self.signer, Mode::Signed, &path)?;
        Ok(Rc::new(Want::new(target, &path, bytes)?))
    }

    /// Some at a time.
    async fn open_and_close(
        &self,
        server: &Server,
        protocol: Protocol,
        want: &Rc<Want>,
    ) -> Result<()> {
        let address = server.address(protocol).context("not spoken there")?;
        let each = self.effort.fresh / AT_ONCE;
        let work = async {
            let mut tasks = JoinSet::new();
            for _ in 0..AT_ONCE {
                let (client, want) = (Rc::clone(&self.client), Rc::clone(want));
                tasks.spawn_local(async move {
                    for _ in 0..each {
                        let lanes = client.connect(address, NAME, protocol, 1).await?;
                        for mut lane in lanes {
                            want.get(&mut lane, false).await?;
                        }
                    }
                    Ok::<_, anyhow::Error>(())
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.context("a connection's task ended early")??;
            }
            Ok::<_, anyhow::Error>(())
        };
        LocalSet::new().run_until(work).await?;
        tokio::time::sleep(SETTLED).await;
        Ok(())
    }
}

/// Connections before a server is weighed, so that what it keeps for its first ones does not count.
const ACQUAINTED: usize = 50;
/// For what follows an answer: acknowledgements, timers, ends of connections.
const SETTLED: Duration = Duration::from_millis(500);
const AT_ONCE: usize = 8;
