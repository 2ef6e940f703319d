//! Common Access Tokens: the published vectors, every carriage, every algorithm, and what must be refused.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test where they stand"
)]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ciborium::{Value, cbor};
use contracts::time::UnixSeconds;
use contracts::token::{Accepted, KeyRing, Request, verify};
use coset::TaggedCborSerializable as _;
use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseMac0Builder, CoseSign1Builder, HeaderBuilder};
use hmac::{Hmac, KeyInit as _, Mac as _};

const VECTORS: &str = include_str!("data/cat.json");
const NOW: u64 = 1_800_000_000;
const PATH: &str = "/v/abc/v0/1.m4s";
const SECRET: [u8; 32] = [7; 32];

fn entry(kid: &str, more: &str) -> String {
    let cose = hex::encode(kid);
    format!(
        r#"{{"kid":"{kid}","ver":"cat","cose_kid_hex":"{cose}","iss":"millrace","aud":"edge","scope":["/v/"],"nbf":0,"exp":4102444800,{more}}}"#
    )
}

/// A ring with a key for each algorithm.
static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let edwards = ed25519_dalek::SigningKey::from_bytes(&SECRET).verifying_key();
    let keys = [
        entry(
            "h",
            &format!(r#""alg":"HS256","key_hex":"{}""#, hex::encode(SECRET)),
        ),
        entry(
            "e",
            &format!(
                r#""alg":"EdDSA","pub_hex":"{}""#,
                hex::encode(edwards.as_bytes())
            ),
        ),
        entry(
            "p",
            &format!(r#""alg":"ES256","pub_hex":"{}""#, hex::encode(point())),
        ),
    ];
    KeyRing::from_json(&format!(r#"{{"keyring":[{}]}}"#, keys.join(","))).unwrap()
});

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&SECRET).unwrap()
}

fn point() -> Vec<u8> {
    p256_key()
        .verifying_key()
        .to_sec1_point(true)
        .as_bytes()
        .to_vec()
}

fn payload(claims: &Value) -> Vec<u8> {
    let mut payload = Vec::new();
    ciborium::into_writer(claims, &mut payload).unwrap();
    payload
}

fn hmac(message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&SECRET).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A token of these bytes as claims, by HMAC.
fn sealed(payload: Vec<u8>) -> Vec<u8> {
    let protected = HeaderBuilder::new()
        .algorithm(Algorithm::HMAC_256_256)
        .build();
    CoseMac0Builder::new()
        .protected(protected)
        .unprotected(HeaderBuilder::new().key_id(b"h".to_vec()).build())
        .payload(payload)
        .create_tag(&[], hmac)
        .build()
        .to_tagged_vec()
        .unwrap()
}

fn token(claims: &Value) -> String {
    B64.encode(sealed(payload(claims)))
}

fn signed(algorithm: Algorithm, kid: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let bytes = CoseSign1Builder::new()
        .protected(
            HeaderBuilder::new()
                .algorithm(algorithm)
                .key_id(kid.to_vec())
                .build(),
        )
        .payload(payload(&good()))
        .create_signature(&[], sign)
        .build()
        .to_vec()
        .unwrap();
    B64.encode(bytes)
}

fn good() -> Value {
    cbor!({1 => "millrace", 4 => NOW + 60, 310 => 1}).unwrap()
}

/// The claims of [`good`] and one more, or in another's stead.
fn with(label: i64, value: Value) -> Value {
    let mut claims = good().into_map().unwrap();
    claims.retain(|(key, _)| *key != Value::from(label));
    claims.push((label.into(), value));
    Value::Map(claims)
}

fn show(token: &str) -> Result<Accepted, &'static str> {
    let cats = [token];
    let request = Request {
        authority: "edge.example",
        cats: &cats,
        ..Request::new(PATH, UnixSeconds(NOW))
    };
    verify(&RING, &request).map_err(contracts::reason::Reason::code)
}

