//! A JWK set (RFC 7517) as keys that may be used: each with the algorithms that it is for.

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// The most keys of a set that are looked at.
const MOST: usize = 100;
/// The longest name of a key, in bytes.
const LONGEST_NAME: usize = 512;

/// A key, and what it may check.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

/// The keys of an issuer by their names; one without a name has the empty one.
pub(super) type Keys = HashMap<String, Key>;

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// Reads a set. Keys that this program does not know how to use are left out (RFC 7517 §5).
pub(super) fn read(text: &[u8]) -> Result<Keys, &'static str> {
    let set: Set = serde_json::from_slice(text).map_err(|_| "is no JWK set")?;
    let keys = set.keys.into_iter().take(MOST).filter_map(|value| {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let name = jwk.common.key_id.clone().unwrap_or_default();
        (name.len() <= LONGEST_NAME).then_some((name, usable(&jwk)?))
    });
    let keys: Keys = keys.collect();
    if keys.is_empty() {
        return Err("holds no key that signs");
    }
    Ok(keys)
}

fn usable(jwk: &Jwk) -> Option<Key> {
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let mut algorithms = algorithms(&jwk.algorithm)?;
    if let Some(only) = jwk.common.key_algorithm {
        // Both have the names of RFC 7518 §3.1.
        algorithms.retain(|one| format!("{one:?}") == only.to_string());
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (!algorithms.is_empty()).then_some(Key { key, algorithms })
}

/// What a key of this type may check. A secret that is published checks nothing.
fn algorithms(parameters: &AlgorithmParameters) -> Option<Vec<Algorithm>> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => Some(vec![RS256, RS384, RS512, PS256, PS384, PS512]),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => Some(vec![ES256]),
            EllipticCurve::P384 => Some(vec![ES384]),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => Some(vec![EdDSA]),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn only_keys_that_sign_are_taken_each_for_its_own_algorithms() {
        let ed = |more: serde_json::Value| {
            let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": X});
            for (name, value) in more.as_object().unwrap() {
                key[name] = value.clone();
            }
            key
        };
        let set = json!({"keys": [
            ed(json!({"kid": "plain"})),
            ed(json!({"kid": "named", "alg": "EdDSA", "use": "sig"})),
            ed(json!({"kid": "other", "alg": "RS256"})),
            ed(json!({"kid": "enc", "use": "enc"})),
            {"kty": "oct", "kid": "secret", "k": "AAAA"},
            {"kty": "new", "kid": "unknown"},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "x": X, "y": X},
            "no key",
        ]});
        let keys = read(set.to_string().as_bytes()).unwrap();
        let mut names: Vec<&str> = keys.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["ec", "named", "plain"]);
        assert_eq!(keys["ec"].algorithms, [Algorithm::ES256]);
        assert_eq!(keys["named"].algorithms, [Algorithm::EdDSA]);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys": 7}"#, r#"{"keys": []}"#] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
