//! The films that can be served: descriptions kept for seconds, indexes kept by weight.

use std::{sync::Arc, time::Duration};

use contracts::{
    asset::{Asset, Kind, Privacy},
    id::{Generation, VideoId},
    reason::Reason,
};
use moka::future::Cache;
use packager::{
    Presentation, Source,
    index::{Index, Media},
};
use sha2::{Digest, Sha256};
use store::{Store, layout};

use crate::{config::Settings, metrics::Metrics};

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

/// Finds films in the store and keeps what is asked for again.
pub(crate) struct Library {
    store: Arc<dyn Store>,
    assets: Cache<VideoId, Option<Arc<Asset>>>,
    films: Cache<(VideoId, Generation), Arc<Film>>,
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
        Self::new(reason, error.to_string())
    }
}

impl From<packager::Error> for Fault {
    fn from(error: packager::Error) -> Self {
        Self::corrupt(error.to_string())
    }
}

impl Library {
    pub(crate) fn new(store: Arc<dyn Store>, settings: &Settings, metrics: Metrics) -> Self {
        let assets = Cache::builder()
            .max_capacity(settings.asset_entries)
            .time_to_live(settings.asset_ttl)
            .build();
        let films = Cache::builder()
            .max_capacity(settings.index_memory)
            .weigher(|_, film: &Arc<Film>| film.weight)
            .build();
        Self {
            store,
            assets,
            films,
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

    /// Forgets a film whose mezzanine and index were found to disagree, so that a repair shows at once.
    pub(crate) async fn forget(&self, asset: &Asset) {
        self.films
            .invalidate(&(asset.video.clone(), asset.generation))
            .await;
    }

    async fn read_asset(&self, video: &VideoId) -> Result<Option<Arc<Asset>>, Fault> {
        let Some(bytes) = self.store.read(&layout::asset(video)).await? else {
            return Ok(None);
        };
        self.metrics.read_bytes.inc_by(to_u64(bytes.len()));
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

    async fn read_film(&self, asset: &Asset) -> Result<Arc<Film>, Fault> {
        let mut sources = Vec::with_capacity(asset.renditions.len());
        let mut digest = Sha256::new();
        digest.update(PACKING);
        digest.update(self.segment.as_millis().to_be_bytes());
        digest.update(asset.generation.0.to_be_bytes());
        let mut weight = size_of::<Film>();
        for rendition in &asset.renditions {
            let (index, checksum) = self.read_index(asset, rendition).await?;
            weight = weight.saturating_add(index.weight());
            let language = rendition.language.as_deref().unwrap_or_default();
            digest.update(format!("\n{} {language} ", rendition.id));
            digest.update(checksum);
            sources.push(Source {
                id: rendition.id.clone(),
                language: rendition.language.clone(),
                index: Arc::new(index),
            });
        }
        Ok(Arc::new(Film {
            presentation: Presentation::new(sources, self.segment)?,
            digest: digest.finalize().into(),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        }))
    }

    /// Reads an index and its own digest, and compares it with the mezzanine that lies beside it.
    async fn read_index(
        &self,
        asset: &Asset,
        rendition: &contracts::asset::Rendition,
    ) -> Result<(Index, [u8; 32]), Fault> {
        let about = |what: &str| Fault::corrupt(format!("{}: {what}", rendition.id));
        let key = layout::index(&asset.video, asset.generation, &rendition.id);
        let bytes = self
            .store
            .read(&key)
            .await?
            .ok_or_else(|| about("its index is missing"))?;
        self.metrics.read_bytes.inc_by(to_u64(bytes.len()));
        let index = Index::decode(&bytes).map_err(|error| about(&error.to_string()))?;
        let kind = match index.track().media {
            Media::Video(_) => Kind::Video,
            Media::Audio(_) => Kind::Audio,
        };
        if kind != rendition.kind {
            return Err(about("asset.json and the index disagree on its kind"));
        }
        let mezzanine = layout::mezzanine(&asset.video, asset.generation, &rendition.id);
        match self.store.size(&mezzanine).await? {
            None => Err(about("its mezzanine is missing")),
            Some(size) if size != index.file().length => {
                Err(about("its mezzanine is not as long as its index says"))
            }
            Some(_) => Ok((index, Sha256::digest(&bytes).into())),
        }
    }
}

/// What `millrace-access` says of a film.
pub(crate) fn access(asset: &Asset) -> &'static str {
    match asset.privacy {
        Privacy::Public | Privacy::Unlisted => contracts::header::ACCESS_PUBLIC,
        Privacy::Private => contracts::header::ACCESS_TOKEN,
    }
}

pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Enters every `ETag`: it must change whenever the packager gives other bytes for the same film.
const PACKING: &[u8] = b"millrace packing 1";