#[test]
fn every_published_case_agrees() {
    let file: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let text = |value: &serde_json::Value, name: &str| value[name].as_str().map(str::to_owned);
    let key = text(&file, "key_hex").unwrap();
    let kid = hex::encode(text(&file, "kid").unwrap());
    let ring = KeyRing::from_json(&format!(
        r#"{{"keyring":[{{"kid":"c","ver":"cat","alg":"HS256","key_hex":"{key}","cose_kid_hex":"{kid}","iss":"millrace","aud":"edge","scope":["/"],"nbf":0,"exp":4102444800}}]}}"#
    ))
    .unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 32);
    // Once each time anew, and once with a memory, which must not change a verdict.
    for ring in [
        ring.clone(),
        ring.clone().remembering(1024),
        ring.remembering(1),
    ] {
        for case in cases.iter().chain(cases) {
            let name = text(case, "name").unwrap();
            let url = text(case, "url").unwrap();
            let (scheme, rest) = url.split_once("://").unwrap();
            let (authority, _) = rest.split_once('/').unwrap();
            let (token, method) = (text(case, "token").unwrap(), text(case, "method").unwrap());
            let country = text(case, "country").filter(|country| !country.is_empty());
            let request = Request {
                country: country.as_deref(),
                method: &method,
                scheme,
                authority,
                cats: &[token.as_str()],
                ..Request::new(
                    &rest[authority.len()..],
                    UnixSeconds(case["now"].as_u64().unwrap()),
                )
            };
            let verdict = verify(&ring, &request);
            match case["expect"].as_str().unwrap() {
                "accept" => assert_eq!(verdict.expect(&name).path, PATH, "{name}"),
                _ => _ = verdict.expect_err(&name),
            }
        }
    }
}

#[test]
fn every_algorithm_opens_with_its_own_key_and_no_other() {
    use ed25519_dalek::Signer as _;
    let edwards = ed25519_dalek::SigningKey::from_bytes(&SECRET);
    let by_edwards = |message: &[u8]| edwards.sign(message).to_vec();
    let by_p256 = |message: &[u8]| {
        let signature: p256::ecdsa::Signature = p256_key().sign(message);
        signature.to_bytes().to_vec()
    };
    assert!(show(&token(&good())).is_ok());
    assert_eq!(
        show(&signed(Algorithm::EdDSA, b"e", by_edwards))
            .unwrap()
            .kid
            .as_deref(),
        Some("e")
    );
    assert!(show(&signed(Algorithm::ES256, b"p", by_p256)).is_ok());
    assert_eq!(
        show(&signed(Algorithm::EdDSA, b"p", by_edwards)).err(),
        Some("kid")
    );
    assert_eq!(
        show(&signed(Algorithm::EdDSA, b"h", by_edwards)).err(),
        Some("kid")
    );
    assert_eq!(
        show(&signed(Algorithm::ES256, b"p", by_edwards)).err(),
        Some("mac")
    );
    assert_eq!(
        show(&signed(Algorithm::ES384, b"p", by_p256)).err(),
        Some("malformed")
    );
    // HMAC with a public key as its secret: the oldest trick of all.
    assert_eq!(
        show(&signed(Algorithm::HMAC_256_256, b"p", hmac)).err(),
        Some("kid")
    );
}

#[test]
fn any_flipped_bit_is_refused() {
    let bytes = B64
        .decode(token(&with(7, Value::from(b"id".to_vec()))))
        .unwrap();
    for index in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[index / 8] ^= 1 << (index % 8);
        assert!(show(&B64.encode(changed)).is_err(), "bit {index}");
    }
}

