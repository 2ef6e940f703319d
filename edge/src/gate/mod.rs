//! The gate: who may fetch what, decided from the request alone.
//!
//! In the order in which a request meets it:
//! 1. `client` says who asks: the socket's other end, or what a trusted hop says; `geo` finds the country;
//! 2. [`Rates`] count the request, before a signature is looked at;
//! 3. the keyring, read again when it changes, verifies the token;
//! 4. [`Revocations`] take back what was granted, and the session's rate is counted.

mod client;
mod geo;
mod keys;
mod rates;
mod revoked;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use contracts::reason::Reason;
use contracts::revocation::Revocation;
use contracts::token::{self, Accepted};
use ipnet::IpNet;
use runtime::clock::Clock;
use tier::admission::{Admission, Admitted, Condition, Country, Facts, Refused, Visitor};
use tier::feed::Revokes;

use geo::Geo;
use keys::Keys;

pub use keys::Holds;
pub use rates::{Limits, Rates};
pub use revoked::{Full, Revocations, Shown};
pub use runtime::watched::FileError;

/// What a gate is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The keyring; without one every token is refused.
    pub keyring_file: Option<PathBuf>,
    /// Which keys it may hold.
    pub holds: Holds,
    /// How many verified tokens are remembered.
    pub verified_tokens: usize,
    /// Whether public films may be fetched without a token: then the object itself must say that its film is public.
    pub public_without_token: bool,
    /// Hops in front whose [`contracts::header::CLIENT_IP`] and [`contracts::header::CLIENT_COUNTRY`] are believed.
    pub trusted_hops: Vec<IpNet>,
    /// A MaxMind DB file with countries.
    pub geo_file: Option<PathBuf>,
    /// How much one client, and one session, may ask for.
    pub limits: Limits,
    /// How many revocations there may be.
    pub revocations: usize,
}

/// Reads the files that the settings name, as [`Gate::open`] does, and tells what is wrong with each, by its key.
#[must_use]
pub fn inspect(settings: &Settings) -> Vec<(&'static str, FileError)> {
    let keys = Keys::open(settings.keyring_file.clone(), settings.holds, 0);
    let geo = Geo::open(settings.geo_file.clone());
    let faults = [("keyring_file", keys.err()), ("geo_file", geo.err())];
    let faults = faults.into_iter();
    faults
        .filter_map(|(key, fault)| Some((key, fault?)))
        .collect()
}

/// The rule of an edge.
///
/// A request with a token (or a plain signature) is admitted when that is in order. One without
/// is refused, unless the operator lets public films be fetched without.
pub struct Gate {
    rules: ArcSwap<Rules>,
    rates: ArcSwap<Rates>,
    revocations: Revocations,
    clock: Arc<dyn Clock>,
}

/// What the operator may change while the gate is open.
pub struct Rules {
    keys: Keys,
    geo: Geo,
    limits: Limits,
    public_without_token: bool,
    trusted_hops: Vec<IpNet>,
}

impl Rules {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// When one is not to be had.
    pub fn read(settings: &Settings) -> Result<Self, FileError> {
        Ok(Self {
            keys: Keys::open(
                settings.keyring_file.clone(),
                settings.holds,
                settings.verified_tokens,
            )?,
            geo: Geo::open(settings.geo_file.clone())?,
            limits: settings.limits,
            public_without_token: settings.public_without_token,
            trusted_hops: settings.trusted_hops.clone(),
        })
    }
}

