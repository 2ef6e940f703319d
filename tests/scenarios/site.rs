//! A site without edges: a control plane whose every route is open, and an ingest, as processes of their own.

use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use catalog::Catalog;
use catalog::videos::{Event, NewVideo};
use contracts::asset::Privacy;
use contracts::id::VideoId;
use reqwest::Method;
use runtime::clock::System;
use serde_json::Value;
use tempfile::TempDir;

use crate::role::Role;

/// What the operator shows.
pub(crate) const OPERATOR: &str = "an-operator-key-of-some-length";
/// What edges show.
pub(crate) const HOP: &str = "a-credential-of-the-tiers";
/// What origins show to get content keys.
pub(crate) const ORIGIN: &str = "a-credential-of-the-origins";
/// Files with keys under which content keys may be sealed.
pub(crate) const KEKS: [&str; 2] = ["kek", "next-kek"];
/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The files of a site, and what is told to each of its processes.
pub(crate) struct Site {
    folder: TempDir,
    catalog: String,
    pub(crate) http: reqwest::Client,
    /// How often it was asked.
    asked: AtomicU32,
}

impl Site {
    /// A site with its catalogue in a file.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = format!("sqlite://{}", folder.path().join("catalog.db").display());
        Self::on(folder, catalog)
    }

    /// A site with its catalogue on a server.
    pub(crate) fn on_server(catalog: String) -> Self {
        Self::on(tempfile::tempdir().unwrap(), catalog)
    }

    fn on(folder: TempDir, catalog: String) -> Self {
        let http = runtime::http::client()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let site = Self {
            folder,
            catalog,
            http,
            asked: AtomicU32::new(0),
        };
        let secrets = [
            ("keys.json", KEYS),
            ("operator.key", OPERATOR),
            ("token.key", TOKENS),
            (KEKS[0], SEALING),
            (KEKS[1], RESEALING),
            ("hop", HOP),
            ("origin", ORIGIN),
        ];
        for (name, text) in secrets {
            std::fs::write(site.path(name), text).unwrap();
        }
        for folder in ["store", "work"] {
            std::fs::create_dir(site.path(folder)).unwrap();
        }
        site
    }

    /// A place in the site's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the control plane, which logs everything into `control.log`.
    pub(crate) fn control(&self) -> Role {
        self.control_as("control", &KEKS[..1])
    }

    /// Starts a control plane of a name, which seals content keys with the first of these [`KEKS`].
    pub(crate) fn control_as(&self, name: &str, keks: &[&str]) -> Role {
        let dir = self.folder.path().display();
        let keks: Vec<String> = keks.iter().map(|kek| format!("{dir}/{kek}")).collect();
        let config = format!(
            r#"
            listen = "127.0.0.1:0"
            internal = "127.0.0.1:0"
            catalog = "{catalog}"
            keys = "{dir}/keys.json"
            operator_key = "{dir}/operator.key"
            trusted_hops = ["127.0.0.0/8"]
            edges = [{{ name = "edge-1", base = "https://127.0.0.1:9" }}, {{ name = "edge-2", base = "https://127.0.0.2:9" }}]
            [accounts]
            token_keys = ["{dir}/token.key"]
            sign_up = "anybody"
            access_ttl = "1h"
            key_rate = 100000
            [playback]
            streams = 1000
            lease = "1h"
            [fleet]
            hop_secrets = ["{dir}/hop"]
            listen = "127.0.0.1:0"
            public = "https://127.0.0.1:7300"
            authority = "{dir}/authority"
            parents = ["https://127.0.0.1:9"]
            [telemetry]
            log = "file://{dir}/{name}-events"
            [drm]
            key_encryption_key = {keks:?}
            keys_secret = "{dir}/origin"
            systems = ["clearkey", "widevine"]
            [drm.widevine]
            url = "https://127.0.0.1:9/licences"
            "#,
            catalog = self.catalog,
        );
        self.role(("control", name), &config)
    }

    /// Starts an ingest, which logs everything into `ingest.log`.
    pub(crate) fn ingest(&self) -> Role {
        let dir = self.folder.path().display();
        let config = format!(
            r#"
            listen = "127.0.0.1:0"
            internal = "127.0.0.1:0"
            store = "file://{dir}/store"
            catalog = "{catalog}"
            work = "{dir}/work"
            operator_key = "{dir}/operator.key"
            workers = 0
            "#,
            catalog = self.catalog,
        );
        self.role(("ingest", "ingest"), &config)
    }

    fn role(&self, (role, name): (&str, &str), config: &str) -> Role {
        let file = self.path(&format!("{name}.toml"));
        std::fs::write(&file, config).unwrap();
        Role::logging(role, &file, self.log(name))
    }

    fn log(&self, name: &str) -> File {
        let path = self.path(&format!("{name}.log"));
        let mut log = OpenOptions::new();
        log.create(true).append(true).open(path).unwrap()
    }

    /// The site's catalogue, opened beside its processes.
    pub(crate) async fn catalog(&self) -> Catalog {
        let clock = Arc::new(System);
        catalog::open(&self.catalog, clock).await.unwrap()
    }

    /// What knows a control plane at the listener of nodes, by the fleet's authority.
    pub(crate) fn at_door(&self) -> reqwest::ClientBuilder {
        let authority = std::fs::read(self.path("authority/authority.pem")).unwrap();
        let authority = reqwest::Certificate::from_pem(&authority).unwrap();
        runtime::http::client().tls_certs_only([authority])
    }

    /// What the API of a process answers to the operator, or whoever `shown` is of: its status and its JSON. None when
    /// it does not answer, or not to the end.
    pub(crate) async fn ask(
        &self,
        to: (Method, String),
        shown: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        self.ask_by(&self.http, to, shown, body).await
    }

    /// The same, by another client than the site's own.
    pub(crate) async fn ask_by(
        &self,
        http: &reqwest::Client,
        (method, url): (Method, String),
        shown: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        // Everybody is somebody else, as far as limits go.
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let from = Ipv4Addr::from(0x0a00_0000 + number);
        let request = http.request(method, url).bearer_auth(shown);
        let request = request.header("millrace-client-ip", from.to_string());
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&text).unwrap_or_default()))
    }

    /// What is answered to a POST that must succeed.
    pub(crate) async fn made(&self, url: String, shown: &str, body: &Value) -> Value {
        let shown_url = url.clone();
        let answer = self.ask((Method::POST, url), shown, body).await;
        let (status, told) = answer.unwrap_or_default();
        assert!((200..300).contains(&status), "{shown_url}: {status} {told}");
        told
    }
}

