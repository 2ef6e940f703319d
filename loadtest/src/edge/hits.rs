//! Hits: objects that lie in memory, or on a disk whose files are in the page cache.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::files::Files;
use super::origin::Way;
use super::round::Want;
use super::server::{Kind, Mode, Server};
use super::side::{Line, Load, Side, Source};
use super::{Bench, Peers};
use crate::packager::Client as Blocking;
use crate::wire::{Lane, Protocol};

/// An edge's cache with little memory above a disk that it keeps to.
pub(super) fn on_disk(files: &Files) -> Result<String> {
    let directory: PathBuf = files.folder.join("disk");
    // What an earlier run cached is not this run's.
    if directory.exists() {
        std::fs::remove_dir_all(&directory).context("cannot empty the edge's disk")?;
    }
    std::fs::create_dir_all(&directory).context("cannot make the edge's disk")?;
    let orders = files.folder.join("orders");
    let (directory, orders) = (directory.display(), orders.display());
    Ok(format!(
        "memory = \"32MiB\"\nmax_object = \"8MiB\"\n[cache.disk]\npromote_within = \"0s\"\nqueue = \"8MiB\"\n\
         directories = [{{ path = \"{directory}\", size = \"4GiB\" }}]\n\
         [feed]\nstate_file = \"{orders}\""
    ))
}

impl Bench<'_> {
    /// Measures hits over all protocols beside nginx, whose cache is files in the page cache in any case.
    pub(super) async fn hits(&self, edge: &Server, nginx: &Peers) -> Result<Vec<Line>> {
        let disk = edge.name == "edge, disk";
        let (part, source) = if disk {
            ("hits, warm disk", Source::Disk)
        } else {
            ("hits, memory", Source::Cache)
        };
        let mut lines = Vec::new();
        for (bytes, protocol) in self.grid() {
            if disk && self.skips(protocol) {
                continue;
            }
            eprintln!("{part}: {bytes} bytes over {}", protocol.name());
            let load = Load {
                part,
                bytes,
                protocol,
                source,
            };
            let mut sides = Vec::new();
            for server in std::iter::once(edge).chain(nginx.over(protocol)) {
                // An nginx without HTTP/3 stands there by its TLS.
                let protocol = match server.address(protocol) {
                    Some(_) => protocol,
                    None => Protocol::Tls,
                };
                let wants = self.shelf(server, bytes)?;
                self.warm(server, bytes, &wants, disk && server.kind == Kind::Ours)
                    .await?;
                sides.push(Side {
                    server,
                    name: server.name,
                    protocol,
                    wants: Rc::new(move |number| {
                        let place = number % wants.len();
                        wants.get(place).cloned().context("nothing to ask for")
                    }),
                });
            }
            lines.extend(self.compare(load, sides).await?);
        }
        Ok(lines)
    }

    /// Every size over every protocol that is wanted.
    pub(super) fn grid(&self) -> Vec<(usize, Protocol)> {
        let sizes = self.sizes();
        sizes
            .flat_map(|bytes| self.protocols().map(move |protocol| (bytes, protocol)))
            .collect()
    }

    /// The objects of a size.
    fn shelf(&self, server: &Server, bytes: usize) -> Result<Rc<Vec<Rc<Want>>>> {
        let wants = (0..shelved(bytes)).map(|number| {
            let path = Way::Plain.path(bytes, number);
            let target = server.target(&self.signer, Mode::Signed, &path)?;
            Ok(Rc::new(Want::new(target, &path, bytes)?))
        });
        Ok(Rc::new(wants.collect::<Result<_>>()?))
    }

    /// Asks for everything until all of it is there where it is to be: then the origin hears nothing.
    async fn warm(
        &self,
        server: &Server,
        bytes: usize,
        wants: &[Rc<Want>],
        disk: bool,
    ) -> Result<()> {
        let mut lane = self.one_lane(server).await?;
        let mut seen = (0, 0);
        for _ in 0..TRIES {
            let read = || if disk { disk_hits(server) } else { Ok(0) };
            let before = (self.origin.requests(), read()?);
            for want in wants {
                want.get(&mut lane, true).await?;
            }
            seen = (self.origin.requests() - before.0, read()? - before.1);
            if seen == (0, if disk { wants.len() } else { 0 }) {
                return Ok(());
            }
            if disk {
                self.push_out(server, &mut lane).await?;
            }
        }
        let (fetched, found) = seen;
        bail!(
            "{}: of {} objects of {bytes} bytes {fetched} were fetched again and {found} found on the disk",
            server.name,
            wants.len()
        )
    }

    /// Fills the memory with other things, so that what is wanted is on the disk alone.
    async fn push_out(&self, server: &Server, lane: &mut Lane) -> Result<()> {
        for _ in 0..FILLERS {
            // Each of them reaches the origin, so that its number is new each time.
            let path = Way::Plain.path(FILLER, self.origin.requests());
            let target = server.target(&self.signer, Mode::Signed, &path)?;
            Want::new(target, &path, FILLER)?.get(lane, false).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// One connection over HTTP/1.1.
    pub(super) async fn one_lane(&self, server: &Server) -> Result<Lane> {
        let address = server.address(Protocol::Plain).context("no plain port")?;
        let name = super::round::NAME;
        let lanes = self
            .client
            .connect(address, name, Protocol::Plain, 1)
            .await?;
        lanes.into_iter().next().context("a connection has a lane")
    }
}

/// Objects that an edge has found on its disks.
pub(super) fn disk_hits(server: &Server) -> Result<usize> {
    let address = server.internal.context("no metrics")?;
    let (_, body) = Blocking::connect(address)?.body("/metrics")?;
    let text = String::from_utf8(body)?;
    sum_of(&text, "millrace_tier_disk_hits_total").context("no count of hits on disks")
}

/// The sum of a counter over its labels.
fn sum_of(metrics: &str, name: &str) -> Option<usize> {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    let counts = lines.map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    let counts: Option<Vec<_>> = counts.collect();
    counts
        .filter(|counts| !counts.is_empty())
        .map(|counts| counts.iter().sum())
}

/// How many objects of a size are asked for in turn.
const fn shelved(bytes: usize) -> usize {
    match bytes {
        ..0x1001 => 256,
        0x1001..0x4_0001 => 64,
        0x4_0001..0x10_0001 => 32,
        _ => 8,
    }
}

const TRIES: usize = 8;
/// More than an edge on disk has memory for.
const FILLERS: usize = 80;
const FILLER: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_disks() {
        let text = "# HELP hits x\nhits{disk=\"a\"} 3\nhits{disk=\"b\"} 4\nother 9\n";
        assert_eq!(sum_of(text, "hits{"), Some(7));
        assert_eq!(sum_of(text, "nothing"), None);
    }
}
