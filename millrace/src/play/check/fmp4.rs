//! Fragmented MP4 looked into, ISO/IEC 14496-12: a second reader, which shares nothing with the packager.
#![expect(
    clippy::cast_possible_wrap,
    reason = "ticks and offsets are kept signed; a media time beyond 2^63 is nonsense in any case"
)]

use super::atoms::{Atom, atoms, atoms_in, descend, find};
use super::bytes::Cursor;
use super::sample_entry::{self, Entry};
use super::{Facts, Stream};

/// What an initialisation segment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) tracks: Vec<Track>,
}

/// One track of an initialisation segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) id: u32,
    pub(crate) picture: bool,
    pub(crate) timescale: u32,
    /// The media time that is shown first (`elst`).
    pub(crate) skipped: i64,
    pub(crate) entry: Entry,
    /// `tkhd` width and height in whole pixels.
    pub(crate) shown_size: (u32, u32),
    defaults: Defaults,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// Reads an initialisation segment; `faults` takes predicates about it.
pub(crate) fn init(data: &[u8], faults: &mut Vec<String>) -> Option<Init> {
    let top = atoms(data).map_err(|fault| faults.push(fault)).ok()?;
    if top.first().is_none_or(|first| first.kind != *b"ftyp") {
        faults.push("does not begin with an ftyp box".to_owned());
    }
    if top
        .iter()
        .any(|one| one.kind == *b"moof" || one.kind == *b"mdat")
    {
        faults.push("holds media, where only ftyp and moov belong".to_owned());
    }
    let read = find(&top, *b"moov").map(|moov| read_moov(moov.body));
    match read {
        None => faults.push("has no moov box".to_owned()),
        Some(None) => faults.push("has a moov box that cannot be read".to_owned()),
        Some(Some(init)) => {
            for track in &init.tracks {
                if track.timescale == 0 {
                    faults.push(format!("gives track {} a timescale of 0", track.id));
                    return None;
                }
            }
            if init.tracks.is_empty() {
                faults.push("has no track of pictures or sound".to_owned());
                return None;
            }
            return Some(init);
        }
    }
    None
}

/// Reads a media segment; `faults` takes predicates about it.
pub(crate) fn segment(data: &[u8], init: &Init, faults: &mut Vec<String>) -> Option<Facts> {
    let top = atoms(data).map_err(|fault| faults.push(fault)).ok()?;
    let payloads: Vec<(usize, usize)> = top
        .iter()
        .filter(|one| one.kind == *b"mdat")
        .map(|one| (one.body_start, one.end))
        .collect();
    let mut reading = Reading {
        data,
        init,
        payloads,
        streams: Vec::new(),
        samples: 0,
        faults,
    };
    for moof in top.iter().filter(|one| one.kind == *b"moof") {
        if reading.moof(moof).is_none() {
            reading
                .faults
                .push("has a moof box that cannot be read".to_owned());
            return None;
        }
    }
    let streams = reading.streams;
    if streams.is_empty() {
        faults.push("has no moof box with samples".to_owned());
        return None;
    }
    Some(Facts {
        streams,
        ..Facts::default()
    })
}

fn read_moov(moov: &[u8]) -> Option<Init> {
    let inside = atoms(moov).ok()?;
    let mut tracks = Vec::new();
    for trak in inside.iter().filter(|one| one.kind == *b"trak") {
        tracks.extend(read_trak(trak.body)?);
    }
    // Without mvex the file is no fragmented one (§8.8.1).
    let mvex = atoms(find(&inside, *b"mvex")?.body).ok()?;
    for trex in mvex.iter().filter(|one| one.kind == *b"trex") {
        let mut cursor = Cursor::new(trex.body);
        cursor.skip(4)?;
        let id = cursor.u32()?;
        cursor.skip(4)?;
        let defaults = Defaults {
            duration: cursor.u32()?,
            size: cursor.u32()?,
            flags: cursor.u32()?,
        };
        for track in tracks
            .iter_mut()
            .filter(|track: &&mut Track| track.id == id)
        {
            track.defaults = defaults;
        }
    }
    Some(Init { tracks })
}

