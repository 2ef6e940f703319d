//! Signing what viewers fetch, with the keyring file as it is now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing};
use runtime::problem::Problem;
use runtime::secret::Unusable;

use crate::error::Error;
use crate::problem;

/// The keyring, read again when its file changes.
pub(crate) struct Signer {
    path: Option<PathBuf>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    changed: Option<SystemTime>,
    ring: Arc<KeyRing>,
}

impl Signer {
    pub(crate) fn load(path: Option<PathBuf>) -> Result<Self, Error> {
        let loaded = match &path {
            Some(path) => read(path)?,
            None => Loaded {
                changed: None,
                ring: Arc::default(),
            },
        };
        Ok(Self {
            path,
            loaded: Mutex::new(loaded),
        })
    }

    /// The path of a manifest behind a token for everything of the film.
    pub(crate) fn token(
        &self,
        video: &VideoId,
        session: Option<&SessionId>,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<String, Problem> {
        let mut claims = Claims::new(format!("/v/{video}/"), expires);
        claims.session = session.cloned();
        let ring = self.ring();
        let key = ring.signer(&claims.path, now, expires).ok_or_else(no_key)?;
        key.mint(&claims).map_err(|error| {
            tracing::error!("cannot mint a token: {error}");
            Problem::internal()
        })
    }

    /// A path with its plain signature.
    pub(crate) fn plain(
        &self,
        path: &str,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Option<String> {
        let ring = self.ring();
        let query = ring
            .signer(path, now, expires)?
            .sign_path(path, expires)
            .ok()?;
        Some(format!("{path}?{query}"))
    }

    fn ring(&self) -> Arc<KeyRing> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path
            && changed(path) != loaded.changed
        {
            match read(path) {
                Ok(fresh) => *loaded = fresh,
                // A file caught while it is written, say: the old keys still count.
                Err(error) => tracing::warn!("the keyring was not read again: {error}"),
            }
        }
        Arc::clone(&loaded.ring)
    }
}

fn no_key() -> Problem {
    problem::unavailable(
        "No key may sign this film's address now; the operator must add one to the keyring.",
    )
}

fn read(path: &Path) -> Result<Loaded, Error> {
    let fault = |fault: String| Unusable::new(path, fault);
    let changed = changed(path);
    let text =
        std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let ring = KeyRing::from_json(&text).map_err(|error| fault(error.to_string()))?;
    Ok(Loaded {
        changed,
        ring: Arc::new(ring),
    })
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}
