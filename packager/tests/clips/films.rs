//! The clips as films, and whole renditions packed segment by segment.

use std::{io::Cursor, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::id::RenditionId;
use packager::{
    Parts, Presentation, Rendition, Source, fmp4,
    index::{self, Index},
    protect::{Key, Protection},
    ts,
};

/// A film together with the bytes of its mezzanines, in the order of its renditions.
pub(crate) struct Film {
    pub(crate) presentation: Presentation,
    pub(crate) mezzanines: Vec<Vec<u8>>,
}

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

pub(crate) fn clip(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

pub(crate) fn indexed(bytes: &[u8]) -> Index {
    index::build(Cursor::new(bytes)).unwrap()
}

/// Two rungs at 25 pictures a second with reordering, and sound.
pub(crate) fn film() -> Film {
    Film::of(&[
        ("54p", "film.54p.mp4"),
        ("90p", "film.90p.mp4"),
        ("audio-en", "film.audio-en.mp4"),
    ])
}

/// 30000/1001 pictures a second, no sound.
pub(crate) fn silent() -> Film {
    Film::of(&[("72p", "ntsc.72p.mp4")])
}

/// 5.4 s of pictures of a codec, and sound that a transport stream can carry.
pub(crate) fn pictures(clip: &str) -> Film {
    Film::of(&[("72p", clip), ("audio-en", "film.audio-en.mp4")])
}

/// A film whose sound has no place in a transport stream.
pub(crate) fn modern(clip: &str) -> Film {
    Film::of(&[("72p", clip), ("audio-en", "opus.audio-en.mp4")])
}

/// Sound without picture.
pub(crate) fn radio() -> Film {
    Film::of(&[("audio-en", "film.audio-en.mp4")])
}

/// The clear twin of a vector of encryption.
pub(crate) fn vector(kind: &str) -> Film {
    let parts = ["init.mp4", "1.m4s"].map(|file| clip(&format!("cenc/clear-{kind}/{file}")));
    let bytes = parts.concat();
    Film {
        presentation: present(vec![("any", indexed(&bytes))]),
        mezzanines: vec![bytes],
    }
}

impl Film {
    /// The same film, cut into segments of another length.
    pub(crate) fn cut_by(self, seconds: u64) -> Self {
        let renditions = self.presentation.renditions().iter();
        let parts =
            renditions.map(|rendition| (rendition.id().as_str(), (**rendition.index()).clone()));
        let presentation = present_by(parts.collect(), seconds);
        Self {
            presentation,
            ..self
        }
    }

    fn of(files: &[(&str, &str)]) -> Self {
        let mezzanines: Vec<_> = files.iter().map(|(_, file)| clip(file)).collect();
        let parts = files
            .iter()
            .zip(&mezzanines)
            .map(|((id, _), bytes)| (*id, indexed(bytes)));
        let presentation = present(parts.collect());
        Self {
            presentation,
            mezzanines,
        }
    }

    pub(crate) fn rendition(&self, id: &str) -> (&Rendition, &[u8]) {
        let at = self
            .presentation
            .renditions()
            .iter()
            .position(|found| found.id().as_str() == id);
        let at = at.unwrap();
        (&self.presentation.renditions()[at], &self.mezzanines[at])
    }

    /// The initialization segment and every media segment of a rendition.
    pub(crate) fn cmaf(&self, id: &str) -> Vec<Vec<u8>> {
        let (rendition, mezzanine) = self.rendition(id);
        let index = rendition.index();
        let segments = rendition.segments().map(|segment| {
            let source = Bytes::copy_from_slice(&mezzanine[range(&segment.bytes)]);
            let packed = fmp4::segment(index, &segment, &source, None).unwrap();
            packed.into_bytes().to_vec()
        });
        std::iter::once(fmp4::init(index, None))
            .chain(segments)
            .collect()
    }

    /// The same of an encrypted rendition.
    pub(crate) fn encrypted(&self, id: &str, protection: &Protection) -> Vec<Vec<u8>> {
        let (rendition, mezzanine) = self.rendition(id);
        let index = rendition.index();
        let track = protection.track(rendition).unwrap();
        let segments = rendition.segments().map(|segment| {
            let source = Bytes::copy_from_slice(&mezzanine[range(&segment.bytes)]);
            let packed = fmp4::segment(index, &segment, &source, Some(&track)).unwrap();
            let bound = fmp4::segment_length(index, &segment, Some(&track));
            assert!(packed.length() <= bound);
            packed.into_bytes().to_vec()
        });
        std::iter::once(fmp4::init(index, Some(&track)))
            .chain(segments)
            .collect()
    }

    /// Every transport stream segment of a rendition.
    pub(crate) fn ts(&self, id: &str) -> Vec<Vec<u8>> {
        self.ts_with(id, None)
    }

    /// The same, its samples encrypted with a key.
    pub(crate) fn ts_with(&self, id: &str, key: Option<&Key>) -> Vec<Vec<u8>> {
        let (rendition, _) = self.rendition(id);
        let count = self.presentation.ts_segment_count(rendition);
        (1..=count)
            .map(|number| self.ts_segment(rendition, number, key))
            .collect()
    }

    fn ts_segment(&self, rendition: &Rendition, number: u32, key: Option<&Key>) -> Vec<u8> {
        let companion = self.presentation.companion(rendition);
        let plan = self.presentation.ts_segment(rendition, number).unwrap();
        let tracks = [(Some(rendition), plan.own), (companion, plan.sound)];
        let tracks = tracks.map(|(track, segment)| {
            let track = track?;
            Some((track, segment, self.rendition(track.id().as_str()).1))
        });
        let streams = tracks.each_ref().map(|track| {
            track
                .as_ref()
                .map(|(track, segment, mezzanine)| ts::Stream {
                    index: track.index(),
                    part: segment.as_ref().map(|segment| ts::Part {
                        segment,
                        mezzanine: &mezzanine[range(&segment.bytes)],
                    }),
                })
        });
        let [main, other] = streams;
        let (video, audio) = if rendition.video().is_some() {
            (main, other)
        } else {
            (None, main)
        };
        ts::segment(&ts::Input {
            number,
            video,
            audio,
            key,
        })
        .unwrap()
    }
}

pub(crate) fn present(parts: Vec<(&str, Index)>) -> Presentation {
    present_by(parts, 4)
}

/// Cut near each multiple of this many seconds.
pub(crate) fn present_by(parts: Vec<(&str, Index)>, seconds: u64) -> Presentation {
    Presentation::new(media(parts), Duration::from_secs(seconds)).unwrap()
}

/// Pictures and sounds, whose ids tell their languages.
pub(crate) fn media(parts: Vec<(&str, Index)>) -> Parts {
    let sources = parts.into_iter().map(|(id, index)| Source {
        id: RenditionId::parse(id).unwrap(),
        language: id
            .strip_prefix("audio-")
            .and_then(|rest| rest.split('-').next())
            .map(str::to_owned),
        label: None,
        index: Arc::new(index),
    });
    Parts {
        sources: sources.collect(),
        ..Parts::default()
    }
}

pub(crate) fn range(bytes: &std::ops::Range<u64>) -> std::ops::Range<usize> {
    usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap()
}

/// A film of one rendition, if it makes one.
pub(crate) fn try_present(index: Index) -> Result<Presentation, packager::Error> {
    Presentation::new(media(vec![("any", index)]), Duration::from_secs(4))
}

impl std::fmt::Debug for Film {
    /// A failing property shows the shape of its film, not its bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut list = f.debug_list();
        for rendition in self.presentation.renditions() {
            let index = rendition.index();
            let heads = index
                .samples()
                .iter()
                .enumerate()
                .filter(|(_, sample)| sample.sync);
            let heads: Vec<usize> = heads.map(|(at, _)| at).take(30).collect();
            let facts = (
                index.track().timescale,
                index.samples()[0].duration,
                index.reorder(),
            );
            list.entry(&(rendition.id().as_str(), facts, index.samples().len(), heads));
        }
        list.finish()
    }
}