#[test]
fn a_token_may_be_shown_in_one_place_only() {
    let token = token(&with(7, Value::from(b"id".to_vec())));
    let in_path = format!("/~cat.{token}{PATH}");
    let in_query = format!("{PATH}?CAT={token}&_HLS_msn=1");
    let both = format!("{in_path}?CAT={token}");
    let twice = format!("{in_query}&CAT={token}");
    let (one, two) = ([token.as_str()], [token.as_str(), token.as_str()]);
    for (target, cats, expected) in [
        (in_path.as_str(), &[][..], Ok(PATH)),
        (&in_query, &[], Ok(PATH)),
        (PATH, &one, Ok(PATH)),
        (&in_path, &one, Err("malformed")),
        (&in_query, &one, Err("malformed")),
        (PATH, &two, Err("malformed")),
        (&both, &[], Err("malformed")),
        (&twice, &[], Err("malformed")),
        ("/v/abc/v0/1.m4s?mt=x", &one, Err("malformed")),
        ("/~cat./v/abc/v0/1.m4s", &[], Err("malformed")),
        ("/v/abc/v0/1.m4s?CAT", &[], Err("malformed")),
    ] {
        let request = Request {
            cats,
            ..Request::new(target, UnixSeconds(NOW))
        };
        let verdict = verify(&RING, &request);
        let session = verdict
            .as_ref()
            .ok()
            .map(|it| it.session.clone().unwrap().to_string());
        assert_eq!(session.is_some(), expected.is_ok());
        assert_eq!(
            session.unwrap_or_else(|| B64.encode("id")),
            B64.encode("id")
        );
        let name = verdict.map(|accepted| accepted.cache_key);
        assert_eq!(
            name.as_deref().map_err(|reason| reason.code()),
            expected,
            "{target}"
        );
    }
    assert_eq!(contracts::token::readmit(&in_path).as_deref(), Ok(PATH));
    assert_eq!(contracts::token::readmit(&in_query).as_deref(), Ok(PATH));
}

#[test]
fn what_is_not_understood_is_refused() {
    let tagged = |tag, value: Vec<u8>| Value::Tag(tag, Box::new(Value::from(value)));
    for (label, value) in [
        (2, Value::from("somebody")),
        (4, Value::from((NOW + 60) as f64)),
        (4, Value::from(-1)),
        (7, Value::from(vec![0; 49])),
        (308, Value::from(1)),
        (308, Value::from(2)),
        (309, Value::from(1)),
        (310, Value::from(2)),
        (311, Value::Array(vec![])),
        (312, cbor!({}).unwrap()),
        (312, cbor!({3 => {}}).unwrap()),
        (312, cbor!({9 => {0 => "a"}}).unwrap()),
        (312, cbor!({3 => {4 => ["/v/.*"]}}).unwrap()),
        (313, cbor!([]).unwrap()),
        (313, cbor!(["GET", 1]).unwrap()),
        (316, cbor!(["Austria"]).unwrap()),
        (316, cbor!(["at"]).unwrap()),
        (323, cbor!({0 => 1}).unwrap()),
        (323, cbor!({1 => 60}).unwrap()),
        (323, cbor!({0 => 2, 7 => 302}).unwrap()),
    ] {
        assert_eq!(
            show(&token(&with(label, value.clone()))).err(),
            Some("malformed"),
            "{value:?}"
        );
    }
    for (label, value, reason) in [
        (3, Value::from("player"), "scope"),
        (5, Value::from(NOW + 31), "not_yet_valid"),
        (311, cbor!([64500]).unwrap(), "ip"),
        (
            311,
            Value::Array(vec![tagged(52, vec![192, 0, 2, 1])]),
            "ip",
        ),
        (313, cbor!(["HEAD"]).unwrap(), "path"),
        (316, cbor!(["DE-BY"]).unwrap(), "geo"),
    ] {
        assert_eq!(
            show(&token(&with(label, value.clone()))).err(),
            Some(reason),
            "{value:?}"
        );
    }
    for (label, value) in [
        (5, Value::from(NOW + 30)),
        (308, Value::from(0)),
        (
            312,
            cbor!({1 => {0 => "edge.example"}, 2 => {0 => "443"}}).unwrap(),
        ),
        (316, cbor!(["ZZ"]).unwrap()),
    ] {
        assert!(
            show(&token(&with(label, value.clone()))).is_ok(),
            "{value:?}"
        );
    }
}

