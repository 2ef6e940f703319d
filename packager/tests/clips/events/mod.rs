//! Events and readings of the producer's clock, from the mezzanine into segments.

mod damage;
mod mezzanine;
mod tags;

use std::fmt::Write;

use bytes::Bytes;
use contracts::address::Protection as Method;
use packager::{
    dash, fmp4,
    index::{Event, Index, UNKNOWN_DURATION},
    protect::Protection,
};

use crate::{
    films::{Film, film, indexed, present_by, range},
    playlists::golden,
    protected::keys,
};
use mezzanine::{Emsg, ODD, TAGS, fronts, injected, prft};

/// The upper rung and the sound of the film, the rung with events, cut near each multiple of so many seconds.
fn eventful(seconds: u64) -> Film {
    let mezzanines = vec![
        injected("film.90p.mp4", &fronts()),
        crate::films::clip("film.audio-en.mp4"),
    ];
    let ids = ["90p", "audio-en"];
    let parts = ids.iter().zip(&mezzanines);
    let parts = parts.map(|(id, bytes)| (*id, indexed(bytes)));
    Film {
        presentation: present_by(parts.collect(), seconds),
        mezzanines,
    }
}

/// What a test looks for: scheme, value, milliseconds, identifier.
type Fact = (String, String, u64, u32);

fn wanted() -> Vec<Fact> {
    [
        (TAGS, 500, 1),
        (ODD, 2500, 7),
        (TAGS, 4250, 2),
        (TAGS, 5000, 3),
        (TAGS, 6100, 4),
        (ODD, 500, 7),
        (TAGS, 7900, 5),
        (TAGS, 8000, 6),
    ]
    .map(|((scheme, value), millis, id)| (scheme.to_owned(), value.to_owned(), millis, id))
    .to_vec()
}

/// The boxes of a segment, read by the book: type and body.
fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let (this, rest) = bytes.split_at(size as usize);
        found.push((this[4..8].try_into().unwrap(), &this[8..]));
        bytes = rest;
    }
    found
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

