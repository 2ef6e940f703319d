//! Heartbeats: kept here for a moment, and written down for many nodes at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::members::{Beat, Member, Members};
use contracts::fleet::Heartbeat;
use contracts::id::NodeId;
use contracts::time::UnixSeconds;

/// The heartbeats that came and are not written down.
pub(crate) struct Beats {
    members: Arc<dyn Members>,
    silence_s: u64,
    said: Mutex<HashMap<NodeId, Beat>>,
    /// Held while they are written, so that whoever reads finds what was taken out to be written.
    writing: tokio::sync::Mutex<()>,
}

impl Beats {
    pub(crate) fn new(members: Arc<dyn Members>, quarantine: Duration) -> Self {
        Self {
            members,
            silence_s: quarantine.as_secs(),
            said: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Takes note of a heartbeat of a node, as it is now: one that is set up anew begins anew.
    pub(crate) fn hear(&self, member: &Member, heard: Heartbeat, now: UnixSeconds) {
        let name = &member.name;
        let said = Heartbeat {
            announce: None,
            ..heard
        };
        let beat = Beat {
            name: name.clone(),
            key: member.key.clone(),
            first: now,
            last: now,
            count: 1,
            said,
        };
        let mut said = self.said();
        if said.len() < MOST || said.contains_key(name) {
            let before = said.remove(name);
            said.insert(name.clone(), joined(before, beat, self.silence_s));
        }
    }

    /// Writes down what was said. What was not written is written by the next who comes.
    pub(crate) async fn write(&self) -> Result<(), catalog::Error> {
        let _writing = self.writing.lock().await;
        let mut taken = Taken {
            of: self,
            beats: self.said().drain().map(|(_, beat)| beat).collect(),
        };
        if taken.beats.is_empty() {
            return Ok(());
        }
        self.members.note(&taken.beats, self.silence_s).await?;
        taken.beats.clear();
        Ok(())
    }

    fn said(&self) -> MutexGuard<'_, HashMap<NodeId, Beat>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is being written, and goes back where that fails or is given up.
struct Taken<'a> {
    of: &'a Beats,
    beats: Vec<Beat>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut said = self.of.said();
        for beat in self.beats.drain(..) {
            let name = beat.name.clone();
            let whole = match said.remove(&name) {
                Some(later) => joined(Some(beat), later, self.of.silence_s),
                None => beat,
            };
            said.insert(name, whole);
        }
    }
}

/// One after the other, unless there was a silence between, or they are of two nodes.
fn joined(before: Option<Beat>, after: Beat, silence_s: u64) -> Beat {
    let goes_on = |before: &Beat| {
        let in_time = after.first.0 <= before.last.0.saturating_add(silence_s);
        in_time && before.key == after.key
    };
    match before.filter(goes_on) {
        Some(before) => Beat {
            first: before.first,
            count: before.count.saturating_add(after.count),
            ..after
        },
        None => after,
    }
}

/// Nodes whose heartbeats are kept here at a time.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(at: u64) -> Beat {
        Beat {
            name: NodeId::parse("isp-1").unwrap(),
            key: "one".to_owned(),
            first: UnixSeconds(at),
            last: UnixSeconds(at),
            count: 1,
            said: Heartbeat::default(),
        }
    }

    #[test]
    fn heartbeats_that_wait_to_be_written_count_from_the_last_silence() {
        let two = joined(Some(beat(100)), beat(120), 20);
        assert_eq!((two.first.0, two.last.0, two.count), (100, 120, 2));
        let one = joined(Some(two), beat(141), 20);
        assert_eq!((one.first.0, one.last.0, one.count), (141, 141, 1));
        let other = Beat {
            key: "another".to_owned(),
            ..beat(142)
        };
        let other = joined(Some(one), other, 20);
        assert_eq!((other.first.0, other.count), (142, 1));
    }
}