impl Gate {
    /// Reads the files, and opens.
    ///
    /// # Errors
    /// When a file is not to be had.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, FileError> {
        Ok(Self {
            rules: ArcSwap::from_pointee(Rules::read(settings)?),
            rates: ArcSwap::from_pointee(Rates::new(settings.limits)),
            revocations: Revocations::new(settings.revocations),
            clock,
        })
    }

    /// Goes by other rules from now on. Revocations stay in force, and so do buckets whose limits are the same.
    pub fn renew(&self, rules: Rules) {
        let limits = rules.limits;
        let before = self.rules.swap(Arc::new(rules)).limits;
        if limits != before {
            self.limit(limits);
        }
    }

    /// Reads the files again that have changed, and forgets revocations that have ended; names the files that were
    /// taken. It reads whole files: not for a thread that serves.
    ///
    /// # Errors
    /// Every file that is not to be had; what was read from it before stays.
    pub fn refresh(&self) -> Result<Vec<&'static str>, Vec<FileError>> {
        self.revocations.forget(self.clock.now());
        let rules = self.rules.load();
        let looks = [
            ("keyring", rules.keys.refresh()),
            ("geo file", rules.geo.refresh()),
        ];
        let (mut taken, mut faults) = (Vec::new(), Vec::new());
        for (name, look) in looks {
            match look {
                Ok(true) => taken.push(name),
                Ok(false) => {}
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            Ok(taken)
        } else {
            Err(faults)
        }
    }

    /// Sets other limits; every bucket is full again.
    pub fn limit(&self, limits: Limits) {
        self.rates.store(Arc::new(Rates::new(limits)));
    }

    /// Puts a revocation in force.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn revoke(&self, revocation: Revocation) -> Result<(), Full> {
        self.revocations.apply(revocation, self.clock.now())
    }

    fn admit_token(
        &self,
        facts: &Facts<'_>,
        visitor: Visitor,
    ) -> Result<Option<Accepted>, Refused> {
        self.rates.load().ask(visitor.client).map_err(too_many)?;
        let request = token::Request {
            target: facts.target,
            now: self.clock.now(),
            client_ip: visitor.client,
            country: visitor.country.as_ref().map(Country::as_str),
            method: facts.method,
            scheme: facts.scheme,
            authority: facts.authority,
            cats: &client::cats(facts.headers),
        };
        Ok(token::admit(&self.rules.load().keys.ring(), &request)?)
    }

    fn must_not_be_revoked(&self, shown: &Shown<'_>) -> Result<(), Reason> {
        if self.revocations.concern(shown, self.clock.now()) {
            return Err(Reason::Revoked);
        }
        Ok(())
    }
}

impl Admission for Gate {
    fn meet(&self, facts: &Facts<'_>) -> Visitor {
        let rules = self.rules.load();
        let (client, said_country) = client::whereabouts(facts, &rules.trusted_hops);
        let country = match said_country {
            Some(code) => Country::parse(code),
            None => client.and_then(|client| rules.geo.country(client)),
        };
        Visitor { client, country }
    }

    fn admit(&self, facts: &Facts<'_>, visitor: Visitor) -> Result<Admitted, Refused> {
        let Some(accepted) = self.admit_token(facts, visitor)? else {
            if !self.rules.load().public_without_token {
                return Err(Reason::Missing.into());
            }
            let admitted = self.readmit(facts.target)?;
            let path = admitted.address.split('?').next().unwrap_or_default();
            self.must_not_be_revoked(&Shown {
                path,
                session: None,
                kid: None,
            })?;
            return Ok(Admitted {
                condition: Condition::Public,
                ..admitted
            });
        };
        let session = accepted
            .session
            .as_ref()
            .map(contracts::id::SessionId::as_str);
        self.must_not_be_revoked(&Shown {
            path: &accepted.path,
            session,
            kid: accepted.kid.as_deref(),
        })?;
        self.rates.load().ask_in(session).map_err(too_many)?;
        Ok(Admitted {
            session: session.map(str::to_owned),
            address: accepted.cache_key,
            condition: Condition::None,
        })
    }

    fn readmit(&self, target: &str) -> Result<Admitted, Reason> {
        token::readmit(target).map(Admitted::to)
    }

    fn sent(&self, admitted: &Admitted, visitor: Visitor, bytes: u64) {
        let session = admitted.session.as_deref();
        self.rates.load().sent(visitor.client, session, bytes);
    }
}

impl Revokes for Gate {
    fn revoke(&self, revocation: Revocation) -> Result<(), String> {
        Self::revoke(self, revocation).map_err(|full| full.to_string())
    }
}

fn too_many(wait: Duration) -> Refused {
    Refused {
        reason: Reason::TooMany,
        retry_after: Some(wait),
    }
}
