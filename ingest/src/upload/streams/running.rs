//! A SHA-256 that is worked out while bytes come, and can be set down between them.

use std::fmt;

use sha2::{
    Digest as _, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};
use store::Digest;

/// The SHA-256 of some bytes, to which others can be added, in another process too.
#[derive(Clone, Default)]
pub struct Running(Sha256);

impl Running {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.0.clone().finalize().into())
    }

    /// How far it is, in hexadecimal.
    #[must_use]
    pub fn set_down(&self) -> String {
        hex::encode(self.0.serialize())
    }

    /// What [`set_down`](Self::set_down) gave; `None` for anything else.
    #[must_use]
    pub fn take_up(text: &str) -> Option<Self> {
        let mut state = SerializedState::<Sha256>::default();
        hex::decode_to_slice(text, &mut state).ok()?;
        Sha256::deserialize(&state).ok().map(Self)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({})", self.digest())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn set_down_and_taken_up_anywhere_it_comes_to_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
        ) {
            let (before, after) = bytes.split_at(at.index(bytes.len() + 1));
            let mut running = Running::default();
            running.add(before);
            let mut running = Running::take_up(&running.set_down()).unwrap();
            running.add(after);
            prop_assert_eq!(running.digest(), Digest::of(&bytes));
        }
    }

    #[test]
    fn what_was_not_set_down_is_not_taken_up() {
        let state = Running::default().set_down();
        for text in ["", "00", &state[2..], &"z".repeat(state.len())] {
            assert!(Running::take_up(text).is_none(), "{text}");
        }
        // More bytes than a block holds are waiting, it says.
        assert!(Running::take_up(&"f".repeat(state.len())).is_none());
    }
}
