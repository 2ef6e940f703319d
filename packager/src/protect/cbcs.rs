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
    let mut gathered = gathered();
    protected(sample, parts, |part| {
        let (blocks, _) = Block::slice_as_chunks_mut(part);
        pattern(encryptor(key, iv), blocks, &mut gathered);
    });
}

/// Encrypts one block of ten. They are laid side by side for it: the cipher is much faster on a run of blocks than on
/// one at a time.
pub(super) fn pattern(
    mut chain: Encryptor<&Aes128Enc>,
    blocks: &mut [Block],
    gathered: &mut [Block],
) {
    for run in blocks.chunks_mut(PATTERN * GATHERED) {
        let count = run.len().div_ceil(PATTERN);
        let gathered = gathered.get_mut(..count).unwrap_or_default();
        for (place, block) in gathered.iter_mut().zip(run.iter().step_by(PATTERN)) {
            *place = *block;
        }
        chain.encrypt_blocks(gathered);
        for (block, place) in run.iter_mut().step_by(PATTERN).zip(gathered.iter()) {
            *block = *place;
        }
    }
}

/// Room for blocks side by side.
pub(super) fn gathered() -> [Block; GATHERED] {
    [Block::default(); GATHERED]
}

fn encryptor<'a>(key: &'a Key, iv: &[u8; 16]) -> Encryptor<&'a Aes128Enc> {
    Encryptor::inner_iv_init(key.cipher(), &(*iv).into())
}

/// One encrypted block, then nine clear ones.
const PATTERN: usize = 10;
/// Blocks that are encrypted in one go.
const GATHERED: usize = 64;
