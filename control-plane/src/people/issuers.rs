//! Outside issuers: whose tokens count, and their keys, which are looked up and remembered.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use catalog::users::Role;
use contracts::id::UserId;
use contracts::time::UnixSeconds;
use jsonwebtoken::{Header, Validation};
use runtime::secret::Unusable;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::config::{Issuer as Settings, Jwks};
use super::jwks::{self, Key, Keys};
use crate::error::Error;

/// How long looked-up keys are used before they are looked up again, in seconds.
const FRESH_S: u64 = 600;
/// How long they are used while they cannot be looked up.
const STALE_S: u64 = 86_400;
/// How often they are looked up at most.
const PAUSE_S: u64 = 30;
/// How far clocks may be apart, in seconds.
const SKEW_S: f64 = 30.0;
/// The largest set, in bytes.
const LARGEST: usize = 256 * 1024;
/// How long looking up may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest `sub`, in bytes.
const LONGEST_SUBJECT: usize = 255;

/// The issuers whose tokens count.
pub(crate) struct Issuers(Vec<Issuer>);

struct Issuer {
    settings: Settings,
    client: reqwest::Client,
    known: RwLock<Known>,
    /// Held by the one who looks the keys up.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<Keys>,
    /// When they were looked up.
    at: Option<UnixSeconds>,
    /// When that was tried last.
    tried: Option<UnixSeconds>,
}

/// Whether less than so many seconds have passed since then.
fn within(then: Option<UnixSeconds>, seconds: u64, now: UnixSeconds) -> bool {
    then.is_some_and(|then| now.0.saturating_sub(then.0) < seconds)
}

/// Somebody whom an issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// The same for the same `iss` and `sub`, and nobody else's.
    pub(crate) id: UserId,
    pub(crate) role: Role,
    /// Who vouches: the name of its entry in the configuration.
    pub(crate) issuer: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    /// The others.
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Deserialize)]
struct Said {
    iss: String,
    aud: Audience,
}

/// RFC 7519 §4.1.3: one, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, audience: &String) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.contains(audience),
        }
    }
}

impl Issuers {
    /// Reads sets that are files; others are looked up when they are needed.
    pub(crate) fn load(settings: &[Settings]) -> Result<Self, Error> {
        let mut issuers = Vec::new();
        for settings in settings {
            if let Jwks::File(path) = &settings.jwks {
                let text = file(path).map_err(|fault| Unusable::new(path, fault))?;
                jwks::read(&text).map_err(|fault| Unusable::new(path, fault))?;
            }
            let client = runtime::http::client().timeout(PATIENCE).build();
            issuers.push(Issuer {
                settings: settings.clone(),
                client: client.map_err(Error::Client)?,
                known: RwLock::default(),
                turn: tokio::sync::Mutex::default(),
            });
        }
        Ok(Self(issuers))
    }

    /// Who a token is of, when one of the issuers made it for us and it is good now.
    pub(crate) async fn read(&self, token: &str, now: UnixSeconds) -> Option<Vouched> {
        if self.0.is_empty() {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.crit.is_some() {
            return None;
        }
        // Only names whose keys are asked; what the token says counts once its signature is right.
        let said: Said = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
        let meant =
            |one: &&Issuer| one.settings.issuer == said.iss && said.aud.has(&one.settings.audience);
        let issuer = self.0.iter().find(meant)?;
        let key = issuer.key(&header, now).await?;
        issuer.check(token, &header, &key, now)
    }
}

impl Issuers {
    /// What all users of an issuer may do, by what it is called in [`Vouched::issuer`]; none where its tokens do not
    /// count.
    pub(crate) fn role(&self, issuer: &str) -> Option<Role> {
        let all = self.0.iter().map(|one| &one.settings);
        if let Some(named) = all.clone().find(|one| one.name() == issuer) {
            return Some(named.role);
        }
        // Before there were entries by audience, it was the `iss` alone.
        let mut alike = all.filter(|one| one.issuer == issuer);
        alike
            .next()
            .filter(|_| alike.next().is_none())
            .map(|one| one.role)
    }
}

impl Issuer {
    fn check(&self, token: &str, header: &Header, key: &Key, now: UnixSeconds) -> Option<Vouched> {
        if !key.algorithms.contains(&header.alg) {
            return None;
        }
        let mut wanted = Validation::new(header.alg);
        wanted.set_issuer(&[&self.settings.issuer]);
        wanted.set_audience(&[&self.settings.audience]);
        wanted.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // Time is an argument here.
        wanted.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &wanted);
        let claims = claims.ok()?.claims;
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
        let now = now.0 as f64;
        let good = now < claims.exp + SKEW_S && claims.nbf.is_none_or(|nbf| nbf <= now + SKEW_S);
        if !good || claims.sub.is_empty() || claims.sub.len() > LONGEST_SUBJECT {
            return None;
        }
        let id = outside(&self.settings.issuer, &claims.sub)?;
        let mut said = claims.more;
        said.insert("sub".to_owned(), claims.sub.into());
        Some(Vouched {
            id,
            role: self.role(&Value::Object(said)),
            issuer: self.settings.name(),
        })
    }

