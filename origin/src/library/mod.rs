//! The films that can be served: descriptions kept for seconds, indexes kept by weight.

mod film;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use contracts::{
    asset::{Asset, Kind, Privacy, Rendition},
    id::VideoId,
    reason::Reason,
};
use futures_util::future::try_join_all;
use moka::future::Cache;
use packager::text;
use sha2::{Digest, Sha256};
use store::layout;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::Settings,
    fault::Fault,
    memory::{Claim, Memory},
    metrics::Metrics,
    shelf::Shelf,
};

pub(crate) use film::Film;
use film::{Draft, Files};

/// A film's description as it was read.
pub(crate) struct Edition {
    pub(crate) asset: Asset,
    /// Stands for all of the description that a film is put together from.
    state: [u8; 32],
    /// How many descriptions of usual length it takes as much memory as.
    weight: u32,
}

/// What an answer owes to the description of its film: as long as this is the same, so is the answer.
pub(crate) struct Origins {
    pub(crate) video: VideoId,
    state: [u8; 32],
    access: &'static str,
}

/// A published film with the indexes of its renditions.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) edition: Arc<Edition>,
    pub(crate) film: Arc<Film>,
}

/// Finds films in the store and keeps what is asked for again.
pub(crate) struct Library {
    shelf: Arc<Shelf>,
    assets: Cache<VideoId, Option<Arc<Edition>>>,
    films: Cache<(VideoId, [u8; 32]), Arc<Film>>,
    /// Films that were read anew a moment ago because something of them is damaged.
    renewed: Cache<VideoId, ()>,
    /// Films under way, whose indexes no cache bounds yet.
    loading: Arc<Semaphore>,
    /// Memory for what is read of them. Bodies have another, so that a long film keeps nobody waiting but long films.
    loads: Memory,
    /// How long a request waits for its turn to load a film.
    wait: Duration,
    /// How long loading a film may take from then on.
    load_time: Duration,
    segment: Duration,
    /// How long a description is believed.
    ttl: Duration,
    /// Bytes for indexes.
    memory: u64,
    metrics: Metrics,
}

impl Library {
    pub(crate) fn new(shelf: Arc<Shelf>, settings: &Settings, metrics: Metrics) -> Self {
        let assets = Cache::builder()
            .max_capacity(settings.asset_entries)
            .weigher(|_, edition: &Option<Arc<Edition>>| {
                edition.as_ref().map_or(1, |edition| edition.weight)
            })
            .time_to_live(settings.asset_ttl)
            .build();
        let films = Cache::builder()
            .max_capacity(settings.index_memory)
            .weigher(|_, film: &Arc<Film>| film.weight)
            .build();
        let renewed = Cache::builder()
            .max_capacity(MAX_RENEWED)
            .time_to_live(settings.asset_ttl)
            .build();
        Self {
            shelf,
            assets,
            films,
            renewed,
            loading: Arc::new(Semaphore::new(MAX_LOADING)),
            loads: Memory::new(settings.load_memory(), settings.pack_wait),
            wait: settings.pack_wait,
            load_time: settings.read_timeout.saturating_mul(LOAD_READS),
            segment: settings.segment,
            ttl: settings.asset_ttl,
            memory: settings.index_memory,
            metrics,
        }
    }

    /// The description of a published film; none when there is no such film.
    pub(crate) async fn edition(&self, video: &VideoId) -> Result<Option<Arc<Edition>>, Fault> {
        let load = self.read_edition(video);
        self.assets
            .try_get_with_by_ref(video, load)
            .await
            .map_err(|fault| (*fault).clone())
    }

    /// A published film with its indexes.
    pub(crate) async fn film(&self, edition: Arc<Edition>) -> Result<Published, Fault> {
        let key = edition.key();
        let mut pause = self.ttl;
        match self.films.get(&key).await {
            Some(film) if film.is_worth_another_look() => {
                pause = film.next_pause().max(self.ttl);
                self.forget(&key).await;
            }
            Some(film) => {
                self.metrics.indexes.hit.inc();
                return Ok(Published { edition, film });
            }
            None => {}
        }
        self.metrics.indexes.miss.inc();
        let load = self.read_film(&edition, pause);
        let film = self
            .films
            .try_get_with(key, load)
            .await
            .map_err(|fault| (*fault).clone())?;
        Ok(Published { edition, film })
    }

    /// Looks again at a film that was found damaged: whether it was published anew or withdrawn meanwhile.
    ///
    /// If not, its indexes are forgotten, so that a repair shows at once; but once per `asset_ttl` at most, so
    /// that one bad segment does not cost a reading of all indexes each time it is asked for.
    pub(crate) async fn is_outdated(&self, edition: &Edition) -> bool {
        let video = &edition.asset.video;
        self.assets.invalidate(video).await;
        let Ok(current) = self.edition(video).await else {
            return false;
        };
        let outdated = current.is_none_or(|current| current.state != edition.state);
        let forget = outdated || {
            let entry = self.renewed.entry_by_ref(video);
            entry.or_insert(()).await.is_fresh()
        };
        if forget {
            self.forget(&edition.key()).await;
        }
        outdated
    }

