//! Fills: every request a new object, from an origin on the loader's core.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::Bench;
use super::origin::Way;
use super::round::{self, Want, Wants};
use super::server::{Mode, Server};
use super::side::{Line, Load, Side, Source};
use crate::wire::Protocol;

impl Bench<'_> {
    /// Measures fills over HTTP/1.1: ours, nginx as a plain proxy, nginx with its cache.
    pub(super) async fn fills(&self, edge: &Server, nginx: Option<&Server>) -> Result<Vec<Line>> {
        let next = Rc::new(Cell::new(1_000_000));
        self.fill_memory(edge, &next).await?;
        let mut lines = Vec::new();
        for bytes in self.sizes().filter(|bytes| *bytes != 256 << 10) {
            eprintln!("fills: {bytes} bytes");
            let load = Load {
                part: "fills",
                bytes,
                protocol: Protocol::Plain,
                source: Source::Origin,
            };
            let ways = [
                (Some(edge), "edge", Mode::Signed),
                (nginx, "nginx, plain proxy", Mode::Proxy),
                (nginx, "nginx, cache", Mode::Cache),
            ];
            let mut sides = Vec::new();
            for (server, name, mode) in ways {
                if let Some(server) = server {
                    sides.push(Side {
                        server,
                        name,
                        protocol: Protocol::Plain,
                        wants: self.news(server, mode, bytes, &next)?,
                    });
                }
            }
            lines.extend(self.compare(load, sides).await?);
        }
        Ok(lines)
    }

    /// Fills an edge's memory, so that what is measured is a cache at work and not its first day.
    async fn fill_memory(&self, edge: &Server, next: &Rc<Cell<usize>>) -> Result<()> {
        let bytes = 1 << 20;
        let lanes = self.lanes(edge, Protocol::Plain, bytes).await?;
        let wants = self.news(edge, Mode::Signed, bytes, next)?;
        round::run(lanes, &wants, MEMORY_MIB * 5 / 4).await?;
        Ok(())
    }

    /// Another object each time; one token is good for all of them.
    fn news(
        &self,
        server: &Server,
        mode: Mode,
        bytes: usize,
        next: &Rc<Cell<usize>>,
    ) -> Result<Wants> {
        let some = Way::Plain.path(bytes, 0);
        let target = server.target(&self.signer, mode, &some)?;
        let before = target
            .strip_suffix(&some)
            .context("no path in it")?
            .to_owned();
        let next = Rc::clone(next);
        Ok(Rc::new(move |_| {
            let path = Way::Plain.path(bytes, next.replace(next.get() + 1));
            Ok(Rc::new(Want::new(format!("{before}{path}"), &path, bytes)?))
        }))
    }
}

/// What the edge's cache may hold.
const MEMORY_MIB: usize = 512;
