//! Accounts: who there is, what they may do, and who may become one.

pub mod conformance;
pub(crate) mod sql;

use async_trait::async_trait;
use contracts::id::UserId;
use contracts::time::UnixSeconds;

use crate::digest::SecretDigest;
use crate::error::Error;

/// What somebody may do; each may what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Watches.
    Viewer,
    /// Uploads, and manages own films.
    Publisher,
    /// Manages the site.
    Operator,
}

impl Role {
    /// The word in the catalogue and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Publisher => "publisher",
            Self::Operator => "operator",
        }
    }

    /// The role of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Publisher, Self::Operator]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

/// An account, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name in the API.
    pub id: UserId,
    /// What its owner logs in with; no two are the same.
    pub email: String,
    /// As its owner wants to be called.
    pub name: String,
    /// What its owner may do.
    pub role: Role,
    /// When it was made.
    pub created: UnixSeconds,
}

/// An account that is to be made.
#[derive(Clone)]
pub struct NewUser {
    /// Its name in the API.
    pub id: UserId,
    /// What its owner logs in with, in the one way that the caller writes it.
    pub email: String,
    /// As its owner wants to be called.
    pub name: String,
    /// What its owner may do.
    pub role: Role,
    /// The hash of its password.
    pub password: String,
}

/// What became of the wish to make an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It is made.
    New(User),
    /// Another has this email address.
    EmailTaken,
    /// There is no such invitation, or none any more.
    NotInvited,
}

/// The accounts of a site.
#[async_trait]
pub trait Users: Send + Sync {
    /// Makes an account.
    async fn create(&self, new: NewUser, now: UnixSeconds) -> Result<Joined, Error>;

    /// Makes an account by an invitation, which gives it its role and is gone then: of two that
    /// show the same, one gets in. It stays when no account is made.
    async fn join(
        &self,
        new: NewUser,
        invitation: &SecretDigest,
        now: UnixSeconds,
    ) -> Result<Joined, Error>;

    /// Makes an invitation.
    async fn invite(
        &self,
        invitation: &SecretDigest,
        role: Role,
        expires: UnixSeconds,
    ) -> Result<(), Error>;

    /// Makes an invitation for an operator where there is none yet, neither an operator nor such
    /// an invitation; tells whether it did. Of several at once, one does. Forgets invitations that
    /// have expired.
    async fn invite_first(
        &self,
        invitation: &SecretDigest,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<bool, Error>;

    /// The account of that id.
    async fn find(&self, id: &UserId) -> Result<Option<User>, Error>;

    /// The account of that email address, and the hash of its password.
    async fn find_by_email(&self, email: &str) -> Result<Option<(User, String)>, Error>;

    /// Accounts by their ids, at most `limit`, after the one given.
    async fn list(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<User>, Error>;

    /// Changes what an account may do, from the next request on.
    async fn set_role(&self, id: &UserId, role: Role) -> Result<Option<User>, Error>;

    /// Changes an account's password and ends its logins; tells whether there is one.
    async fn set_password(&self, id: &UserId, password: &str) -> Result<bool, Error>;

    /// Removes an account, its logins, and what was granted to it; tells whether there was one.
    async fn remove(&self, id: &UserId) -> Result<bool, Error>;
}
