//! Damaged pictures: an answer or an error, never a panic.

use proptest::prelude::*;

use super::{file, film, samples, slices};
use crate::{
    codec::nal_units,
    protect::{Maps, Scheme, Subsample},
};

/// All bytes of a sample are told as clear or encrypted, each once.
fn told_whole(sample: &[u8], parts: &[Subsample]) -> bool {
    let lengths = parts
        .iter()
        .map(|part| u64::from(part.clear) + u64::from(part.protected));
    lengths.sum::<u64>() == sample.len() as u64
}

#[test]
fn long_clear_runs_are_split_and_too_many_slices_are_refused() {
    let (clip, _) = film("264");
    let media = &clip.renditions()[0].index().track().media;
    let file = file("clear-264/1.m4s");
    let picture = samples(&file)[0];
    let unit = |length: usize| {
        [
            &u32::try_from(length).unwrap().to_be_bytes()[..],
            &vec![6; length],
        ]
        .concat()
    };
    let one = |sample: &[u8]| Maps::of(media, Scheme::Cbcs, std::iter::once(Ok((sample, true))));
    let long = [unit(140_000), picture.to_vec()].concat();
    let maps = one(&long).unwrap();
    let usual = one(picture).unwrap();
    let [first, second, third] = maps.sample(0) else {
        panic!("{maps:?}")
    };
    assert_eq!(
        (first.clear, first.protected, second.protected),
        (u16::MAX, 0, 0)
    );
    assert_eq!(third.protected, usual.sample(0)[0].protected);
    assert!(told_whole(&long, maps.sample(0)));
    assert!(one(&picture.repeat(40)).is_ok());
    assert!(one(&picture.repeat(41)).is_err());
}

#[test]
fn a_slice_that_ends_in_its_header_is_an_error() {
    for kind in ["264", "265"] {
        let mut slices = slices(kind).unwrap();
        let file = file(&format!("clear-{kind}/1.m4s"));
        for sample in &samples(&file)[1..] {
            let unit = nal_units(sample).last().unwrap().unwrap();
            let whole = [&[0, 0, 0, 3][..], &unit[..3]].concat();
            assert!(slices.map(&whole, Scheme::Cenc, &mut Vec::new()).is_err());
        }
        // A slice of a picture parameter set that nobody sent.
        let head: &[u8] = if kind == "264" {
            &[0x41, 0b1101_0000, 0x84]
        } else {
            &[0x02, 0x01, 0b1000_0100, 0x20]
        };
        let stranger = [
            &u32::try_from(head.len() + 4).unwrap().to_be_bytes()[..],
            head,
            &[0xff; 4],
        ]
        .concat();
        assert!(
            slices
                .map(&stranger, Scheme::Cenc, &mut Vec::new())
                .is_err()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_pictures_are_told_whole_or_refused(
        kind in prop_oneof![Just("264"), Just("265"), Just("4s")],
        at in 0usize..46,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        near in 0usize..2,
    ) {
        let file = file(&format!("clear-{kind}/1.m4s"));
        let mut sample = samples(&file)[at].to_vec();
        let reach = if near == 0 { sample.len() } else { sample.len().min(24) };
        for (place, byte) in damage {
            sample[place.index(reach)] = byte;
        }
        let mut slices = slices(kind).unwrap();
        for scheme in [Scheme::Cenc, Scheme::Cbcs] {
            let mut parts = Vec::new();
            if slices.map(&sample, scheme, &mut parts).is_ok() {
                prop_assert!(told_whole(&sample, &parts));
            }
        }
    }

    #[test]
    fn any_parameter_sets_and_slices_give_an_answer(
        kind in prop_oneof![Just("264"), Just("265")],
        heads in prop::collection::vec(any::<u8>(), 1..6),
        body in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        let mut slices = slices(kind).unwrap();
        for head in heads {
            // Parameter sets and slices of both codecs, then what the byte says itself.
            let head = [&[0x67, 0x68, 0x65, 0x41, 0x42, 0x44, 0x02, 0x26, 0x28][..], &[head]].concat()[usize::from(head) % 10];
            let unit = [&[head, 1][..], &body].concat();
            let sample = [&u32::try_from(unit.len()).unwrap().to_be_bytes()[..], &unit].concat();
            let mut parts = Vec::new();
            if slices.map(&sample, Scheme::Cenc, &mut parts).is_ok() {
                prop_assert!(told_whole(&sample, &parts));
            }
        }
    }
}