/// Puts a film into a catalogue, of ten seconds, that can be watched.
pub(crate) async fn film(catalog: &Catalog, id: &str, privacy: Privacy, protected: bool) {
    let id = VideoId::parse(id).unwrap();
    let new = NewVideo {
        id: id.clone(),
        title: format!("Film {id}"),
        privacy,
        protected,
    };
    catalog.videos.create(new).await.unwrap();
    let published = Event::Published {
        duration_ms: 10_001,
    };
    for event in [Event::Uploaded, published] {
        catalog.videos.advance(&id, event).await.unwrap();
    }
}

/// The keyring, with a key by which nodes that enrol verify; the key of access tokens; the keys under which content keys
/// are sealed.
pub(crate) const KEYS: &str = r#"{"keyring":[
    {"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/","/t/"],"nbf":0,"exp":4102444800},
    {"kid":"k2","ver":"m2","seed_hex":"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60","scope":["/v/","/t/"],"nbf":0,"exp":4102444800}]}"#;
pub(crate) const TOKENS: &str = "4f1c9a7a50d14b8f8d2f5f0d8a4e6b1cfa3aa0cc61c2d9e7";
pub(crate) const SEALING: &str = "7d3b1f20c6a94e58b0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7";
const RESEALING: &str = "0b6e9d4c2a8f7351e0d9c8b7a6f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3";
