//! The scheme `cenc`: AES in counter mode (ISO/IEC 23001-7 §9.4.2, §10.1).

use aes::cipher::{InnerIvInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors::Ctr64BE};

use crate::protect::{Key, Subsample, subsamples::protected};

/// Encrypts a sample where it lies. The counter of blocks runs on from one protected part to the next (§9.5).
pub(super) fn encrypt(key: &Key, iv: u64, sample: &mut [u8], parts: &[Subsample]) {
    let mut counter = [0; 16];
    if let Some(high) = counter.first_chunk_mut::<8>() {
        *high = iv.to_be_bytes();
    }
    let core = CtrCore::<_, Ctr64BE>::inner_iv_init(key.cipher(), &counter.into());
    let mut stream = StreamCipherCoreWrapper::from_core(core);
    if parts.is_empty() {
        return stream.apply_keystream(sample);
    }
    protected(sample, parts, |part| stream.apply_keystream(part));
}
