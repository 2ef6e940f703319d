//! Access tokens: JSON Web Tokens (RFC 7519) that say which login they are of, for some minutes.
//!
//! HMAC-SHA256 and nothing else: the algorithm is the keys', not the token's.

use std::path::PathBuf;
use std::time::Duration;

use contracts::id::{LoginId, UserId};
use contracts::time::UnixSeconds;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use runtime::problem::Problem;
use runtime::secret::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// What own tokens say in `iss`.
pub(crate) const ISSUER: &str = "millrace";
/// What they say in `aud`: licence tokens and others that are made here say something else.
const AUDIENCE: &str = "millrace-api";
/// The shortest key, in characters.
const SHORTEST: usize = 32;

/// The keys of access tokens.
pub(crate) struct Tokens {
    /// The first signs.
    keys: Vec<Key>,
    ttl: Duration,
}

struct Key {
    id: String,
    signs: EncodingKey,
    checks: DecodingKey,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: LoginId,
    iat: u64,
    exp: u64,
}

impl Tokens {
    /// Reads the keys; without any there are no tokens.
    pub(crate) fn load(files: &[PathBuf], ttl: Duration) -> Result<Option<Self>, Error> {
        let mut keys = Vec::new();
        for file in files {
            let secret = Secret::read(file, SHORTEST)?;
            let digest = Sha256::new()
                .chain_update("millrace access token key\0")
                .chain_update(secret.as_bytes());
            keys.push(Key {
                id: hex::encode(digest.finalize()).chars().take(16).collect(),
                signs: EncodingKey::from_secret(secret.as_bytes()),
                checks: DecodingKey::from_secret(secret.as_bytes()),
            });
        }
        Ok((!keys.is_empty()).then_some(Self { keys, ttl }))
    }

    /// How long a token is good.
    pub(crate) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A token for a login.
    pub(crate) fn mint(
        &self,
        user: &UserId,
        login: &LoginId,
        now: UnixSeconds,
    ) -> Result<String, Problem> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.clone(),
            sid: login.clone(),
            iat: now.0,
            exp: now.plus(self.ttl.as_secs()).0,
        };
        let minted = self.keys.first().and_then(|key| {
            let header = Header {
                kid: Some(key.id.clone()),
                ..Header::new(Algorithm::HS256)
            };
            jsonwebtoken::encode(&header, &claims, &key.signs).ok()
        });
        minted.ok_or_else(|| {
            tracing::error!("an access token could not be signed");
            Problem::internal()
        })
    }

    /// The login that a token is of, while the token is good. Whether the login is, the catalogue
    /// tells.
    pub(crate) fn read(&self, token: &str, now: UnixSeconds) -> Option<LoginId> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let kid = header.kid.as_deref()?;
        let key = self.keys.iter().find(|key| key.id == kid)?;
        if header.crit.is_some() {
            return None;
        }
        let mut wanted = Validation::new(Algorithm::HS256);
        wanted.set_issuer(&[ISSUER]);
        wanted.set_audience(&[AUDIENCE]);
        wanted.set_required_spec_claims(&["iss", "aud", "exp"]);
        // Time is an argument here.
        wanted.validate_exp = false;
        let claims: Claims = jsonwebtoken::decode(token, &key.checks, &wanted)
            .ok()?
            .claims;
        (now.0 < claims.exp).then_some(claims.sid)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    use serde_json::{Value, json};

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1000);

    fn tokens(keys: &[&str]) -> Tokens {
        let folder = tempfile::tempdir().unwrap();
        let files = keys.iter().map(|key| {
            let file = folder.path().join(key);
            std::fs::write(&file, key.repeat(40)).unwrap();
            file
        });
        let files: Vec<_> = files.collect();
        let ttl = Duration::from_secs(600);
        Tokens::load(&files, ttl).unwrap().unwrap()
    }

    fn minted(tokens: &Tokens) -> String {
        let user = UserId::parse("ann").unwrap();
        let login = LoginId::parse("login").unwrap();
        tokens.mint(&user, &login, NOW).unwrap()
    }

    #[test]
    fn a_token_tells_its_login_until_it_ends() {
        let tokens = tokens(&["a"]);
        let token = minted(&tokens);
        let read = |now| tokens.read(&token, UnixSeconds(now));
        assert_eq!(read(1599).unwrap().as_str(), "login");
        assert_eq!(read(1600), None);
    }

    #[test]
    fn a_former_key_counts_and_a_foreign_one_does_not() {
        let token = minted(&tokens(&["a"]));
        assert!(tokens(&["b", "a"]).read(&token, NOW).is_some());
        assert!(tokens(&["b"]).read(&token, NOW).is_none());
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let tokens = tokens(&["a"]);
        let token = minted(&tokens);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else {
                continue;
            };
            // The last digit of a signature has bits that say nothing.
            let same = B64.decode(changed.rsplit('.').next().unwrap()).ok()
                == B64.decode(token.rsplit('.').next().unwrap()).ok()
                && changed.rsplit_once('.').unwrap().0 == token.rsplit_once('.').unwrap().0;
            assert!(same || tokens.read(&changed, NOW).is_none(), "{at}");
        }
    }

    #[test]
    fn a_token_with_another_algorithm_audience_or_demand_does_not_count() {
        let tokens = tokens(&["a"]);
        let token = minted(&tokens);
        let parts: Vec<&str> = token.split('.').collect();
        let read =
            |part: &str| -> Value { serde_json::from_slice(&B64.decode(part).unwrap()).unwrap() };
        let signed = |header: &Value, claims: &Value| {
            let write = |value: &Value| B64.encode(value.to_string());
            let message = format!("{}.{}", write(header), write(claims));
            let key = &tokens.keys[0].signs;
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::HS256);
            format!("{message}.{}", signature.unwrap())
        };
        let (header, claims) = (read(parts[0]), read(parts[1]));
        assert!(tokens.read(&signed(&header, &claims), NOW).is_some());
        let with = |value: &Value, name: &str, new: Value| {
            let mut value = value.clone();
            value[name] = new;
            value
        };
        for (name, new) in [
            ("alg", json!("none")),
            ("alg", json!("HS512")),
            ("kid", json!("x")),
            ("crit", json!(["b64"])),
        ] {
            let header = with(&header, name, new);
            assert!(tokens.read(&signed(&header, &claims), NOW).is_none());
        }
        for (name, new) in [
            ("aud", json!("millrace-licence")),
            ("iss", json!("other")),
            ("exp", Value::Null),
            ("sid", json!("../x")),
        ] {
            let claims = with(&claims, name, new);
            assert!(tokens.read(&signed(&header, &claims), NOW).is_none());
        }
        let unsigned = format!("{}.{}.", parts[0], parts[1]);
        assert!(tokens.read(&unsigned, NOW).is_none());
    }
}
