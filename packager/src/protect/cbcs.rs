//! The scheme `cbcs`: AES in cipher block chaining over a pattern of blocks (ISO/IEC 23001-7 §9.6, §10.4).

use aes::{
    Aes128Enc, Block,
    cipher::{BlockModeEncrypt, InnerIvInit},
};
use cbc::Encryptor;

use crate::protect::{Key, Subsample, subsamples::protected};

/// Encrypts a sample where it lies: without parts all its whole blocks, else one block of ten of each part.
///
/// Each part begins anew with the vector (§9.6.1); what is left of a last block stays clear.
pub(super) fn encrypt(key: &Key, iv: &[u8; 16], sample: &mut [u8], parts: &[Subsample]) {
    if parts.is_empty() {
        let (blocks, _) = Block::slice_as_chunks_mut(sample);
        return encryptor(key, iv).encrypt_blocks(blocks);
    }
    protected(sample, parts, |part| {
        let mut chain = encryptor(key, iv);
        let (blocks, _) = Block::slice_as_chunks_mut(part);
        for block in blocks.iter_mut().step_by(PATTERN) {
            chain.encrypt_block(block);
        }
    });
}

fn encryptor<'a>(key: &'a Key, iv: &[u8; 16]) -> Encryptor<&'a Aes128Enc> {
    Encryptor::inner_iv_init(key.cipher(), &(*iv).into())
}

/// One encrypted block, then nine clear ones.
const PATTERN: usize = 10;
