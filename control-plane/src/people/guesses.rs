//! How often passwords may be guessed: what failed counts, at all control planes of a site together.
//!
//! - from one network, whatever the account;
//! - at one account from one network: fewer, so that no network alone uses up what strangers share;
//! - at one account from all networks together from which nobody has logged in to it.
//!
//! Whoever logs in from where they did before is not concerned by what strangers try, so that nobody is kept out of an
//! account by others who guess at it; but from a place that is new to it, as long as they do.

use std::net::IpAddr;
use std::time::Duration;

use contracts::time::UnixSeconds;
use runtime::problem::Problem;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::problem::{self, catalogue};

/// So many at once, and after so many seconds one more.
#[derive(Clone, Copy)]
struct Rule {
    at_once: u64,
    each_s: u64,
}

const FROM: Rule = Rule {
    at_once: 30,
    each_s: 10,
};
const HERE: Rule = Rule {
    at_once: 10,
    each_s: 180,
};
const STRANGERS: Rule = Rule {
    at_once: 100,
    each_s: 36,
};
/// How long a network from which somebody logged in is known to their account, in seconds: 90 days.
const KNOWN_S: u64 = 90 * 86_400;
/// While so much of that is left, in seconds, it is not written again.
const LONG_S: u64 = 60 * 86_400;

/// Who shows a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Somebody, for an account that they name.
    Anybody,
    /// Who is logged in to the account.
    Holder,
}

/// A password that is shown, by the names under which it counts.
pub(super) struct Guess {
    from: String,
    here: String,
    strangers: Option<String>,
    known: String,
    known_for: Duration,
}

impl App {
    /// Refuses who has guessed too often at an account, which nobody may have.
    pub(super) async fn may_guess(
        &self,
        who: Who,
        email: &str,
        network: IpAddr,
        now: UnixSeconds,
    ) -> Result<Guess, Problem> {
        let network = network.to_string();
        let from = name(&["from", &network]);
        let here = name(&["here", &network, email]);
        let strangers = name(&["strangers", email]);
        let known = name(&["known", &network, email]);
        let names = [&from, &here, &strangers, &known].map(String::as_str);
        let burdens = self.catalog.guesses.burdens(&names, now).await;
        let burdens = <[Duration; 4]>::try_from(burdens.map_err(catalogue)?);
        let [of_from, of_here, of_strangers, known_for] =
            burdens.map_err(|_| Problem::internal())?;
        FROM.admit(of_from)?;
        HERE.admit(of_here)?;
        let stranger = who == Who::Anybody && known_for.is_zero();
        if stranger {
            STRANGERS.admit(of_strangers)?;
        }
        Ok(Guess {
            from,
            here,
            strangers: stranger.then_some(strangers),
            known,
            known_for,
        })
    }
}

impl Guess {
    /// Notes that it was wrong.
    pub(super) async fn was_wrong(&self, app: &App, now: UnixSeconds) -> Result<(), Problem> {
        // In one order everywhere: two that are noted at once do not wait for each other.
        let mut costs = vec![(self.from.as_str(), FROM), (&self.here, HERE)];
        costs.extend(self.strangers.as_deref().map(|name| (name, STRANGERS)));
        let cost = |(name, rule): (_, Rule)| (name, Duration::from_secs(rule.each_s));
        let costs: Vec<_> = costs.into_iter().map(cost).collect();
        let noted = app.catalog.guesses.burden(&costs, now).await;
        noted.map_err(catalogue)
    }

    /// Notes that it was right: the network is known to the account from now on.
    pub(super) async fn was_right(&self, app: &App, now: UnixSeconds) -> Result<(), Problem> {
        if self.known_for.as_secs() > LONG_S {
            return Ok(());
        }
        let until = now.plus(KNOWN_S);
        let noted = app.catalog.guesses.burden_until(&self.known, until).await;
        noted.map_err(catalogue)
    }
}

impl Rule {
    /// Refuses one more than there may be.
    fn admit(self, burden: Duration) -> Result<(), Problem> {
        let most = Duration::from_secs((self.at_once - 1) * self.each_s);
        match burden.checked_sub(most) {
            Some(wait) if !wait.is_zero() => Err(problem::too_many(wait)),
            _ => Ok(()),
        }
    }
}

/// What stands in the catalogue for these words.
fn name(words: &[&str]) -> String {
    hex::encode(Sha256::digest(words.join("\n")))
}
