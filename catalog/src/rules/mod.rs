//! Rules of single films: who may watch them, and where.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::id::VideoId;
use contracts::token::Countries;

use crate::error::Error;

/// Who may watch a film that its privacy lets them know of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Whoever may know of it.
    #[default]
    Everybody,
    /// To whom it was granted.
    Granted,
}

impl Audience {
    /// The word in the catalogue and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everybody => "everybody",
            Self::Granted => "granted",
        }
    }

    /// The audience of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Everybody, Self::Granted];
        all.into_iter().find(|audience| audience.as_str() == word)
    }
}

/// The rules of a film.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Who may watch it.
    pub audience: Audience,
    /// Where; `None`: wherever the site may be watched.
    pub countries: Option<Countries>,
}

/// The rules of a site's films.
#[async_trait]
pub trait FilmRules: Send + Sync {
    /// A film's rules; those of a film that has none of its own let everybody watch everywhere.
    async fn of(&self, video: &VideoId) -> Result<Rules, Error>;

    /// Gives a film rules, in place of those that it had.
    async fn set(&self, video: &VideoId, rules: &Rules) -> Result<(), Error>;
}