fn long(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

/// An `emsg` of version 1: its fact, and its data.
fn emsg(body: &[u8]) -> (Fact, &[u8]) {
    assert_eq!(word(body), 1 << 24, "version 1, no flags");
    let millis = long(&body[8..]) * 1000 / u64::from(word(&body[4..]));
    let mut text = body[24..].splitn(3, |byte| *byte == 0);
    let mut string = || String::from_utf8(text.next().unwrap().to_vec()).unwrap();
    let (scheme, value) = (string(), string());
    let data = text.next().unwrap();
    ((scheme, value, millis, word(&body[20..])), data)
}

fn emsgs(segment: &[u8]) -> Vec<Fact> {
    let found = boxes(segment)
        .into_iter()
        .filter(|(kind, _)| kind == b"emsg");
    found.map(|(_, body)| emsg(body).0).collect()
}

fn kinds(segment: &[u8]) -> Vec<String> {
    let kinds = boxes(segment).into_iter();
    kinds
        .map(|(kind, _)| String::from_utf8(kind.to_vec()).unwrap())
        .collect()
}

#[test]
fn each_event_is_in_exactly_one_segment_with_its_time() {
    for (seconds, places) in [
        (2, vec![0..1, 1..2, 2..4, 4..6, 6..8]),
        (6, vec![0..4, 4..8]),
    ] {
        let film = eventful(seconds);
        let segments = film.cmaf("90p");
        let found: Vec<Vec<Fact>> = segments[1..].iter().map(|bytes| emsgs(bytes)).collect();
        let wanted: Vec<Vec<Fact>> = places
            .iter()
            .map(|of| wanted()[of.clone()].to_vec())
            .collect();
        assert_eq!(found, wanted, "{seconds} s");
        for (nth, segment) in segments.iter().enumerate().skip(1) {
            let kinds = kinds(segment);
            let last = kinds.len() - 2;
            assert_eq!(
                (&*kinds[0], &*kinds[last], &*kinds[last + 1]),
                ("styp", "moof", "mdat")
            );
            let clocks = kinds.iter().filter(|kind| *kind == "prft").count();
            assert_eq!(
                clocks,
                usize::from(seconds == 6 || [2, 4, 5].contains(&nth))
            );
            assert!(clocks == 0 || kinds[1] == "prft");
        }
        assert_eq!(kinds(&film.cmaf("audio-en")[1]), ["styp", "moof", "mdat"]);
    }
}

#[test]
fn an_event_goes_as_it_came() {
    let index = indexed(&injected("film.90p.mp4", &fronts()));
    let odd = Event {
        sample: 50,
        scheme: ODD.0.to_owned(),
        value: ODD.1.to_owned(),
        timescale: 90_000,
        time: 225_000,
        duration: UNKNOWN_DURATION,
        id: 7,
        data: b"anything \0 at all".to_vec(),
    };
    assert_eq!(index.events()[1], odd);
    let segments = eventful(2).cmaf("90p");
    let front = boxes(&segments[2]);
    let (_, body) = front.iter().find(|(kind, _)| kind == b"emsg").unwrap();
    assert_eq!(word(&body[16..]), UNKNOWN_DURATION);
    assert_eq!(emsg(body).1, odd.data);
}

#[test]
fn readings_of_the_clock_move_with_decoding_times() {
    let film = eventful(6);
    let index = film.rendition("90p").0.index();
    // Decoding begins at 0 in the clip too; the reading of another track is left out.
    let readings: Vec<_> = index
        .references()
        .iter()
        .map(|one| (one.sample, one.ntp >> 32, one.time, one.flags))
        .collect();
    assert_eq!(
        readings,
        [
            (50, 100, 25_600, 24),
            (150, 104, 76_800, 24),
            (200, 106, 102_400, 24)
        ]
    );
    // Of sound the first frame is left out, which began 1024 ticks before the film.
    let sound = injected(
        "film.audio-en.mp4",
        &[
            prft(0, 1, 1 << 32, 0),
            prft(1, 1, 1 << 32, 1024),
            prft(0, 1, 1 << 32, 96_000),
        ],
    );
    let sound = indexed(&sound);
    let readings: Vec<_> = sound
        .references()
        .iter()
        .map(|one| (one.ntp, one.time))
        .collect();
    let later = (1024u64 << 32) / 48_000;
    assert_eq!(
        readings,
        [((1 << 32) + later, 0), (1 << 32, 0), (1 << 32, 94_976)]
    );
}

#[test]
fn a_relative_event_of_sound_counts_from_the_first_frame_that_is_heard() {
    let event = |time| Emsg {
        kind: TAGS,
        timescale: 1,
        time,
        duration: 2,
        id: 1,
        data: b"",
    };
    let sound = indexed(&injected(
        "film.audio-en.mp4",
        &[event(3).v0(), event(1).v0()],
    ));
    let [first, second] = sound.events() else {
        panic!("{:?}", sound.events())
    };
    assert_eq!(
        (first.sample, first.timescale, first.time, first.duration),
        (0, 1, 3, 2)
    );
    // The second fragment begins between two seconds, so the event's clock is made finer.
    let begins = sound.samples()[second.sample].pts();
    assert_ne!(begins % 48_000, 0);
    assert_eq!(
        (second.timescale, second.time, second.duration),
        (48_000, begins + 48_000, 96_000)
    );
}

#[test]
fn an_index_with_events_reads_back_as_it_was_written() {
    let index = indexed(&injected("film.90p.mp4", &fronts()));
    assert_eq!((index.events().len(), index.references().len()), (8, 3));
    let bytes = index.encode();
    assert_eq!(Index::decode(&bytes).unwrap(), index);
    let plain = crate::films::clip("film.90p.mp4");
    assert!(index.weight() > indexed(&plain).weight() + 3600);
}

#[test]
fn segments_put_together_index_to_the_same_events() {
    for seconds in [2, 6] {
        let film = eventful(seconds);
        let again = indexed(&film.cmaf("90p").concat());
        let index = film.rendition("90p").0.index();
        let anywhere = |event: &Event| Event {
            sample: 0,
            ..event.clone()
        };
        let events = |index: &Index| index.events().iter().map(anywhere).collect::<Vec<_>>();
        assert_eq!(events(&again), events(index));
        let clocks = |index: &Index| {
            index
                .references()
                .iter()
                .map(|one| (one.ntp, one.time))
                .collect::<Vec<_>>()
        };
        let all = clocks(index);
        assert_eq!(
            clocks(&again),
            if seconds == 2 {
                all
            } else {
                vec![all[0], all[1]]
            }
        );
    }
}

#[test]
fn the_samples_do_not_notice() {
    let protection = Protection::new(&keys(&["identity"]), Method::Cbcs, None).unwrap();
    let behind = |segments: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        let from = |bytes: &Vec<u8>| bytes.windows(4).position(|kind| kind == b"moof").unwrap() - 4;
        segments[1..]
            .iter()
            .map(|bytes| bytes[from(bytes)..].to_vec())
            .collect()
    };
    let (with, without) = (eventful(4), film());
    assert_eq!(behind(with.cmaf("90p")), behind(without.cmaf("90p")));
    let (locked, plain) = (
        with.encrypted("90p", &protection),
        without.encrypted("90p", &protection),
    );
    assert_eq!(behind(locked.clone()), behind(plain));
    let facts: Vec<Fact> = locked[1..].iter().flat_map(|bytes| emsgs(bytes)).collect();
    assert_eq!(facts, wanted());
}

