//! Licences of vendors' systems, against a fake of a vendor in this process: no licence service of Widevine, PlayReady
//! or FairPlay ever answered these tests.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use contracts::keys::{KeyId, System};
use control_plane::config::{Adapter, VendorConfig};
use packager::protect::signalling::guid;
use reqwest::Method;
use serde_json::{Value, json};

use crate::drm::{HOP, keys, write};
use crate::house::{House, json, problem};

const GIVEN: &str = r#"millrace_control_licenses_total{system="widevine"}"#;

/// What a vendor was asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(Uri, HeaderMap, Bytes)>>>);

impl Asked {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last(&self) -> (Uri, HeaderMap, Bytes) {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

/// A vendor that says by its path how it answers.
async fn vendor() -> (String, Asked) {
    let asked = Asked::default();
    let answer = async |State(asked): State<Asked>, uri: Uri, headers: HeaderMap, body: Bytes| {
        let path = uri.path().to_owned();
        asked.0.lock().unwrap().push((uri, headers, body));
        match path.as_str() {
            "/refuses" => (StatusCode::FORBIDDEN, "device revoked").into_response(),
            "/redirects" => {
                (StatusCode::FOUND, [("location", "http://127.0.0.1:9/")]).into_response()
            }
            "/floods" => vec![0; 70_000].into_response(),
            "/sleeps" => std::future::pending::<Response>().await,
            _ => (
                [("content-type", "x-test/licence")],
                &b"\x00licence\xff"[..],
            )
                .into_response(),
        }
    };
    let router = Router::new().fallback(answer).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    (format!("http://{address}"), asked)
}

/// A house whose vendors are these, with a protected film.
async fn house(vendors: Vec<(System, VendorConfig)>) -> House {
    let house = House::with(|config, dir| {
        config.drm.key_encryption_key = vec![write(dir.path(), "kek", &"5a".repeat(32))];
        config.drm.keys_secret = write(dir.path(), "hop", HOP);
        config.drm.systems = vendors.iter().map(|(system, _)| *system).collect();
        for (system, mut vendor) in vendors {
            if !vendor.secret_file.is_empty() {
                vendor.secret_file = write(dir.path(), "vendor.secret", &vendor.secret_file);
            }
            match system {
                System::Widevine => config.drm.widevine = vendor,
                System::PlayReady => config.drm.playready = vendor,
                _ => config.drm.fairplay = vendor,
            }
        }
    })
    .await;
    house.protected_film("film").await;
    house
}

fn at(url: String) -> VendorConfig {
    VendorConfig {
        url,
        ..VendorConfig::default()
    }
}

async fn start(house: &House, drm: &str) -> Value {
    let wish = json!({"video_id": "film", "drm": drm});
    let started = house.post("/v1/playback/start", &wish).send().await;
    json(started.unwrap(), 201).await["drm"].take()
}

async fn ask(house: &House, drm: &Value, body: Vec<u8>) -> reqwest::Response {
    let request = house.request(Method::POST, drm["license_url"].as_str().unwrap());
    let request = request.bearer_auth(drm["token"].as_str().unwrap());
    request.body(body).send().await.unwrap()
}

async fn film_kids(house: &House) -> Vec<KeyId> {
    let film = keys(house, "film").await;
    film.periods[0].keys.iter().map(|key| key.kid).collect()
}

/// A Widevine challenge, not signed by any device.
fn widevine(kids: &[KeyId]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend(bytes);
        out
    };
    let data: Vec<u8> = kids.iter().flat_map(|kid| field(2, &kid.0)).collect();
    let content = field(1, &field(1, &data));
    [vec![0x08, 0x01], field(2, &field(2, &content))].concat()
}

fn playready(kid: KeyId) -> Vec<u8> {
    let kid = STANDARD.encode(guid(kid));
    format!("<Envelope><Body><LA><ContentHeader><WRMHEADER><DATA><KID>{kid}</KID></DATA></WRMHEADER></ContentHeader></LA></Body></Envelope>").into_bytes()
}

/// What stands in a JWT, whoever signed it.
fn inside(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&B64.decode(body).unwrap()).unwrap()
}

