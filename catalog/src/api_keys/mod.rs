//! API keys: by which backends call, without an account.

pub mod conformance;
pub(crate) mod sql;

use async_trait::async_trait;
use contracts::id::ApiKeyId;
use contracts::time::UnixSeconds;

use crate::digest::SecretDigest;
use crate::error::Error;

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name in the API.
    pub id: ApiKeyId,
    /// What it is for, in its maker's words.
    pub name: String,
    /// What it may be used for: words that only the caller understands, without blanks.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: UnixSeconds,
    /// When it ends, if it does.
    pub expires: Option<UnixSeconds>,
}

/// The API keys of a site.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Makes a key that is known by the digest of its secret. Fails with [`Error::Exists`] when the
    /// id or the digest is taken.
    async fn create(&self, key: &ApiKey, secret: &SecretDigest) -> Result<(), Error>;

    /// The key with that secret, unless it has expired.
    async fn find(&self, secret: &SecretDigest, now: UnixSeconds) -> Result<Option<ApiKey>, Error>;

    /// Keys by their ids, expired ones too, at most `limit`, after the one given.
    async fn list(&self, after: Option<&ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>, Error>;

    /// Removes a key; tells whether there was one.
    async fn remove(&self, id: &ApiKeyId) -> Result<bool, Error>;
}
