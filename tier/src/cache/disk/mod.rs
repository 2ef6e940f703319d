//! The disk tier: several disks as one, each an append-only log of segment files.
//!
//! A fill that is complete is offered to the disk of its key (`queue`); the disk's `keeper` writes
//! it to the end of the `log`, in the `format`; the `index` in memory says where it is, and a
//! `stream` reads it in checked chunks. When a segment is full it gets a footer, from which
//! `recovery` knows it again; when there is no room for another, the oldest is given up.
//!
//! Promises:
//! - no byte of a body is given out before the checksum of its chunk was compared;
//! - what was purged is not found from then on, and after a restart neither, once the purge says
//!   so: a purge is a record that stands behind what it is about, and no segment is given up before
//!   an older one;
//! - writing never holds a reader or a fill back: what cannot be written in time is not written;
//! - a disk that fails loses its own share and nothing else, and is tried again.

mod direct;
mod file;
pub mod format;
mod index;
mod keeper;
mod log;
mod pool;
mod queue;
mod recovery;
mod segment;
mod stream;
#[cfg(test)]
mod tests;
mod volume;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::keeper::Tenure;

pub use self::file::{Directory, File, Files};
pub use self::format::Key;
pub use self::pool::{Hold, Pool};
pub use self::queue::Object;
pub(crate) use self::stream::Stream;
pub use self::volume::{Figures, Shape, State, Volume};

/// How objects are kept on disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directories, each with the bytes it may take.
    pub directories: Vec<(PathBuf, u64)>,
    /// Bytes of a segment file.
    pub segment: u32,
    /// Bytes of bodies that may wait to be written to each disk.
    pub queue: usize,
    /// How often an object must be asked for before it is written.
    pub admit_after: u32,
    /// An object that is found on disk twice within this time is taken into memory; with no time, none is.
    pub promote_within: Duration,
    /// After how long a disk that failed is tried again.
    pub retry: Duration,
}

/// Several disks as one.
pub struct Disks {
    volumes: Vec<Arc<Volume>>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
    tenure: watch::Sender<Tenure>,
}

impl Disks {
    /// Begins to open the disks. What is read from them passes through the pool's buffers.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn open(settings: &Settings, pool: &Arc<Pool>) -> Self {
        let directories = settings.directories.iter().map(|(path, size)| {
            let files: Box<dyn Files> = Box::new(Directory::new(path));
            (path.display().to_string(), files, *size)
        });
        Self::over(directories.collect(), settings, pool)
    }

    fn over(
        directories: Vec<(String, Box<dyn Files>, u64)>,
        settings: &Settings,
        pool: &Arc<Pool>,
    ) -> Self {
        let volumes = directories.into_iter().map(|(name, files, size)| {
            let slots = u32::try_from(size / u64::from(settings.segment.max(1)));
            let shape = Shape {
                segment: settings.segment,
                slots: slots.unwrap_or(u32::MAX),
            };
            Volume::new(name, files, shape, settings.queue, Arc::clone(pool))
        });
        let volumes: Vec<_> = volumes.collect();
        let tenure = watch::Sender::new(Tenure::Ours);
        let keep = |volume: &Arc<Volume>| {
            let kept = keeper::keep(Arc::clone(volume), settings.retry, tenure.subscribe());
            tokio::spawn(kept)
        };
        let keepers = volumes.iter().map(keep).collect();
        Self {
            volumes,
            keepers: Mutex::new(keepers),
            tenure,
        }
    }

    /// Returns when each disk is open, or set aside.
    pub async fn ready(&self) {
        for volume in &self.volumes {
            let mut state = volume.watch();
            // The sender lives as long as the disk.
            let _ = state.wait_for(|state| *state != State::Opening).await;
        }
    }

    /// The disks, in the order of the configuration.
    #[must_use]
    pub fn volumes(&self) -> &[Arc<Volume>] {
        &self.volumes
    }

    /// The disk of a key: the winner of a contest in which a larger disk has more chances, so that
    /// each has its share and a disk more or less moves only its own keys.
    pub(crate) fn of(&self, key: &Key) -> Option<&Arc<Volume>> {
        let score = |volume: &Arc<Volume>| {
            let ticket = ticket(key, &volume.name);
            -(volume.capacity() as f64) / ticket.ln()
        };
        match self.volumes.as_slice() {
            [only] => Some(only),
            several => several
                .iter()
                .max_by(|one, other| score(one).total_cmp(&score(other))),
        }
    }

    /// Forgets an object, or all, at once, and waits until no restart can bring it back. Says
    /// whether there was anything.
    ///
    /// # Errors
    /// The name of a disk that could not take note, when there is one. It is told once it is back,
    /// unless this process ends before.
    pub async fn forget(&self, what: Option<Key>) -> Result<bool, String> {
        let concerned: Vec<_> = match &what {
            Some(key) => self.of(key).into_iter().collect(),
            None => self.volumes.iter().collect(),
        };
        let told: Vec<_> = concerned
            .into_iter()
            .map(|volume| (volume, volume.forget(what)))
            .collect();
        let (mut known, mut deaf) = (false, None);
        for (volume, (found, written)) in told {
            known |= found;
            let heard = match written {
                Some(written) => written.await.is_ok(),
                None => false,
            };
            if !heard {
                deaf = Some(volume.name.clone());
            }
        }
        deaf.map_or(Ok(known), Err)
    }

    /// Writes what waits and lets another process have the directories. What they hold is found and read as before,
    /// and nothing is written. Returns when the other may open them.
    pub async fn lend(&self) {
        self.tenure.send_replace(Tenure::Lent);
        for volume in &self.volumes {
            let mut at_rest = volume.at_rest.subscribe();
            // The sender lives as long as the disk.
            let _ = at_rest.wait_for(|rests| *rests).await;
        }
    }

    /// Takes the directories back from a process that has ended.
    pub fn reclaim(&self) {
        self.tenure.send_replace(Tenure::Ours);
    }

    /// Leaves the directories to the other process. Nothing is found from then on; what is being read is read to its
    /// end.
    pub fn give(&self) {
        self.tenure.send_replace(Tenure::Given);
    }

    /// Writes what waits, ends the open segments and lets the directories go. Nothing is found
    /// from then on.
    pub async fn close(&self) {
        for volume in &self.volumes {
            volume.queue.close();
        }
        let keepers = std::mem::take(&mut *self.keepers.lock());
        for keeper in keepers {
            // One that panicked has nothing more to write.
            let _ = keeper.await;
        }
    }
}

/// A number between 0 and 1 that nobody can foresee to be the same for two disks.
fn ticket(key: &Key, disk: &str) -> f64 {
    let mut sum = u64::from_le_bytes(*key.first_chunk().unwrap_or(&[0; 8]));
    for byte in disk.bytes() {
        sum = mix(sum ^ u64::from(byte));
    }
    // 53 bits are what an f64 holds; never 0 and never 1.
    ((mix(sum) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A bijection that spreads every bit over all (the finaliser of SplitMix64).
const fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
