//! The file with the prefixes of sites: read at the start, and again when it changes.

use std::fs::{File, Metadata};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use runtime::internal::Health;
use runtime::shutdown::Shutdown;
use tokio::time::MissedTickBehavior;

use crate::routing::Routing;
use crate::routing::prefixes::{Fault, Prefixes};

/// How often it is looked whether the file has changed.
const LOOK: Duration = Duration::from_secs(5);
/// How the file is called where the process says how it is.
const PART: &str = "prefixes";

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Unread {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Some of its lines are not what they should be.
    #[error("{path}: {}", listed(faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// What is wrong, by line; twenty faults at most.
        faults: Vec<Fault>,
    },
}

/// By what a change is seen.
pub(crate) type Stamp = (Option<SystemTime>, u64);

/// What a file said, and by what a later one is told from it.
pub(crate) struct Loaded {
    pub(crate) prefixes: Prefixes,
    stamp: Option<Stamp>,
}

/// Reads the file; without one there are no prefixes.
///
/// # Errors
/// [`Unusable`], with every bad line's number.
pub(crate) fn read(path: Option<&Path>) -> Result<Loaded, Unusable> {
    let Some(path) = path else {
        return Ok(Loaded {
            prefixes: Prefixes::default(),
            stamp: None,
        });
    };
    let unread = |source| Unusable::Unread {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unread)?;
    let stamp = stamp(&file.metadata().map_err(unread)?);
    let prefixes = Prefixes::read(BufReader::with_capacity(1 << 16, file));
    let prefixes = prefixes.map_err(|faults| Unusable::Faults {
        path: path.to_owned(),
        faults,
    })?;
    Ok(Loaded {
        prefixes,
        stamp: Some(stamp),
    })
}

/// Reads the file again whenever it has changed, until shutdown. What cannot be used changes nothing.
pub(crate) async fn follow(
    path: PathBuf,
    loaded: Option<Stamp>,
    routing: Arc<Routing>,
    health: Health,
    mut shutdown: Shutdown,
) {
    let mut seen = loaded;
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = looks.tick() => {}
        }
        let path = path.clone();
        let look = tokio::task::spawn_blocking(move || changed(&path, seen));
        let Ok(Some((now, fresh))) = look.await else {
            continue;
        };
        seen = now;
        match fresh {
            Ok(loaded) => {
                let count = loaded.prefixes.len();
                routing.learn(loaded.prefixes);
                health.degrade(PART, None);
                tracing::info!(count, "{count} prefixes of sites were read");
            }
            Err(error) => {
                health.degrade(PART, Some(error.to_string()));
                tracing::warn!("the prefixes of sites stay as they were: {error}");
            }
        }
    }
}

type Fresh = Result<Loaded, Unusable>;

/// The file as it is now, where it is not what was seen.
fn changed(path: &Path, seen: Option<Stamp>) -> Option<(Option<Stamp>, Fresh)> {
    let now = std::fs::metadata(path).ok().as_ref().map(stamp);
    (now != seen).then(|| {
        let fresh = read(Some(path));
        // What is written while it is read is read once more.
        let read = fresh.as_ref().ok().and_then(|loaded| loaded.stamp);
        (read.or(now), fresh)
    })
}

impl Loaded {
    pub(crate) const fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.modified().ok(), metadata.len())
}

fn listed(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    faults.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_read_again_and_one_that_did_not_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prefixes");
        std::fs::write(&path, "192.0.2.0/24 a\n").unwrap();
        let first = read(Some(&path)).unwrap();
        assert!(changed(&path, first.stamp()).is_none());
        std::fs::write(&path, "192.0.2.0/24 a\n198.51.100.0/24 b\n").unwrap();
        let (seen, fresh) = changed(&path, first.stamp()).unwrap();
        assert_eq!(fresh.unwrap().prefixes.len(), 2);
        assert!(changed(&path, seen).is_none());
    }

    #[test]
    fn a_bad_file_is_told_by_line_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prefixes");
        std::fs::write(&path, "192.0.2.0/24 a\n192.0.2.0/33 b\n").unwrap();
        let (seen, fresh) = changed(&path, None).unwrap();
        let told = fresh.map(|_| ()).unwrap_err().to_string();
        assert!(
            told.ends_with("prefixes: line 2: \"192.0.2.0/33\" is not like \"192.0.2.0/24\""),
            "{told}"
        );
        assert!(changed(&path, seen).is_none());
    }
}
