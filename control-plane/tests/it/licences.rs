//! Licences: which token gets which keys, for how long, and who gets none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use contracts::keys::{ContentKey, System, TrackType};
use control_plane::config::Config;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::drm::{HOP, keys, write};
use crate::house::{House, KEYS, NOW, at_the_edge, json, mark, problem};

const START: &str = "/v1/playback/start";
const LICENSE: &str = "/v1/drm/clearkey/license";

/// A house that gives Clear Key licences, and a protected film in it.
pub(crate) async fn house() -> House {
    with(|_| {}).await
}

/// The same with a configuration of its own.
pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> House {
    let house = House::with(|config, dir| {
        configure(config, dir);
        change(config);
    })
    .await;
    house.protected_film("film").await;
    house
}

/// The keys of the film, as they are asked for.
pub(crate) async fn film_kids(house: &House) -> Vec<String> {
    names(&film_keys(house).await)
}

pub(crate) fn configure(config: &mut Config, dir: &TempDir) {
    config.drm.key_encryption_key = vec![write(dir.path(), "kek", &"5a".repeat(32))];
    config.drm.systems = vec![System::Identity, System::ClearKey];
    config.drm.keys_secret = write(dir.path(), "hop", HOP);
}

async fn start(house: &House, wish: Value) -> Value {
    json(house.post(START, &wish).send().await.unwrap(), 201).await
}

/// A session that has a licence token.
async fn session(house: &House) -> Value {
    start(house, json!({"video_id": "film", "drm": "clearkey"})).await
}

fn token(playback: &Value) -> &str {
    playback["drm"]["token"].as_str().unwrap()
}

pub(crate) async fn ask(house: &House, token: &str, kids: &[String]) -> Response {
    let wanted = json!({"kids": kids, "type": "temporary"});
    let request = house.post(LICENSE, &wanted).bearer_auth(token);
    request.send().await.unwrap()
}

pub(crate) async fn refused(house: &House, token: &str, kids: &[String], reason: &str) {
    let answer = problem(ask(house, token, kids).await, 403, "license-refused").await;
    assert_eq!(answer["reason"], reason);
}

async fn film_keys(house: &House) -> Vec<ContentKey> {
    keys(house, "film").await.periods[0].keys.clone()
}

fn names<'a>(keys: impl IntoIterator<Item = &'a ContentKey>) -> Vec<String> {
    let names = keys.into_iter().map(|key| B64.encode(key.kid.0));
    names.collect()
}

/// What a token says of itself.
fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&B64.decode(body).unwrap()).unwrap()
}

#[tokio::test]
async fn a_session_s_token_gets_the_keys_that_the_player_asks_for() {
    let house = house().await;
    let playback = session(&house).await;
    let drm = &playback["drm"];
    let base = format!("http://{}", house.running.listen);
    assert_eq!(drm["type"], "clearkey");
    assert_eq!(drm["license_url"], format!("{base}{LICENSE}"));
    assert_eq!(drm["expires_at"], NOW + 300);
    let hls = playback["manifest_url"].as_str().unwrap();
    let path = at_the_edge(KEYS, hls, NOW).unwrap().path;
    assert_eq!(path, "/v/film/@clearkey/master.m3u8");
    let film = film_keys(&house).await;
    let answer = ask(&house, token(&playback), &names(&film)).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let answer = json(answer, 200).await;
    let mut given: Vec<(String, String)> = film
        .iter()
        .map(|key| (B64.encode(key.kid.0), B64.encode(key.key.0)))
        .collect();
    given.sort();
    let text = |jwk: &Value, name: &str| jwk[name].as_str().unwrap().to_owned();
    let keys = answer["keys"].as_array().unwrap();
    let mut got: Vec<_> = keys
        .iter()
        .map(|jwk| (text(jwk, "kid"), text(jwk, "k")))
        .collect();
    got.sort();
    assert_eq!(got, given);
    assert!(keys.iter().all(|jwk| jwk["kty"] == "oct"));
    assert_eq!(answer["type"], "temporary");
    let given = r#"millrace_control_licenses_total{system="clearkey"}"#;
    assert_eq!(house.counter(given).await, 1);
}

