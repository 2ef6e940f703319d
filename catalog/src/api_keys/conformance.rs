//! What every adapter of [`ApiKeys`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::id::ApiKeyId;
use contracts::time::UnixSeconds;

use super::{ApiKey, ApiKeys};
use crate::digest::SecretDigest;
use crate::error::Error;

/// Every promise, on a catalogue that is empty.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(keys: &dyn ApiKeys) {
    a_key_is_found_by_its_secret_until_it_expires(keys).await;
    keys_are_listed_and_removed(keys).await;
}

fn key(name: &str, expires: Option<u64>) -> ApiKey {
    ApiKey {
        id: ApiKeyId::parse(name).expect("a test's id is one"),
        name: format!("the backend's {name}"),
        scopes: vec!["playback".to_owned(), "videos".to_owned()],
        created: UnixSeconds(100),
        expires: expires.map(UnixSeconds),
    }
}

async fn a_key_is_found_by_its_secret_until_it_expires(keys: &dyn ApiKeys) {
    let (lasting, short) = (key("lasting", None), key("short", Some(200)));
    let (one, two) = (SecretDigest::of("one"), SecretDigest::of("two"));
    keys.create(&lasting, &one).await.expect("create");
    keys.create(&short, &two).await.expect("create");
    for (taken, secret) in [(&lasting, "new"), (&key("new", None), "one")] {
        let again = keys.create(taken, &SecretDigest::of(secret)).await;
        assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    }
    let find = async |secret: &SecretDigest, now| {
        let found = keys.find(secret, UnixSeconds(now)).await;
        found.expect("find")
    };
    assert_eq!(find(&one, u64::MAX).await, Some(lasting));
    assert_eq!(find(&two, 199).await, Some(short));
    assert_eq!(find(&two, 200).await, None);
    assert_eq!(find(&SecretDigest::of("three"), 100).await, None);
}

async fn keys_are_listed_and_removed(keys: &dyn ApiKeys) {
    let bare = ApiKey {
        scopes: Vec::new(),
        ..key("bare", None)
    };
    let secret = SecretDigest::of("bare");
    keys.create(&bare, &secret).await.expect("create");
    let first = keys.list(None, 2).await.expect("list");
    assert_eq!(first, [bare.clone(), key("lasting", None)]);
    let rest = keys.list(Some(&key("lasting", None).id), 2).await;
    assert_eq!(rest.expect("list"), [key("short", Some(200))]);
    assert!(keys.remove(&bare.id).await.expect("remove"));
    assert!(!keys.remove(&bare.id).await.expect("remove again"));
    let found = keys.find(&secret, UnixSeconds(100)).await;
    assert_eq!(found.expect("find"), None);
}