#[tokio::test]
async fn a_widevine_challenge_goes_to_the_vendor_as_it_is_and_its_answer_comes_back_so() {
    let (url, asked) = vendor().await;
    let axinom = VendorConfig {
        adapter: Adapter::Axinom,
        key_id: "c0ffee00-0000-4000-8000-000000000000".to_owned(),
        secret_file: STANDARD.encode([9; 32]),
        ..at(format!("{url}/wv?x=1"))
    };
    let house = house(vec![(System::Widevine, axinom)]).await;
    let kids = film_kids(&house).await;
    let drm = start(&house, "widevine").await;
    assert_eq!(drm["type"], "widevine");
    let challenge = widevine(&kids[..2]);
    let answer = ask(&house, &drm, challenge.clone()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "x-test/licence");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.bytes().await.unwrap(), &b"\x00licence\xff"[..]);
    let (uri, headers, body) = asked.last();
    assert_eq!(
        (uri.to_string().as_str(), body),
        ("/wv?x=1", challenge.into())
    );
    assert!(!headers.contains_key("authorization"));
    let message = inside(headers["x-axdrm-message"].to_str().unwrap());
    let named = &message["message"]["content_keys_source"]["inline"];
    assert_eq!(named.as_array().unwrap().len(), kids.len());
}

#[tokio::test]
async fn what_the_token_does_not_name_never_reaches_the_vendor() {
    let (url, asked) = vendor().await;
    let house = house(vec![
        (System::Widevine, at(format!("{url}/wv"))),
        (System::PlayReady, at(format!("{url}/pr"))),
    ])
    .await;
    house.protected_film("other").await;
    let kids = film_kids(&house).await;
    let foreign = keys(&house, "other").await.periods[0].keys[0].kid;
    let wv = start(&house, "widevine").await;
    let pr = start(&house, "playready").await;
    for (drm, body) in [
        (&wv, widevine(&[kids[0], foreign])),
        (&wv, widevine(&[foreign])),
        (&pr, playready(foreign)),
    ] {
        let refused = problem(ask(&house, drm, body).await, 403, "license-refused").await;
        assert_eq!(refused["reason"], "keys");
    }
    for (drm, body) in [
        (&wv, Vec::new()),
        (&wv, vec![0x08, 0x01]),
        (&wv, playready(kids[0])),
        (&pr, widevine(&kids[..1])),
        (&pr, b"<WRMHEADER></WRMHEADER>".to_vec()),
    ] {
        problem(ask(&house, drm, body).await, 400, "bad-request").await;
    }
    problem(ask(&house, &wv, vec![8; 70_000]).await, 413, "too-large").await;
    // A token of one system is none for another.
    let crossed = json!({"license_url": pr["license_url"], "token": wv["token"]});
    let crossed = ask(&house, &crossed, playready(kids[0])).await;
    let crossed = problem(crossed, 403, "license-refused").await;
    assert_eq!(crossed["reason"], "system");
    assert_eq!(asked.count(), 0);
    for _ in 0..3 {
        let answer = ask(&house, &pr, playready(kids[0])).await;
        assert_eq!(answer.status(), 200);
    }
    let used = ask(&house, &pr, playready(kids[0])).await;
    let used = problem(used, 403, "license-refused").await;
    assert_eq!(
        (used["reason"].as_str(), asked.count()),
        (Some("used-up"), 3)
    );
}

