//! `SAMPLE-AES` of transport streams: slices of H.264 by a pattern, AAC frames behind their first bytes (Apple,
//! MPEG-2 Stream Encryption Format for HTTP Live Streaming).

use aes::{
    Aes128Enc, Block,
    cipher::{BlockModeEncrypt, InnerIvInit},
};
use cbc::Encryptor;

use crate::{
    Error,
    codec::{Picture, Sound, avc},
    index::Media,
    protect::Key,
};

/// Whether a track has a form that is encrypted so.
///
/// # Errors
/// [`Error::Unsupported`] for any but H.264 and AAC.
pub(crate) fn covers(media: &Media) -> Result<(), Error> {
    match media {
        Media::Video(video) if matches!(video.config, Picture::Avc(_)) => Ok(()),
        Media::Audio(Sound::Aac(_)) => Ok(()),
        _ => Err(Error::Unsupported(
            "SAMPLE-AES in transport streams is for H.264 and AAC",
        )),
    }
}

/// Encrypts a NAL unit, if it is one of those that are, and appends it to `out`.
///
/// Behind 32 clear bytes one block of ten is encrypted while more than a block is left. What comes of it may look
/// like start codes, so that emulation prevention is applied to the whole unit once more.
pub(crate) fn nal_unit(key: &Key, unit: &[u8], out: &mut Vec<u8>) {
    let is_slice = matches!(avc::nal_type(unit), NAL_SLICE | NAL_IDR);
    if !is_slice || unit.len() <= SHORTEST {
        return out.extend_from_slice(unit);
    }
    let mut unit = unit.to_vec();
    let mut chain = encryptor(key);
    let mut rest = unit.get_mut(LEADER..).unwrap_or_default();
    while rest.len() > BLOCK {
        let stretch = rest.len().min(BLOCK * PATTERN);
        let (now, later) = std::mem::take(&mut rest).split_at_mut(stretch);
        let (blocks, _) = Block::slice_as_chunks_mut(now);
        if let Some(block) = blocks.first_mut() {
            chain.encrypt_block(block);
        }
        rest = later;
    }
    escape(&unit, out);
}

/// Encrypts all whole blocks of an AAC frame behind the 16 bytes that follow its header.
pub(crate) fn audio_frame(key: &Key, frame: &mut [u8]) {
    let (blocks, _) = Block::slice_as_chunks_mut(frame.get_mut(BLOCK..).unwrap_or_default());
    encryptor(key).encrypt_blocks(blocks);
}

fn encryptor(key: &Key) -> Encryptor<&Aes128Enc> {
    Encryptor::inner_iv_init(key.cipher(), &key.constant_iv().into())
}

/// Puts a 3 between two zeros and a byte of up to 3 (ITU-T H.264 §7.4.1).
fn escape(unit: &[u8], out: &mut Vec<u8>) {
    let mut zeros = 0;
    for byte in unit {
        if zeros == 2 && *byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(*byte);
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
    }
}

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const SHORTEST: usize = 48;
const LEADER: usize = 32;
const BLOCK: usize = 16;
const PATTERN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_cannot_come_of_encryption() {
        let mut out = Vec::new();
        escape(&[0, 0, 3, 0, 0, 0, 1, 9, 0, 0, 4], &mut out);
        assert_eq!(out, [0, 0, 3, 3, 0, 0, 3, 0, 1, 9, 0, 0, 4]);
        out.clear();
        escape(&[0, 0, 0, 0, 0], &mut out);
        assert_eq!(out, [0, 0, 3, 0, 0, 3, 0]);
    }
}
