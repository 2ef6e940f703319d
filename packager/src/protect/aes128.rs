//! HLS `AES-128`: a whole segment in AES cipher block chaining with PKCS #7 padding (RFC 8216 §4.3.2.4, §5.2).

use aes::{
    Block,
    cipher::{BlockModeEncrypt, InnerIvInit},
};
use cbc::Encryptor;

use crate::protect::Key;

/// Encrypts a segment.
///
/// The vector is the key's, where its document gives one (playlists then say it), else the segment's media
/// sequence number as a big-endian number of 128 bits.
#[must_use]
pub fn encrypt(key: &Key, sequence: u64, mut segment: Vec<u8>) -> Vec<u8> {
    let iv = key
        .iv()
        .map_or_else(|| u128::from(sequence).to_be_bytes(), |iv| iv.0);
    let padding = BLOCK - segment.len() % BLOCK;
    let fill = u8::try_from(padding).unwrap_or_default();
    segment.extend(std::iter::repeat_n(fill, padding));
    let (blocks, _) = Block::slice_as_chunks_mut(&mut segment);
    Encryptor::inner_iv_init(key.cipher(), &iv.into()).encrypt_blocks(blocks);
    segment
}

/// The length of a segment of `length` bytes once it is encrypted.
#[must_use]
pub fn encrypted_length(length: u64) -> u64 {
    (length / 16 + 1).saturating_mul(16)
}

const BLOCK: usize = 16;
