//! The boxes of initialization segments and of segments, as another crate reads them. `UPDATE_GOLDEN=1` writes the dumps
//! anew.
//!
//! What that crate does not know, the boxes of encryption, is read here by the book.

use std::fmt::Write;

use contracts::address::Protection as Method;
use mp4_atom::{Any, Decode as _, TrunSamples};
use packager::{fmp4, protect::Protection};
use sha2::{Digest, Sha256};

use crate::{
    films::{Film, film, modern, pictures, range},
    playlists::golden,
    protected::keys,
};

/// The boxes that hold boxes, and the bytes that stand before those.
const HOLDERS: [(&[u8; 4], usize); 24] = [
    (b"moov", 0),
    (b"trak", 0),
    (b"mdia", 0),
    (b"minf", 0),
    (b"dinf", 0),
    (b"stbl", 0),
    (b"mvex", 0),
    (b"moof", 0),
    (b"traf", 0),
    (b"sinf", 0),
    (b"schi", 0),
    (b"stsd", 8),
    (b"avc1", 78),
    (b"hvc1", 78),
    (b"hev1", 78),
    (b"av01", 78),
    (b"vp09", 78),
    (b"encv", 78),
    (b"mp4a", 28),
    (b"Opus", 28),
    (b"enca", 28),
    (b"dref", 8),
    (b"udta", 0),
    (b"edts", 0),
];

/// How many bytes of a sample's vector stand in `senc`, and whether parts of samples do.
#[derive(Clone, Copy)]
struct Auxiliary {
    vector: usize,
    parts: bool,
}

struct Dump {
    text: String,
    auxiliary: Auxiliary,
}

impl Dump {
    fn line(&mut self, depth: usize, line: &str) {
        writeln!(self.text, "{:1$}{line}", "", depth * 2).unwrap();
    }

    fn boxes(&mut self, mut bytes: &[u8], depth: usize) {
        while !bytes.is_empty() {
            let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            let (this, rest) = bytes.split_at(size);
            self.one(this, depth);
            bytes = rest;
        }
    }

    fn one(&mut self, this: &[u8], depth: usize) {
        let kind: &[u8; 4] = this[4..8].try_into().unwrap();
        let (name, body) = (String::from_utf8_lossy(kind), &this[8..]);
        self.line(depth, &format!("{name} {}", this.len()));
        let depth = depth + 1;
        if let Some((_, before)) = HOLDERS.iter().find(|(holder, _)| *holder == kind) {
            let (before, inside) = body.split_at(*before);
            if !before.is_empty() {
                self.line(depth, &hex::encode(before));
            }
            return self.boxes(inside, depth);
        }
        match kind {
            b"mdat" => self.line(depth, &hex::encode(Sha256::digest(body))),
            b"senc" => self.senc(body, depth),
            b"tenc" => self.tenc(body, depth),
            b"pssh" | b"frma" | b"schm" => self.line(depth, &hex::encode(body)),
            _ => match Any::decode(&mut &*this) {
                Ok(Any::Trun(run)) => self.run(run.data_offset, &run.samples, depth),
                Ok(Any::Unknown(..)) => self.line(depth, &hex::encode(body)),
                Ok(known) => self.line(depth, &format!("{known:?}")),
                Err(error) => panic!("{name}: {error}"),
            },
        }
    }

    fn run(&mut self, offset: Option<i32>, samples: &TrunSamples, depth: usize) {
        let plain =
            |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        self.line(
            depth,
            &format!("data at {offset:?}: duration size flags offset"),
        );
        for sample in samples.iter() {
            let flags = sample
                .flags
                .map_or_else(|| "-".to_owned(), |flags| format!("{flags:08x}"));
            let (duration, size) = (plain(sample.duration), plain(sample.size));
            let offset = sample
                .cts
                .map_or_else(|| "-".to_owned(), |cts| cts.to_string());
            self.line(depth, &format!("{duration} {size} {flags} {offset}"));
        }
    }

    /// ISO/IEC 23001-7 §8.2.
    fn tenc(&mut self, body: &[u8], depth: usize) {
        let (head, rest) = body.split_at(8);
        let pattern = if head[0] == 0 { 0 } else { head[5] };
        let (key, constant) = rest.split_at(16);
        let text = format!(
            "version {} pattern {}:{} protected {} vector {} key {} constant {}",
            head[0],
            pattern >> 4,
            pattern & 15,
            head[6],
            head[7],
            hex::encode(key),
            hex::encode(constant)
        );
        self.line(depth, text.trim_end());
    }

