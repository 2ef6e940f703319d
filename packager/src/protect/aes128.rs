//! HLS `AES-128`: a whole segment in AES cipher block chaining with PKCS #7 padding (RFC 8216 §4.3.2.4, §5.2).

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};

use crate::protect::Key;

/// Encrypts a segment where it lies.
///
/// The vector is the key's, where its document gives one (playlists then say it), else the segment's media
/// sequence number as a big-endian number of 128 bits.
#[must_use]
pub fn encrypt(key: &Key, sequence: u64, mut segment: Vec<u8>) -> Vec<u8> {
    pad(&mut segment);
    Chain::new(key, sequence).run(&mut segment);
    segment
}

/// Encrypts a segment that comes in pieces into one; otherwise as [`encrypt`].
#[must_use]
pub fn encrypt_pieces(key: &Key, sequence: u64, pieces: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
    let mut segment = Vec::with_capacity(length + BLOCK);
    let mut chain = Chain::new(key, sequence);
    let mut done = 0;
    // What was just copied is encrypted while the processor's first cache still has it.
    for window in pieces
        .iter()
        .flat_map(|piece| piece.as_ref().chunks(WINDOW))
    {
        segment.extend_from_slice(window);
        let whole = segment.len() - segment.len() % BLOCK;
        chain.run(segment.get_mut(done..whole).unwrap_or_default());
        done = whole;
    }
    pad(&mut segment);
    chain.run(segment.get_mut(done..).unwrap_or_default());
    segment
}

/// The length of a segment of `length` bytes once it is encrypted.
#[must_use]
pub fn encrypted_length(length: u64) -> u64 {
    (length / 16 + 1).saturating_mul(16)
}

/// Cipher block chaining, as far as it has come.
///
/// AWS-LC and not the `aes` crate, which the protection of single samples uses: a chain cannot be computed in
/// parallel, so that a whole segment waits for every block, and assembly waits least (docs/benchmarks.md).
struct Chain {
    key: EncryptingKey,
    /// The vector, then the last block that was encrypted.
    last: [u8; BLOCK],
}

impl Chain {
    #[expect(
        clippy::expect_used,
        reason = "AES-128 takes any key of 16 bytes, and chains it"
    )]
    fn new(key: &Key, sequence: u64) -> Self {
        let vector = key
            .iv()
            .map_or_else(|| u128::from(sequence).to_be_bytes(), |iv| iv.0);
        let bound = UnboundCipherKey::new(&AES_128, &key.value().0).and_then(EncryptingKey::cbc);
        Self {
            key: bound.expect("a key of 16 bytes"),
            last: vector,
        }
    }

    /// Encrypts the next whole blocks.
    #[expect(
        clippy::expect_used,
        reason = "bytes that are not encrypted must not leave; whole blocks always can be"
    )]
    fn run(&mut self, blocks: &mut [u8]) {
        let context = EncryptionContext::Iv128(self.last.into());
        let done = self.key.less_safe_encrypt(blocks, context);
        done.expect("whole blocks");
        if let Some(last) = blocks.last_chunk() {
            self.last = *last;
        }
    }
}

/// Fills the last block; a whole one is added where it is full.
fn pad(segment: &mut Vec<u8>) {
    let padding = BLOCK - segment.len() % BLOCK;
    let fill = u8::try_from(padding).unwrap_or_default();
    segment.extend(std::iter::repeat_n(fill, padding));
}

const BLOCK: usize = 16;
const WINDOW: usize = 16 << 10;
