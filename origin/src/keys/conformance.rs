//! What every adapter of [`Keys`] must do.

use async_trait::async_trait;
use contracts::{id::VideoId, reason::Reason};

use super::{Keys, MAX_DOCUMENT};

/// The other side of an adapter, where a test puts documents.
#[async_trait]
pub(crate) trait Peer: Sync {
    async fn put(&self, video: &str, document: &[u8]);
}

/// Every promise.
pub(crate) async fn all(keys: &dyn Keys, peer: &dyn Peer) {
    a_film_without_keys_is_none(keys).await;
    a_document_is_read_and_read_anew(keys, peer).await;
    nonsense_is_an_error_that_tells_no_key(keys, peer).await;
}

fn video(id: &str) -> VideoId {
    VideoId::parse(id).unwrap()
}

fn document(video: &str, key: &str) -> String {
    format!(
        r#"{{"video":"{video}","systems":["identity"],"periods":[{{"start_ms":0,"keys":[{{"kid":"000102030405060708090a0b0c0d0e0f","key":"{key}"}}]}}]}}"#
    )
}

const KEY: &str = "69eaa802a6763af979e8d1940fb88392";

async fn a_film_without_keys_is_none(keys: &dyn Keys) {
    assert!(keys.of(&video("nobody")).await.unwrap().keys.is_none());
}

async fn a_document_is_read_and_read_anew(keys: &dyn Keys, peer: &dyn Peer) {
    for key in [KEY, "00000000000000000000000000000001"] {
        peer.put("film", document("film", key).as_bytes()).await;
        let read = keys.of(&video("film")).await.unwrap().keys.unwrap();
        assert_eq!(
            serde_json::to_value(&*read).unwrap()["periods"][0]["keys"][0]["key"],
            key
        );
    }
}

async fn nonsense_is_an_error_that_tells_no_key(keys: &dyn Keys, peer: &dyn Peer) {
    let good = document("odd", KEY);
    let long = format!("{good}{}", " ".repeat(MAX_DOCUMENT));
    for bad in [
        String::new(),
        document("other", KEY),
        good.replace("69eaa802", "69eaa80x"),
        good.replace("\"key\"", "\"secret\""),
        good.replace("identity", KEY),
        good.replace("start_ms\":0", &format!("start_ms\":\"{KEY}\"")),
        r#"{"video":"odd","systems":[],"periods":[]}"#.to_owned(),
        long,
    ] {
        peer.put("odd", bad.as_bytes()).await;
        let fault = keys.of(&video("odd")).await.unwrap_err();
        assert_eq!(fault.reason, Reason::Unreachable, "{bad}");
        assert!(!fault.detail.contains("a6763af979e8"), "{}", fault.detail);
    }
}
