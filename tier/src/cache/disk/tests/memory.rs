//! A directory in memory whose disk fails on demand, and loses what was not synced.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::file::{File, Files};

/// The directory; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<u32, Content>,
    faults: Faults,
    writes: usize,
    locked: bool,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Written since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// What fails now.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) lock: Option<ErrorKind>,
    pub(super) create: Option<ErrorKind>,
    pub(super) read: Option<ErrorKind>,
    pub(super) write: Option<ErrorKind>,
    pub(super) sync: Option<ErrorKind>,
    /// After so many writes, all fail: the process has died in the middle of the next.
    pub(super) dies_after: Option<usize>,
    /// Nothing can be read without waiting.
    pub(super) slow: bool,
}

impl Memory {
    pub(super) fn fail(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    pub(super) fn slots(&self) -> Vec<u32> {
        self.0.lock().files.keys().copied().collect()
    }

    /// Changes what a file holds.
    pub(super) fn edit(&self, slot: u32, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.0.lock();
        let content = inner.files.get_mut(&slot).unwrap();
        edit(&mut content.bytes);
    }

    /// The directory as it is after the process was killed.
    pub(super) fn killed(&self) -> Self {
        let files = self.0.lock().files.clone();
        let inner = Inner {
            files,
            ..Inner::default()
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// The directory as it is after the power failed: of what was not synced, `fate` says how many
    /// bytes of each write have reached the disk.
    pub(super) fn unplugged(&self, mut fate: impl FnMut(usize) -> usize) -> Self {
        let after = self.killed();
        for content in after.0.lock().files.values_mut() {
            let mut bytes = content.synced.clone();
            bytes.resize(content.bytes.len(), 0);
            for (at, written) in content.unsynced.drain(..) {
                let kept = fate(written.len()).min(written.len());
                bytes[at..at + kept].copy_from_slice(&written[..kept]);
            }
            (content.bytes, content.synced) = (bytes.clone(), bytes);
        }
        after
    }
}

fn check(fault: Option<ErrorKind>) -> io::Result<()> {
    fault.map_or(Ok(()), |kind| Err(kind.into()))
}

struct Lock(Memory);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.0.lock().locked = false;
    }
}

impl Files for Memory {
    fn lock(&self) -> io::Result<Box<dyn Send>> {
        let mut inner = self.0.lock();
        check(inner.faults.lock)?;
        check(inner.locked.then_some(ErrorKind::WouldBlock))?;
        inner.locked = true;
        Ok(Box::new(Lock(self.clone())))
    }

    fn list(&self) -> io::Result<Vec<u32>> {
        Ok(self.slots())
    }

    fn open(&self, slot: u32) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new((self.clone(), slot)))
    }

    fn create(&self, slot: u32, length: u32) -> io::Result<Arc<dyn File>> {
        let mut inner = self.0.lock();
        check(inner.faults.create)?;
        check(inner.faults.write)?;
        let bytes = vec![0; length as usize];
        let content = Content {
            synced: bytes.clone(),
            bytes,
            unsynced: Vec::new(),
        };
        inner.files.insert(slot, content);
        drop(inner);
        self.open(slot)
    }

    fn remove(&self, slot: u32) -> io::Result<()> {
        self.0.lock().files.remove(&slot);
        Ok(())
    }
}

impl File for (Memory, u32) {
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let inner = self.0.0.lock();
        check(inner.faults.read)?;
        let at = usize::try_from(at).unwrap();
        let content = &inner.files[&self.1].bytes;
        let found = content.get(at..at + bytes.len());
        bytes.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn read_now(&self, bytes: &mut [u8], at: u64) -> usize {
        let slow = self.0.0.lock().faults.slow;
        if slow || self.read(bytes, at).is_err() {
            return 0;
        }
        bytes.len()
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut inner = self.0.0.lock();
        check(inner.faults.write)?;
        let at = usize::try_from(at).unwrap();
        let mut bytes = bytes.to_vec();
        let dies_after = inner.faults.dies_after;
        if let Some(last) = dies_after {
            check((inner.writes > last).then_some(ErrorKind::BrokenPipe))?;
            if inner.writes == last {
                bytes.truncate(bytes.len() / 2);
            }
        }
        inner.writes += 1;
        let content = inner.files.get_mut(&self.1).unwrap();
        content.bytes[at..at + bytes.len()].copy_from_slice(&bytes);
        content.unsynced.push((at, bytes));
        check((dies_after == Some(inner.writes - 1)).then_some(ErrorKind::BrokenPipe))
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.0.0.lock();
        check(inner.faults.sync)?;
        let dead = inner
            .faults
            .dies_after
            .is_some_and(|last| inner.writes > last);
        check(dead.then_some(ErrorKind::BrokenPipe))?;
        let content = inner.files.get_mut(&self.1).unwrap();
        content.synced = content.bytes.clone();
        content.unsynced.clear();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.0.lock().files[&self.1].bytes.len() as u64)
    }

    fn hold(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_held(&self) -> bool {
        false
    }
}
