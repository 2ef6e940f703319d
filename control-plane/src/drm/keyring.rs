//! The keys that licence tokens are signed with. A key fixes its algorithm: what a token says of it is compared only.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use runtime::watched::{FileError, Watched};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The keys, of which the first signs.
pub(crate) struct Keyring(Vec<Key>);

struct Key {
    kid: String,
    algorithm: Algorithm,
    signs: EncodingKey,
    verifies: DecodingKey,
    /// What others may verify with; none: whoever verifies can sign.
    public: Option<[u8; 32]>,
}

/// The public part of a key (RFC 8037 §2), as a JSON Web Key Set has it.
#[derive(Serialize, ToSchema)]
#[schema(as = LicenseKey)]
pub(crate) struct PublicKey {
    /// `OKP`.
    kty: &'static str,
    /// `Ed25519`.
    crv: &'static str,
    /// `EdDSA`.
    alg: &'static str,
    /// `sig`.
    r#use: &'static str,
    /// The key's name, as tokens have it.
    kid: String,
    /// The key, base64url without padding.
    x: String,
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// A key of it (RFC 7518 §6.4, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    x: Option<String>,
    d: Option<String>,
}

/// What `decode` wants beside the claims that the caller reads.
#[derive(Deserialize)]
struct Named {
    kid: String,
}

impl Keyring {
    /// HS256 keys that are known already. All have one name, which says that they are.
    pub(crate) fn derived(secrets: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let key = |secret: [u8; 32]| symmetric("house".to_owned(), &secret);
        Self(secrets.into_iter().map(key).collect())
    }

    /// Reads a key set again whenever its file changes; without a file there are these keys. What is wrong with it is
    /// told without what stands in it.
    pub(crate) fn watch(path: Option<PathBuf>, derived: Self) -> Result<Watched<Self>, FileError> {
        Watched::open(path, MOST, derived, |text| {
            Self::parse(&text).map_err(|fault| format!("it {fault}"))
        })
    }

    /// The public parts of the keys that have any.
    pub(crate) fn public(&self) -> Vec<PublicKey> {
        let public = |key: &Key| {
            Some(PublicKey {
                kty: "OKP",
                crv: "Ed25519",
                alg: "EdDSA",
                r#use: "sig",
                kid: key.kid.clone(),
                x: B64.encode(key.public?),
            })
        };
        self.0.iter().filter_map(public).collect()
    }

    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let set: Set = serde_json::from_slice(text).map_err(|_| "is no JSON Web Key Set")?;
        let keys: Vec<Key> = set.keys.iter().map(Key::parse).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("has no key");
        }
        let mut names: Vec<&str> = keys.iter().map(|key| key.kid.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < keys.len() {
            return Err("has two keys of one `kid`");
        }
        let keyring = Self(keys);
        keyring.prove()?;
        Ok(keyring)
    }

    /// Writes a token.
    pub(crate) fn sign<T: Serialize>(&self, claims: &T) -> Option<String> {
        self.0.first()?.sign(claims)
    }

    /// The claims of a token that one of the keys signed for an audience. Times are not looked at.
    pub(crate) fn verify<T: DeserializeOwned>(&self, token: &str, audience: &str) -> Option<T> {
        let header: Named = header(token)?;
        let mut named = self.0.iter().filter(|key| key.kid == header.kid);
        named.find_map(|key| key.verify(token, audience))
    }

    /// Whether each key verifies what it signs: an Ed25519 key has two parts that may be of two keys.
    fn prove(&self) -> Result<(), &'static str> {
        let holds = |key: &Key| {
            let token = key.sign(&serde_json::json!({"iss": ISSUER, "aud": "proof"}))?;
            self.verify::<IgnoredAny>(&token, "proof")
        };
        let all = self.0.iter().all(|key| holds(key).is_some());
        all.then_some(())
            .ok_or("has a key that does not verify what it signs")
    }
}

impl Key {
    fn parse(jwk: &Jwk) -> Result<Self, &'static str> {
        if jwk.kid.is_empty() || jwk.kid.len() > 64 {
            return Err("has a key whose `kid` is not 1 to 64 characters");
        }
        let part = |text: &Option<String>| B64.decode(text.as_deref()?).ok();
        let said = jwk.alg.as_deref();
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("oct", _) if said.is_none_or(|alg| alg == "HS256") => {
                let secret = part(&jwk.k).filter(|secret| secret.len() >= SHORTEST);
                let secret = secret.ok_or("has an `oct` key of less than 32 bytes")?;
                Ok(symmetric(jwk.kid.clone(), &secret))
            }
            ("OKP", Some("Ed25519")) if said.is_none_or(|alg| alg == "EdDSA") => {
                let wrong = "has an Ed25519 key without `x` or `d` of 32 bytes";
                let seed = part(&jwk.d).filter(|seed| seed.len() == 32).ok_or(wrong)?;
                let public = part(&jwk.x).and_then(|public| public.try_into().ok());
                let public: [u8; 32] = public.ok_or(wrong)?;
                Ok(Self {
                    kid: jwk.kid.clone(),
                    algorithm: Algorithm::EdDSA,
                    signs: EncodingKey::from_ed_der(&[PKCS8_ED25519, &seed].concat()),
                    verifies: DecodingKey::from_ed_der(&public),
                    public: Some(public),
                })
            }
            _ => Err("has a key that is neither `oct` with HS256 nor `OKP` with Ed25519"),
        }
    }

    fn verify<T: DeserializeOwned>(&self, token: &str, audience: &str) -> Option<T> {
        let mut rules = Validation::new(self.algorithm);
        // The library would read the machine's clock.
        rules.validate_exp = false;
        rules.set_required_spec_claims(&["iss", "aud"]);
        rules.set_audience(&[audience]);
        rules.set_issuer(&[ISSUER]);
        let read = jsonwebtoken::decode::<T>(token, &self.verifies, &rules);
        read.ok().map(|token| token.claims)
    }

    fn sign<T: Serialize>(&self, claims: &T) -> Option<String> {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.signs).ok()
    }
}