/// `Some(None)` for a track of neither pictures nor sound.
fn read_trak(trak: &[u8]) -> Option<Option<Track>> {
    let mut header = Cursor::new(descend(trak, &[b"tkhd"])?);
    let version = header.u8()?;
    header.skip(3 + if version == 0 { 8 } else { 16 })?;
    let id = header.u32()?;
    header.skip(4 + if version == 0 { 4 } else { 8 })?;
    header.skip(8 + 8 + 36)?;
    let shown_size = (header.u32()? >> 16, header.u32()? >> 16);

    let mut media = Cursor::new(descend(trak, &[b"mdia", b"mdhd"])?);
    let version = media.u8()?;
    media.skip(3 + if version == 0 { 8 } else { 16 })?;
    let timescale = media.u32()?;

    let mut handler = Cursor::new(descend(trak, &[b"mdia", b"hdlr"])?);
    handler.skip(8)?;
    let picture = match handler.take(4)? {
        b"vide" => true,
        b"soun" => false,
        _ => return Some(None),
    };
    let mut table = Cursor::new(descend(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?);
    table.skip(8)?;
    let entry = sample_entry::read(atoms_in(table.rest()).next()?, picture);
    Some(Some(Track {
        id,
        picture,
        timescale,
        skipped: read_edit(trak).unwrap_or(0),
        entry,
        shown_size,
        defaults: Defaults::default(),
    }))
}

/// The media time of the first edit that is not empty.
fn read_edit(trak: &[u8]) -> Option<i64> {
    let mut list = Cursor::new(descend(trak, &[b"edts", b"elst"])?);
    let version = list.u8()?;
    list.skip(3)?;
    for _ in 0..list.u32()?.min(16) {
        list.versioned(version)?;
        let time = if version == 0 {
            i64::from(list.i32()?)
        } else {
            list.i64()?
        };
        list.skip(4)?;
        if time >= 0 {
            return Some(time);
        }
    }
    None
}

struct Reading<'a> {
    data: &'a [u8],
    init: &'a Init,
    /// Where the payloads of the `mdat` boxes begin and end.
    payloads: Vec<(usize, usize)>,
    streams: Vec<Stream>,
    samples: u32,
    faults: &'a mut Vec<String>,
}

/// What a `tfhd` says.
struct Fragment {
    base: u64,
    defaults: Defaults,
}

