//! What the log says, and what it must never say.

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use contracts::asset::Privacy;
use serde_json::json;
use tracing::subscriber::DefaultGuard;

use crate::house::{House, OPERATOR, json, mark, split};
use crate::joining::Somebody;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn read(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Where everything is logged from now on. In tests of one thread: what the control plane logs, it logs to this
/// thread's subscriber.
fn paper() -> (Paper, DefaultGuard) {
    let paper = Paper::default();
    let writer = paper.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    (paper, guard)
}

#[tokio::test]
async fn a_licence_is_logged_and_neither_its_keys_nor_its_tokens_are() {
    let (paper, _guard) = paper();
    let house = crate::licences::house().await;
    let wish = json!({"video_id": "film", "drm": "clearkey"});
    let started = house.post("/v1/playback/start", &wish).send().await;
    let playback = json(started.unwrap(), 201).await;
    let key = &crate::drm::keys(&house, "film").await.periods[0].keys[0];
    let text = |bytes: [u8; 16]| base64::Engine::encode(&B64, bytes);
    let wanted = json!({"kids": [text(key.kid.0)]});
    let token = playback["drm"]["token"].as_str().unwrap();
    let renewal = playback["drm"]["renewal"]["token"].as_str().unwrap();
    let url = format!("/v1/drm/clearkey/license?token={token}");
    json(house.post(&url, &wanted).send().await.unwrap(), 200).await;
    let asked = house.request(reqwest::Method::POST, "/v1/drm/token");
    json(asked.bearer_auth(renewal).send().await.unwrap(), 200).await;
    // Whatever else keys go through.
    let rotate = "/v1/videos/film/keys/rotate";
    json(house.post(rotate, &json!({})).send().await.unwrap(), 200).await;
    let cpix = house.request(reqwest::Method::GET, "/v1/videos/film/cpix");
    let cpix = cpix.header("millrace-hop", crate::drm::HOP).send().await;
    assert_eq!(cpix.unwrap().status(), 200);
    let after = crate::drm::keys(&house, "film").await;
    let log = paper.read();
    assert!(log.contains("a clearkey licence for session"), "{log}");
    let old = after.retired.iter().flat_map(|old| &old.periods);
    let periods = old.chain(&after.periods);
    let keys: Vec<_> = periods.flat_map(|period| &period.keys).collect();
    assert!(keys.len() > 4, "old ones and new ones");
    let keys = keys.into_iter().flat_map(|key| {
        let bytes = key.key.0;
        [text(bytes), hex::encode(bytes), format!("{bytes:?}")]
    });
    let session = playback["session_id"].as_str().unwrap();
    let shown = [token, renewal, session, crate::drm::HOP].map(str::to_owned);
    for secret in keys.chain(shown) {
        let tail = &secret[secret.len() / 2..];
        assert!(!log.contains(tail), "{tail} is in {log}");
    }
}

#[tokio::test]
async fn requests_and_sessions_are_logged_and_no_secret_is() {
    let (paper, _guard) = paper();
    let house = House::guarded().await;
    house.film("film1", Privacy::Private).await;
    let wish = json!({"video_id": "film1"});
    let start = house.post("/v1/playback/start", &wish);
    let start = start
        .bearer_auth(OPERATOR)
        .header("idempotency-key", "a-key-for-once");
    let playback = json(start.send().await.unwrap(), 201).await;
    // A player that was given the wrong host brings its token and its signature here.
    let (manifest, poster) = (&playback["manifest_url"], &playback["thumbnails"]["poster"]);
    let targets = [manifest, poster].map(|url| split(url.as_str().unwrap()).1);
    for target in &targets {
        assert_eq!(house.get(target).await.status(), 404);
    }
    // All that a player does by the session's id.
    let session = playback["session_id"].as_str().unwrap();
    let told = json!({"session_id": session, "events": []});
    for (path, body) in [
        (format!("/v1/playback/{session}/heartbeat"), json!({})),
        ("/v1/playback/events".to_owned(), told),
        (format!("/v1/playback/{session}/stop"), json!({})),
    ] {
        house.post(&path, &body).send().await.unwrap();
        house.get(&path).await;
    }
    for rest in ["", "/master.m3u8", "/@clearkey/master.m3u8"] {
        house.get(&format!("/v1/steering/{session}{rest}")).await;
    }
    let wrong = house.request(reqwest::Method::GET, "/v1/status");
    wrong
        .bearer_auth("a-key-that-is-wrong")
        .send()
        .await
        .unwrap();

    let log = paper.read();
    let mark = mark(&playback);
    for wanted in ["/v1/playback/start", &mark, "request.id", "took_ms"] {
        assert!(log.contains(wanted), "{wanted} is not in {log}");
    }
    let token = targets[0].split('/').nth(1).unwrap();
    let signature = targets[1].split_once("sig=").unwrap().1;
    let tag = token.rsplit_once('.').unwrap().1;
    for secret in [
        OPERATOR,
        "a-key-that-is-wrong",
        session,
        token,
        tag,
        signature,
        "00010203",
    ] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[tokio::test]
async fn people_are_logged_by_their_ids_and_what_opens_anything_is_not() {
    let (paper, _guard) = paper();
    let house = crate::people::house().await;
    let access = crate::people::somebody(&house, "ann", "publisher").await;
    let login = crate::people::login(&house, "ann").await;
    let refresh = login["refresh_token"].as_str().unwrap();
    let shown = json!({"refresh_token": refresh});
    for path in ["/v1/auth/refresh", "/v1/auth/logout"] {
        house.post(path, &shown).send().await.unwrap();
    }
    crate::people::try_login(&house, "ann", "a wrong password").await;
    let wish = json!({"name": "x", "scopes": ["status"]});
    let key = house.post("/v1/api-keys", &wish).bearer_auth(OPERATOR);
    let key = json(key.send().await.unwrap(), 201).await;
    let secret = key["secret"].as_str().unwrap();
    let invite = house.post("/v1/invitations", &json!({"role": "viewer"}));
    let invitation = json(invite.bearer_auth(OPERATOR).send().await.unwrap(), 201).await;
    let invitation = invitation["invitation"].as_str().unwrap();
    for shown in [secret, access.as_str(), "mk_one-that-is-none"] {
        let request = house.request(reqwest::Method::GET, "/v1/status");
        request.bearer_auth(shown).send().await.unwrap();
    }
    let (_, hash) = house
        .catalog
        .users
        .find_by_email("ann@example.com")
        .await
        .unwrap()
        .unwrap();

    let log = paper.read();
    for wanted in ["/v1/auth/login", login["user_id"].as_str().unwrap()] {
        assert!(log.contains(wanted), "{wanted} is not in {log}");
    }
    for hidden in [
        crate::people::PASSWORD,
        "a wrong password",
        "ann@example.com",
        refresh,
        login["access_token"].as_str().unwrap(),
        access.as_str(),
        secret,
        "mk_one-that-is-none",
        invitation,
        hash.rsplit('$').next().unwrap(),
        "5a5a5a5a",
    ] {
        assert!(!log.contains(hidden), "{hidden} is in {log}");
    }
}

#[tokio::test]
async fn a_node_that_joins_is_logged_by_its_name_and_nothing_that_lets_it_in_is() {
    let (paper, _guard) = paper();
    let house = crate::joining::house().await;
    let made = crate::joining::invite(&house, crate::joining::wish("isp-1")).await;
    let mut node = Somebody::with(&house, &made);
    let enrolled = json(node.enrol(&[]).await, 201).await;
    node.takes(&enrolled);
    let log = paper.read();
    assert!(log.contains("isp-1"), "{log}");
    let secret = serde_json::to_value(&node.token.secret).unwrap();
    let token = made["token"].as_str().unwrap();
    for hidden in [
        token,
        &token[token.len() / 2..],
        secret.as_str().unwrap(),
        "00010203",
        "9d61b19d",
        "PRIVATE KEY",
    ] {
        assert!(!log.contains(hidden), "{hidden} is in {log}");
    }
}
