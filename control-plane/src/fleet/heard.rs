//! What nodes say of themselves: written down for many at a time.

use std::sync::Arc;

use catalog::nodes::{Node, Nodes, Sighting};
use contracts::id::NodeId;

use super::pile::{Book, Pile};

/// The nodes that are heard of.
pub(crate) type Heard = Pile<Sightings>;

/// Where it is written down what nodes say of themselves.
pub(crate) struct Sightings(Arc<dyn Nodes>);

impl Heard {
    pub(crate) fn by(nodes: Arc<dyn Nodes>) -> Self {
        Self::new(Sightings(nodes))
    }

    /// All nodes, as far as is known here.
    pub(crate) async fn list(&self) -> Result<Vec<Node>, catalog::Error> {
        self.write().await?;
        self.book.0.list().await
    }
}

impl Book for Sightings {
    type Word = Sighting;

    fn name(sighting: &Sighting) -> &NodeId {
        &sighting.name
    }

    /// The newer words count.
    fn joined(&self, _: Sighting, after: Sighting) -> Sighting {
        after
    }

    async fn write(&self, seen: &[Sighting]) -> Result<(), catalog::Error> {
        self.0.note(seen).await
    }
}
