//! The films that can be served: descriptions kept for seconds, indexes kept by weight.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::{
    asset::{Asset, Kind, Privacy, Rendition},
    id::{Generation, RenditionId, VideoId},
    reason::Reason,
};
use moka::future::Cache;
use packager::{
    Presentation, Source,
    index::{Index, Media},
};
use sha2::{Digest, Sha256};
use store::layout;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{config::Settings, metrics::Metrics, shelf::Shelf};

/// Why something cannot be served: what travels, and what the log says.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

/// A film at one generation.
pub(crate) struct Film {
    pub(crate) presentation: Presentation,
    /// Stands for every byte that can be packed out of the film.
    pub(crate) digest: [u8; 32],
    weight: u32,
}

/// A published film with the indexes of its renditions.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) asset: Arc<Asset>,
    pub(crate) film: Arc<Film>,
}

/// What lies in the store of a rendition.
struct Files {
    index: Bytes,
    /// How long the mezzanine is, if it is there.
    mezzanine: Option<u64>,
}

/// Finds films in the store and keeps what is asked for again.
pub(crate) struct Library {
    shelf: Arc<Shelf>,
    assets: Cache<VideoId, Option<Arc<Asset>>>,
    films: Cache<(VideoId, Generation), Arc<Film>>,
    /// Films that were read anew a moment ago because something of them is damaged.
    renewed: Cache<VideoId, ()>,
    /// Films under way, whose indexes no cache bounds yet.
    loading: Semaphore,
    /// How long a request waits for its turn to load a film.
    wait: Duration,
    segment: Duration,
    metrics: Metrics,
}

impl Fault {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    pub(crate) fn corrupt(detail: impl Into<String>) -> Self {
        Self::new(Reason::Corrupt, detail)
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        let reason = match error {
            store::Error::Corrupt { .. } | store::Error::TooLarge { .. } => Reason::Corrupt,
            _ => Reason::Unreachable,
        };
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail = format!("{detail}: {cause}");
            source = cause.source();
        }
        Self::new(reason, detail)
    }
}

impl From<packager::Error> for Fault {
    fn from(error: packager::Error) -> Self {
        Self::corrupt(error.to_string())
    }
}

impl Library {
    pub(crate) fn new(shelf: Arc<Shelf>, settings: &Settings, metrics: Metrics) -> Self {
        let assets = Cache::builder()
            .max_capacity(settings.asset_entries)
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
            loading: Semaphore::new(MAX_LOADING),
            wait: settings.pack_wait,
            segment: settings.segment,
            metrics,
        }
    }

    /// The description of a published film; none when there is no such film.
    pub(crate) async fn asset(&self, video: &VideoId) -> Result<Option<Arc<Asset>>, Fault> {
        let load = self.read_asset(video);
        self.assets
            .try_get_with_by_ref(video, load)
            .await
            .map_err(|fault| (*fault).clone())
    }

    /// A published film with its indexes; none when there is no such film.
    pub(crate) async fn film(&self, asset: Arc<Asset>) -> Result<Published, Fault> {
        let key = (asset.video.clone(), asset.generation);
        if let Some(film) = self.films.get(&key).await {
            self.metrics.index_lookup(true);
            return Ok(Published { asset, film });
        }
        self.metrics.index_lookup(false);
        let load = self.read_film(&asset);
        let film = self
            .films
            .try_get_with(key, load)
            .await
            .map_err(|fault| (*fault).clone())?;
        Ok(Published { asset, film })
    }

    /// Looks again at a film that was found damaged: whether it was published anew or withdrawn meanwhile.
    ///
    /// If not, its indexes are forgotten, so that a repair shows at once; but once per `asset_ttl` at most, so
    /// that one bad segment does not cost a reading of all indexes each time it is asked for.
    pub(crate) async fn is_outdated(&self, asset: &Asset) -> bool {
        self.assets.invalidate(&asset.video).await;
        let Ok(current) = self.asset(&asset.video).await else {
            return false;
        };
        let outdated = current.is_none_or(|current| current.generation != asset.generation);
        let forget = outdated || {
            let entry = self.renewed.entry_by_ref(&asset.video);
            entry.or_insert(()).await.is_fresh()
        };
        if forget {
            let key = (asset.video.clone(), asset.generation);
            self.films.invalidate(&key).await;
        }
        outdated
    }

    async fn read_asset(&self, video: &VideoId) -> Result<Option<Arc<Asset>>, Fault> {
        let Some(bytes) = self.shelf.read(&layout::asset(video)).await? else {
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
        Ok(Some(Arc::new(asset)))
    }

    async fn read_film(&self, asset: &Arc<Asset>) -> Result<Arc<Film>, Fault> {
        let _permit = self.may_load().await?;
        let mut files = Vec::with_capacity(asset.renditions.len());
        for rendition in &asset.renditions {
            files.push(self.read_files(asset, &rendition.id).await?);
        }
        let (asset, segment) = (Arc::clone(asset), self.segment);
        // An index of a long film takes tens of milliseconds, which other answers must not wait for.
        let work = move || Film::new(&asset, &files, segment).map(Arc::new);
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|stopped| Err(Fault::new(Reason::Internal, stopped.to_string())))
    }

    /// Waits for one of the few places at which films are loaded.
    async fn may_load(&self) -> Result<SemaphorePermit<'_>, Fault> {
        match tokio::time::timeout(self.wait, self.loading.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Fault::new(
                Reason::Internal,
                "the loading of films is closed",
            )),
            Err(_) => Err(Fault::new(Reason::Busy, "too many films are being loaded")),
        }
    }

    /// Reads an index, and the length of the mezzanine that lies beside it.
    async fn read_files(&self, asset: &Asset, id: &RenditionId) -> Result<Files, Fault> {
        let key = layout::index(&asset.video, asset.generation, id);
        let index = self.shelf.read(&key).await?;
        let index = index.ok_or_else(|| Fault::corrupt(format!("{id}: its index is missing")))?;
        let mezzanine = layout::mezzanine(&asset.video, asset.generation, id);
        let mezzanine = self.shelf.size(&mezzanine).await?;
        Ok(Files { index, mezzanine })
    }
}