impl Reading<'_> {
    fn moof(&mut self, moof: &Atom<'_>) -> Option<()> {
        let inside = atoms(moof.body).ok()?;
        for traf in inside.iter().filter(|one| one.kind == *b"traf") {
            self.traf(traf.body, moof.start as u64)?;
        }
        Some(())
    }

    fn traf(&mut self, traf: &[u8], moof_start: u64) -> Option<()> {
        let inside = atoms(traf).ok()?;
        let mut header = Cursor::new(find(&inside, *b"tfhd")?.body);
        let flags = header.u32()? & 0x00ff_ffff;
        let id = header.u32()?;
        let init = self.init;
        let Some(track) = init.tracks.iter().find(|track| track.id == id) else {
            self.faults.push(format!(
                "has samples of track {id}, which its init does not know"
            ));
            return Some(());
        };
        let fragment = read_tfhd(header, flags, track.defaults, moof_start)?;
        let Some(tfdt) = find(&inside, *b"tfdt") else {
            self.faults.push("has a traf box without a tfdt".to_owned());
            return Some(());
        };
        let mut cursor = Cursor::new(tfdt.body);
        let version = cursor.u8()?;
        cursor.skip(3)?;
        let time = cursor.versioned(version)? as i64;
        let at = self.stream(track, time);
        let mut next = fragment.base;
        for trun in inside.iter().filter(|one| one.kind == *b"trun") {
            next = self.trun(trun.body, &fragment, track, at, next)?;
        }
        Some(())
    }

    /// Finds or begins the track's stream; a later fragment must continue the earlier.
    fn stream(&mut self, track: &Track, time: i64) -> usize {
        let known = self.streams.iter().position(|one| one.id == track.id);
        if let Some(at) = known {
            if let Some(stream) = self.streams.get_mut(at) {
                if (time - stream.end).abs() > 1 {
                    self.faults.push(format!(
                        "has a fragment whose tfdt is {time} where {} follows from the samples before it",
                        stream.end
                    ));
                }
                stream.end = time;
            }
            return at;
        }
        self.streams.push(Stream {
            id: track.id,
            picture: track.picture,
            scale: track.timescale,
            start: time,
            end: time,
            shown: i64::MAX,
            skipped: track.skipped,
            frame: 0,
            slack: 1,
            wraps: false,
        });
        self.streams.len() - 1
    }

    /// Walks the samples of a run (§8.8.8); returns where the next run's data would begin.
    fn trun(
        &mut self,
        trun: &[u8],
        fragment: &Fragment,
        track: &Track,
        at: usize,
        follows: u64,
    ) -> Option<u64> {
        let mut cursor = Cursor::new(trun);
        let word = cursor.u32()?;
        let count = cursor.u32()?;
        self.samples = self.samples.checked_add(count)?;
        if self.samples > MAX_SAMPLES {
            self.faults
                .push(format!("says it has more than {MAX_SAMPLES} samples"));
            return None;
        }
        let mut place = if word & 0x1 != 0 {
            fragment.base.checked_add_signed(i64::from(cursor.i32()?))?
        } else {
            follows
        };
        let first_flags = (word & 0x4 != 0).then(|| cursor.u32()).flatten();
        for index in 0..count {
            let mut sample = fragment.defaults;
            if word & 0x100 != 0 {
                sample.duration = cursor.u32()?;
            }
            if word & 0x200 != 0 {
                sample.size = cursor.u32()?;
            }
            if word & 0x400 != 0 {
                sample.flags = cursor.u32()?;
            } else if let (0, Some(flags)) = (index, first_flags) {
                sample.flags = flags;
            }
            let offset = if word & 0x800 != 0 { cursor.i32()? } else { 0 };
            if !self.sample(sample, i64::from(offset), place, track, at)? {
                return Some(place);
            }
            place = place.checked_add(u64::from(sample.size))?;
        }
        Some(place)
    }

    /// Takes one sample in; `false` when its bytes are not there.
    fn sample(
        &mut self,
        sample: Defaults,
        offset: i64,
        place: u64,
        track: &Track,
        at: usize,
    ) -> Option<bool> {
        let start = usize::try_from(place).ok()?;
        let end = start.checked_add(usize::try_from(sample.size).ok()?)?;
        let inside = self
            .payloads
            .iter()
            .any(|payload| payload.0 <= start && end <= payload.1);
        if !inside {
            self.faults
                .push("has a sample that lies outside its mdat".to_owned());
            return Some(false);
        }
        let stream = self.streams.get_mut(at)?;
        let first = stream.shown == i64::MAX;
        if first && track.picture {
            if sample.flags & NON_SYNC != 0 {
                self.faults
                    .push("does not begin with a sync sample".to_owned());
            }
            let bytes = self.data.get(start..end)?;
            if track.entry.begins_without_idr(bytes) {
                self.faults
                    .push("begins with a picture that is not an IDR picture".to_owned());
            }
        }
        let duration = i64::from(sample.duration);
        stream.shown = stream.shown.min(stream.end + offset - track.skipped);
        stream.frame = stream.frame.max(duration);
        stream.end = stream.end.checked_add(duration)?;
        Some(true)
    }
}

fn read_tfhd(
    mut header: Cursor<'_>,
    flags: u32,
    mut defaults: Defaults,
    moof_start: u64,
) -> Option<Fragment> {
    let base = if flags & 0x1 != 0 {
        header.u64()?
    } else {
        moof_start
    };
    if flags & 0x2 != 0 {
        header.skip(4)?;
    }
    if flags & 0x8 != 0 {
        defaults.duration = header.u32()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = header.u32()?;
    }
    if flags & 0x20 != 0 {
        defaults.flags = header.u32()?;
    }
    Some(Fragment { base, defaults })
}

/// `sample_is_non_sync_sample`, §8.8.3.1.
const NON_SYNC: u32 = 0x0001_0000;
/// The most samples in one segment.
const MAX_SAMPLES: u32 = 1_000_000;
