//! What nodes said of themselves: kept here for a moment, and written down for many at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catalog::nodes::{Node, Nodes, Sighting};
use contracts::id::NodeId;

/// The nodes that are heard of.
pub(crate) struct Heard {
    nodes: Arc<dyn Nodes>,
    said: Mutex<HashMap<NodeId, Sighting>>,
    /// Held while it is written, so that whoever reads finds what was taken out to be written.
    writing: tokio::sync::Mutex<()>,
}

impl Heard {
    pub(crate) fn new(nodes: Arc<dyn Nodes>) -> Self {
        Self {
            nodes,
            said: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Takes note of what a node said.
    pub(crate) fn hear(&self, sighting: Sighting) {
        let mut said = self.said();
        if said.len() < MOST || said.contains_key(&sighting.name) {
            said.insert(sighting.name.clone(), sighting);
        }
    }

    /// Writes down what was said.
    ///
    /// # Cancel safety
    /// What was not written is written by the next who comes.
    pub(crate) async fn write(&self) -> Result<(), catalog::Error> {
        let _writing = self.writing.lock().await;
        let mut taken = Taken {
            heard: self,
            seen: self.said().drain().map(|(_, sighting)| sighting).collect(),
        };
        if taken.seen.is_empty() {
            return Ok(());
        }
        self.nodes.note(&taken.seen).await?;
        taken.seen.clear();
        Ok(())
    }

    /// All nodes, as far as is known here.
    pub(crate) async fn list(&self) -> Result<Vec<Node>, catalog::Error> {
        self.write().await?;
        self.nodes.list().await
    }

    fn said(&self) -> MutexGuard<'_, HashMap<NodeId, Sighting>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is being written, and goes back where that fails or is given up: newer words stay.
struct Taken<'a> {
    heard: &'a Heard,
    seen: Vec<Sighting>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut said = self.heard.said();
        for sighting in self.seen.drain(..) {
            said.entry(sighting.name.clone()).or_insert(sighting);
        }
    }
}

/// Nodes whose words are kept here at a time.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use contracts::fleet::Kind;
    use contracts::time::UnixSeconds;
    use tokio::sync::Semaphore;

    use super::*;

    /// Nodes whose engine answers once it may.
    struct Slow {
        noted: Mutex<Vec<Sighting>>,
        may: Semaphore,
    }

    #[async_trait]
    impl Nodes for Slow {
        async fn note(&self, seen: &[Sighting]) -> Result<(), catalog::Error> {
            let _turn = self.may.acquire().await;
            self.noted.lock().unwrap().extend_from_slice(seen);
            Ok(())
        }
        async fn list(&self) -> Result<Vec<Node>, catalog::Error> {
            Ok(Vec::new())
        }
        async fn forget(&self, _: UnixSeconds) -> Result<u64, catalog::Error> {
            Ok(0)
        }
    }

    fn sighting(name: &str, at: u64) -> Sighting {
        Sighting {
            name: NodeId::parse(name).unwrap(),
            kind: Kind::Edge,
            at: UnixSeconds(at),
            feed: None,
            applied: at,
            stops_s: None,
        }
    }

    #[tokio::test]
    async fn what_was_being_written_when_its_writer_went_is_written_by_the_next() {
        let nodes = Arc::new(Slow {
            noted: Mutex::default(),
            may: Semaphore::new(0),
        });
        let heard = Heard::new(Arc::<Slow>::clone(&nodes));
        heard.hear(sighting("a", 1));
        heard.hear(sighting("b", 1));
        tokio::select! {
            biased;
            _ = heard.write() => unreachable!("it may not be written yet"),
            () = std::future::ready(()) => {}
        }
        heard.hear(sighting("b", 2));
        nodes.may.add_permits(1);
        heard.write().await.unwrap();
        let mut noted = nodes.noted.lock().unwrap().clone();
        noted.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(noted, [sighting("a", 1), sighting("b", 2)]);
    }
}
