//! Lines that wait to be written: bounded in bytes, and nobody waits for room.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Lines that wait to be written.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    due: Condvar,
    most: usize,
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    closed: bool,
}

/// Whole lines, one behind the other.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

impl Queue {
    /// A queue that holds at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            due: Condvar::new(),
            most,
        }
    }

    /// Takes a line; false when there is no room for it, or the queue is closed.
    pub(super) fn push(&self, line: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        let before = waiting.batch.bytes.len();
        let after = before + line.len();
        if waiting.closed || after > self.most {
            return false;
        }
        waiting.batch.bytes.extend_from_slice(line);
        waiting.batch.lines += 1;
        drop(waiting);
        // Told once a batch: telling costs a system call.
        if (before..after).contains(&(self.enough() - 1)) {
            self.due.notify_one();
        }
        true
    }

    /// Swaps a batch that is empty for what has gathered, once that is enough or `longest` has passed; one that is not
    /// stays as it is. False when the queue is closed.
    pub(super) fn take(&self, batch: &mut Batch, longest: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let too_little = !batch.bytes.is_empty() || waiting.batch.bytes.len() < self.enough();
        if too_little && !waiting.closed {
            self.due.wait_for(&mut waiting, longest);
        }
        if batch.bytes.is_empty() {
            batch.lines = 0;
            std::mem::swap(&mut waiting.batch, batch);
        }
        !waiting.closed
    }

    /// Takes no more lines.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.due.notify_one();
    }

    /// Lines that wait.
    pub(super) fn lines(&self) -> u64 {
        self.waiting.lock().batch.lines
    }

    /// Bytes for which it is worth waking the writer.
    fn enough(&self) -> usize {
        ENOUGH.min(self.most / 2)
    }
}

/// The most that is gathered before the writer is woken.
const ENOUGH: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_at_once() {
        let queue = Queue::new(10);
        assert!(queue.push(b"12345\n"));
        assert!(!queue.push(b"12345\n"));
        assert!(queue.push(b"123\n"));
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch, Duration::ZERO));
        assert_eq!(
            (batch.bytes.as_slice(), batch.lines),
            (&b"12345\n123\n"[..], 2)
        );
        assert!(queue.push(b"12345\n"), "there is room again");
        assert!(queue.take(&mut batch, Duration::ZERO));
        assert_eq!(batch.lines, 2, "what is not written yet stays");
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new(10);
        assert!(queue.push(b"1\n"));
        queue.close();
        assert!(!queue.push(b"2\n"));
        let mut batch = Batch::default();
        let for_ever = Duration::MAX;
        assert!(!queue.take(&mut batch, for_ever));
        assert_eq!(batch.bytes, b"1\n");
    }
}
