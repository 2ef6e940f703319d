//! Any bytes as what a client shows the gate: a target, a token's claims, a ring of keys.

use std::sync::LazyLock;

use contracts::address::Address;
use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing, Request, admit};

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let vectors = include_str!("../../contracts/tests/data/native_token.json");
    KeyRing::from_json(vectors).expect("the vectors hold keys")
});

/// Reads `data` in all these ways.
pub fn check(data: &[u8]) {
    if let Ok(claims) = Claims::parse(data) {
        // What is accepted reads back as itself, but for claims that are ignored.
        assert_eq!(Claims::parse(claims.encode().as_bytes()), Ok(claims));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let request = Request::new(text, UnixSeconds(1_800_000_000));
    if let Ok(Some(accepted)) = admit(&RING, &request) {
        assert!(contracts::target::is_path(&accepted.path));
    }
    if let Ok(address) = Address::parse(text) {
        assert_eq!(address.path(), text);
    }
    let _ = KeyRing::from_json(text);
}
