//! What became of films: asked for, and told to a webhook in this process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::videos::Event;
use contracts::asset::Privacy;
use contracts::id::VideoId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use runtime::clock::Fixed;
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::drm::write;
use crate::house::{House, NOW, OPERATOR, json, problem};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

type Told = (HeaderMap, Bytes);

/// A webhook that answers with these statuses, then with 204, and hands on what it was told.
async fn webhook(statuses: &[u16]) -> (String, mpsc::UnboundedReceiver<Told>) {
    let (tell, told) = mpsc::unbounded_channel();
    let statuses: VecDeque<u16> = statuses.iter().copied().collect();
    let state = (tell, Arc::new(Mutex::new(statuses)));
    type Kept = (mpsc::UnboundedSender<Told>, Arc<Mutex<VecDeque<u16>>>);
    let answer = async |State((tell, statuses)): State<Kept>, headers: HeaderMap, body: Bytes| {
        let status = statuses.lock().unwrap().pop_front().unwrap_or(204);
        tell.send((headers, body)).unwrap();
        StatusCode::from_u16(status).unwrap()
    };
    let router = Router::new().fallback(answer).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    (format!("http://{address}/hook?for=us"), told)
}

async fn house(url: &str) -> House {
    House::with(|config, dir| {
        config.events.webhook = url.to_owned();
        config.events.webhook_secret = write(dir.path(), "webhook.secret", SECRET);
    })
    .await
}

async fn fail(house: &House, id: &str) {
    house.upload(id, Privacy::Public).await;
    let reason = "the file holds no picture".to_owned();
    let failed = Event::Failed { reason };
    let id = VideoId::parse(id).unwrap();
    house.catalog.videos.advance(&id, failed).await.unwrap();
}

/// Another control plane over the same catalogue, with this webhook.
async fn another(dir: &TempDir, clock: &Arc<Fixed>, url: String) -> control_plane::Running {
    let config = control_plane::config::Config {
        listen: "127.0.0.1:0".into(),
        internal: "127.0.0.1:0".into(),
        catalog: format!("sqlite://{}", dir.path().join("catalog.db").display()).into(),
        events: control_plane::config::EventsConfig {
            webhook: url,
            webhook_secret: write(dir.path(), "webhook.secret", SECRET),
        },
        ..control_plane::config::Config::default()
    };
    let settings = config.check().unwrap();
    control_plane::start(settings, Arc::<Fixed>::clone(clock))
        .await
        .unwrap()
}

/// What an event says, once its signature was found to be right.
fn read((headers, body): &Told) -> Value {
    let field = |name: &str| headers[name].to_str().unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&(0..32).collect::<Vec<u8>>()).unwrap();
    mac.update(format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).as_bytes());
    mac.update(body);
    let signed = STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(field("webhook-signature"), format!("v1,{signed}"));
    assert_eq!(field("webhook-timestamp"), NOW.to_string());
    let event: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(field("webhook-id"), event["id"].to_string());
    event
}

#[tokio::test]
async fn what_became_of_films_is_told_in_order_from_wherever_one_was() {
    let house = House::start().await;
    house.film("film1", Privacy::Private).await;
    fail(&house, "film2").await;
    let page = async |query: &str| json(house.get(&format!("/v1/events{query}")).await, 200).await;
    let all = page("").await;
    assert_eq!(all["next"], Value::Null);
    let events = all["events"].as_array().unwrap();
    let id = |at: usize| events[at]["id"].as_u64().unwrap();
    assert!(id(0) >= NOW * 1000 && id(0) < id(1));
    assert_eq!(
        events[0],
        json!({"id": id(0), "type": "video-ready", "video_id": "film1", "title": "Film <film1>", "at_unix_s": NOW, "duration_s": 10.001})
    );
    assert_eq!(
        events[1],
        json!({"id": id(1), "type": "video-failed", "video_id": "film2", "title": "Film <film2>", "at_unix_s": NOW, "reason": "the file holds no picture"})
    );
    let first = page("?limit=1").await;
    assert_eq!(first["events"].as_array().unwrap(), &events[..1]);
    assert_eq!(first["next"], id(0).to_string());
    let rest = page(&format!("?next={}", id(0))).await;
    assert_eq!(rest["events"].as_array().unwrap(), &events[1..]);
    assert_eq!(page(&format!("?next={}", id(1))).await["events"], json!([]));
    let refused = house.get("/v1/events?next=first").await;
    problem(refused, 400, "bad-request").await;
}

