//! Logins: from a password to a logout, kept alive by tokens that are good for one renewal.

pub mod conformance;
pub(crate) mod sql;

use async_trait::async_trait;
use contracts::id::{LoginId, UserId};
use contracts::time::UnixSeconds;

use crate::digest::SecretDigest;
use crate::error::Error;
use crate::users::Role;

/// For how many seconds a token that was used may be used again: whoever did not get the answer
/// asks again, and two windows of one browser ask at once.
pub const LEEWAY_S: u64 = 10;

/// A login that begins.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// Its name, also in the tokens that are given for it.
    pub id: LoginId,
    /// Whose it is.
    pub user: UserId,
    /// By what it may be renewed.
    pub token: SecretDigest,
    /// Now.
    pub started: UnixSeconds,
    /// When it ends, and its token with it, unless it is renewed.
    pub expires: UnixSeconds,
}

/// Who a login is of, as the account is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The login.
    pub login: LoginId,
    /// The account.
    pub user: UserId,
    /// What the account may do now.
    pub role: Role,
}

/// What became of the wish to renew a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It goes on, with the new token.
    Renewed(Holder),
    /// There is no such token, or none any more.
    Unknown,
    /// The token was used before, so that two hold it: the login is ended.
    Reused(UserId),
}

/// The logins of a site's users. An account's logins go with it.
#[async_trait]
pub trait Logins: Send + Sync {
    /// Begins a login by a password, of which the hash is given; `false` when there is no such account any more, or it
    /// has another password by now.
    async fn begin(&self, new: NewLogin, password: &str) -> Result<bool, Error>;

    /// Gives a new token for one that was not used yet, or within the last [`LEEWAY_S`]; one that
    /// was used before that ends the login. The login and the new token are good until `expires`.
    async fn renew(
        &self,
        token: &SecretDigest,
        next: &SecretDigest,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<Renewal, Error>;

    /// Whose a login is, unless it has ended.
    async fn holder(&self, id: &LoginId, now: UnixSeconds) -> Result<Option<Holder>, Error>;

    /// Ends a login; ending it again changes nothing.
    async fn end(&self, id: &LoginId) -> Result<(), Error>;

    /// Ends the login that a token belongs to, if it belongs to one.
    async fn end_by(&self, token: &SecretDigest) -> Result<(), Error>;

    /// Ends all logins of an account, and tells how many there were.
    async fn end_all(&self, user: &UserId) -> Result<u64, Error>;

    /// Forgets what expired before `limit`, and tells how much.
    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error>;
}