    /// ISO/IEC 23001-7 §7.2: a line a sample, its vector, and the clear and protected bytes of its parts.
    fn senc(&mut self, body: &[u8], depth: usize) {
        let (head, mut rest) = body.split_at(8);
        self.line(depth, &hex::encode(head));
        let parted = head[3] & 2 != 0;
        assert_eq!(parted, self.auxiliary.parts);
        while !rest.is_empty() {
            let (vector, behind) = rest.split_at(self.auxiliary.vector);
            let mut line = hex::encode(vector);
            rest = behind;
            if parted {
                let count = usize::from(u16::from_be_bytes(rest[..2].try_into().unwrap()));
                let (parts, behind) = rest[2..].split_at(count * 6);
                rest = behind;
                for part in parts.chunks(6) {
                    let clear = u16::from_be_bytes(part[..2].try_into().unwrap());
                    let protected = u32::from_be_bytes(part[2..].try_into().unwrap());
                    write!(line, " {clear}+{protected}").unwrap();
                }
            }
            self.line(depth, line.trim_start());
        }
    }
}

/// The head of a rendition, its first segment and its second I-frame.
fn dumped(name: &str, film: &Film, id: &str, method: Option<Method>) {
    let protection = method
        .map(|method| Protection::new(&keys(&["clearkey", "widevine", "playready"]), method, None));
    let protection = protection.map(Result::unwrap);
    let files = match &protection {
        Some(protection) => film.encrypted(id, protection),
        None => film.cmaf(id),
    };
    let video = film.rendition(id).0.video().is_some();
    let auxiliary = Auxiliary {
        vector: if method == Some(Method::Cenc) { 8 } else { 0 },
        parts: video,
    };
    let mut dump = Dump {
        text: String::new(),
        auxiliary,
    };
    dump.line(0, "init.mp4");
    dump.boxes(&files[0], 1);
    dump.line(0, "segment_1.m4s");
    dump.boxes(&files[1], 1);
    if let Some(iframe) = iframe(film, id, protection.as_ref()) {
        dump.line(0, "iframe_2.m4s");
        dump.boxes(&iframe, 1);
    }
    golden(&format!("{name}.{id}.boxes.txt"), &dump.text);
}

fn iframe(film: &Film, id: &str, protection: Option<&Protection>) -> Option<Vec<u8>> {
    let (rendition, mezzanine) = film.rendition(id);
    let plan = rendition.video().and_then(|_| rendition.iframe(2))?;
    let track = protection.map(|protection| protection.track(rendition).unwrap());
    let source = bytes::Bytes::copy_from_slice(&mezzanine[range(&plan.bytes)]);
    let packed = fmp4::iframe(rendition.index(), &plan, &source, track.as_ref()).unwrap();
    Some(packed.into_bytes().to_vec())
}

const WAYS: [(&str, Option<Method>); 3] = [
    ("", None),
    ("cenc-", Some(Method::Cenc)),
    ("cbcs-", Some(Method::Cbcs)),
];

#[test]
fn boxes_of_h264_and_aac_clear_and_encrypted() {
    for (way, method) in WAYS {
        for id in ["54p", "audio-en"] {
            dumped(&format!("{way}film"), &film().cut_by(2), id, method);
        }
    }
}

#[test]
fn boxes_of_h265_clear_and_encrypted() {
    for (way, method) in WAYS {
        let film = pictures("hevc.72p.mp4").cut_by(2);
        dumped(&format!("{way}hevc"), &film, "72p", method);
    }
}

#[test]
fn boxes_of_codecs_that_are_served_in_the_clear_and_of_opus() {
    for codec in ["av1", "vp9"] {
        let film = modern(&format!("{codec}.72p.mp4")).cut_by(2);
        dumped(codec, &film, "72p", None);
    }
    for (way, method) in WAYS {
        let film = modern("hevc.72p.mp4").cut_by(2);
        dumped(&format!("{way}opus"), &film, "audio-en", method);
    }
}
