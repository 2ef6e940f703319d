//! Passwords: hashed with Argon2id, on few threads, and for strangers as for those who are known.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use prometheus::IntCounter;
use runtime::problem::Problem;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::problem;
use crate::random;

/// Memory of one hash, in KiB: the first of the equal choices of OWASP's cheat sheet for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// How many may wait for a thread.
const QUEUE: usize = 64;
/// How long one may wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    /// Threads at a time.
    threads: Arc<Semaphore>,
    /// Those who hash or wait.
    places: Arc<Semaphore>,
    /// How long one waits for a thread.
    patience: Duration,
    /// A hash that no password has, for accounts that are not there.
    nobodys: Arc<str>,
    /// Passwords that were hashed, to be kept or to be compared.
    hashed: IntCounter,
}

impl Passwords {
    pub(crate) fn new(threads: u8, hashed: IntCounter) -> Result<Self, Error> {
        let threads = usize::from(threads);
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let mut unknown = [0; 32];
        getrandom::fill(&mut unknown)?;
        let nobodys = hash(&unknown, &salt).ok_or(Error::Hashing)?;
        Ok(Self {
            threads: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(threads + QUEUE)),
            patience: PATIENCE,
            nobodys: nobodys.into(),
            hashed,
        })
    }

    /// The hash of a password, in PHC string format.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let salt: [u8; 16] = random::bits()?;
        let hashed = self.run(move || hash(password.as_bytes(), &salt)).await?;
        hashed.ok_or_else(|| {
            tracing::error!("a password could not be hashed");
            Problem::internal()
        })
    }

    /// Whether the password is the one with this hash. Without one nothing is, and it takes as
    /// long.
    pub(crate) async fn check(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        let nobodys = Arc::clone(&self.nobodys);
        self.run(move || {
            let wanted = PasswordHash::new(hash.as_deref().unwrap_or(&nobodys)).ok();
            let same = wanted.is_some_and(|wanted| {
                let shown = password.as_bytes();
                Argon2::default().verify_password(shown, &wanted).is_ok()
            });
            same && hash.is_some()
        })
        .await
    }

    /// Runs on one of few threads; refuses when too many wait for them, so that a flood of logins
    /// takes neither all memory nor all cores.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = || {
            let problem = problem::unavailable("Too many are logging in; try again in a moment.");
            problem.retry_after(PATIENCE)
        };
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| busy())?;
        let thread = Arc::clone(&self.threads).acquire_owned();
        let thread = tokio::time::timeout(self.patience, thread).await;
        let thread = thread.map_err(|_| busy())?.map_err(|_| busy())?;
        self.hashed.inc();
        // The thread goes on when whoever asked has gone: it is given back when the work is done.
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop((place, thread));
            outcome
        });
        done.await.map_err(|error| {
            tracing::error!("hashing a password failed: {error}");
            Problem::internal()
        })
    }
}

fn hash(password: &[u8], salt: &[u8]) -> Option<String> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(password, salt).ok()?;
    Some(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(1, IntCounter::new("hashed", "hashed").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_known_again_by_its_hash_and_no_other_is() {
        let passwords = passwords();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let again = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert_ne!(hash, again, "each has its salt");
        let check = async |password: &str, hash: Option<&str>| {
            let hash = hash.map(str::to_owned);
            passwords.check(password.to_owned(), hash).await.unwrap()
        };
        assert!(check("correct horse", Some(&hash)).await);
        assert!(!check("correct horsf", Some(&hash)).await);
        assert!(!check("correct horse", None).await);
        assert!(!check("correct horse", Some("$damaged")).await);
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_sent_away_at_once() {
        let passwords = passwords();
        let _all = Arc::clone(&passwords.places)
            .acquire_many_owned(65)
            .await
            .unwrap();
        let refused = passwords.hash("x".to_owned()).await.unwrap_err();
        assert_eq!(refused.kind(), "unavailable");
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_sent_away() {
        let mut passwords = passwords();
        passwords.patience = Duration::ZERO;
        let _thread = Arc::clone(&passwords.threads).acquire_owned().await;
        let refused = passwords.hash("x".to_owned()).await.unwrap_err();
        assert_eq!(refused.kind(), "unavailable");
        assert_eq!(passwords.places.available_permits(), 65, "and no place");
    }
}
