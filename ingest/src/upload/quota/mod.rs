//! The port: how much of the house an owner may take up, and does.

use std::fmt;

use async_trait::async_trait;
use contracts::id::UserId;

use crate::Error;

pub mod conformance;
pub(crate) mod sql;

/// What an owner may take up; `None` is any amount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of films as they were sent, from when their upload begins until the film is taken away.
    pub bytes: Option<u64>,
    /// Uploads at a time.
    pub uploads: Option<u64>,
    /// Films, those that are being uploaded among them.
    pub films: Option<u64>,
}

/// A quota of an owner's own. Where it says nothing, the site's counts; 0 is any amount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Own {
    /// As [`Quota::bytes`].
    pub bytes: Option<u64>,
    /// As [`Quota::uploads`].
    pub uploads: Option<u64>,
    /// As [`Quota::films`].
    pub films: Option<u64>,
}

impl Own {
    /// What counts where the site allows this much.
    #[must_use]
    pub fn within(self, site: Quota) -> Quota {
        let of = |own: Option<u64>, site: Option<u64>| match own {
            None => site,
            Some(0) => None,
            own => own,
        };
        Quota {
            bytes: of(self.bytes, site.bytes),
            uploads: of(self.uploads, site.uploads),
            films: of(self.films, site.films),
        }
    }
}

/// What an owner takes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// As [`Quota::bytes`].
    pub bytes: u64,
    /// As [`Quota::uploads`].
    pub uploads: u64,
    /// As [`Quota::films`].
    pub films: u64,
}

/// What an upload that begins takes up, beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its bytes.
    pub bytes: u64,
    /// Films that it makes: none when it is a part of one.
    pub films: u64,
}

impl Quota {
    /// Whether an upload may begin beside what there is.
    ///
    /// # Errors
    /// [`Over`] names what there would be too much of.
    pub fn admit(self, usage: Usage, claim: Claim) -> Result<(), Over> {
        let over = |kind, limit: Option<u64>, used: u64, more: u64| match limit {
            Some(limit) if more > 0 && used.saturating_add(more) > limit => {
                Err(Over { kind, limit, used })
            }
            _ => Ok(()),
        };
        over(Kind::Bytes, self.bytes, usage.bytes, claim.bytes)?;
        over(Kind::Films, self.films, usage.films, claim.films)?;
        over(Kind::Uploads, self.uploads, usage.uploads, 1)
    }
}

/// What there may be too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As [`Quota::bytes`].
    Bytes,
    /// As [`Quota::uploads`].
    Uploads,
    /// As [`Quota::films`].
    Films,
}

impl Kind {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Uploads => "uploads",
            Self::Films => "films",
        }
    }
}

/// Why an upload does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// What there would be too much of.
    pub kind: Kind,
    /// How much there may be.
    pub limit: u64,
    /// How much there is.
    pub used: u64,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, limit, used } = self;
        match kind {
            Kind::Bytes => write!(
                f,
                "Of {limit} bytes that may be kept, {used} are taken up; take films away, or ask for more."
            ),
            Kind::Uploads => write!(
                f,
                "{used} uploads are under way, and {limit} may be; finish one, or cancel it."
            ),
            Kind::Films => write!(
                f,
                "There are {used} films, and there may be {limit}; take films away, or ask for more."
            ),
        }
    }
}

/// What owners may take up, and do. What begins an upload looks at it in the same transaction, so that of two that
/// begin at once, at whichever instance, both count.
#[async_trait]
pub trait Quotas: Send + Sync {
    /// What somebody takes up.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn usage(&self, owner: &UserId) -> Result<Usage, Error>;

    /// Somebody's own quota; one that says nothing where there is none.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn own(&self, owner: &UserId) -> Result<Own, Error>;

    /// Gives somebody a quota, in place of the one before. It counts from the next upload on.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn set(&self, owner: &UserId, own: Own) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_quota_counts_where_it_says_something() {
        let site = Quota {
            bytes: Some(10),
            uploads: Some(2),
            films: None,
        };
        assert_eq!(Own::default().within(site), site);
        let own = Own {
            bytes: Some(0),
            uploads: None,
            films: Some(3),
        };
        let both = Quota {
            bytes: None,
            uploads: Some(2),
            films: Some(3),
        };
        assert_eq!(own.within(site), both);
    }

    #[test]
    fn an_upload_begins_as_long_as_nothing_gets_too_much() {
        let quota = Quota {
            bytes: Some(100),
            uploads: Some(2),
            films: Some(3),
        };
        let used = |bytes, uploads, films| Usage {
            bytes,
            uploads,
            films,
        };
        let film = |bytes| Claim { bytes, films: 1 };
        let part = Claim { bytes: 1, films: 0 };
        let kind = |usage, claim| quota.admit(usage, claim).map_err(|over| over.kind);
        assert_eq!(kind(used(0, 0, 0), film(100)), Ok(()));
        assert_eq!(kind(used(1, 0, 0), film(100)), Err(Kind::Bytes));
        assert_eq!(kind(used(1, 0, 0), film(u64::MAX)), Err(Kind::Bytes));
        assert_eq!(kind(used(0, 2, 0), film(1)), Err(Kind::Uploads));
        assert_eq!(kind(used(0, 1, 3), film(1)), Err(Kind::Films));
        assert_eq!(kind(used(0, 1, 3), part), Ok(()));
        let any = Quota::default();
        assert_eq!(any.admit(used(u64::MAX, 9, 9), film(9)), Ok(()));
    }
}
