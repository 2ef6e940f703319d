//! A film put together from what lies in the store: its tracks once, and a presentation for each length of segment
//! that is asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use contracts::{
    asset::{Asset, Kind, Rendition},
    id::RenditionId,
};
use packager::{
    Parts, Presentation, Source,
    index::{Index, Media},
    text,
};
use sha2::{Digest, Sha256};
use tokio::{sync::OnceCell, time::Instant};

use crate::fault::Fault;

/// A film in one state of its description.
pub(crate) struct Film {
    parts: Arc<Parts>,
    /// Stands for every byte that can be packed out of the film.
    pub(crate) digest: [u8; 32],
    /// Stands for the pictures and sounds alone: text may be added and leaves their segments as they are.
    pub(crate) media_digest: [u8; 32],
    /// The length of segments that the origin aims at unless it is asked for another.
    usual: Duration,
    /// The film cut in its usual way, then every 2, 3, 4, 5 and 6 seconds; all share the indexes.
    cuts: [OnceCell<Arc<Presentation>>; 1 + LENGTHS],
    pub(crate) weight: u32,
    /// What all its texts take in the store.
    pub(crate) text_bytes: u64,
    /// Texts that cannot be served, and why: the film plays without them.
    spoilt: Vec<(RenditionId, Fault)>,
    loaded: Instant,
    /// When what is spoilt is looked at again.
    pause: Duration,
    /// It was found damaged: what was made of it is not to be believed any more.
    forgotten: AtomicBool,
}

/// What lies in the store of a rendition.
pub(super) enum Files {
    Media {
        index: Bytes,
        /// How long the mezzanine is, if it is there.
        mezzanine: Option<u64>,
    },
    /// A text, or why it cannot be served.
    Text(Result<Bytes, Fault>),
}

/// A film that is put together rendition by rendition, in the order of the description.
pub(super) struct Draft {
    parts: Parts,
    media: Sha256,
    all: Sha256,
    thumbs: Vec<u8>,
    weight: usize,
    text_bytes: usize,
    spoilt: Vec<(RenditionId, Fault)>,
}

impl Draft {
    /// A film of which nothing was read yet.
    pub(super) fn new(asset: &Asset) -> Self {
        let mut media = Sha256::new_with_prefix(PACKING);
        media.update(asset.generation.0.to_be_bytes());
        Self {
            parts: Parts {
                thumbs: asset.thumbs.clone(),
                ..Parts::default()
            },
            media,
            all: Sha256::new(),
            thumbs: serde_json::to_vec(&asset.thumbs).unwrap_or_default(),
            weight: size_of::<Film>(),
            text_bytes: 0,
            spoilt: Vec::new(),
        }
    }

    /// Decodes the next rendition. A text that cannot be used is left out; the film plays without it.
    pub(super) fn add(&mut self, rendition: &Rendition, files: &Files) -> Result<(), Fault> {
        let named = described(rendition);
        match files {
            Files::Media { index, mezzanine } => {
                let source = source(rendition, index, *mezzanine)?;
                self.weight += source.index.weight() + cuts_weight(&source.index);
                self.media.update(&named);
                self.media.update(Sha256::digest(index));
                self.parts.sources.push(source);
            }
            Files::Text(file) => match text_track(rendition, file, &mut self.text_bytes) {
                Ok(track) => {
                    self.all.update(&named);
                    let digest = rendition.sha256.as_deref().unwrap_or_default();
                    self.all.update(digest);
                    self.parts.texts.push(track);
                }
                Err(fault) => self.spoilt.push((rendition.id.clone(), fault)),
            },
        }
        Ok(())
    }

    /// The film, cut in its usual way. Something of it that could not be used is looked at again after `pause`.
    pub(super) fn finish(mut self, usual: Duration, pause: Duration) -> Result<Film, Fault> {
        // A cue takes a little more in memory than in the file.
        let weight = self.weight + self.text_bytes * 2;
        let media_digest: [u8; 32] = self.media.finalize().into();
        self.all.update(self.thumbs);
        self.all.update(media_digest);
        // The usual cut is needed at once, and tells whether the renditions fit together.
        let presentation = Presentation::new(self.parts.clone(), usual)?;
        let cuts: [_; 1 + LENGTHS] = std::array::from_fn(|_| OnceCell::new());
        if let Some(cut) = cuts.first() {
            let _ = cut.set(Arc::new(presentation));
        }
        Ok(Film {
            parts: Arc::new(self.parts),
            digest: self.all.finalize().into(),
            media_digest,
            usual,
            cuts,
            text_bytes: u64::try_from(self.text_bytes).unwrap_or(u64::MAX),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            spoilt: self.spoilt,
            loaded: Instant::now(),
            pause,
            forgotten: AtomicBool::new(false),
        })
    }
}

impl Film {
    /// Why a text of the film cannot be served, if it is one that cannot.
    pub(crate) fn fault_of(&self, text: &RenditionId) -> Option<&Fault> {
        let mut spoilt = self.spoilt.iter();
        spoilt.find_map(|(id, fault)| (id == text).then_some(fault))
    }

    /// Whether something of the film could not be used when it was loaded, which is long enough ago.
    pub(super) fn is_worth_another_look(&self) -> bool {
        !self.spoilt.is_empty() && self.loaded.elapsed() >= self.pause
    }

    /// How long to wait after another look that finds no more: a look reads all that the film has.
    pub(super) fn next_pause(&self) -> Duration {
        self.pause.saturating_mul(2).min(LONGEST_PAUSE)
    }

