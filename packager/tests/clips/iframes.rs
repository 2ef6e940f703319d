//! I-frames as segments of their own.

use bytes::Bytes;
use contracts::address::Protection as Method;
use packager::{fmp4, protect::Protection, ts};

use crate::{
    demux::{demux, nal_units},
    films::{film, indexed, radio, range, silent},
    protected::keys,
};

#[test]
fn iframes_are_the_sync_samples_and_fill_the_film() {
    for (film, id) in [(film(), "90p"), (silent(), "72p")] {
        let (rendition, _) = film.rendition(id);
        let index = rendition.index();
        let sync: Vec<usize> = (0..index.samples().len())
            .filter(|at| index.samples()[*at].sync)
            .collect();
        let plans: Vec<_> = rendition.iframes().collect();
        assert_eq!(
            plans.iter().map(|plan| plan.sample).collect::<Vec<_>>(),
            sync
        );
        assert_eq!(plans.len(), rendition.iframe_count() as usize);
        let mut next = 0;
        for (plan, number) in plans.iter().zip(1..) {
            assert_eq!((plan.number, plan.start), (number, next));
            next += plan.duration;
        }
        assert_eq!(next, index.end());
        assert!(
            rendition.iframe(0).is_none()
                && rendition.iframe(rendition.iframe_count() + 1).is_none()
        );
    }
    assert_eq!(radio().rendition("audio-en").0.iframe_count(), 0);
}

#[test]
fn iframes_together_are_a_track_of_pictures_at_their_times() {
    let film = film();
    let (rendition, mezzanine) = film.rendition("90p");
    let index = rendition.index();
    let mut file = fmp4::init(index, None);
    for plan in rendition.iframes() {
        let source = Bytes::copy_from_slice(&mezzanine[range(&plan.bytes)]);
        let packed = fmp4::iframe(index, &plan, &source, None).unwrap();
        assert_eq!(packed.length(), fmp4::iframe_length(index, &plan, None));
        file.extend(packed.into_bytes());
    }
    let again = indexed(&file);
    assert_eq!(again.samples().len(), rendition.iframe_count() as usize);
    for (found, plan) in again.samples().iter().zip(rendition.iframes()) {
        let wanted = &index.samples()[plan.sample];
        assert_eq!((found.crc, found.sync), (wanted.crc, true));
        assert_eq!(
            (found.pts(), u64::from(found.duration)),
            (wanted.pts(), plan.duration)
        );
    }
}

#[test]
fn an_encrypted_iframe_has_the_bytes_that_it_has_in_its_segment() {
    let film = film();
    let (rendition, mezzanine) = film.rendition("90p");
    for method in [Method::Cenc, Method::Cbcs] {
        let protection = Protection::new(&keys(&[]), method, None).unwrap();
        let track = protection.track(rendition).unwrap();
        let segments = film.encrypted("90p", &protection).concat();
        for plan in rendition.iframes() {
            let source = Bytes::copy_from_slice(&mezzanine[range(&plan.bytes)]);
            let packed = fmp4::iframe(rendition.index(), &plan, &source, Some(&track)).unwrap();
            assert!(packed.length() <= fmp4::iframe_length(rendition.index(), &plan, Some(&track)));
            let bytes = packed.into_bytes();
            let media = &bytes[bytes.len() - source.len()..];
            assert_ne!(media, source);
            assert!(segments.windows(media.len()).any(|window| window == media));
        }
    }
}

#[test]
fn an_iframe_is_a_transport_stream_too() {
    let film = film();
    let (rendition, mezzanine) = film.rendition("90p");
    let index = rendition.index();
    let timescale = u64::from(index.track().timescale);
    for plan in rendition.iframes() {
        let segment = plan.segment();
        let part = ts::Part {
            segment: &segment,
            mezzanine: &mezzanine[range(&plan.bytes)],
        };
        let video = ts::Stream {
            index,
            part: Some(part),
        };
        let packed = ts::segment(&ts::Input {
            number: plan.number,
            video: Some(video),
            audio: None,
            key: None,
        });
        let stream = demux(&packed.unwrap());
        let [picture] = stream.video.as_slice() else {
            panic!("one picture")
        };
        assert!(picture.random_access && picture.clock.is_some());
        assert_eq!(picture.pts, 900_000 + plan.start * 90_000 / timescale);
        let last = nal_units(&picture.data).pop().unwrap().to_vec();
        assert!(mezzanine[range(&plan.bytes)].ends_with(&last));
    }
}
