//! Common Access Tokens over each protocol: the vectors, and each way to carry one.

use std::path::PathBuf;

use contracts::time::UnixSeconds;
use serde_json::{Value, json};
use tempfile::TempDir;
use tier::Protocol;

use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Origin, Reply, path};
use crate::raw::{self, Outcome};

const PATH: &str = "/v/abc/v0/1.m4s";

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../contracts/tests/data/cat.json")).unwrap()
}

/// A file with the keys of the native vectors and the one of these.
pub fn keyring() -> (TempDir, PathBuf) {
    let mut keys: Value = serde_json::from_str(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ))
    .unwrap();
    let kid: String = vectors()["kid"]
        .as_str()
        .unwrap()
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    keys["keyring"].as_array_mut().unwrap().push(json!({
        "kid": "cat1", "ver": "cat", "alg": "HS256", "key_hex": vectors()["key_hex"],
        "cose_kid_hex": kid, "iss": "millrace", "aud": "edge", "scope": ["/v/"], "nbf": 0,
        "exp": 4_102_444_800_u64,
    }));
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("keys.json");
    std::fs::write(&file, keys.to_string()).unwrap();
    (files, file)
}

/// A token that is in order now.
pub fn token() -> String {
    vectors()["cases"][0]["token"].as_str().unwrap().to_owned()
}

async fn house(origin: &Origin) -> House {
    let (_files, keys) = keyring();
    House::with(origin, |config| {
        config.keyring_file = keys;
        config.trusted_hops = vec!["127.0.0.0/8".to_owned()];
    })
    .await
}

#[tokio::test]
async fn every_vector_agrees_over_every_protocol() {
    let origin = Origin::start(|_| Reply::ok("x").field("cache-control", "no-store")).await;
    let house = house(&origin).await;
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 32);
    for case in cases {
        for protocol in Protocol::ALL {
            check(case, protocol, &house, &origin).await;
        }
    }
}

async fn check(case: &Value, protocol: Protocol, house: &House, origin: &Origin) {
    let text = |name: &str| case[name].as_str();
    let name = text("name").unwrap();
    let target = text("url").unwrap().strip_prefix("https://edge.example");
    let target = target.unwrap();
    house.clock.set(UnixSeconds(case["now"].as_u64().unwrap()));
    let mut fields = vec![("cta-common-access-token", text("token").unwrap())];
    if let Some(country) = text("country").filter(|country| !country.is_empty()) {
        fields.push(("millrace-client-country", country));
    }
    let before = origin.requests();
    let client = house.client(protocol);
    let outcome = match protocol {
        _ if text("method") != Some("GET") => {
            let answer = client.open(text("method").unwrap(), target, &fields).await;
            assert_eq!(answer.status, 405);
            Outcome::Refused
        }
        Protocol::H1 => raw::h1(&client, target, &fields).await,
        Protocol::H2 => raw::h2(&client, target, &fields).await,
        Protocol::H3 => raw::h3(&client, target, &fields).await,
    };
    let (expected, asked) = match text("expect") {
        Some("accept") => (Outcome::Ok, 1),
        _ => (Outcome::Refused, 0),
    };
    assert_eq!(outcome, expected, "{name} over {protocol}");
    assert_eq!(origin.requests(), before + asked, "{name} over {protocol}");
}

#[tokio::test]
async fn a_token_may_come_in_four_ways_and_all_name_the_same_object() {
    let origin = Origin::start(|_| Reply::ok("x").field("cache-control", "max-age=60")).await;
    let house = house(&origin).await;
    let token = token();
    let cookie = format!("a=b; CTA-Common-Access-Token={token}");
    let (in_path, in_query) = (
        format!("/~cat.{token}{PATH}"),
        format!("{PATH}?CAT={token}"),
    );
    let (header, in_cookie) = (
        ("cta-common-access-token", token.as_str()),
        ("cookie", cookie.as_str()),
    );
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        let one = [
            client.get(&in_path, &[]).await,
            client.get(&in_query, &[]).await,
            client.get(PATH, &[header]).await,
            client.get(PATH, &[in_cookie]).await,
        ];
        for (n, got) in one.iter().enumerate() {
            assert_eq!(got.status, 200, "way {n} over {protocol}");
        }
        let several = [
            client.get(&in_path, &[header]).await,
            client.get(&in_query, &[in_cookie]).await,
            client.get(PATH, &[header, in_cookie]).await,
            client.get(PATH, &[header, header]).await,
            client.get(PATH, &[in_cookie, in_cookie]).await,
            client.get(&signed(PATH), &[header]).await,
        ];
        for (n, got) in several.iter().enumerate() {
            assert_eq!(got.status, 403, "{n} over {protocol}");
        }
    }
    assert_eq!(origin.requests(), 1, "one object");
    let asked = origin.heads().pop().unwrap();
    assert_eq!(path(&asked), PATH);
    let asked = asked.to_lowercase();
    assert!(
        !asked.contains(&token.to_lowercase()) && !asked.contains("cta-"),
        "{asked}"
    );
}

#[tokio::test]
async fn the_address_that_a_token_names_is_the_one_the_client_asked() {
    use base64::Engine as _;
    use ciborium::{Value as Cbor, cbor};
    use hmac::{KeyInit as _, Mac as _};
    let key = [3; 32];
    let mint = |catu: Cbor| {
        let claims = cbor!({1 => "i", 4 => crate::house::NOW + 60, 312 => catu}).unwrap();
        let bytes = |value: &Cbor| {
            let mut bytes = Vec::new();
            ciborium::into_writer(value, &mut bytes).unwrap();
            bytes
        };
        let (protected, payload) = (bytes(&cbor!({1 => 5}).unwrap()), bytes(&claims));
        let parts = [
            "MAC0".into(),
            Cbor::from(protected.clone()),
            Cbor::Bytes(vec![]),
        ];
        let covered = Cbor::Array([&parts[..], &[payload.clone().into()]].concat());
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(&bytes(&covered));
        let tag = mac.finalize().into_bytes().to_vec();
        let kid = Cbor::Map(vec![(4.into(), Cbor::from(b"k".to_vec()))]);
        let envelope = Cbor::Array(vec![protected.into(), kid, payload.into(), tag.into()]);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes(&envelope))
    };
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("keys.json");
    let ring = json!({"keyring": [{
        "kid": "c", "ver": "cat", "alg": "HS256", "key_hex": "03".repeat(32), "cose_kid_hex": "6b",
        "iss": "i", "scope": ["/"], "nbf": 0, "exp": 4_102_444_800_u64,
    }]});
    std::fs::write(&file, ring.to_string()).unwrap();
    let origin = Origin::start(|_| Reply::ok("x").field("cache-control", "max-age=60")).await;
    let house = House::with(&origin, |config| config.keyring_file = file).await;
    for (catu, status) in [
        (
            cbor!({0 => {0 => "https"}, 1 => {0 => "localhost"}, 2 => {0 => "443"}}),
            200,
        ),
        (cbor!({0 => {0 => "http"}}), 403),
        (cbor!({1 => {0 => "edge.example"}}), 403),
        (cbor!({4 => {0 => "x=1&y"}}), 200),
        (cbor!({4 => {0 => "x=1"}}), 403),
    ] {
        let token = mint(catu.unwrap());
        for protocol in PROTOCOLS {
            let target = format!("{PATH}?x=1&CAT={token}&y");
            let got = house.client(protocol).get(&target, &[]).await;
            assert_eq!(got.status, status, "{token} over {protocol}");
        }
    }
}
