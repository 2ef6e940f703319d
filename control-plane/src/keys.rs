//! The content keys of a film, for origins: `GET /v1/keys/{video}`.

use std::path::Path as FilePath;
use std::sync::Arc;

use ::config::Problems;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use catalog::videos::State as Life;
use contracts::header::HOP;
use contracts::id::VideoId;
use contracts::keys::{ContentKeys, KeyPeriod};
use runtime::problem::{Named, Problem};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::config::Drm;
use crate::error::Error;
use crate::problem::{self, catalogue};
use crate::vault::Vault;

/// What hands out content keys; there is none where no key-encryption key is configured.
pub(crate) struct Keys {
    vault: Vault,
    /// The digest of the credential that origins show.
    hop: [u8; 32],
    drm: Drm,
}

impl Keys {
    /// Reads the secrets that the configuration names.
    pub(crate) fn load(drm: &Drm) -> Result<Option<Self>, Error> {
        let (Some(kek), Some(hop)) = (&drm.key_encryption_key, &drm.keys_secret) else {
            return Ok(None);
        };
        Ok(Some(Self {
            vault: Vault::load(kek)?,
            hop: credential(hop)?,
            drm: drm.clone(),
        }))
    }

    /// Notes what is wrong with each of those secrets.
    pub(crate) fn inspect(drm: &Drm, problems: &mut Problems) {
        if let Some(kek) = &drm.key_encryption_key {
            problems.take("drm.key_encryption_key", Vault::load(kek));
        }
        if let Some(hop) = &drm.keys_secret {
            problems.take("drm.keys_secret", credential(hop));
        }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(HOP).map_or(&b""[..], |value| value.as_bytes());
        let shown: [u8; 32] = Sha256::digest(shown).into();
        shown.ct_eq(&self.hop).into()
    }
}

/// The keys of a protected film, drawn when they are first asked for; for who shows the tiers' credential.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    if !keys.admits(&headers) {
        return Err(problem::no_tier());
    }
    let video = VideoId::parse(&id).map_err(|_| Problem::no_video())?;
    if !has_keys(&app, &video).await? {
        return Err(Problem::no_video());
    }
    let periods = periods(&app, keys, &video).await?;
    // Whoever gives a film up says so first, and forgets its keys then: either they found those that
    // were drawn here, or this finds that they were here.
    if !has_keys(&app, &video).await? {
        let forgotten = app.catalog.keys.forget(&video).await;
        forgotten.map_err(catalogue)?;
        return Err(Problem::no_video());
    }
    let document = ContentKeys {
        periods,
        video,
        systems: keys.drm.systems.clone(),
        license_urls: keys.drm.license_urls.clone(),
    };
    let secret = [(header::CACHE_CONTROL, "no-store")];
    Ok((secret, Json(document)).into_response())
}

/// Whether a film has keys: not one that is clear, that will not be, or that nobody knows.
async fn has_keys(app: &App, video: &VideoId) -> Result<bool, Problem> {
    let film = app.catalog.videos.find(video).await.map_err(catalogue)?;
    Ok(film.is_some_and(|film| film.protected && film.state != Life::Failed))
}

async fn periods(app: &App, keys: &Keys, video: &VideoId) -> Result<Vec<KeyPeriod>, Problem> {
    let kept = match app.catalog.keys.find(video).await.map_err(catalogue)? {
        Some(kept) => kept,
        None => {
            let drawn = Vault::draw().map_err(|error| internal(&error))?;
            let sealed = keys.vault.seal(video, &drawn);
            let sealed = sealed.map_err(|error| internal(&error))?;
            app.catalog
                .keys
                .keep(video, &sealed, app.clock.now())
                .await
                .map_err(catalogue)?
        }
    };
    let opened = keys.vault.open(video, &kept);
    opened.map_err(|error| internal(&error))
}

fn internal(error: &dyn std::error::Error) -> Problem {
    tracing::error!("cannot give content keys: {error}");
    Problem::internal()
}

fn credential(path: &FilePath) -> Result<[u8; 32], Error> {
    let fault = |fault: String| Error::Secret {
        path: path.to_owned(),
        fault,
    };
    let text = std::fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    match text.trim_ascii() {
        [] => Err(fault("the file is empty".to_owned())),
        secret => Ok(Sha256::digest(secret).into()),
    }
}
