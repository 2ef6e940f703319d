//! A packed segment as a list of pieces, so that clear media data is not copied.

use bytes::Bytes;

/// The bytes of a segment, in pieces that follow each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed(Vec<Bytes>);

impl Packed {
    pub(super) fn new(pieces: Vec<Bytes>) -> Self {
        Self(pieces)
    }

    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.0
    }

    /// The pieces, in order.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.0
    }

    /// The length of all pieces together.
    #[must_use]
    pub fn length(&self) -> u64 {
        let lengths = self
            .0
            .iter()
            .map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX));
        lengths.sum()
    }

    /// All pieces as one, which copies unless there is one alone.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        match self.0.as_mut_slice() {
            [only] => std::mem::take(only),
            pieces => pieces.concat().into(),
        }
    }
}
