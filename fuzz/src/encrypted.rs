//! Encrypted segments: what they say of each sample adds up to it, and undoing it gives the sample back.

use std::sync::LazyLock;

use aes::{
    Aes128,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};
use bytes::Bytes;
use contracts::{address::Protection as Method, keys::ContentKeys};
use packager::{
    Presentation, Rendition, fmp4,
    protect::{Protection, Scheme, aes128},
};

use super::{
    packing::{boxes, mdat, range, samples},
    sample_aes,
};

/// Encrypts the first segments of a rendition in both schemes and decrypts them again.
pub fn check(film: &Presentation, rendition: &Rendition, file: &Bytes) {
    for protection in &*PROTECTIONS {
        let scheme = protection.scheme().expect("a scheme of samples");
        let can = protection.covers(film).is_ok();
        let track = protection.track(rendition).expect("its key is for all");
        let _ = fmp4::init(rendition.index(), Some(&track));
        for segment in rendition.segments().take(4) {
            let source = file.slice(range(&segment.bytes));
            let Ok(packed) = fmp4::segment(rendition.index(), &segment, &source, Some(&track))
            else {
                continue;
            };
            assert!(can, "a codec without rules was encrypted");
            let bound = fmp4::segment_length(rendition.index(), &segment, Some(&track));
            assert!(packed.length() <= bound);
            let video = rendition.video().is_some();
            let wanted = samples(rendition, &segment, file);
            decrypted(&packed.into_bytes(), scheme, video, &wanted);
        }
        for iframe in rendition.iframes().take(4) {
            let source = file.slice(range(&iframe.bytes));
            let packed = fmp4::iframe(rendition.index(), &iframe, &source, Some(&track));
            if let Ok(packed) = packed {
                decrypted(&packed.into_bytes(), scheme, true, &[&source]);
            }
        }
    }
    whole(film, rendition, file);
    for segment in rendition.segments().take(4) {
        sample_aes::check(rendition, &segment, file, &STREAM);
    }
}

/// Decrypts a segment by what it says itself and compares its samples.
fn decrypted(segment: &[u8], scheme: Scheme, video: bool, samples: &[&[u8]]) {
    let mut media = mdat(segment).to_vec();
    let moof = inner(segment, b"moof").expect("a segment has a moof");
    let traf = inner(moof, b"traf").expect("a moof has a traf");
    let senc = inner(traf, b"senc").expect("an encrypted segment has a senc");
    let (head, mut entries) = senc.split_at(8);
    assert_eq!(head[3], if video { 2 } else { 0 });
    let count = u32::from_be_bytes(head[4..].try_into().expect("four bytes"));
    assert_eq!(count as usize, samples.len());
    let mut rest = media.as_mut_slice();
    let mut lengths = Vec::new();
    for sample in samples {
        let before = entries.len();
        let iv = match scheme {
            Scheme::Cenc => [take(&mut entries, 8), &[0; 8]].concat(),
            Scheme::Cbcs => IV.to_vec(),
        };
        let iv = iv.try_into().expect("sixteen bytes");
        let parts = if video { parts(&mut entries) } else { vec![] };
        lengths.push(before - entries.len());
        let (bytes, behind) = rest.split_at_mut(sample.len());
        rest = behind;
        if video {
            let told: usize = parts.iter().map(|(clear, hidden)| clear + hidden).sum();
            assert_eq!(told, sample.len(), "clear and protected add up");
            assert!(
                parts
                    .iter()
                    .all(|(_, hidden)| scheme == Scheme::Cbcs || hidden % 16 == 0)
            );
        }
        undo(scheme, video, iv, bytes, &parts);
        assert!(bytes == *sample, "{scheme:?} gives the sample back");
    }
    assert!(entries.is_empty() && rest.is_empty());
    places(segment, traf, &lengths);
}

/// `saiz` tells the entries' lengths and `saio` where the first of them is.
fn places(segment: &[u8], traf: &[u8], lengths: &[usize]) {
    let (saiz, saio) = (inner(traf, b"saiz"), inner(traf, b"saio"));
    let Some((saiz, saio)) = saiz.zip(saio) else {
        assert!(saiz.is_none() && saio.is_none() && lengths.iter().all(|length| *length == 0));
        return;
    };
    let told: Vec<usize> = match saiz[4] {
        0 => saiz[9..]
            .iter()
            .map(|length| usize::from(*length))
            .collect(),
        all => vec![usize::from(all); lengths.len()],
    };
    assert_eq!(told, lengths);
    let first = u32::from_be_bytes(saio[8..12].try_into().expect("four bytes")) as usize;
    let base = segment.as_ptr() as usize;
    let moof = inner(segment, b"moof").expect("a segment has a moof");
    let senc = inner(traf, b"senc").expect("an encrypted segment has a senc");
    let place = senc.as_ptr() as usize + 8 - base;
    assert_eq!(first, place - (moof.as_ptr() as usize - 8 - base));
}

