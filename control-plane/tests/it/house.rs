//! A control plane on a free port, its catalogue opened a second time as ingest would, and a client.

use std::sync::Arc;

use catalog::Catalog;
use catalog::videos::{Event, NewVideo};
use contracts::asset::Privacy;
use contracts::feed::{Entry, Order};
use contracts::id::{SessionId, VideoId};
use contracts::revocation::Revoked;
use contracts::time::UnixSeconds;
use contracts::token::{Accepted, KeyRing, Request, verify};
use control_plane::config::{Config, Edge};
use reqwest::{Method, RequestBuilder, Response};
use runtime::clock::Fixed;
use serde_json::Value;
use tempfile::TempDir;

/// When the tests take place.
pub(crate) const NOW: u64 = 1_800_000_000;
/// What operators show where a test wants a key.
pub(crate) const OPERATOR: &str = "an-operator-key-of-some-length";
/// The keyring that the control plane signs with at first.
pub(crate) const KEYS: &str = r#"{"keyring":[{"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/","/t/"],"nbf":0,"exp":4102444800}]}"#;

pub(crate) struct House {
    pub(crate) running: control_plane::Running,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<Fixed>,
    pub(crate) dir: TempDir,
    client: reqwest::Client,
}

impl House {
    /// A house with two edges and without an operator key.
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    /// A house with an operator key.
    pub(crate) async fn guarded() -> Self {
        Self::with(|config, dir| {
            let path = dir.path().join("operator.key");
            std::fs::write(&path, format!("{OPERATOR}\n")).unwrap();
            config.operator_key = path.display().to_string();
        })
        .await
    }

    /// A house with a configuration of its own.
    pub(crate) async fn with(change: impl FnOnce(&mut Config, &TempDir)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("keys.json"), KEYS).unwrap();
        let edge = |name: &str, port| Edge {
            name: name.into(),
            base: format!("https://127.0.0.1:{port}"),
            ..Edge::default()
        };
        let mut config = Config {
            listen: "127.0.0.1:0".into(),
            internal: "127.0.0.1:0".into(),
            catalog: format!("sqlite://{}", dir.path().join("catalog.db").display()).into(),
            keys: dir.path().join("keys.json").display().to_string(),
            ingest_base: "http://127.0.0.1:7777".into(),
            edges: vec![edge("edge-1", 8443), edge("edge-2", 8444)],
            ..Config::default()
        };
        change(&mut config, &dir);
        let clock = Arc::new(Fixed::at(UnixSeconds(NOW)));
        let catalog = catalog::open(&config.catalog, Arc::clone(&clock) as _)
            .await
            .unwrap();
        let running = control_plane::start(config.check().unwrap(), Arc::clone(&clock) as _)
            .await
            .unwrap();
        Self {
            running,
            catalog,
            clock,
            dir,
            client: runtime::http::client().build().unwrap(),
        }
    }

    /// A film of ten seconds that can be watched.
    pub(crate) async fn film(&self, id: &str, privacy: Privacy) {
        self.upload(id, privacy).await;
        self.publish(id).await;
    }

    /// A protected film of ten seconds that can be watched.
    pub(crate) async fn protected_film(&self, id: &str) {
        self.protected(id).await;
        self.publish(id).await;
    }

    async fn publish(&self, id: &str) {
        let id = VideoId::parse(id).unwrap();
        let videos = &self.catalog.videos;
        videos.advance(&id, Event::Uploaded).await.unwrap();
        let published = Event::Published {
            duration_ms: 10_001,
        };
        videos.advance(&id, published).await.unwrap();
    }

    /// A film whose upload has begun.
    pub(crate) async fn upload(&self, id: &str, privacy: Privacy) {
        self.begin(id, privacy, false).await;
    }

    /// A protected film whose upload has begun.
    pub(crate) async fn protected(&self, id: &str) {
        self.begin(id, Privacy::Public, true).await;
    }

    async fn begin(&self, id: &str, privacy: Privacy, protected: bool) {
        let new = NewVideo {
            id: VideoId::parse(id).unwrap(),
            title: format!("Film <{id}>"),
            privacy,
            protected,
        };
        self.catalog.videos.create(new).await.unwrap();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with('/') {
            format!("http://{}{path}", self.running.listen)
        } else {
            path.to_owned()
        };
        self.client.request(method, url)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// The marks of the sessions that edges were ordered to refuse, with until when, oldest first.
    pub(crate) async fn revoked(&self) -> Vec<(String, u64)> {
        let page = self.catalog.feed.after(0, UnixSeconds(NOW)).await.unwrap();
        let session = |entry: &Entry| match &entry.order {
            Order::Revoke(revocation) => match &revocation.what {
                Revoked::Session(id) => Some((id.to_string(), revocation.until.0)),
                _ => None,
            },
            _ => None,
        };
        let gap = page.gap.map(|gap| gap.revocations.len());
        assert_eq!(gap.unwrap_or(0), 0, "all orders are told one by one");
        page.entries.iter().filter_map(session).collect()
    }

    /// What the internal port says of a counter.
    pub(crate) async fn counter(&self, line: &str) -> u64 {
        let url = format!("http://{}/metrics", self.running.internal);
        let text = self.get(&url).await.text().await.unwrap();
        let value = text.lines().find_map(|have| have.strip_prefix(line));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }
}

/// The JSON of an answer that has this status.
pub(crate) async fn json(response: Response, status: u16) -> Value {
    let have = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(have, status, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A refusal: its kind and the whole of it.
pub(crate) async fn problem(response: Response, status: u16, kind: &str) -> Value {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(response.headers()["cache-control"], "no-store");
    let problem = json(response, status).await;
    assert_eq!(problem["type"], format!("urn:millrace:{kind}"), "{problem}");
    assert_eq!(problem["status"], status);
    for member in ["title", "detail"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
    }
    problem
}

/// What edges and logs are told of a session that has begun.
pub(crate) fn mark(playback: &Value) -> String {
    let id = SessionId::parse(playback["session_id"].as_str().unwrap()).unwrap();
    id.mark().to_string()
}

/// The base of a URL and its target, token and query included.
pub(crate) fn split(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, target) = rest.split_once('/').unwrap();
    (format!("{scheme}://{host}"), format!("/{target}"))
}

/// What an edge with the keys would say to a URL at an instant.
pub(crate) fn at_the_edge(keys: &str, url: &str, now: u64) -> Result<Accepted, &'static str> {
    let ring = KeyRing::from_json(keys).unwrap();
    let target = split(url).1;
    let request = Request::new(&target, UnixSeconds(now));
    verify(&ring, &request).map_err(contracts::reason::Reason::code)
}
