//! Any bytes as a Common Access Token: one verdict, whatever was remembered, and never more than the keys allow.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use contracts::reason::Reason;
use contracts::time::UnixSeconds;
use contracts::token::{KeyRing, Request, verify};
use hmac::{Hmac, KeyInit as _, Mac as _};

const KEY: [u8; 32] = [7; 32];
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let key = hex::encode(KEY);
    let text = format!(
        r#"{{"keyring":[{{"kid":"h","ver":"cat","alg":"HS256","key_hex":"{key}","cose_kid_hex":"68","iss":"i","aud":"e","scope":["/v/"],"nbf":0,"exp":4102444800}}]}}"#
    );
    KeyRing::from_json(&text).expect("a keyring")
});
static REMEMBERING: LazyLock<KeyRing> = LazyLock::new(|| RING.clone().remembering(4));

/// Reads `data` as an envelope, as the text of one, and as claims in a genuine envelope.
pub fn check(data: &[u8]) {
    if data.len() > MOST {
        return;
    }
    refusal(&B64.encode(data));
    if let Ok(text) = std::str::from_utf8(data) {
        refusal(text);
    }
    let genuine = refusal(&B64.encode(sealed(data)));
    assert!(!matches!(genuine, Some(Reason::Mac | Reason::Kid)));
}

/// Why a token does not open a path in its key's scope.
fn refusal(token: &str) -> Option<Reason> {
    let cats = [token];
    let [inside, outside] = ["/v/abc/1.m4s", "/w/abc/1.m4s"].map(|target| {
        let request = Request {
            client_ip: Some([192, 0, 2, 1].into()),
            country: Some("AT"),
            authority: "edge.example",
            cats: &cats,
            ..Request::new(target, NOW)
        };
        let verdict = verify(&RING, &request);
        for _cold_then_warm in 0..2 {
            assert_eq!(verify(&REMEMBERING, &request), verdict);
        }
        if let Ok(accepted) = &verdict {
            assert!(accepted.expires.is_some_and(|end| NOW < end));
            let by = accepted.kid.as_deref();
            assert_eq!((accepted.cache_key.as_str(), by), (target, Some("h")));
        }
        verdict.err()
    });
    assert!(outside.is_some(), "outside the key's scope");
    inside
}

/// These claims in a `COSE_Mac0` that is in order.
fn sealed(claims: &[u8]) -> Vec<u8> {
    const PROTECTED: [u8; 3] = [0xa1, 1, 5];
    let mut covered = vec![0x84, 0x64];
    covered.extend_from_slice(b"MAC0\x43");
    covered.extend_from_slice(&PROTECTED);
    covered.push(0x40);
    let mut payload = vec![0x59];
    payload.extend_from_slice(
        &u16::try_from(claims.len())
            .expect("a bounded length")
            .to_be_bytes(),
    );
    payload.extend_from_slice(claims);
    // What is covered is written anew by the reader, in the shortest form.
    match claims.len() {
        length @ 0..24 => covered.push(0x40 + u8::try_from(length).expect("below 24")),
        length @ 24..256 => covered.extend([0x58, u8::try_from(length).expect("below 256")]),
        _ => covered.extend_from_slice(&payload[..3]),
    }
    covered.extend_from_slice(claims);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&KEY).expect("a key of any length");
    mac.update(&covered);
    let tag = mac.finalize().into_bytes();
    let mut token = vec![0xd1, 0x84, 0x43];
    token.extend_from_slice(&PROTECTED);
    token.extend_from_slice(b"\xa1\x04\x41h");
    token.extend_from_slice(&payload);
    token.extend_from_slice(&[0x58, 32]);
    token.extend_from_slice(&tag);
    token
}

/// So that the text of every token stays below the gate's limit.
const MOST: usize = 2900;