fn symmetric(kid: String, secret: &[u8]) -> Key {
    Key {
        kid,
        algorithm: Algorithm::HS256,
        signs: EncodingKey::from_secret(secret),
        verifies: DecodingKey::from_secret(secret),
        public: None,
    }
}

/// A token's header, from which only the key's name is believed.
fn header(token: &str) -> Option<Named> {
    let (header, _) = token.split_once('.').filter(|_| token.len() <= LONGEST)?;
    serde_json::from_slice(&B64.decode(header).ok()?).ok()
}

/// Who issues and who takes these tokens: control planes of one site.
pub(crate) const ISSUER: &str = "millrace";
/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 << 10;
/// The largest key set, in bytes.
const MOST: u64 = 64 << 10;
/// The shortest HS256 key, in bytes (RFC 7518 §3.2).
const SHORTEST: usize = 32;
/// An Ed25519 private key in PKCS #8 (RFC 8410 §7), up to its 32 bytes.
const PKCS8_ED25519: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The key pair of RFC 8037 §A.1.
    const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn oct(kid: &str, byte: u8) -> Value {
        json!({"kty": "oct", "kid": kid, "k": B64.encode([byte; 32])})
    }

    fn okp(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": kid, "x": PUBLIC, "d": SEED})
    }

    fn ring(keys: &[Value]) -> Result<Keyring, &'static str> {
        Keyring::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "aud": "license", "sid": "s"})
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let old = ring(&[oct("a", 1)]).unwrap();
        let new = ring(&[okp("b"), oct("a", 1)]).unwrap();
        let (first, second) = (old.sign(&claims()).unwrap(), new.sign(&claims()).unwrap());
        for token in [&first, &second] {
            assert_eq!(new.verify::<Value>(token, "license"), Some(claims()));
        }
        assert_eq!(old.verify::<Value>(&second, "license"), None);
        let alg = |token: &str| {
            let header = B64.decode(token.split('.').next().unwrap()).unwrap();
            serde_json::from_slice::<Value>(&header).unwrap()["alg"].clone()
        };
        assert_eq!(
            (alg(&first), alg(&second)),
            ("HS256".into(), "EdDSA".into())
        );
    }

    #[test]
    fn the_public_part_of_a_key_is_told_and_nothing_else_of_any() {
        let ring = ring(&[oct("a", 1), okp("b")]).unwrap();
        let told = serde_json::to_value(ring.public()).unwrap();
        let wanted = json!([{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "b", "x": PUBLIC}]);
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_token_outlives_the_key_that_it_followed_from() {
        let (old, new) = ([1; 32], [2; 32]);
        let token = Keyring::derived([old]).sign(&claims()).unwrap();
        for (keys, counts) in [
            (vec![old], true),
            (vec![new, old], true),
            (vec![new], false),
        ] {
            let read = Keyring::derived(keys).verify::<Value>(&token, "license");
            assert_eq!(read.is_some(), counts);
        }
    }

    #[test]
    fn a_token_of_another_key_audience_issuer_or_algorithm_is_none() {
        let ring = ring(&[okp("a")]).unwrap();
        let token = ring.sign(&claims()).unwrap();
        assert_eq!(ring.verify::<Value>(&token, "license-renewal"), None);
        for (member, other) in [("iss", "other"), ("aud", "other")] {
            let mut claims = claims();
            claims[member] = other.into();
            let token = ring.sign(&claims).unwrap();
            assert_eq!(ring.verify::<Value>(&token, "license"), None, "{member}");
        }
        // The public key taken for the secret of HS256, and no signature at all.
        let public = B64.decode(PUBLIC).unwrap();
        let forged = symmetric("a".to_owned(), &public).sign(&claims()).unwrap();
        assert_eq!(ring.verify::<Value>(&forged, "license"), None);
        let none = B64.encode(r#"{"alg":"none","kid":"a"}"#);
        let body = token.split('.').nth(1).unwrap();
        for text in ["", ".", "..", &format!("{none}.{body}."), "a.b.c"] {
            assert_eq!(ring.verify::<Value>(text, "license"), None, "{text}");
        }
    }

    #[test]
    fn any_bit_that_is_turned_makes_a_token_none() {
        for key in [oct("a", 1), okp("a")] {
            let ring = ring(&[key]).unwrap();
            let token = ring.sign(&claims()).unwrap();
            for at in 0..token.len() {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1;
                let turned = String::from_utf8(bytes).unwrap();
                // The last character of a part may carry bits that mean nothing; they are refused too.
                assert_eq!(ring.verify::<Value>(&turned, "license"), None, "byte {at}");
            }
        }
    }

    #[test]
    fn a_key_set_that_is_none_is_refused_without_being_shown() {
        let mut half = okp("a");
        half["x"] = Value::Null;
        let mut mixed = okp("a");
        mixed["x"] = B64.encode([7; 32]).into();
        let mut short = oct("a", 1);
        short["k"] = B64.encode([1; 31]).into();
        let mut other = oct("a", 1);
        other["alg"] = "HS512".into();
        for keys in [
            vec![],
            vec![half],
            vec![mixed],
            vec![short],
            vec![other],
            vec![oct("a", 1), oct("a", 2)],
            vec![oct("", 1)],
            vec![json!({"kty": "RSA", "kid": "a"})],
        ] {
            let fault = ring(&keys).err().unwrap();
            assert!(!fault.contains(SEED), "{fault}");
        }
        assert!(Keyring::parse(b"[]").is_err());
    }
}