    async fn forget(&self, key: &(VideoId, [u8; 32])) {
        if let Some(film) = self.films.remove(key).await {
            film.forget();
        }
    }

    /// Whether what was made of a description and its film is still what would be made now, as far as memory tells.
    pub(crate) async fn is_current(&self, made_of: &Origins, film: &Weak<Film>) -> bool {
        let Some(Some(edition)) = self.assets.get(&made_of.video).await else {
            return false;
        };
        let film = film.upgrade();
        edition.is_like(made_of)
            && film.is_some_and(|film| film.is_believed() && !film.is_worth_another_look())
    }

    async fn read_edition(&self, video: &VideoId) -> Result<Option<Arc<Edition>>, Fault> {
        let key = layout::asset(video);
        // It takes no share of the memory for bodies: who waits for that must not keep back what is kept.
        match self.shelf.size(&key).await? {
            Some(..=MAX_DESCRIPTION) => {}
            Some(_) => return Err(Fault::corrupt("asset.json is larger than 1 MiB")),
            None => return Ok(None),
        }
        let Some(bytes) = self.shelf.read_small(&key).await? else {
            return Ok(None);
        };
        let asset: Asset = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::corrupt(format!("asset.json: {error}")))?;
        if asset.video != *video {
            return Err(Fault::corrupt(format!(
                "asset.json describes {}",
                asset.video
            )));
        }
        Ok(Some(Arc::new(Edition::new(asset, bytes.len()))))
    }

    async fn read_film(&self, edition: &Arc<Edition>, pause: Duration) -> Result<Arc<Film>, Fault> {
        let place = self.may_load().await?;
        let asset = &edition.asset;
        let load = self.load(edition, pause, place);
        let film = tokio::time::timeout(self.load_time, load).await;
        let film = film.map_err(|_| {
            let what = "the store did not give the indexes in time";
            Fault::new(Reason::TooSlow, what)
        })??;
        for (id, fault) in film.spoilt() {
            tracing::error!(video.id = %asset.video, "{} plays without {id}: {}", asset.video, fault.detail);
        }
        if u64::from(film.weight) > self.memory {
            self.metrics.oversized_films.inc();
            tracing::warn!(
                video.id = %asset.video,
                bytes = film.weight,
                "{} takes more than `index_memory`: its indexes are read at every request",
                asset.video
            );
        }
        Ok(film)
    }

    /// Reads and decodes rendition by rendition; what was decoded is counted with the film. The place and the claims go
    /// with the work, which does not end when nobody waits for it any more.
    async fn load(
        &self,
        edition: &Arc<Edition>,
        pause: Duration,
        mut place: OwnedSemaphorePermit,
    ) -> Result<Arc<Film>, Fault> {
        let asset = &edition.asset;
        let renditions = asset.renditions.iter();
        let sizes = renditions.map(|rendition| self.size(asset, rendition));
        let sizes = try_join_all(sizes).await?;
        let mut draft = Draft::new(asset);
        for (rendition, size) in asset.renditions.iter().zip(sizes) {
            let claim = self.loads.take(size.weight()).await?;
            let files = self.read_files(asset, rendition, size, &claim).await?;
            let rendition = rendition.clone();
            // An index of a long film takes tens of milliseconds, which other answers must not wait for.
            let work = move || {
                let added = draft.add(&rendition, &files);
                drop((files, claim));
                added.map(|()| (draft, place))
            };
            (draft, place) = tokio::task::spawn_blocking(work).await??;
        }
        let segment = self.segment;
        let work = move || {
            let film = draft.finish(segment, pause);
            drop(place);
            film.map(Arc::new)
        };
        tokio::task::spawn_blocking(work).await?
    }

    /// Waits for one of the few places at which films are loaded.
    async fn may_load(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let place = Arc::clone(&self.loading).acquire_owned();
        match tokio::time::timeout(self.wait, place).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Fault::new(
                Reason::Internal,
                "the loading of films is closed",
            )),
            Err(_) => Err(Fault::new(Reason::Busy, "too many films are being loaded")),
        }
    }

    /// Asks how large the files of a rendition are.
    async fn size(&self, asset: &Asset, rendition: &Rendition) -> Result<Size, Fault> {
        let (video, id) = (&asset.video, &rendition.id);
        if rendition.kind == Kind::Text {
            let size = self.shelf.size(&layout::subtitles(video, id)).await?;
            return Ok(Size::Text(size));
        }
        let index = layout::index(video, asset.generation, id);
        let mezzanine = layout::mezzanine(video, asset.generation, id);
        Ok(Size::Media {
            index: self.shelf.size(&index).await?,
            mezzanine: self.shelf.size(&mezzanine).await?,
        })
    }

    /// Reads a text, or an index.
    async fn read_files(
        &self,
        asset: &Asset,
        rendition: &Rendition,
        size: Size,
        claim: &Claim,
    ) -> Result<Files, Fault> {
        let id = &rendition.id;
        let wrong = |what: &str| Fault::corrupt(format!("{id}: its {what}"));
        let (size, mezzanine) = match size {
            Size::Media { index, mezzanine } => (index, Some(mezzanine)),
            Size::Text(size) => (size, None),
        };
        let Some(mezzanine) = mezzanine else {
            // A text that is out of step with the description must not stop the film.
            if size.is_some_and(|size| size > MAX_TEXT) {
                return Ok(Files::Text(Err(wrong("file is too large"))));
            }
            let key = layout::subtitles(&asset.video, id);
            let file = self.shelf.read_claimed(&key, claim).await?;
            return Ok(Files::Text(file.ok_or_else(|| wrong("file is missing"))));
        };
        let key = layout::index(&asset.video, asset.generation, id);
        let index = self.shelf.read_claimed(&key, claim).await?;
        let index = index.ok_or_else(|| wrong("index is missing"))?;
        Ok(Files::Media { index, mezzanine })
    }
}

