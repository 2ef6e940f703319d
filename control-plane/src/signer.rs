//! Signing what viewers fetch, with the keyring file as it is now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing};
use runtime::problem::Problem;
use runtime::secret::Unusable;

use crate::error::Error;
use crate::problem;
use crate::routing::Place;

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

    /// A token that a place's edge verifies.
    pub(crate) fn token(
        &self,
        claims: &Claims,
        place: &Place,
        now: UnixSeconds,
    ) -> Result<String, Problem> {
        let ring = self.ring();
        let (path, expires) = (claims.path.as_str(), claims.expires);
        let key = match place.partner {
            true => ring.partner_signer(path, now, expires),
            false => ring.signer(path, now, expires),
        };
        key.ok_or_else(no_key)?.mint(claims).map_err(|error| {
            tracing::error!("cannot mint a token: {error}");
            Problem::internal()
        })
    }

    /// Whether there is a key of `m2` that may sign the film's addresses now.
    pub(crate) fn mints_for_partners(&self, video: &VideoId, now: UnixSeconds) -> bool {
        let ring = self.ring();
        ring.partner_signer(&format!("/v/{video}/"), now, now)
            .is_some()
    }

    /// The address of one path at a place: with a plain signature, or a token where its edge verifies with public
    /// keys alone.
    pub(crate) fn address(
        &self,
        path: &str,
        place: &Place,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Option<String> {
        if place.partner {
            let token = self.token(&Claims::new(path, expires), place, now).ok()?;
            return Some(format!("{}/~{token}{path}", place.base));
        }
        let ring = self.ring();
        let query = ring
            .signer(path, now, expires)?
            .sign_path(path, expires)
            .ok()?;
        Some(format!("{}{path}?{query}", place.base))
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
