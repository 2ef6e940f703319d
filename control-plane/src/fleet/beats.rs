//! Heartbeats: written down for many nodes at a time.

use std::sync::Arc;
use std::time::Duration;

use catalog::members::{Beat, Member, Members};
use contracts::fleet::Heartbeat;
use contracts::id::NodeId;
use contracts::time::UnixSeconds;

use super::pile::{Book, Pile};

/// The heartbeats that came and are not written down.
pub(crate) type Beats = Pile<Pulses>;

/// Where heartbeats are written down.
pub(crate) struct Pulses {
    members: Arc<dyn Members>,
    silence_s: u64,
}

impl Beats {
    pub(crate) fn by(members: Arc<dyn Members>, quarantine: Duration) -> Self {
        Self::new(Pulses {
            members,
            silence_s: quarantine.as_secs(),
        })
    }

    /// Takes note of a heartbeat of a node, as it is now: one that is set up anew begins anew.
    pub(crate) fn hear(&self, member: &Member, heard: Heartbeat, now: UnixSeconds) {
        let said = Heartbeat {
            announce: None,
            ..heard
        };
        self.add(Beat {
            name: member.name.clone(),
            key: member.key.clone(),
            first: now,
            last: now,
            count: 1,
            said,
        });
    }
}

impl Book for Pulses {
    type Word = Beat;

    fn name(beat: &Beat) -> &NodeId {
        &beat.name
    }

    /// One after the other, unless there was a silence between, or they are of two nodes.
    fn joined(&self, before: Beat, after: Beat) -> Beat {
        let in_time = after.first.0 <= before.last.0.saturating_add(self.silence_s);
        if !in_time || before.key != after.key {
            return after;
        }
        Beat {
            first: before.first,
            count: before.count.saturating_add(after.count),
            ..after
        }
    }

    /// It does not count twice: who was heard twice is not taken for one who was heard three times.
    fn perhaps_written(beat: Beat) -> Beat {
        Beat { count: 0, ..beat }
    }

    async fn write(&self, beats: &[Beat]) -> Result<(), catalog::Error> {
        self.members.note(beats, self.silence_s).await
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock::System;

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

    #[tokio::test]
    async fn heartbeats_that_wait_to_be_written_count_from_the_last_silence() {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("sqlite://{}", folder.path().join("catalog.db").display());
        let catalog = catalog::open(&file, Arc::new(System)).await.unwrap();
        let book = Pulses {
            members: catalog.members,
            silence_s: 20,
        };
        let two = book.joined(beat(100), beat(120));
        assert_eq!((two.first.0, two.last.0, two.count), (100, 120, 2));
        let one = book.joined(two, beat(141));
        assert_eq!((one.first.0, one.last.0, one.count), (141, 141, 1));
        let other = Beat {
            key: "another".to_owned(),
            ..beat(142)
        };
        let other = book.joined(one, other);
        assert_eq!((other.first.0, other.count), (142, 1));
        assert_eq!(Pulses::perhaps_written(other).count, 0);
    }
}