impl Film {
    /// Puts a film together from what lies in the store, `files` in the order of the renditions.
    fn new(asset: &Asset, files: &[Files], segment: Duration) -> Result<Self, Fault> {
        let mut sources = Vec::with_capacity(files.len());
        let mut digest = Sha256::new();
        digest.update(PACKING);
        digest.update(segment.as_millis().to_be_bytes());
        digest.update(asset.generation.0.to_be_bytes());
        let mut weight = size_of::<Self>();
        for (rendition, files) in asset.renditions.iter().zip(files) {
            let index = files.index(rendition)?;
            weight = weight.saturating_add(index.weight());
            let language = rendition.language.as_deref().unwrap_or_default();
            digest.update(format!("\n{} {language} ", rendition.id));
            digest.update(Sha256::digest(&files.index));
            sources.push(Source {
                id: rendition.id.clone(),
                language: rendition.language.clone(),
                index: Arc::new(index),
            });
        }
        Ok(Self {
            presentation: Presentation::new(sources, segment)?,
            digest: digest.finalize().into(),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        })
    }
}

impl Files {
    /// Decodes the index and compares it with the description and with the mezzanine.
    fn index(&self, rendition: &Rendition) -> Result<Index, Fault> {
        let about = |what: &str| Fault::corrupt(format!("{}: {what}", rendition.id));
        let index = Index::decode(&self.index).map_err(|error| about(&error.to_string()))?;
        let kind = match index.track().media {
            Media::Video(_) => Kind::Video,
            Media::Audio(_) => Kind::Audio,
        };
        if kind != rendition.kind {
            return Err(about("asset.json and the index disagree on its kind"));
        }
        match self.mezzanine {
            None => Err(about("its mezzanine is missing")),
            Some(size) if size != index.file().length => {
                Err(about("its mezzanine is not as long as its index says"))
            }
            Some(_) => Ok(index),
        }
    }
}

/// What `millrace-access` says of a film.
pub(crate) fn access(asset: &Asset) -> &'static str {
    match asset.privacy {
        Privacy::Public => contracts::header::ACCESS_PUBLIC,
        Privacy::Unlisted | Privacy::Private => contracts::header::ACCESS_TOKEN,
    }
}

/// Enters every `ETag`: it must change whenever the packager gives other bytes for the same film.
const PACKING: &[u8] = b"millrace packing 2";
/// Enough to keep two cores and a disk busy.
const MAX_LOADING: usize = 4;
const MAX_RENEWED: u64 = 10_000;

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use runtime::internal::Health;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_fault_of_the_store_tells_all_its_causes() {
        let error = store::Error::Io {
            subject: "encoded/film".to_owned(),
            action: "reading",
            source: std::io::Error::other("the disk is on fire"),
        };
        let fault = Fault::from(error);
        assert_eq!(fault.reason, Reason::Unreachable);
        assert_eq!(
            fault.detail,
            "encoded/film: reading failed: the disk is on fire"
        );
    }

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
        let shelf = Arc::new(Shelf::new(store, metrics.clone(), Health::new()));
        let library = Library::new(shelf, &settings, metrics);
        let empty = Arc::new(Asset {
            video: VideoId::parse("empty").unwrap(),
            generation: Generation(1),
            title: String::new(),
            privacy: Privacy::Public,
            duration_ms: 0,
            renditions: Vec::new(),
            thumbs: None,
            protected: false,
        });
        let load = async || library.film(Arc::clone(&empty)).await.err().unwrap().reason;
        let places = u32::try_from(MAX_LOADING).unwrap();
        let taken = library.loading.acquire_many(places).await.unwrap();
        assert_eq!(load().await, Reason::Busy);
        drop(taken);
        assert_eq!(load().await, Reason::Corrupt, "it has no renditions");
    }
}
