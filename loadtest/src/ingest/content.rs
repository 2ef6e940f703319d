//! What is uploaded: a film, and behind it bytes that nobody guesses, in a box that players skip.

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

/// Bytes that are made where they are needed, any stretch of them again and again: never all are held.
pub(super) struct Content {
    /// What comes first; a whole number of words where more comes.
    head: Vec<u8>,
    seed: u64,
    /// How many there are.
    pub(super) size: u64,
}

/// SHA-256 of each piece and of all.
pub(super) struct Digests {
    pub(super) piece_bytes: u64,
    pub(super) pieces: Vec<[u8; 32]>,
    pub(super) whole: String,
}

impl Content {
    /// A film as it is.
    pub(super) fn film(film: Vec<u8>) -> Self {
        Self {
            size: film.len() as u64,
            head: film,
            seed: 0,
        }
    }

    /// A film in MP4 that a box at its end makes so large (`free`, ISO/IEC 14496-12 §8.1.2).
    pub(super) fn grown(film: Vec<u8>, size: u64, seed: u64) -> Result<Self> {
        let free = size.checked_sub(film.len() as u64);
        let free = free
            .filter(|free| *free >= 32)
            .context("the film is too large for its upload")?;
        let mut head = film;
        // A length of 1 says that the real one comes behind the type.
        head.extend(1_u32.to_be_bytes());
        head.extend(b"free");
        head.extend(free.to_be_bytes());
        head.resize(head.len().next_multiple_of(WORD), 0);
        Ok(Self { head, seed, size })
    }

    /// Writes the bytes from a place on, which is a whole number of words.
    pub(super) fn fill(&self, place: u64, buffer: &mut [u8]) {
        let at = usize::try_from(place).unwrap_or(usize::MAX);
        let head = self.head.get(at..).unwrap_or_default();
        let (first, rest) = buffer.split_at_mut(head.len().min(buffer.len()));
        first.copy_from_slice(head.get(..first.len()).unwrap_or_default());
        let made = (place + first.len() as u64).saturating_sub(self.head.len() as u64);
        for (number, word) in (made / WORD as u64..).zip(rest.chunks_mut(WORD)) {
            let bytes = mixed(self.seed, number).to_le_bytes();
            word.copy_from_slice(bytes.get(..word.len()).unwrap_or_default());
        }
    }

    /// How many pieces of so many bytes there are.
    pub(super) const fn count(&self, piece_bytes: u64) -> u64 {
        self.size.div_ceil(piece_bytes)
    }

    /// A piece, counted from 0.
    pub(super) fn piece(&self, number: u64, piece_bytes: u64) -> Result<Vec<u8>> {
        let place = number * piece_bytes;
        let length = piece_bytes.min(self.size.saturating_sub(place));
        let mut piece = vec![0; usize::try_from(length)?];
        self.fill(place, &mut piece);
        Ok(piece)
    }

    /// Reads everything through once.
    pub(super) fn digests(&self, piece_bytes: u64) -> Result<Digests> {
        ensure!(
            piece_bytes.is_multiple_of(WORD as u64),
            "pieces of broken words"
        );
        let mut whole = Sha256::new();
        let mut pieces = Vec::new();
        for number in 0..self.count(piece_bytes) {
            let piece = self.piece(number, piece_bytes)?;
            whole.update(&piece);
            pieces.push(Sha256::digest(&piece).into());
        }
        Ok(Digests {
            piece_bytes,
            pieces,
            whole: hex::encode(whole.finalize()),
        })
    }
}

/// A word of SplitMix64's sequence.
const fn mixed(seed: u64, number: u64) -> u64 {
    let word = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

const WORD: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_same_bytes_whichever_way_they_are_cut() {
        let content = Content::grown(vec![7; 13], 1003, 5).unwrap();
        let mut whole = vec![0; 1003];
        content.fill(0, &mut whole);
        for piece_bytes in [8, 64, 512, 4096] {
            let cut: Vec<u8> = (0..content.count(piece_bytes))
                .flat_map(|number| content.piece(number, piece_bytes).unwrap())
                .collect();
            assert_eq!(cut, whole, "{piece_bytes}");
            let digests = content.digests(piece_bytes).unwrap();
            assert_eq!(digests.whole, hex::encode(Sha256::digest(&whole)));
        }
        assert!(content.digests(12).is_err());
    }

    #[test]
    fn what_makes_a_film_larger_is_one_box_to_its_end() {
        let content = Content::grown(vec![7; 13], 1003, 5).unwrap();
        let mut whole = vec![0; 1003];
        content.fill(0, &mut whole);
        let (film, free) = whole.split_at(13);
        assert_eq!(film, [7; 13]);
        assert_eq!(free[..8], *b"\0\0\0\x01free");
        assert_eq!(free[8..16], 990_u64.to_be_bytes());
        assert!(Content::grown(vec![7; 13], 20, 5).is_err());
        let other = Content::grown(vec![7; 13], 1003, 6).unwrap();
        let mut tail = [0; 8];
        other.fill(992, &mut tail);
        assert_ne!(tail, whole[992..1000]);
    }
}
