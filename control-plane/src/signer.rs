//! Signing what viewers fetch, with the keyring file as it is now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;
use contracts::token::{Claims, Key, KeyRing};
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

/// One claim, signed for each kind of edge.
pub(crate) struct Tokens {
    ours: String,
    partners: Option<String>,
}

impl Tokens {
    /// The token to show at a place.
    pub(crate) fn of(&self, place: &Place) -> Result<&str, Problem> {
        match place.partner {
            false => Ok(&self.ours),
            // The keyring may have changed since the place was chosen.
            true => self.partners.as_deref().ok_or_else(no_key),
        }
    }
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

    /// Tokens for everything of the film.
    pub(crate) fn tokens(
        &self,
        video: &VideoId,
        session: Option<&SessionId>,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<Tokens, Problem> {
        let mut claims = Claims::new(scope(video), expires);
        claims.session = session.cloned();
        let ring = self.ring();
        let mint = |key: &Key| {
            key.mint(&claims).map_err(|error| {
                tracing::error!("cannot mint a token: {error}");
                Problem::internal()
            })
        };
        let key = ring.signer(&claims.path, now, expires).ok_or_else(no_key)?;
        let partners = ring.partner_signer(&claims.path, now, expires);
        Ok(Tokens {
            ours: mint(key)?,
            partners: partners.map(mint).transpose()?,
        })
    }

    /// Whether there is a key of `m2` that may sign the film's addresses now.
    pub(crate) fn mints_for_partners(&self, video: &VideoId, now: UnixSeconds) -> bool {
        let ring = self.ring();
        ring.partner_signer(&scope(video), now, now).is_some()
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

/// What a token of a film is for.
fn scope(video: &VideoId) -> String {
    format!("/v/{video}/")
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
