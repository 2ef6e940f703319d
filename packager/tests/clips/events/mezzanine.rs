//! Clips with events and readings of the producer's clock put in front of their fragments.

use crate::films::clip;

/// A box of its type and parts.
pub(crate) fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes()[..], kind, &body].concat()
}

/// An `emsg` as a test wants it.
#[derive(Clone, Copy)]
pub(crate) struct Emsg<'a> {
    pub(crate) kind: (&'a str, &'a str),
    pub(crate) timescale: u32,
    /// From the fragment's earliest presentation in version 0, from the film's start in version 1.
    pub(crate) time: u64,
    pub(crate) duration: u32,
    pub(crate) id: u32,
    pub(crate) data: &'a [u8],
}

impl Emsg<'_> {
    pub(crate) fn v0(&self) -> Vec<u8> {
        let time = u32::try_from(self.time).unwrap();
        boxed(
            b"emsg",
            &[
                &[0; 4],
                self.kind.0.as_bytes(),
                &[0],
                self.kind.1.as_bytes(),
                &[0],
                &words(&[self.timescale, time, self.duration, self.id]),
                self.data,
            ],
        )
    }

    pub(crate) fn v1(&self) -> Vec<u8> {
        boxed(
            b"emsg",
            &[
                &[1, 0, 0, 0],
                &words(&[self.timescale]),
                &self.time.to_be_bytes(),
                &words(&[self.duration, self.id]),
                self.kind.0.as_bytes(),
                &[0],
                self.kind.1.as_bytes(),
                &[0],
                self.data,
            ],
        )
    }
}

pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A `prft` of a track; its time is of 64 bits in version 1.
pub(crate) fn prft(version: u8, track: u32, ntp: u64, time: u64) -> Vec<u8> {
    let head = [version, 0, 0, 24];
    let time = match version {
        0 => words(&[u32::try_from(time).unwrap()]),
        _ => time.to_be_bytes().to_vec(),
    };
    boxed(
        b"prft",
        &[&head, &words(&[track]), &ntp.to_be_bytes(), &time],
    )
}

/// An ID3v2.4 tag with one text.
pub(crate) fn id3(text: &str) -> Vec<u8> {
    let content = [&[3, 0][..], text.as_bytes()].concat();
    let safe = |length: usize| {
        let length = u32::try_from(length).unwrap();
        [21, 14, 7, 0].map(|shift| u8::try_from(length >> shift & 0x7f).unwrap())
    };
    [
        &b"ID3\x04\0\0"[..],
        &safe(content.len() + 10),
        b"TXXX",
        &safe(content.len()),
        &[0, 0],
        &content,
    ]
    .concat()
}

/// A clip with bytes put in front of its fragments.
pub(crate) fn injected(name: &str, fronts: &[Vec<u8>]) -> Vec<u8> {
    let clip = clip(name);
    let (mut rest, mut out) = (clip.as_slice(), Vec::new());
    let mut fronts = fronts.iter();
    while !rest.is_empty() {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap());
        let (this, others) = rest.split_at(size as usize);
        if &this[4..8] == b"moof" {
            out.extend(fronts.next().into_iter().flatten());
        }
        out.extend(this);
        rest = others;
    }
    assert!(fronts.next().is_none(), "{name} has a fragment for each");
    out
}

/// The scheme of ID3 tags.
pub(crate) const TAGS: (&str, &str) = ("https://aomedia.org/emsg/ID3", "");
/// A scheme and a value that XML cannot have as they are.
pub(crate) const ODD: (&str, &str) = ("urn:example:a<b&c", "\"1\"");

/// What goes in front of the five fragments of a clip with GOPs of 2 s from 0, its clock of 12 800 ticks a second.
pub(crate) fn fronts() -> Vec<Vec<u8>> {
    let tag = |time, timescale, id, data| Emsg {
        kind: TAGS,
        timescale,
        time,
        duration: 0,
        id,
        data,
    };
    let odd = Emsg {
        kind: ODD,
        timescale: 90_000,
        time: 45_000,
        duration: u32::MAX,
        id: 7,
        data: b"anything \0 at all",
    };
    vec![
        tag(500, 1000, 1, &id3("0.5 s")).v0(),
        [prft(1, 1, 100 << 32, 25_600), odd.v0()].concat(),
        [
            tag(204_000, 48_000, 2, &id3("4.25 s")).v1(),
            tag(1, 1, 3, &id3("5 s")).v0(),
        ]
        .concat(),
        [
            prft(0, 1, 104 << 32, 76_800),
            prft(1, 9, 1, 1),
            tag(6100, 1000, 4, &id3(&"6.1 s ".repeat(600))).v1(),
            odd.v1(),
        ]
        .concat(),
        [
            tag(7_900, 1000, 5, &id3("7.9 s, late")).v1(),
            tag(0, 1000, 6, b"no tag").v0(),
            prft(0, 1, 106 << 32, 102_400),
        ]
        .concat(),
    ]
}
