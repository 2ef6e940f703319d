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
    pub(crate) async fn write(&self) -> Result<(), catalog::Error> {
        let _writing = self.writing.lock().await;
        let said = std::mem::take(&mut *self.said());
        if said.is_empty() {
            return Ok(());
        }
        let seen: Vec<Sighting> = said.into_values().collect();
        let noted = self.nodes.note(&seen).await;
        if noted.is_err() {
            let mut said = self.said();
            for sighting in seen {
                said.entry(sighting.name.clone()).or_insert(sighting);
            }
        }
        noted
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

/// Nodes whose words are kept here at a time.
const MOST: usize = 10_000;
