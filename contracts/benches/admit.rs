//! What the gate costs a request: `cargo bench -p contracts`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and ends where something is broken"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ciborium::{Value, cbor};
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing, Request, verify};
use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseMac0Builder, CoseSign1Builder, Header, HeaderBuilder};
use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit as _, Mac as _};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const SECRET: [u8; 32] = [7; 32];
const PATH: &str = "/v/abc/720p/segment_17.m4s";

fn main() {
    let plain = ring();
    let remembering = plain.clone().remembering(16_384);
    let key = |kid| plain.find(kid).unwrap();
    let mut claims = Claims::new("/v/abc/", NOW.plus(3600));
    claims.session = Some(SessionId::parse("0123456789abcdef0123456789abcdef").unwrap());
    let [m1, m2] = ["m", "n"].map(|kid| format!("/~{}{PATH}", key(kid).mint(&claims).unwrap()));
    let query = format!("{PATH}?{}", key("m").sign_path(PATH, NOW.plus(60)).unwrap());
    let [hmac, edwards, p256] = cats().map(|cat| format!("/~cat.{cat}{PATH}"));
    println!("ns a request (the median of 15 rounds, and the fastest), one thread:");
    for (name, ring, target) in [
        ("m1", &plain, &m1),
        ("plain form", &plain, &query),
        ("m2", &plain, &m2),
        ("m2, remembered", &remembering, &m2),
        ("CAT HS256", &plain, &hmac),
        ("CAT HS256, remembered", &remembering, &hmac),
        ("CAT EdDSA", &plain, &edwards),
        ("CAT EdDSA, remembered", &remembering, &edwards),
        ("CAT ES256", &plain, &p256),
        ("CAT ES256, remembered", &remembering, &p256),
    ] {
        let request = Request::new(target, NOW);
        let (median, fastest) =
            measure(|| drop(black_box(verify(ring, black_box(&request)).unwrap())));
        println!("{name:24}{median:>9.0}{fastest:>9.0}");
    }
}

/// Nanoseconds a call: the median of rounds of at least 20 ms, and the fastest.
fn measure(mut call: impl FnMut()) -> (f64, f64) {
    let mut calls = 1_u32;
    let mut round = |calls: u32| {
        let begun = Instant::now();
        (0..calls).for_each(|_| call());
        begun.elapsed()
    };
    while round(calls) < Duration::from_millis(20) {
        calls *= 2;
    }
    let mut rounds: Vec<f64> = (0..15)
        .map(|_| round(calls).as_secs_f64() * 1e9 / f64::from(calls))
        .collect();
    rounds.sort_by(f64::total_cmp);
    (
        rounds.get(7).copied().unwrap(),
        rounds.first().copied().unwrap(),
    )
}

fn ring() -> KeyRing {
    let edwards = ed25519_dalek::SigningKey::from_bytes(&SECRET).verifying_key();
    let point = p256_key().verifying_key().to_sec1_point(true);
    let (secret, edwards, point) = (
        hex::encode(SECRET),
        hex::encode(edwards.as_bytes()),
        hex::encode(point),
    );
    let keys = [
        format!(r#""kid":"m","ver":"m1","key_hex":"{secret}""#),
        format!(r#""kid":"n","ver":"m2","seed_hex":"{secret}""#),
        format!(
            r#""kid":"h","ver":"cat","alg":"HS256","cose_kid_hex":"68","iss":"i","key_hex":"{secret}""#
        ),
        format!(
            r#""kid":"e","ver":"cat","alg":"EdDSA","cose_kid_hex":"65","iss":"i","pub_hex":"{edwards}""#
        ),
        format!(
            r#""kid":"p","ver":"cat","alg":"ES256","cose_kid_hex":"70","iss":"i","pub_hex":"{point}""#
        ),
    ];
    let keys = keys.map(|key| format!(r#"{{{key},"scope":["/v/"],"nbf":0,"exp":4102444800}}"#));
    KeyRing::from_json(&format!(r#"{{"keyring":[{}]}}"#, keys.join(","))).unwrap()
}

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&SECRET).unwrap()
}

/// One token for each algorithm: an issuer, times, an id, and a condition on the path.
fn cats() -> [String; 3] {
    let claims = cbor!({
        1 => "i", 4 => NOW.0 + 3600, 5 => NOW.0, 7 => Value::from(b"0123456789abcdef".to_vec()), 310 => 1,
        312 => {3 => {1 => "/v/abc/"}}, 313 => ["GET", "HEAD"]
    });
    let mut payload = Vec::new();
    ciborium::into_writer(&claims.unwrap(), &mut payload).unwrap();
    let header = |algorithm, kid: &[u8]| -> Header {
        HeaderBuilder::new()
            .algorithm(algorithm)
            .key_id(kid.to_vec())
            .build()
    };
    let mac = CoseMac0Builder::new()
        .protected(header(Algorithm::HMAC_256_256, b"h"))
        .payload(payload.clone())
        .create_tag(&[], |message| {
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&SECRET).unwrap();
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        });
    let edwards = ed25519_dalek::SigningKey::from_bytes(&SECRET);
    let signed = |algorithm, kid, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let structure = CoseSign1Builder::new().protected(header(algorithm, kid));
        structure
            .payload(payload.clone())
            .create_signature(&[], sign)
            .build()
    };
    let by_edwards = signed(Algorithm::EdDSA, b"e", &|message| {
        edwards.sign(message).to_vec()
    });
    let by_p256 = signed(Algorithm::ES256, b"p", &|message| {
        let signature: p256::ecdsa::Signature = p256_key().sign(message);
        signature.to_bytes().to_vec()
    });
    [mac.build().to_vec(), by_edwards.to_vec(), by_p256.to_vec()]
        .map(|bytes| B64.encode(bytes.unwrap()))
}