#[test]
fn a_claim_that_stands_twice_is_refused_and_so_is_deep_nesting() {
    let mut twice = good().into_map().unwrap();
    twice.push((4.into(), (NOW + 9000).into()));
    assert_eq!(show(&token(&Value::Map(twice))).err(), Some("malformed"));
    let text_label = cbor!({1 => "millrace", 4 => NOW + 60, "x" => 1}).unwrap();
    assert_eq!(show(&token(&text_label)).err(), Some("malformed"));
    let mut trailing = payload(&good());
    trailing.push(0);
    assert_eq!(show(&B64.encode(sealed(trailing))).err(), Some("malformed"));
    for deep in [
        vec![0x81; 3000],
        [0xd8, 61].repeat(1500),
        vec![0x9b, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(show(&B64.encode(&deep)).err(), Some("malformed"));
        assert_eq!(show(&B64.encode(sealed(deep))).err(), Some("malformed"));
    }
}

#[test]
fn header_parameters_that_could_change_the_meaning_are_refused() {
    for (protected, unprotected) in [
        (
            cbor!({1 => 5, 2 => [1]}).unwrap(),
            cbor!({4 => Value::from(b"h".to_vec())}).unwrap(),
        ),
        (
            cbor!({1 => 5, 5 => Value::from(vec![0])}).unwrap(),
            cbor!({4 => Value::from(b"h".to_vec())}).unwrap(),
        ),
        (
            cbor!({1 => 5}).unwrap(),
            cbor!({1 => 5, 4 => Value::from(b"h".to_vec())}).unwrap(),
        ),
        (
            cbor!({1 => 5}).unwrap(),
            cbor!({"x" => 1, 4 => Value::from(b"h".to_vec())}).unwrap(),
        ),
        (
            cbor!({1 => "HS256"}).unwrap(),
            cbor!({4 => Value::from(b"h".to_vec())}).unwrap(),
        ),
    ] {
        let (protected, claims) = (payload(&protected), payload(&good()));
        let covered = cbor!([
            "MAC0",
            Value::from(protected.clone()),
            Value::Bytes(vec![]),
            Value::from(claims.clone())
        ]);
        let tag = hmac(&payload(&covered.unwrap()));
        let items = Value::Array(vec![
            protected.into(),
            unprotected,
            claims.into(),
            tag.into(),
        ]);
        let shown = B64.encode(payload(&Value::Tag(17, Box::new(items.clone()))));
        assert_eq!(show(&shown).err(), Some("malformed"), "{items:?}");
    }
}

#[test]
fn a_key_opens_what_lies_in_its_scope_while_it_lives() {
    let token = token(&good());
    let cats = [token.as_str()];
    let code = |target, now| {
        let request = Request {
            cats: &cats,
            ..Request::new(target, UnixSeconds(now))
        };
        verify(&RING, &request)
            .map_err(contracts::reason::Reason::code)
            .err()
    };
    assert_eq!(code("/w/abc/1.m4s", NOW), Some("scope"));
    assert_eq!(code(PATH, NOW + 60), Some("expired"));
    assert_eq!(code(PATH, 4_102_444_800), Some("kid"));
}

#[test]
fn a_keyring_says_what_a_key_of_such_tokens_lacks() {
    for (more, rule) in [
        (r#""alg":"HS256""#, "cat needs key_hex"),
        (r#""alg":"HS256","pub_hex":"00""#, "cat needs key_hex"),
        (r#""alg":"none","key_hex":"00""#, "alg must be"),
        (r#""alg":"ES256","pub_hex":"00""#, "P-256"),
        (r#""key_hex":"00""#, "cat needs cose_kid_hex"),
    ] {
        let text = format!(r#"{{"keyring":[{}]}}"#, entry("k", more));
        let error = KeyRing::from_json(&text).unwrap_err().to_string();
        assert!(error.contains(rule), "{error}");
    }
    let one = entry(
        "a",
        r#""alg":"HS256","key_hex":"00000000000000000000000000000000""#,
    );
    let other = one.replace(r#""kid":"a""#, r#""kid":"b""#);
    let error = KeyRing::from_json(&format!(r#"{{"keyring":[{one},{other}]}}"#)).unwrap_err();
    assert!(error.to_string().contains("COSE key id"), "{error}");
    assert_eq!(RING.secret().map(contracts::token::Key::id), Some("h"));
}