    /// What the user with these claims may do.
    fn role(&self, claims: &Value) -> Role {
        let all = self.settings.role;
        let publishers = self.settings.publishers.as_ref();
        let said = publishers.and_then(|publishers| {
            let words = &publishers.words;
            let is = |said: &str| words.iter().any(|word| word == said);
            Some(match claims.pointer(&publishers.claim)? {
                Value::String(said) => is(said) || said.split_whitespace().any(is),
                Value::Array(said) => said.iter().filter_map(Value::as_str).any(is),
                _ => false,
            })
        });
        match said {
            Some(true) => all.max(Role::Publisher),
            _ => all,
        }
    }

    /// The key that a token names, or the only one when it names none.
    async fn key(&self, header: &Header, now: UnixSeconds) -> Option<Key> {
        let find = |known: &Known| match &header.kid {
            Some(kid) => known.keys.get(kid).cloned(),
            None if known.keys.len() == 1 => known.keys.values().next().cloned(),
            None => None,
        };
        let known = self.known();
        let found = find(&known);
        if found.is_some() && within(known.at, FRESH_S, now) {
            return found;
        }
        // Who is known already does not wait for the one who looks.
        let usable = within(known.at, STALE_S, now);
        if found.is_some() && usable && self.turn.try_lock().is_err() {
            return found;
        }
        // A name that is not known may be new: issuers change their keys before they are due.
        let known = self.look_up(now).await;
        find(&known).filter(|_| within(known.at, STALE_S, now))
    }

    /// Looks the keys up, one at a time and not too often, and gives what is known then.
    async fn look_up(&self, now: UnixSeconds) -> Known {
        let before = self.known();
        let _turn = self.turn.lock().await;
        let known = self.known();
        if within(known.tried, PAUSE_S, now) || known.tried != before.tried {
            return known;
        }
        let looked = self.fetch().await;
        let issuer = &self.settings.issuer;
        let known = match looked.and_then(|text| jwks::read(&text).map_err(str::to_owned)) {
            Ok(keys) => Known {
                keys: Arc::new(keys),
                at: Some(now),
                tried: Some(now),
            },
            Err(fault) => {
                tracing::warn!(issuer, "the keys of {issuer} are not there: {fault}");
                Known {
                    tried: Some(now),
                    ..known
                }
            }
        };
        let mut kept = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *kept = known.clone();
        known
    }

    fn known(&self) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let url = match &self.settings.jwks {
            Jwks::Url(url) => url,
            Jwks::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || file(&path)).await;
                return read.map_err(|error| error.to_string())?;
            }
        };
        let asked = self.client.get(url).send().await;
        let mut answer = asked
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| error.without_url().to_string())?;
        let mut text = Vec::new();
        while let Some(more) = answer
            .chunk()
            .await
            .map_err(|error| error.without_url().to_string())?
        {
            if text.len() + more.len() > LARGEST {
                return Err("the set is larger than 256 KiB".to_owned());
            }
            text.extend_from_slice(&more);
        }
        Ok(text)
    }
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    std::fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() > LARGEST {
        return Err("is larger than 256 KiB".to_owned());
    }
    Ok(text)
}

/// An id that no account of our own has: those have no `-`.
fn outside(issuer: &str, subject: &str) -> Option<UserId> {
    let digest = Sha256::new()
        .chain_update(issuer)
        .chain_update([0])
        .chain_update(subject)
        .finalize();
    let half = digest.get(..16)?;
    UserId::parse(&format!("x-{}", B64.encode(half))).ok()
}
