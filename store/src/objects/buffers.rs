//! Memory for reads, used again: the first touch of a fresh page costs more than the read of what it then holds.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers that nobody uses at the moment.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Box<[u8]>>>);

/// A buffer in use; it comes back when the last of its bytes is let go.
struct Lent {
    buffer: Box<[u8]>,
    length: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// Lends `length` bytes to `fill`, which must write every one of them: they may hold what another read left.
    pub(super) fn lend<E>(
        self: &Arc<Self>,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        if length < LEAST {
            let mut bytes = vec![0; length];
            fill(&mut bytes)?;
            return Ok(bytes.into());
        }
        let buffer = self.take(length).unwrap_or_else(|| {
            // Lengths of a film's segments differ by little: rounded up, they share buffers.
            vec![0; length.next_multiple_of(LEAST / 4)].into_boxed_slice()
        });
        let mut lent = Lent {
            buffer,
            length,
            home: Arc::clone(self),
        };
        fill(lent.bytes())?;
        Ok(Bytes::from_owner(lent))
    }

    /// The smallest idle buffer that holds `length` bytes and not more than a quarter beyond.
    fn take(&self, length: usize) -> Option<Box<[u8]>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |buffer: &[u8]| (length..=length.saturating_add(length / 4)).contains(&buffer.len());
        let best = idle
            .iter()
            .enumerate()
            .filter(|(_, buffer)| fits(buffer))
            .min_by_key(|(_, buffer)| buffer.len());
        let at = best.map(|(at, _)| at)?;
        Some(idle.swap_remove(at))
    }

    /// Keeps a buffer, and lets the oldest go that are too many.
    fn give(&self, buffer: Box<[u8]>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(buffer);
        let mut kept: usize = idle.iter().map(|buffer| buffer.len()).sum();
        while kept > MOST_IDLE || idle.len() > MOST_BUFFERS {
            kept -= idle.remove(0).len();
        }
    }
}

impl Lent {
    fn bytes(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.buffer));
    }
}

/// Below this an allocator has recycled memory of its own.
const LEAST: usize = 128 * 1024;
/// Bytes that wait to be used again at most.
const MOST_IDLE: usize = 64 << 20;
const MOST_BUFFERS: usize = 64;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn lend(buffers: &Arc<Buffers>, length: usize, with: u8) -> Bytes {
        let filled = buffers.lend(length, |bytes| {
            bytes.fill(with);
            Ok::<_, Infallible>(())
        });
        let Ok(bytes) = filled;
        bytes
    }

    fn idle(buffers: &Buffers) -> Vec<usize> {
        let idle = buffers.0.lock().unwrap();
        idle.iter().map(|buffer| buffer.len()).collect()
    }

    #[test]
    fn a_buffer_is_lent_again_only_when_its_last_slice_is_gone() {
        let buffers = Arc::new(Buffers::default());
        let first = lend(&buffers, LEAST + 1, 1);
        let slice = first.slice(5..9);
        drop(first);
        let second = lend(&buffers, LEAST + 1, 2);
        assert_eq!(slice, [1; 4][..]);
        assert!(second.iter().all(|byte| *byte == 2));
        let address = slice.as_ptr() as usize - 5;
        drop(slice);
        let third = lend(&buffers, LEAST + 7, 3);
        assert_eq!(
            third.as_ptr() as usize,
            address,
            "memory was not used again"
        );
        assert_eq!(third.len(), LEAST + 7);
        assert!(third.iter().all(|byte| *byte == 3));
    }

    #[test]
    fn what_waits_is_bounded_and_a_large_buffer_is_not_wasted_on_little() {
        let buffers = Arc::new(Buffers::default());
        drop(lend(&buffers, 8 * LEAST, 1));
        drop(lend(&buffers, LEAST, 1));
        assert_eq!(idle(&buffers), [8 * LEAST, LEAST]);
        let many: Vec<Bytes> = (0..20).map(|_| lend(&buffers, 4 << 20, 1)).collect();
        drop(many);
        assert!(idle(&buffers).iter().sum::<usize>() <= MOST_IDLE);
        drop(lend(&buffers, MOST_IDLE + 1, 1));
        assert!(idle(&buffers).iter().sum::<usize>() <= MOST_IDLE);
    }

    #[test]
    fn a_buffer_is_longer_than_what_it_holds_by_a_quarter_at_most() {
        let buffers = Arc::new(Buffers::default());
        for length in [LEAST, LEAST + 1, 5 * LEAST / 4 + 1, 3 * LEAST + 5] {
            for kept in [LEAST, 2 * LEAST, 4 * LEAST] {
                drop(lend(&buffers, kept, 1));
            }
            let bytes = lend(&buffers, length, 2);
            let before: usize = idle(&buffers).iter().sum();
            drop(bytes);
            let buffer = idle(&buffers).iter().sum::<usize>() - before;
            assert!(
                (length..=length + length / 4).contains(&buffer),
                "{length}: {buffer}"
            );
        }
    }

    #[test]
    fn a_read_that_fails_gives_its_buffer_back() {
        let buffers = Arc::new(Buffers::default());
        let failed = buffers.lend(LEAST, |_| Err("the disk is on fire"));
        assert_eq!(failed.unwrap_err(), "the disk is on fire");
        assert_eq!(idle(&buffers), [LEAST]);
    }
}
