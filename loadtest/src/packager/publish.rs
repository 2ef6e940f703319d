//! Publishing: puts films into a store as ingest does, so that a real origin serves them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use contracts::asset::{Asset, Kind, Privacy, Rendition};
use contracts::id::{Generation, RenditionId, VideoId};
use contracts::keys::{ContentKey, ContentKeys, KeyId, KeyPeriod, KeySet, KeyValue, System};
use packager::index::{self, Index};
use packager::{Parts, Presentation, Source};
use store::{Store, layout};

use crate::packager::media::{Film, Films};

/// A film with everything that packing it in this process needs.
pub(crate) struct Ready {
    /// The film's id.
    pub(crate) name: &'static str,
    /// Its renditions.
    pub(crate) tracks: Vec<Track>,
    /// Cut into segments as the origin cuts it.
    pub(crate) presentation: Presentation,
}

/// A rendition: its mezzanine and its index.
pub(crate) struct Track {
    pub(crate) id: RenditionId,
    pub(crate) file: PathBuf,
    pub(crate) index: Arc<Index>,
}

impl Ready {
    /// Opens the mezzanine of a rendition.
    pub(crate) fn open(&self, id: &RenditionId) -> Result<File> {
        let track = self.tracks.iter().find(|track| track.id == *id);
        let file = &track.context("no such rendition")?.file;
        File::open(file).with_context(|| format!("cannot open {}", file.display()))
    }
}

/// Both films, indexed.
pub(crate) struct Shelf {
    pub(crate) short: Ready,
    pub(crate) long: Ready,
}

/// Length of a segment, the origin's default.
pub(crate) const SEGMENT: Duration = Duration::from_secs(4);
/// The short film once more, protected.
pub(crate) const LOCKED: &str = "locked";
/// Copies of a film under other ids, so that each can be asked for while its index is not in memory yet.
pub(crate) const COPIES: usize = 24;

/// Reads both films and cuts them.
pub(crate) fn index(films: &Films) -> Result<Shelf> {
    Ok(Shelf {
        short: read(&films.short)?,
        long: read(&films.long)?,
    })
}

fn read(film: &Film) -> Result<Ready> {
    let tracks = film.files.iter().map(|(id, file)| {
        let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        let index = index::build(BufReader::new(opened))
            .with_context(|| format!("cannot index {}", file.display()))?;
        Ok(Track {
            id: RenditionId::parse(id).context("no name of a rendition")?,
            file: file.clone(),
            index: Arc::new(index),
        })
    });
    let tracks = tracks.collect::<Result<Vec<_>>>()?;
    let sources = tracks.iter().map(|track| Source {
        id: track.id.clone(),
        language: None,
        label: None,
        index: Arc::clone(&track.index),
    });
    let parts = Parts {
        sources: sources.collect(),
        ..Parts::default()
    };
    Ok(Ready {
        name: film.name,
        presentation: Presentation::new(parts, SEGMENT)?,
        tracks,
    })
}

/// The id of a copy of a film.
pub(crate) fn copy_name(film: &str, copy: usize) -> String {
    format!("{film}-{copy:02}")
}

/// The keys of a protected film. They are no secret: they protect noise.
pub(crate) fn keys(film: &str) -> Result<ContentKeys> {
    let key = ContentKey {
        kid: KeyId([0x4b; 16]),
        key: KeyValue([0x6d; 16]),
        iv: None,
        tracks: Vec::new(),
    };
    Ok(ContentKeys {
        video: VideoId::parse(film).context("no name of a film")?,
        systems: vec![System::Identity, System::ClearKey],
        license_urls: BTreeMap::new(),
        set: KeySet::FIRST,
        retired: Vec::new(),
        periods: vec![KeyPeriod {
            start_ms: 0,
            keys: vec![key],
        }],
    })
}

/// Where an origin finds what was published.
pub(crate) struct Published {
    /// The address of the store.
    pub(crate) store: String,
    /// The address of the folder with keys.
    pub(crate) keys: String,
}

/// Publishes both films, their copies and the protected one into a new store and a folder of keys below `folder`.
///
/// Mezzanines are linked, not copied: the store and the films must lie on one file system.
pub(crate) fn publish(shelf: &Shelf, folder: &Path) -> Result<Published> {
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot remove the store of an earlier run")?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let folder = std::path::absolute(folder)?;
    let (place, secrets) = (folder.join("store"), folder.join("keys"));
    fs::create_dir_all(&secrets).context("cannot make a folder for keys")?;
    let document = serde_json::to_vec(&keys(LOCKED)?)?;
    fs::write(secrets.join(format!("{LOCKED}.json")), document).context("cannot write keys")?;
    let published = Published {
        store: format!("file://{}", place.display()),
        keys: format!("file://{}", secrets.display()),
    };
    let store = store::open(&published.store)?;
    runtime.block_on(put(&*store, &shelf.short, LOCKED, &folder))?;
    for film in [&shelf.short, &shelf.long] {
        let copies = (0..COPIES).map(|copy| copy_name(film.name, copy));
        for name in std::iter::once(film.name.to_owned()).chain(copies) {
            runtime.block_on(put(&*store, film, &name, &folder))?;
        }
    }
    Ok(published)
}

async fn put(store: &dyn Store, film: &Ready, name: &str, folder: &Path) -> Result<()> {
    let video = VideoId::parse(name).context("no name of a film")?;
    let generation = Generation(1);
    let mut renditions = Vec::new();
    for track in &film.tracks {
        let link = folder.join("link");
        fs::hard_link(&track.file, &link).context("cannot link a mezzanine into the store")?;
        let key = layout::mezzanine(&video, generation, &track.id);
        store.put_file(&key, &link).await?;
        let key = layout::index(&video, generation, &track.id);
        store.put(&key, track.index.encode().into()).await?;
        let picture = matches!(track.index.track().media, index::Media::Video(_));
        let kind = if picture { Kind::Video } else { Kind::Audio };
        renditions.push(Rendition::new(track.id.clone(), kind));
    }
    let duration_ms = film.presentation.duration().as_millis();
    let asset = Asset {
        video: video.clone(),
        generation,
        title: name.to_owned(),
        privacy: Privacy::Public,
        duration_ms: u64::try_from(duration_ms).unwrap_or(u64::MAX),
        renditions,
        thumbs: None,
        stills: Vec::new(),
        protected: name == LOCKED,
    };
    let json = serde_json::to_vec_pretty(&asset)?;
    Ok(store.put(&layout::asset(&video), json.into()).await?)
}
