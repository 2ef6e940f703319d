//! The content keys of films: `GET /v1/keys/{video}` gives them to origins.
//!
//! 1. [`sets`] is what a film has of them: those that count, and those that they replaced;
//! 2. [`rotation`] draws new ones for a film, and has forgotten what was encrypted with the old ones;
//! 3. [`resealing`] seals all films' keys with another key-encryption key.

pub(crate) mod resealing;
pub(crate) mod rotation;
pub(crate) mod sets;

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use ::config::Problems;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::keys::Sealed;
use catalog::videos::State as Life;
use contracts::header::{HOP, SEQ};
use contracts::id::VideoId;
use runtime::problem::{Named, Problem};
use runtime::secret::{Secret, Unusable};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use crate::app::App;
use crate::config::Drm;
use crate::drm::Licensing;
use crate::error::Error;
use crate::problem::{self, catalogue};
use crate::vault::{Root, Vault};

use self::sets::Sets;

/// What hands out content keys; there is none where no key-encryption key is configured.
pub(crate) struct Keys {
    vault: Vault,
    /// What the keys of other packagers' content follow from.
    speke: Root,
    /// What licences are given with.
    pub(crate) licensing: Licensing,
    /// The digest of the credential that origins show.
    hop: [u8; 32],
    drm: Drm,
}

/// [`ContentKeys`], as the API's description shows it.
#[derive(ToSchema)]
#[schema(as = ContentKeys)]
#[expect(dead_code, reason = "describes what is written as `ContentKeys`")]
struct Document {
    /// The film.
    video: String,
    /// Which systems may give the keys to players: `identity`, `clearkey`, `widevine`, `playready`, `fairplay`.
    systems: Vec<String>,
    /// Where players ask for licences, by system; absent where nowhere is said.
    license_urls: Option<BTreeMap<String, String>>,
    /// Which of the film's sets of keys this is; absent: the first.
    set: Option<u32>,
    /// The keys over the film's time, from 0 on.
    periods: Vec<Period>,
    /// Sets that were replaced and still count; absent: none.
    retired: Option<Vec<Retired>>,
}

/// A set of keys that was replaced.
#[derive(ToSchema)]
#[schema(as = RetiredKeys)]
#[expect(dead_code, reason = "describes what is written as `RetiredKeys`")]
struct Retired {
    /// Its number.
    set: u32,
    /// Its keys.
    periods: Vec<Period>,
}

/// The keys of a stretch of a film.
#[derive(ToSchema)]
#[schema(as = KeyPeriod)]
#[expect(dead_code, reason = "describes what is written as `KeyPeriod`")]
struct Period {
    /// When it begins, in milliseconds.
    start_ms: u64,
    /// Its keys; the first that fits a track is its key.
    keys: Vec<Key>,
}

/// One key and the tracks that it encrypts.
#[derive(ToSchema)]
#[schema(as = ContentKey)]
#[expect(dead_code, reason = "describes what is written as `ContentKey`")]
struct Key {
    /// Its name, which is public: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    kid: String,
    /// The key itself.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    key: String,
    /// The constant initialization vector of `cbcs`; where there is none, it is derived from the key's name.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    iv: Option<String>,
    /// The tracks that it encrypts, `audio`, `sd`, `hd`, `uhd`; empty: all.
    tracks: Vec<String>,
}

impl Keys {
    /// Reads the secrets that the configuration names.
    pub(crate) fn load(drm: &Drm) -> Result<Option<Self>, Error> {
        let vault = Vault::load(&drm.key_encryption_keys)?;
        let (Some(vault), Some(hop)) = (vault, &drm.keys_secret) else {
            return Ok(None);
        };
        Ok(Some(Self {
            licensing: Licensing::load(drm, &vault)?,
            speke: speke(drm, &vault)?,
            vault,
            hop: credential(hop)?,
            drm: drm.clone(),
        }))
    }

    /// Notes what is wrong with each of those secrets.
    pub(crate) fn inspect(drm: &Drm, problems: &mut Problems) {
        let vault = Vault::load(&drm.key_encryption_keys);
        if let Some(Some(vault)) = problems.take("drm.key_encryption_key", vault) {
            problems.take("drm.license_keys", Licensing::load(drm, &vault));
            problems.take("drm.speke_key", speke(drm, &vault));
        }
        if let Some(hop) = &drm.keys_secret {
            problems.take("drm.keys_secret", credential(hop));
        }
    }

