//! Accounts and who calls: passwords, logins, API keys, outside issuers.
//!
//! 1. [`accounts`] makes accounts, by themselves or by invitation; [`first`] invites the first
//!    operator;
//! 2. [`login`] turns a password into a login: a short access token ([`tokens`]) and a refresh
//!    token that is good once;
//! 3. [`api_keys`] makes keys for backends; [`issuers`] takes tokens that others issue;
//! 4. [`crate::caller`] finds out from any of these who calls, for every route.
//!
//! What always holds: a password is hashed on few threads ([`passwords`]) and takes as long for an
//! address that nobody has; of what is shown again only a digest is kept; what can be guessed is
//! counted ([`limits`], and for all control planes together [`guesses`]).

pub(crate) mod accounts;
pub(crate) mod api_keys;
pub(crate) mod channels;
pub(crate) mod config;
pub(crate) mod first;
mod guesses;
pub(crate) mod issuers;
mod jwks;
pub(crate) mod limits;
pub(crate) mod login;
mod passwords;
pub(crate) mod tokens;
pub(crate) mod whose;
mod words;

use std::time::Duration;

use ::config::Problems;
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use prometheus::IntCounter;
pub(crate) use runtime::listen::network;
use runtime::problem::Problem;

use self::config::{Accounts, SignUp};
use self::issuers::Issuers;
pub(crate) use self::limits::Limit;
use self::limits::{Limits, Rates};
use self::passwords::Passwords;
use self::tokens::Tokens;
use crate::caller::Caller;
use crate::client::Client;
use crate::error::Error;
use crate::problem;
use crate::random;

/// What the routes of accounts and the finding of callers share.
pub(crate) struct People {
    /// Access tokens; none where there are no accounts.
    tokens: Option<Tokens>,
    pub(crate) issuers: Issuers,
    passwords: Passwords,
    limits: Limits,
    /// Their own: viewers are many, and must not push out who guesses passwords.
    viewers: Limits,
    sign_up: SignUp,
    refresh_ttl: Duration,
}

impl People {
    /// Reads the keys that the settings name; passwords that are hashed are counted.
    pub(crate) fn load(settings: &Accounts, hashed: IntCounter) -> Result<Self, Error> {
        let rates = Rates {
            key: settings.key_rate,
            address: settings.address_rate,
        };
        Ok(Self {
            tokens: Tokens::load(&settings.token_keys, settings.access_ttl)?,
            issuers: Issuers::load(&settings.issuers)?,
            passwords: Passwords::new(settings.hashers, hashed)?,
            limits: Limits::new(rates),
            viewers: Limits::new(rates),
            sign_up: settings.sign_up,
            refresh_ttl: settings.refresh_ttl,
        })
    }

    /// Says what is wrong with the files that the settings name.
    pub(crate) fn inspect(settings: &Accounts, problems: &mut Problems) {
        let tokens = Tokens::load(&settings.token_keys, settings.access_ttl);
        problems.take("accounts.token_keys", tokens);
        problems.take("accounts.issuers", Issuers::load(&settings.issuers));
    }

    /// Access tokens, where there are accounts.
    pub(crate) const fn own(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    fn accounts(&self) -> Result<&Tokens, Problem> {
        self.tokens.as_ref().ok_or_else(problem::no_accounts)
    }

    /// Counts a request, and refuses it when there were too many.
    pub(crate) fn count(
        &self,
        limit: Limit,
        of: impl std::hash::Hash,
        now: UnixSeconds,
    ) -> Result<(), Problem> {
        let waited = self.limits.take(limit, of, now);
        waited.map_err(problem::too_many)
    }

    /// Counts a session that is wished, and refuses it when there were too many: each costs a row, and the end of one
    /// that somebody began an order to every edge. Backends have their rate.
    pub(crate) fn count_start(
        &self,
        caller: &Caller,
        client: Client,
        now: UnixSeconds,
    ) -> Result<(), Problem> {
        let taken = match caller {
            Caller::User(person) => self.viewers.take(Limit::StartsOf, person.id.as_str(), now),
            Caller::Anonymous => {
                let from = network(client.address);
                self.viewers.take(Limit::StartsFrom, from, now)
            }
            Caller::Backend(_) | Caller::Operator => Ok(()),
        };
        taken.map_err(problem::too_many)
    }

    /// Counts what comes from a network, and refuses it when there was too much.
    pub(crate) fn count_from(
        &self,
        limit: Limit,
        client: Client,
        now: UnixSeconds,
    ) -> Result<(), Problem> {
        let taken = self.viewers.take(limit, network(client.address), now);
        taken.map_err(problem::too_many)
    }

    /// Counts a heartbeat, each of which is written, and refuses it when there were too many.
    pub(crate) fn count_beat(&self, session: &SessionId, now: UnixSeconds) -> Result<(), Problem> {
        let taken = self.viewers.take(Limit::BeatsOf, session.as_str(), now);
        taken.map_err(problem::too_many)
    }
}

/// A secret to be shown again: a mark of what it is, and 256 random bits.
fn secret(mark: &str) -> Result<String, Problem> {
    let bits: [u8; 32] = random::bits()?;
    Ok(format!("{mark}{}", hex::encode(bits)))
}