#[tokio::test]
async fn the_token_may_come_in_the_query_and_from_any_page() {
    let house = house().await;
    let playback = session(&house).await;
    let kids = names(&film_keys(&house).await);
    let url = format!("/api{LICENSE}?token={}&CMCD=x", token(&playback));
    let request = house.post(&url, &json!({"kids": kids}));
    let answer = request.header("origin", "https://anywhere.example");
    let answer = answer.send().await.unwrap();
    let allowed = &answer.headers()["access-control-allow-origin"];
    assert_eq!(allowed, "https://anywhere.example");
    json(answer, 200).await;
    let asked = house
        .request(Method::OPTIONS, LICENSE)
        .header("origin", "https://anywhere.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let asked = asked.send().await.unwrap();
    assert_eq!(asked.status(), 200);
    let headers = &asked.headers()["access-control-allow-headers"];
    assert_eq!(headers, "authorization,content-type");
    // Other routes stay with the pages that the operator named.
    let other = house.request(Method::GET, "/v1/videos");
    let other = other.header("origin", "https://anywhere.example");
    let other = other.send().await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn without_a_token_or_with_one_that_is_none_there_is_no_licence() {
    let house = house().await;
    let kids = names(&film_keys(&house).await);
    let bare = house.post(LICENSE, &json!({"kids": kids})).send().await;
    problem(bare.unwrap(), 401, "license-token-needed").await;
    let playback = session(&house).await;
    let (good, renewal) = (token(&playback), &playback["drm"]["renewal"]["token"]);
    let (head, tag) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", B64.encode([7; 32]));
    let other = B64.encode(claims(good).to_string().replace("film", "filn"));
    let moved = format!("{}.{other}.{tag}", good.split('.').next().unwrap());
    for wrong in ["a.b.c", renewal.as_str().unwrap(), &forged, &moved] {
        refused(&house, wrong, &kids, "invalid").await;
    }
}

#[tokio::test]
async fn a_licence_ends_with_its_token_and_with_its_session() {
    let house = house().await;
    let kids = names(&film_keys(&house).await);
    let playback = session(&house).await;
    house.clock.advance(299);
    json(ask(&house, token(&playback), &kids).await, 200).await;
    house.clock.advance(1);
    refused(&house, token(&playback), &kids, "expired").await;
    let playback = session(&house).await;
    let beat = playback["heartbeat"]["url"].as_str().unwrap();
    let session = beat.strip_suffix("/heartbeat").unwrap();
    let stopped = house.request(Method::DELETE, session).send().await.unwrap();
    assert_eq!(stopped.status(), 204);
    refused(&house, token(&playback), &kids, "session-over").await;
    let renewal = &playback["drm"]["renewal"];
    let renewed = house.request(Method::POST, renewal["url"].as_str().unwrap());
    let renewed = renewed.bearer_auth(renewal["token"].as_str().unwrap());
    let over = problem(renewed.send().await.unwrap(), 403, "license-refused").await;
    assert_eq!(over["reason"], "session-over");
}

#[tokio::test]
async fn a_film_that_outlives_its_token_is_renewed_until_its_session_ends() {
    let house = house().await;
    let kids = names(&film_keys(&house).await);
    let mut drm = session(&house).await["drm"].take();
    let renew = async |drm: &Value| {
        let renewal = &drm["renewal"];
        let request = house.post(
            renewal["url"].as_str().unwrap(),
            &json!({"position_s": 7.5}),
        );
        let request = request.bearer_auth(renewal["token"].as_str().unwrap());
        request.send().await.unwrap()
    };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        house.clock.advance(600);
        let next = json(renew(&drm).await, 200).await;
        assert_eq!(next["license_url"], drm["license_url"]);
        drm = next;
        let token = drm["token"].as_str().unwrap();
        seen.insert(token.to_owned());
        json(ask(&house, token, &kids).await, 200).await;
    }
    assert_eq!(seen.len(), 20);
    house.clock.advance(4 * 3600);
    let over = problem(renew(&drm).await, 403, "license-refused").await;
    assert_eq!(over["reason"], "expired");
    let bare = house.request(Method::POST, "/v1/drm/token").send().await;
    problem(bare.unwrap(), 401, "license-token-needed").await;
}

#[tokio::test]
async fn a_token_is_for_its_film_and_for_a_few_licences() {
    let house = house().await;
    house.protected_film("other").await;
    let kids = names(&film_keys(&house).await);
    let others = names(&keys(&house, "other").await.periods[0].keys);
    let playback = session(&house).await;
    refused(&house, token(&playback), &others, "keys").await;
    let mixed = [&kids[..1], &others[..1]].concat();
    refused(&house, token(&playback), &mixed, "keys").await;
    for _ in 0..3 {
        json(ask(&house, token(&playback), &kids[..2]).await, 200).await;
    }
    refused(&house, token(&playback), &kids[..2], "used-up").await;
    json(ask(&house, token(&playback), &kids[2..]).await, 200).await;
    json(ask(&house, token(&session(&house).await), &kids).await, 200).await;
}

#[tokio::test]
async fn a_device_gets_no_key_that_it_must_not_have() {
    let house = House::with(|config, dir| {
        configure(config, dir);
        config.drm.policy.hdcp.hd = "1.4".to_owned();
        config.drm.policy.hdcp.uhd = "2.2".to_owned();
        config.drm.policy.robustness = "SW_SECURE_CRYPTO".to_owned();
    })
    .await;
    house.protected_film("film").await;
    let film = film_keys(&house).await;
    let weak = json!({"hdcp": "1.4", "drm": ["widevine", "clearkey"], "maker": "any"});
    let playback = start(&house, json!({"video_id": "film", "device": weak})).await;
    let said = claims(token(&playback));
    let policy = json!({"hdcp": "1.4", "robustness": "SW_SECURE_CRYPTO", "persist": false});
    assert_eq!(said["policy"], policy);
    assert_eq!(said["kids"].as_array().unwrap().len(), 3);
    let session = playback["session_id"].as_str().unwrap();
    assert_eq!(
        said["sid"],
        mark(&playback),
        "who reads it cannot act for the player"
    );
    assert!(!said.to_string().contains(session), "{said}");
    assert_eq!(
        (&said["aud"], &said["asset"]),
        (&"license".into(), &"film".into())
    );
    // All are asked for at once, as hls.js does: the one that it must not have is left out.
    let answer = json(ask(&house, token(&playback), &names(&film)).await, 200).await;
    assert_eq!(answer["keys"].as_array().unwrap().len(), 3);
    let uhd = film.iter().filter(|key| key.tracks == [TrackType::Uhd]);
    refused(&house, token(&playback), &names(uhd), "keys").await;
    let keep = json!({"kids": names(&film), "type": "persistent-license"});
    let keep = house.post(LICENSE, &keep).bearer_auth(token(&playback));
    let keep = problem(keep.send().await.unwrap(), 403, "license-refused").await;
    assert_eq!(keep["reason"], "persistence");
}

#[tokio::test]
async fn a_request_that_is_none_consumes_nothing() {
    let house = house().await;
    let kids = names(&film_keys(&house).await);
    let playback = session(&house).await;
    let send = async |body: Vec<u8>| {
        let request = house.request(Method::POST, LICENSE).body(body);
        let request = request.bearer_auth(token(&playback));
        request.send().await.unwrap()
    };
    let padded = format!("{}==", kids[0]);
    let oversize = vec![kids[0].clone(); 1000];
    for body in [
        json!({"kids": []}),
        json!({ "kids": [padded] }),
        json!({"kids": ["+//7//v/+//7//v/+//7/w=="]}),
        json!({ "kids": [&kids[0][..20]] }),
        json!({ "kids": oversize }),
        json!({"kids": kids, "type": "for-ever"}),
        json!(null),
    ] {
        let answer = send(body.to_string().into_bytes()).await;
        problem(answer, 400, "bad-request").await;
    }
    problem(send(vec![0xff; 8]).await, 400, "bad-request").await;
    problem(send(vec![b' '; 70_000]).await, 413, "too-large").await;
    refused(
        &house,
        token(&playback),
        &["AAAAAAAAAAAAAAAAAAAAAA".to_owned()],
        "keys",
    )
    .await;
    for _ in 0..3 {
        json(ask(&house, token(&playback), &kids).await, 200).await;
    }
}

#[tokio::test]
async fn a_wish_is_met_where_its_system_is_offered() {
    let house = house().await;
    for drm in ["widevine", "nonsense", ""] {
        let wish = json!({"video_id": "film", "drm": drm});
        let answer = house.post(START, &wish).send().await.unwrap();
        let answer = problem(answer, 403, "drm-not-offered").await;
        assert_eq!(answer["systems"], json!(["clearkey"]));
    }
    let sessions = house.counter("millrace_control_sessions_total").await;
    assert_eq!(sessions, 0);
    for wish in [
        json!({"video_id": "film"}),
        json!({"video_id": "film", "drm": "identity"}),
        json!({"video_id": "film", "device": {"drm": ["widevine", "seven"]}}),
    ] {
        let playback = start(&house, wish).await;
        assert_eq!(playback["drm"], Value::Null);
        let hls = playback["manifests"]["hls"].as_str().unwrap();
        assert!(hls.ends_with("/v/film/master.m3u8"), "{hls}");
        assert!(playback["manifests"]["hls_ts"].is_string());
    }
    let strict = House::with(|config, dir| {
        configure(config, dir);
        config.drm.systems = vec![System::ClearKey];
    })
    .await;
    strict.protected_film("film").await;
    let playback = session(&strict).await;
    assert!(playback["manifests"].get("hls_ts").is_none());
    let silent = start(&strict, json!({"video_id": "film"})).await;
    assert_eq!(
        silent["drm"]["type"], "clearkey",
        "it has the keys no other way"
    );
    let wish = json!({"video_id": "film", "drm": "identity"});
    let none = strict.post(START, &wish).send().await.unwrap();
    problem(none, 403, "drm-not-offered").await;
}

#[tokio::test]
async fn licences_may_be_given_elsewhere() {
    let elsewhere = House::with(|config, dir| {
        configure(config, dir);
        let url = "https://licences.example/ck".to_owned();
        config.drm.license_urls = [(System::ClearKey, url)].into();
    })
    .await;
    elsewhere.protected_film("film").await;
    let playback = session(&elsewhere).await;
    let url = &playback["drm"]["license_url"];
    assert_eq!(url, "https://licences.example/ck");
}

#[tokio::test]
async fn a_key_set_signs_for_whoever_verifies_with_its_public_part() {
    let house = House::with(|config, dir| {
        configure(config, dir);
        // The key pair of RFC 8037 §A.1.
        let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"e1","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        config.drm.license_keys = write(dir.path(), "license.jwks", set);
    })
    .await;
    house.protected_film("film").await;
    let playback = session(&house).await;
    let head = token(&playback).split('.').next().unwrap();
    let head: Value = serde_json::from_slice(&B64.decode(head).unwrap()).unwrap();
    assert_eq!(head, json!({"alg": "EdDSA", "kid": "e1", "typ": "JWT"}));
    let kids = names(&film_keys(&house).await);
    json(ask(&house, token(&playback), &kids).await, 200).await;
}

#[tokio::test]
async fn without_content_keys_there_are_no_licences() {
    let house = House::start().await;
    house.protected_film("film").await;
    let playback = session(&house).await;
    assert_eq!(playback["drm"], Value::Null);
    for path in [LICENSE, "/v1/drm/token"] {
        let none = house.post(path, &json!({})).send().await.unwrap();
        assert_eq!(none.status(), 404, "{path}");
    }
}

/// The key pair of RFC 8037 §A.1.
const PAIR: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#;

#[tokio::test]
async fn what_verifies_licence_tokens_is_published_and_a_new_key_signs_without_a_restart() {
    let secret = B64.encode([7; 32]);
    let old = format!(r#"{{"kty":"oct","kid":"a","k":"{secret}"}}"#);
    let mut path = String::new();
    let house = with(|config| {
        let folder = config.drm.keys_secret.strip_suffix("hop").unwrap();
        path = write(
            folder.as_ref(),
            "licences",
            &format!(r#"{{"keys":[{old}]}}"#),
        );
        config.drm.license_keys = path.clone();
    })
    .await;
    let jwks = async || {
        house
            .get("/.well-known/jwks.json")
            .await
            .text()
            .await
            .unwrap()
    };
    assert_eq!(jwks().await, r#"{"keys":[]}"#);
    let (before, kids) = (session(&house).await, film_kids(&house).await);
    let both = format!(r#"{{"keys":[{PAIR},{old}]}}"#);
    std::fs::write(format!("{path}.new"), both).unwrap();
    std::fs::rename(format!("{path}.new"), &path).unwrap();
    // The house looks every few seconds.
    let mut look = tokio::time::interval(std::time::Duration::from_millis(50));
    while !jwks().await.contains("11qYAYKx") {
        look.tick().await;
    }
    let told = jwks().await;
    assert!(!told.contains("nWGx") && !told.contains(&secret), "{told}");
    let after = session(&house).await;
    assert!(token(&after).starts_with(&B64.encode(r#"{"typ":"JWT","alg":"EdDSA""#)[..30]));
    for playback in [before, after] {
        json(ask(&house, token(&playback), &kids).await, 200).await;
    }
}