fn undo(scheme: Scheme, video: bool, iv: [u8; 16], sample: &mut [u8], parts: &[(usize, usize)]) {
    let all = [(0, sample.len())];
    let parts = if video { parts } else { &all };
    let mut at = 0;
    // Counter mode runs on from part to part.
    let mut used = 0;
    for (clear, hidden) in parts {
        let part = &mut sample[at + clear..at + clear + hidden];
        at += clear + hidden;
        match scheme {
            Scheme::Cenc => {
                for byte in part {
                    let mut block = u128::from_be_bytes(iv)
                        .wrapping_add(used / 16)
                        .to_be_bytes()
                        .into();
                    CIPHER.encrypt_block(&mut block);
                    *byte ^= block[(used % 16) as usize];
                    used += 1;
                }
            }
            Scheme::Cbcs => chain(iv, part, if video { 10 } else { 1 }),
        }
    }
}

/// Undoes cipher block chaining over one block of `every`.
pub fn chain(iv: [u8; 16], part: &mut [u8], every: usize) {
    let mut before = iv;
    for block in part.chunks_exact_mut(16).step_by(every) {
        let hidden: [u8; 16] = (&*block).try_into().expect("sixteen bytes");
        let mut clear = hidden.into();
        CIPHER.decrypt_block(&mut clear);
        let clear = clear.iter().zip(before).map(|(byte, before)| byte ^ before);
        block
            .iter_mut()
            .zip(clear)
            .for_each(|(byte, clear)| *byte = clear);
        before = hidden;
    }
}

/// A whole segment, and its padding.
fn whole(film: &Presentation, rendition: &Rendition, file: &Bytes) {
    let Some(segment) = rendition.segment(1) else {
        return;
    };
    let packed = fmp4::segment(
        rendition.index(),
        &segment,
        &file.slice(range(&segment.bytes)),
        None,
    );
    let packed = packed.expect("it was packed before");
    let clear = packed.clone().into_bytes();
    assert!(WHOLE.covers(film).is_ok());
    let key = WHOLE.key(rendition).expect("its key is for all");
    let mut hidden = aes128::encrypt(key, 1, clear.to_vec());
    assert_eq!(
        hidden.len() as u64,
        aes128::encrypted_length(clear.len() as u64)
    );
    assert!(hidden == aes128::encrypt_pieces(key, 1, packed.pieces()));
    chain(IV, &mut hidden, 1);
    let (body, padding) = hidden.split_at(clear.len());
    assert!(body == clear);
    assert!(
        padding
            .iter()
            .all(|byte| usize::from(*byte) == padding.len())
    );
}

/// The body of the first such box inside the boxes of `data`.
fn inner<'a>(data: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let found = boxes(data).into_iter().find(|found| found.0 == *kind);
    found.map(|found| found.1)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(count);
    *bytes = rest;
    head
}

/// The clear and the protected length of each part of an entry.
fn parts(entries: &mut &[u8]) -> Vec<(usize, usize)> {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |value, byte| value << 8 | usize::from(*byte))
    };
    let count = number(take(entries, 2));
    let part = |_| (number(take(entries, 2)), number(take(entries, 4)));
    (0..count).map(part).collect()
}

const KEY: [u8; 16] = *b"0123456789abcdef";
/// The vector of all keys here.
pub const IV: [u8; 16] = [0x5a; 16];
static CIPHER: LazyLock<Aes128> = LazyLock::new(|| Aes128::new(&KEY.into()));
static PROTECTIONS: LazyLock<[Protection; 2]> =
    LazyLock::new(|| [Method::Cenc, Method::Cbcs].map(protection));
static WHOLE: LazyLock<Protection> = LazyLock::new(|| protection(Method::Aes128));
static STREAM: LazyLock<Protection> = LazyLock::new(|| protection(Method::SampleAes));

fn protection(method: Method) -> Protection {
    let (kid, key, iv) = (hex::encode([7; 16]), hex::encode(KEY), hex::encode(IV));
    let document = format!(
        r#"{{"video":"film","systems":["identity","clearkey","widevine","playready"],"periods":[{{"start_ms":0,"keys":[{{"kid":"{kid}","key":"{key}","iv":"{iv}"}}]}}]}}"#
    );
    let keys: ContentKeys = serde_json::from_str(&document).expect("a document of keys");
    Protection::new(&keys, method, None).expect("one period with a key")
}