/// How large the files of a rendition are; none where there is no file.
enum Size {
    Media {
        index: Option<u64>,
        mezzanine: Option<u64>,
    },
    Text(Option<u64>),
}

impl Size {
    /// What reading and decoding takes at most.
    fn weight(&self) -> u64 {
        match self {
            Self::Media { index, .. } => index.unwrap_or_default().saturating_mul(INDEXED),
            Self::Text(size) => size.unwrap_or_default().min(MAX_TEXT).saturating_mul(TEXTS),
        }
    }
}

impl Edition {
    /// A description that was so many bytes long.
    fn new(asset: Asset, bytes: usize) -> Self {
        let made_of = (
            asset.generation,
            &asset.renditions,
            &asset.thumbs,
            asset.protected,
        );
        let made_of = serde_json::to_vec(&made_of).unwrap_or_default();
        Self {
            state: Sha256::digest(made_of).into(),
            asset,
            weight: u32::try_from(bytes.div_ceil(USUAL_DESCRIPTION)).unwrap_or(u32::MAX),
        }
    }

    /// What is kept of it with an answer.
    pub(crate) fn origins(&self) -> Origins {
        Origins {
            video: self.asset.video.clone(),
            state: self.state,
            access: access(&self.asset),
        }
    }

    /// Whether the same answers are made of it.
    fn is_like(&self, made_of: &Origins) -> bool {
        self.state == made_of.state && access(&self.asset) == made_of.access
    }

    fn key(&self) -> (VideoId, [u8; 32]) {
        (self.asset.video.clone(), self.state)
    }
}

/// What `millrace-access` says of a film.
pub(crate) fn access(asset: &Asset) -> &'static str {
    match asset.privacy {
        Privacy::Public => contracts::header::ACCESS_PUBLIC,
        Privacy::Unlisted | Privacy::Private => contracts::header::ACCESS_TOKEN,
    }
}

/// What a byte of an index takes: itself in a buffer that may be longer, and of a sample, whose record has 8 bytes at least, what is kept of it. The
/// fewest samples are so short, but nobody says which.
const INDEXED: u64 = 2 + size_of::<packager::index::Sample>().div_ceil(8) as u64;
/// What a byte of a text takes: itself in a buffer that may be longer, and its cue.
const TEXTS: u64 = 4;
/// The longest description, in bytes.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// Descriptions up to this length, in bytes, count as one of `asset_entries`.
const USUAL_DESCRIPTION: usize = 4 << 10;
/// The longest text, in bytes.
const MAX_TEXT: u64 = text::MAX_FILE_BYTES as u64;
/// Enough to keep two cores and a disk busy.
const MAX_LOADING: usize = 4;
/// How many reads, each in the time that it may take, loading a film lasts at most: indexes are read one by one.
const LOAD_READS: u32 = 3;
const MAX_RENEWED: u64 = 10_000;

#[cfg(test)]
mod tests {
    use contracts::id::Generation;
    use prometheus::Registry;
    use runtime::internal::Health;

    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn a_film_waits_for_its_turn_to_be_loaded_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            store: format!("file://{}", folder.path().display()),
            pack_wait: config::Span::millis(1),
            ..Config::default()
        };
        let settings = config.check().unwrap();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let store = store::open(&settings.store).unwrap();
        let memory = Memory::new(settings.body_memory(), settings.pack_wait);
        let (timeout, health) = (settings.read_timeout, Health::new());
        let shelf = Shelf::new(store, memory, timeout, metrics.clone(), health);
        let shelf = Arc::new(shelf);
        let library = Library::new(shelf, &settings, metrics);
        let empty = Arc::new(Edition::new(
            Asset {
                video: VideoId::parse("empty").unwrap(),
                generation: Generation(1),
                title: String::new(),
                privacy: Privacy::Public,
                duration_ms: 0,
                renditions: Vec::new(),
                thumbs: None,
                stills: Vec::new(),
                protected: false,
            },
            100,
        ));
        let load = async || library.film(Arc::clone(&empty)).await.err().unwrap().reason;
        let places = u32::try_from(MAX_LOADING).unwrap();
        let taken = library.loading.acquire_many(places).await.unwrap();
        assert_eq!(load().await, Reason::Busy);
        drop(taken);
        assert_eq!(load().await, Reason::Corrupt, "it has no renditions");
    }
}