#[tokio::test]
async fn events_are_for_those_who_may_see_every_film() {
    let house = House::guarded().await;
    house.film("film1", Privacy::Public).await;
    problem(house.get("/v1/events").await, 401, "unauthorized").await;
    let asked = house
        .request(Method::GET, "/v1/events")
        .bearer_auth(OPERATOR);
    let all = json(asked.send().await.unwrap(), 200).await;
    assert_eq!(all["events"][0]["video_id"], "film1");
}

#[tokio::test]
async fn the_webhook_is_told_each_event_signed_and_in_order_until_it_takes_it() {
    let (url, mut told) = webhook(&[204, 500]).await;
    let house = house(&url).await;
    house.film("film1", Privacy::Public).await;
    fail(&house, "film2").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(read(&told.recv().await.unwrap()));
    }
    let short = |event: &Value| (event["type"].clone(), event["video_id"].clone());
    assert_eq!(short(&seen[0]), (json!("video-ready"), json!("film1")));
    assert_eq!(short(&seen[1]), (json!("video-failed"), json!("film2")));
    assert_eq!(seen[2], seen[1], "what was not taken is told again");
    let asked = json(house.get("/v1/events").await, 200).await;
    assert_eq!(asked["events"].as_array().unwrap(), &seen[..2]);
}

#[tokio::test]
async fn a_webhook_that_is_named_late_is_told_what_is_new() {
    let (url, mut told) = webhook(&[]).await;
    let house = House::start().await;
    for film in ["film1", "film2", "film3"] {
        house.film(film, Privacy::Public).await;
    }
    house.clock.advance(3 * 86_400 + 1);
    fail(&house, "film4").await;
    let next = another(&house.dir, &house.clock, url).await;
    let event: Value = serde_json::from_slice(&told.recv().await.unwrap().1).unwrap();
    assert_eq!(event["video_id"], "film4");
    let metrics = format!("http://{}/metrics", next.internal);
    let metrics = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("{outcome=\"passed\"} 3"), "{metrics}");
    next.stop().await;
}

#[tokio::test]
async fn who_comes_after_goes_on_where_the_webhook_was_left() {
    let (url, mut told) = webhook(&[204, 500]).await;
    let house = house(&url).await;
    house.film("film1", Privacy::Public).await;
    fail(&house, "film2").await;
    told.recv().await.unwrap();
    let refused = read(&told.recv().await.unwrap());
    house.running.stop().await;

    let next = another(&house.dir, &house.clock, url).await;
    let again = read(&told.recv().await.unwrap());
    assert_eq!(
        again, refused,
        "the one that was not taken, and none before it"
    );
    next.stop().await;
}

#[test]
fn a_webhook_needs_a_secret_and_an_address() {
    let faults = |webhook: &str, secret: &str| {
        let config = control_plane::config::Config {
            events: control_plane::config::EventsConfig {
                webhook: webhook.to_owned(),
                webhook_secret: secret.to_owned(),
            },
            ..control_plane::config::Config::default()
        };
        let faults = config.check().err().unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| fault.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(faults("https://cms.example/hook", "/etc/secret"), [""; 0]);
    assert_eq!(
        faults("https://cms.example/hook", ""),
        ["events.webhook_secret"]
    );
    assert_eq!(faults("cms.example", "/etc/secret"), ["events.webhook"]);
    assert_eq!(
        faults("file:///etc/passwd", "/etc/secret"),
        ["events.webhook"]
    );
}