#[test]
fn a_segment_with_events_is_as_long_as_was_foretold_and_copies_no_media() {
    for seconds in [2, 6] {
        let film = eventful(seconds);
        let (rendition, mezzanine) = film.rendition("90p");
        let index = rendition.index();
        for segment in rendition.segments() {
            let source = Bytes::copy_from_slice(&mezzanine[range(&segment.bytes)]);
            let packed = fmp4::segment(index, &segment, &source, None).unwrap();
            assert_eq!(packed.length(), fmp4::segment_length(index, &segment, None));
            let inside = source.as_ptr_range();
            let media = packed.pieces()[1..].iter();
            assert!(media.clone().len() > 0);
            assert!(
                media
                    .into_iter()
                    .all(|piece| inside.contains(&piece.as_ptr()))
            );
        }
    }
}

#[test]
fn an_iframe_has_no_events() {
    let film = eventful(2);
    let (rendition, mezzanine) = film.rendition("90p");
    let index = rendition.index();
    for plan in rendition.iframes() {
        let source = Bytes::copy_from_slice(&mezzanine[range(&plan.bytes)]);
        let packed = fmp4::iframe(index, &plan, &source, None).unwrap();
        assert_eq!(packed.length(), fmp4::iframe_length(index, &plan, None));
        assert_eq!(kinds(&packed.into_bytes()), ["styp", "moof", "mdat"]);
    }
}

#[test]
fn a_manifest_tells_each_kind_of_event_once_and_escaped() {
    let written = |film: Film| dash::manifest(&film.presentation, None).unwrap().unwrap();
    let manifest = written(eventful(4));
    // Another implementation reads it; kinds come in the order of the alphabet.
    let read = dash_mpd_core::parse(&manifest).unwrap();
    let streams = &read.periods[0].adaptations[0].InbandEventStream;
    let kinds = streams
        .iter()
        .map(|stream| (&*stream.schemeIdUri, stream.value.as_deref()));
    let wanted = [TAGS, ODD].map(|(scheme, value)| (scheme, Some(value)));
    assert_eq!(kinds.collect::<Vec<_>>(), wanted);
    assert_eq!(manifest.matches("InbandEventStream").count(), 2);
    let (videos, audios) = manifest.split_once("</AdaptationSet>").unwrap();
    assert!(videos.contains("InbandEventStream") && !audios.contains("InbandEventStream"));
    assert!(!written(film()).contains("InbandEventStream"));
}

#[test]
fn what_stands_in_front_of_the_samples_of_each_segment() {
    let mut dump = String::new();
    for seconds in [2, 6] {
        for (nth, segment) in eventful(seconds).cmaf("90p").iter().enumerate().skip(1) {
            writeln!(dump, "segment {nth} of {seconds} s").unwrap();
            for (kind, body) in boxes(segment) {
                match &kind {
                    b"prft" => writeln!(
                        dump,
                        "  prft {:08x} track {} ntp {:016x} time {}",
                        word(body),
                        word(&body[4..]),
                        long(&body[8..]),
                        long(&body[16..])
                    ),
                    b"emsg" => {
                        let ((scheme, value, ..), data) = emsg(body);
                        writeln!(
                            dump,
                            "  emsg {scheme:?} {value:?} id {} time {}/{} duration {} data {}: {}",
                            word(&body[20..]),
                            long(&body[8..]),
                            word(&body[4..]),
                            word(&body[16..]),
                            data.len(),
                            hex::encode(&data[..data.len().min(24)])
                        )
                    }
                    _ => writeln!(
                        dump,
                        "  {} {}",
                        String::from_utf8_lossy(&kind),
                        body.len() + 8
                    ),
                }
                .unwrap();
            }
        }
    }
    golden("events.segments.txt", &dump);
}