    /// A secret of other packagers' content, which tells nothing of what it follows from.
    pub(crate) fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        self.speke.derive(purpose)
    }

    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(HOP).map_or(&b""[..], |value| value.as_bytes());
        self.is_hop(shown)
    }

    /// Whether the password of HTTP Basic (RFC 7617) is the credential: other packagers know no other header.
    pub(crate) fn admits_basic(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION);
        let shown = shown.and_then(|value| value.to_str().ok()?.split_once(' '));
        let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let pair = shown.and_then(|(_, pair)| STANDARD.decode(pair.trim()).ok());
        let colon = |byte: &u8| *byte == b':';
        let pair = pair.as_deref().unwrap_or_default();
        let password = pair.splitn(2, colon).nth(1).unwrap_or_default();
        self.is_hop(password)
    }

    fn is_hop(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        shown.ct_eq(&self.hop).into()
    }
}

/// What the keys of other packagers' content follow from: a key of its own, or the oldest key-encryption key.
fn speke(drm: &Drm, vault: &Vault) -> Result<Root, Unusable> {
    let own = drm.speke_key.as_deref().map(Root::load);
    own.unwrap_or_else(|| Ok(vault.oldest().clone()))
}

/// The keys of a protected film, drawn when they are first asked for; for origins, which show the
/// credential of `drm.keys_secret`. The answer is a secret as a whole.
#[utoipa::path(get, path = "/keys/{video}",
    params(("video" = String, Path), ("millrace-hop" = String, Header, description = "the credential of `drm.keys_secret`")),
    responses((status = 200, body = Document, description = "never to be stored: `Cache-Control: no-store`"),
        (status = 403, body = Problem, description = "`hop-refused`: not that credential"),
        (status = 404, body = Problem, description = "`video-not-found`: no such film, or one that is not protected or has failed; `not-found`: there is no `[drm]` here"),
        (status = 500, body = Problem, description = "`keys-shut`: what is sealed opens with none of the key-encryption keys"), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    if !keys.admits(&headers) {
        return Err(problem::no_keys_credential());
    }
    let video = VideoId::parse(&id).map_err(|_| Problem::no_video())?;
    // Before the keys: whatever was ordered up to then, they are from after it.
    let extent = app.catalog.feed.extent().await.map_err(catalogue)?;
    let sets = of(&app, keys, &video).await?;
    let document = sets.document(video, &keys.drm);
    let secret = [
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (
            SEQ_FIELD,
            extent.map_or(0, |extent| extent.head).to_string(),
        ),
    ];
    Ok((secret, Json(document)).into_response())
}

/// The keys of a protected film, those of them that count, drawn when they are first asked for.
pub(crate) async fn of(app: &App, keys: &Keys, video: &VideoId) -> Result<Sets, Problem> {
    if !has_keys(app, video).await? {
        return Err(Problem::no_video());
    }
    let (_, sets) = find_or_draw(app, keys, video).await?;
    // Whoever gives a film up says so first, and forgets its keys then: either they found those that
    // were drawn here, or this finds that they were here.
    if !has_keys(app, video).await? {
        let forgotten = app.catalog.keys.forget(video).await;
        forgotten.map_err(catalogue)?;
        return Err(Problem::no_video());
    }
    Ok(sets.living(app.clock.now()))
}

/// Whether a film has keys: not one that is clear, that will not be, or that nobody knows.
async fn has_keys(app: &App, video: &VideoId) -> Result<bool, Problem> {
    let film = app.catalog.videos.find(video).await.map_err(catalogue)?;
    Ok(film
        .is_some_and(|film| film.protected && !matches!(film.state, Life::Failed | Life::Deleted)))
}

/// What is kept of a film's keys, as it is and opened.
async fn find_or_draw(app: &App, keys: &Keys, video: &VideoId) -> Result<(Sealed, Sets), Problem> {
    let kept = match app.catalog.keys.find(video).await.map_err(catalogue)? {
        Some(kept) => kept,
        None => {
            let drawn = Vault::draw().map_err(|error| internal(&error))?;
            let sealed = keys.vault.seal(video, &Sets::first(drawn));
            let sealed = sealed.map_err(|error| internal(&error))?;
            app.catalog
                .keys
                .keep(video, &sealed, app.clock.now())
                .await
                .map_err(catalogue)?
        }
    };
    let opened = keys.vault.open(video, &kept).map_err(|shut| {
        tracing::error!(video.id = %video, "{shut}: is one missing in drm.key_encryption_key?");
        problem::keys_shut()
    })?;
    Ok((kept, opened))
}

pub(crate) fn internal(error: &dyn std::error::Error) -> Problem {
    tracing::error!("cannot give content keys: {error}");
    Problem::internal()
}

/// The digest of a credential in a file.
pub(crate) fn credential(path: &FilePath) -> Result<[u8; 32], Error> {
    let secret = Secret::credential(path)?;
    Ok(Sha256::digest(secret.as_bytes()).into())
}

