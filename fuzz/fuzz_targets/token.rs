//! The gate's parsers: target, token, claims and the plain form, on whatever a client may send.
#![no_main]

use std::sync::LazyLock;

use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing, Request, admit};
use libfuzzer_sys::fuzz_target;

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let vectors = include_str!("../../contracts/tests/data/native_token.json");
    KeyRing::from_json(vectors).unwrap_or_default()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(claims) = Claims::parse(data) {
        // What is accepted reads back as itself, but for claims that are ignored.
        assert_eq!(Claims::parse(claims.encode().as_bytes()), Ok(claims));
    }
    if let Ok(target) = std::str::from_utf8(data) {
        let request = Request::new(target, UnixSeconds(1_800_000_000));
        if let Ok(Some(accepted)) = admit(&RING, &request) {
            assert!(contracts::target::is_path(&accepted.path));
        }
        let _ = contracts::address::Address::parse(target).map(|address| {
            assert_eq!(address.path(), target);
        });
        let _ = KeyRing::from_json(target);
    }
});