#[tokio::test]
async fn the_service_certificate_is_fetched_with_a_token_and_consumes_nothing() {
    let (url, asked) = vendor().await;
    let house = house(vec![(System::Widevine, at(url))]).await;
    let kids = film_kids(&house).await;
    let drm = start(&house, "widevine").await;
    let bare = house.request(Method::POST, "/v1/drm/widevine/license");
    let bare = bare.body(vec![0x08, 0x04]).send().await.unwrap();
    problem(bare, 401, "license-token-needed").await;
    for _ in 0..10 {
        let answer = ask(&house, &drm, vec![0x08, 0x04]).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(asked.last().2, &[0x08, 0x04][..]);
    for _ in 0..3 {
        assert_eq!(ask(&house, &drm, widevine(&kids)).await.status(), 200);
    }
    let used = ask(&house, &drm, widevine(&kids)).await;
    problem(used, 403, "license-refused").await;
    assert_eq!(house.counter(GIVEN).await, 3);
}

#[tokio::test]
async fn each_vendor_is_told_in_its_own_way() {
    let (url, asked) = vendor().await;
    let custom = VendorConfig {
        adapter: Adapter::CustomData,
        key_id: "merchant".to_owned(),
        ..at(format!("{url}/wv"))
    };
    let header = VendorConfig {
        adapter: Adapter::Header,
        name: "x-key".to_owned(),
        secret_file: "a secret".to_owned(),
        ..at(format!("{url}/pr"))
    };
    let house = house(vec![
        (System::Widevine, custom),
        (System::PlayReady, header),
    ])
    .await;
    let kids = film_kids(&house).await;
    let drm = start(&house, "widevine").await;
    ask(&house, &drm, widevine(&kids)).await;
    let (_, headers, _) = asked.last();
    let said = STANDARD
        .decode(headers["x-dt-custom-data"].as_bytes())
        .unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(
        (&said["merchant"], &said["assetId"]),
        (&"merchant".into(), &"film".into())
    );
    let drm = start(&house, "playready").await;
    let request = house.request(Method::POST, drm["license_url"].as_str().unwrap());
    let request = request
        .bearer_auth(drm["token"].as_str().unwrap())
        .header("content-type", "text/xml; charset=utf-8")
        .header(
            "soapaction",
            "\"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense\"",
        )
        .header("cookie", "private=1");
    // Bytes that a reader of XML would write otherwise.
    let mut challenge = b"<?xml version='1.0'?>\r\n<!-- signed -->\t".to_vec();
    challenge.extend(playready(kids[0]));
    let answer = request.body(challenge.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), &b"\x00licence\xff"[..]);
    let (_, headers, body) = asked.last();
    assert_eq!(body, challenge);
    assert_eq!(headers["x-key"], "a secret");
    assert_eq!(headers["content-type"], "text/xml; charset=utf-8");
    assert!(
        headers["soapaction"]
            .to_str()
            .unwrap()
            .ends_with("AcquireLicense\"")
    );
    assert!(!headers.contains_key("cookie"));
}

#[tokio::test]
async fn fairplay_goes_by_the_film_of_the_token_and_tells_where_the_certificate_is() {
    let (url, asked) = vendor().await;
    let fairplay = VendorConfig {
        adapter: Adapter::Query,
        name: "key".to_owned(),
        secret_file: "a/b".to_owned(),
        certificate_url: "https://vendor.example/fps.cer".to_owned(),
        ..at(format!("{url}/fps"))
    };
    let house = house(vec![(System::FairPlay, fairplay)]).await;
    let drm = start(&house, "fairplay").await;
    assert_eq!(drm["certificate_url"], "https://vendor.example/fps.cer");
    let spc = vec![0, 1, 2, 255];
    assert_eq!(ask(&house, &drm, spc.clone()).await.status(), 200);
    let (uri, _, body) = asked.last();
    assert_eq!(
        (uri.to_string().as_str(), body),
        ("/fps?key=a%2Fb", spc.into())
    );
    problem(ask(&house, &drm, Vec::new()).await, 400, "bad-request").await;
    // Four keys, three times each.
    for _ in 1..12 {
        assert_eq!(ask(&house, &drm, vec![1]).await.status(), 200);
    }
    let used = problem(ask(&house, &drm, vec![1]).await, 403, "license-refused").await;
    assert_eq!(used["reason"], "used-up");
}

#[tokio::test]
async fn what_a_vendor_says_is_passed_on_and_what_it_does_wrong_is_told() {
    let (url, _) = vendor().await;
    let gone = "http://127.0.0.1:1/".to_owned();
    for (url, status, kind) in [
        (format!("{url}/redirects"), 502, "license-server-failed"),
        (format!("{url}/floods"), 502, "license-server-failed"),
        (format!("{url}/sleeps"), 504, "license-server-slow"),
        (gone, 502, "license-server-failed"),
    ] {
        let house = house(vec![(System::Widevine, at(url))]).await;
        let kids = film_kids(&house).await;
        let drm = start(&house, "widevine").await;
        problem(ask(&house, &drm, widevine(&kids)).await, status, kind).await;
        assert_eq!(house.counter(GIVEN).await, 0);
    }
    let house = house(vec![(System::Widevine, at(format!("{url}/refuses")))]).await;
    let kids = film_kids(&house).await;
    let drm = start(&house, "widevine").await;
    let answer = ask(&house, &drm, widevine(&kids)).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.text().await.unwrap(), "device revoked");
    assert_eq!(house.counter(GIVEN).await, 0);
    let other = house.request(Method::POST, "/v1/drm/playready/license");
    let other = problem(other.send().await.unwrap(), 403, "drm-not-offered").await;
    assert_eq!(other["systems"], json!(["widevine"]));
}