const SEQ_FIELD: HeaderName = HeaderName::from_static(SEQ);

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use catalog::videos::{Event, NewVideo, Videos};
    use contracts::asset::Privacy;
    use contracts::keys::System;
    use contracts::time::UnixSeconds;
    use runtime::clock::Fixed;
    use runtime::operator::Operator;

    use super::*;
    use crate::app::RequestIds;
    use crate::config::Config;
    use crate::fleet::Fleet;
    use crate::fleet::orders::Orders;
    use crate::metrics::Metrics;
    use crate::people::People;
    use crate::playback::geo::Geo;
    use crate::routing::Routing;
    use crate::routing::prefixes::Prefixes;
    use crate::signer::Signer;
    use crate::steering::template::Templates;
    use crate::telemetry::Telemetry;

    /// Keys before which, each time some are kept, another process gives the film up.
    struct GivenUp {
        inner: Arc<dyn catalog::keys::Keys>,
        videos: Arc<dyn Videos>,
    }

    #[async_trait]
    impl catalog::keys::Keys for GivenUp {
        async fn keep(
            &self,
            video: &VideoId,
            sealed: &Sealed,
            now: UnixSeconds,
        ) -> Result<Sealed, catalog::Error> {
            let reason = "cancelled".to_owned();
            self.videos.advance(video, Event::Failed { reason }).await?;
            self.inner.forget(video).await?;
            self.inner.keep(video, sealed, now).await
        }
        async fn find(&self, video: &VideoId) -> Result<Option<Sealed>, catalog::Error> {
            self.inner.find(video).await
        }
        async fn replace(
            &self,
            video: &VideoId,
            found: &[u8],
            sealed: &Sealed,
        ) -> Result<bool, catalog::Error> {
            self.inner.replace(video, found, sealed).await
        }
        async fn sealed_otherwise(
            &self,
            by: &str,
            after: Option<&VideoId>,
            limit: u32,
        ) -> Result<Vec<VideoId>, catalog::Error> {
            self.inner.sealed_otherwise(by, after, limit).await
        }
        async fn due(&self, now: UnixSeconds, limit: u32) -> Result<Vec<VideoId>, catalog::Error> {
            self.inner.due(now, limit).await
        }
        async fn forget(&self, video: &VideoId) -> Result<(), catalog::Error> {
            self.inner.forget(video).await
        }
    }

    #[tokio::test]
    async fn keys_that_are_drawn_while_their_film_is_given_up_do_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let mut config = Config::default();
        config.drm.key_encryption_key = vec![file("kek", &"5a".repeat(32))];
        config.drm.keys_secret = file("hop", "a-credential-of-some-length");
        config.drm.systems = vec![System::Identity];
        let settings = config.check().unwrap();
        let clock = Arc::new(Fixed::at(UnixSeconds(100)));
        let mut catalog = catalog::open("sqlite::memory:", Arc::<Fixed>::clone(&clock))
            .await
            .unwrap();
        let (kept, video) = (Arc::clone(&catalog.keys), VideoId::parse("one").unwrap());
        let new = NewVideo {
            id: video.clone(),
            title: "One".to_owned(),
            privacy: Privacy::Public,
            protected: true,
        };
        catalog.videos.create(new).await.unwrap();
        catalog.keys = Arc::new(GivenUp {
            inner: Arc::clone(&kept),
            videos: Arc::clone(&catalog.videos),
        });
        let orders = Orders::open(Arc::clone(&catalog.feed), Arc::<Fixed>::clone(&clock));
        let registry = prometheus::Registry::new();
        let routing = Arc::new(Routing::new(Vec::new(), Prefixes::default()));
        let its = (&catalog, &routing);
        let telemetry = Telemetry::open(&settings, its, Arc::<Fixed>::clone(&clock), &registry);
        let (telemetry, _) = telemetry.await.unwrap();
        let metrics = Metrics::new(&registry).unwrap();
        let app = App {
            public_base: String::new(),
            telemetry,
            orders: orders.await.unwrap(),
            telling: tokio::sync::Mutex::default(),
            fleet: Fleet::load(&settings.fleet, &catalog, UnixSeconds(1_800_000_000)).unwrap(),
            catalog,
            clock,
            signer: Signer::load(None).unwrap(),
            geo: Geo::load(None).unwrap(),
            routing,
            templates: Templates::new().unwrap(),
            operator: Operator::anybody(),
            people: People::load(&settings.accounts, metrics.hashed.clone()).unwrap(),
            keys: Keys::load(&settings.drm).unwrap(),
            metrics,
            request_ids: RequestIds::new(String::new()),
            settings,
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOP, "a-credential-of-some-length".parse().unwrap());
        let refused = show(State(Arc::new(app)), Named("one".to_owned()), headers).await;
        assert_eq!(refused.err().unwrap().kind(), "video-not-found");
        assert_eq!(kept.find(&video).await.unwrap(), None);
    }
}
