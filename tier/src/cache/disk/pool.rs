//! Buffers for pieces read from disk, used again: fresh memory costs more than reading into it.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::format::CHUNK;

/// Whatever must live as long as a buffer is in use: the account of its memory.
pub type Hold = Box<dyn Any + Send + Sync>;

/// Buffers that wait for use.
pub struct Pool {
    idle: Mutex<Vec<Vec<u8>>>,
    most: usize,
}

/// A buffer in use; dropped, it waits for the next.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    pool: Arc<Pool>,
    _hold: Option<Hold>,
}

impl Pool {
    /// A pool in which at most `bytes` wait.
    #[must_use]
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            most: bytes / CHUNK,
        })
    }

    /// A buffer of `length` bytes, of any content.
    pub(super) fn take(self: &Arc<Self>, length: usize, hold: Option<Hold>) -> Buffer {
        let waiting = self.idle.lock().pop();
        let mut bytes = waiting.unwrap_or_else(|| vec![0; CHUNK]);
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        Buffer {
            bytes,
            length,
            pool: Arc::clone(self),
            _hold: hold,
        }
    }
}

impl Buffer {
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }

    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut idle = self.pool.idle.lock();
        if bytes.len() == CHUNK && idle.len() < self.pool.most {
            idle.push(bytes);
        }
    }
}
