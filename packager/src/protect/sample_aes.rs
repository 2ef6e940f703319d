//! `SAMPLE-AES` of transport streams: slices of H.264 by a pattern, AAC frames behind their first bytes (Apple,
//! MPEG-2 Stream Encryption Format for HTTP Live Streaming).

use aes::{
    Aes128Enc, Block,
    cipher::{BlockModeEncrypt, InnerIvInit},
};
use cbc::Encryptor;
use memchr::memmem::Finder;

use crate::{
    Error,
    codec::{Picture, Sound, avc},
    index::Media,
    protect::{Key, cbcs},
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
    let start = out.len();
    out.extend_from_slice(unit);
    let rest = out.get_mut(start + LEADER..).unwrap_or_default();
    // A last block that nothing follows stays clear.
    let more = rest.len().saturating_sub(1);
    let (blocks, _) = Block::slice_as_chunks_mut(rest.get_mut(..more).unwrap_or_default());
    cbcs::pattern(encryptor(key), blocks, &mut cbcs::gathered());
    let zeros = Finder::new(&ZEROS);
    if let Some(at) = zeros.find(out.get(start..).unwrap_or_default()) {
        let rest = out.split_off(start + at);
        escape(&rest, &zeros, out);
    }
}

/// Encrypts all whole blocks of an AAC frame behind the 16 bytes that follow its header.
pub(crate) fn audio_frame(key: &Key, frame: &mut [u8]) {
    let (blocks, _) = Block::slice_as_chunks_mut(frame.get_mut(BLOCK..).unwrap_or_default());
    encryptor(key).encrypt_blocks(blocks);
}

fn encryptor(key: &Key) -> Encryptor<&Aes128Enc> {
    Encryptor::inner_iv_init(key.cipher(), &key.constant_iv().into())
}

/// Puts a 3 between two zeros and a byte of up to 3 (ITU-T H.264 §7.4.1). Two zeros are rare, and found many bytes at a
/// time.
fn escape(unit: &[u8], zeros: &Finder<'_>, out: &mut Vec<u8>) {
    let mut rest = unit;
    let next = |rest: &[u8]| match rest.starts_with(&ZEROS) {
        true => Some(0),
        false => zeros.find(rest),
    };
    while let Some((head, tail)) = next(rest).and_then(|at| rest.split_at_checked(at + 2)) {
        out.extend_from_slice(head);
        if tail.first().is_some_and(|byte| *byte <= 3) {
            out.push(3);
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

const ZEROS: [u8; 2] = [0; 2];
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const SHORTEST: usize = 48;
const LEADER: usize = 32;
const BLOCK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(unit: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        escape(unit, &Finder::new(&ZEROS), &mut out);
        out
    }

    #[test]
    fn start_codes_cannot_come_of_encryption() {
        let found = escaped(&[0, 0, 3, 0, 0, 0, 1, 9, 0, 0, 4]);
        assert_eq!(found, [0, 0, 3, 3, 0, 0, 3, 0, 1, 9, 0, 0, 4]);
        assert_eq!(escaped(&[0, 0, 0, 0, 0]), [0, 0, 3, 0, 0, 3, 0]);
    }

    /// Byte by byte, as the standard tells it.
    fn as_told(unit: &[u8]) -> Vec<u8> {
        let (mut out, mut zeros) = (Vec::new(), 0);
        for byte in unit {
            if zeros == 2 && *byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            out.push(*byte);
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
        }
        out
    }

    #[test]
    fn every_short_unit_is_escaped_as_the_standard_tells() {
        // All units of up to 7 bytes of these, alone and behind what a search takes in one step.
        for length in 0..=7u32 {
            for number in 0..4usize.pow(length) {
                let byte = |at: u32| [0, 1, 3, 4][number / 4usize.pow(at) % 4];
                let unit: Vec<u8> = (0..length).map(byte).collect();
                assert_eq!(escaped(&unit), as_told(&unit));
                let unit = [&[9; 61], unit.as_slice(), &[7; 40]].concat();
                assert_eq!(escaped(&unit), as_told(&unit));
            }
        }
    }
}
