//! Signing what viewers fetch, with the keyring file as it is now.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing, public_only};
use runtime::problem::Problem;
use runtime::watched::{FileError, Watched};

use crate::problem;
use crate::routing::Place;

/// The keyring, read again when its file changes.
pub(crate) struct Signer {
    file: Watched<Loaded>,
    /// The second in which the file was looked at last. Not for each token: a start makes a handful.
    looked: AtomicU64,
}

struct Loaded {
    ring: KeyRing,
    /// The keyring in JSON without what is secret.
    public: String,
}

impl Signer {
    pub(crate) fn load(path: Option<PathBuf>) -> Result<Self, FileError> {
        let read = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
            let ring = KeyRing::from_json(&text).map_err(|error| error.to_string())?;
            let public = public_only(&text).map_err(|error| error.to_string())?;
            Ok(Loaded { ring, public })
        };
        let none = Loaded {
            ring: KeyRing::default(),
            public: r#"{"keyring":[]}"#.to_owned(),
        };
        let looked = AtomicU64::default();
        Watched::open(path, MAX_BYTES, none, read).map(|file| Self { file, looked })
    }

    /// A token that a place's edge verifies.
    pub(crate) fn token(
        &self,
        claims: &Claims,
        place: &Place,
        now: UnixSeconds,
    ) -> Result<String, Problem> {
        let loaded = self.loaded(now);
        let (path, expires) = (claims.path.as_str(), claims.expires);
        let key = match place.m2 {
            true => loaded.ring.partner_signer(path, now, expires),
            false => loaded.ring.signer(path, now, expires),
        };
        key.ok_or_else(no_key)?.mint(claims).map_err(|error| {
            tracing::error!("cannot mint a token: {error}");
            Problem::internal()
        })
    }

    /// Whether there is a key of `m2` that may sign the film's addresses now.
    pub(crate) fn mints_m2(&self, video: &VideoId, now: UnixSeconds) -> bool {
        let loaded = self.loaded(now);
        loaded
            .ring
            .partner_signer(&format!("/v/{video}/"), now, now)
            .is_some()
    }

    /// What keeps films from being played now, or will within a week.
    pub(crate) fn fault(&self, now: UnixSeconds) -> Option<&'static str> {
        let loaded = self.loaded(now);
        if !loaded.ring.signs_at(now) {
            return Some("no key of the keyring signs now: nothing can be played");
        }
        let later = now.plus(WEEK_S);
        (!loaded.ring.signs_at(later))
            .then_some("no key of the keyring signs a week from now: add one that does")
    }

    /// Whether there is a key of `m2` that signs anything, now or later.
    pub(crate) fn has_m2(&self, now: UnixSeconds) -> bool {
        self.loaded(now).ring.has_partner_signer(now)
    }

    /// The address of one path at a place: with a plain signature, or a token where its edge verifies with public
    /// keys alone, or the key that signs has no plain form.
    pub(crate) fn address(
        &self,
        path: &str,
        place: &Place,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Option<String> {
        let with_token = || {
            let token = self.token(&Claims::new(path, expires), place, now).ok()?;
            Some(format!("{}/~{token}{path}", place.base))
        };
        if place.m2 {
            return with_token();
        }
        let loaded = self.loaded(now);
        let key = loaded.ring.signer(path, now, expires)?;
        let plain = key.sign_path(path, expires).ok();
        plain.map_or_else(with_token, |query| {
            Some(format!("{}{path}?{query}", place.base))
        })
    }

    /// The keyring in JSON as those may have it who must not mint.
    pub(crate) fn public(&self, now: UnixSeconds) -> String {
        self.loaded(now).public.clone()
    }

    /// The keyring as it is now: a key that an operator took away signs nothing more from the next second on.
    fn loaded(&self, now: UnixSeconds) -> Arc<Loaded> {
        let looked = self.looked.swap(now.0, Ordering::Relaxed);
        if looked != now.0
            && let Err(error) = self.file.refresh()
        {
            // A file caught while it is written, say: the old keys still count.
            tracing::warn!("the keyring was not read again: {error}");
        }
        Arc::clone(&self.file.current())
    }
}

fn no_key() -> Problem {
    problem::unavailable(
        "No key may sign this film's address now; the operator must add one to the keyring.",
    )
}

/// So long before films cannot be played any more it is told.
const WEEK_S: u64 = 7 * 86_400;
/// The largest keyring, in bytes.
const MAX_BYTES: u64 = 16 << 20;