    /// Tells whoever kept something that was made of it.
    pub(super) fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// Whether it is still believed.
    pub(super) fn is_believed(&self) -> bool {
        !self.forgotten.load(Ordering::Acquire)
    }

    /// The texts that cannot be served.
    pub(super) fn spoilt(&self) -> &[(RenditionId, Fault)] {
        &self.spoilt
    }

    /// The length of segments that a view asks for.
    pub(crate) fn length(&self, segment_s: Option<u8>) -> Duration {
        segment_s.map_or(self.usual, |seconds| Duration::from_secs(seconds.into()))
    }

    /// The film cut as a view asks for it, made when it is first asked for.
    pub(crate) async fn cut(&self, segment_s: Option<u8>) -> Result<Arc<Presentation>, Fault> {
        let at = segment_s.map_or(0, |seconds| usize::from(seconds).saturating_sub(1));
        let cell = self.cuts.get(at).ok_or_else(Fault::not_found)?;
        let make = async || {
            let (parts, length) = (Arc::clone(&self.parts), self.length(segment_s));
            // Walking over all samples of a long film takes milliseconds, which other answers must not wait for.
            let work = move || Presentation::new(Parts::clone(&parts), length);
            Ok(Arc::new(tokio::task::spawn_blocking(work).await??))
        };
        cell.get_or_try_init(make).await.cloned()
    }
}

/// All of a rendition's description that can show in what is packed.
fn described(rendition: &Rendition) -> Vec<u8> {
    let Rendition {
        id,
        language,
        label,
        ..
    } = rendition;
    let text = serde_json::to_vec(&(id, language, label)).unwrap_or_default();
    [b"\n", text.as_slice()].concat()
}

/// Decodes an index and compares it with the description and with the mezzanine.
fn source(rendition: &Rendition, index: &[u8], mezzanine: Option<u64>) -> Result<Source, Fault> {
    let about = |what: &str| Fault::corrupt(format!("{}: {what}", rendition.id));
    let index = Index::decode(index).map_err(|error| about(&error.to_string()))?;
    let kind = match index.track().media {
        Media::Video(_) => Kind::Video,
        Media::Audio(_) => Kind::Audio,
    };
    if kind != rendition.kind {
        return Err(about("asset.json and the index disagree on its kind"));
    }
    match mezzanine {
        None => Err(about("its mezzanine is missing")),
        Some(size) if size != index.file().length => {
            Err(about("its mezzanine is not as long as its index says"))
        }
        Some(_) => Ok(Source {
            id: rendition.id.clone(),
            language: rendition.language.clone(),
            label: rendition.label.clone(),
            index: Arc::new(index),
        }),
    }
}

/// Reads a text, which must be the one that the description means; `total` counts the bytes of all that were read.
fn text_track(
    rendition: &Rendition,
    file: &Result<Bytes, Fault>,
    total: &mut usize,
) -> Result<text::Track, Fault> {
    let about = |what: &str| Fault::corrupt(format!("{}: {what}", rendition.id));
    let file = file.as_ref().map_err(Clone::clone)?;
    if *total + file.len() > MAX_TEXTS {
        return Err(about("the film's texts are larger than 16 MiB together"));
    }
    let found = hex::encode(Sha256::digest(file));
    match &rendition.sha256 {
        Some(told) if told.eq_ignore_ascii_case(&found) => {}
        Some(_) => return Err(about("its file has another SHA-256 than asset.json says")),
        None => return Err(about("asset.json does not tell its SHA-256")),
    }
    let document = text::webvtt::parse(file).map_err(|error| about(&error.to_string()))?;
    *total += file.len();
    Ok(text::Track {
        id: rendition.id.clone(),
        language: rendition.language.clone(),
        label: rendition.label.clone(),
        document: Arc::new(document),
    })
}

/// What the places of all cuts take in memory at most, 16 bytes each: in a second, 1/2 + 1/3 + 1/4 + 1/5 + 1/6 of one,
/// and up to 1/2 more for the usual cut.
fn cuts_weight(index: &Index) -> usize {
    let seconds = index.end() / u64::from(index.track().timescale);
    usize::try_from(seconds).unwrap_or(usize::MAX) / 2 * 62 + 256
}

/// A repaired text shows within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What all texts of a film take in the store at most: they are loaded with it.
const MAX_TEXTS: usize = 16 << 20;
/// Lengths of segments that a view can name.
const LENGTHS: usize = 5;
/// Enters every `ETag`: it must change whenever the packager gives other bytes for the same film.
const PACKING: &[u8] = b"millrace packing 5";

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Of all that the packager's golden files hold: lists, boxes and digests of media.
    const GOLDENS: &str = "1bc9802e75e4db52fdd5b8466a1b23a1f10f89b6fb235e392550fd5256401c6c";

    #[test]
    fn whoever_changes_what_is_packed_raises_the_number_that_enters_every_tag() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packager/tests/golden");
        let files = fs::read_dir(folder).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        let mut hash = Sha256::new();
        for file in files {
            let text = fs::read(&file).unwrap();
            hash.update(file.file_name().unwrap().as_encoded_bytes());
            hash.update(Sha256::digest(&text));
        }
        let found = hex::encode(hash.finalize());
        assert_eq!(
            found, GOLDENS,
            "the golden files changed: if bytes of a film did that were served before, raise PACKING; then put the new \
             digest here"
        );
    }
}
