//! A house in which nodes can enrol, and whoever has a token: spoken to over TLS, as nodes do it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contracts::fleet::JoinToken;
use control_plane::config::Config;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use reqwest::{Method, Response};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::house::{House, NOW, json};

/// A keyring with a key by which partners' edges verify, and one that they must not have.
const KEYS: &str = r#"{"keyring":[
    {"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/","/t/"],"nbf":0,"exp":4102444800},
    {"kid":"k2","ver":"m2","seed_hex":"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60","scope":["/v/","/t/"],"nbf":0,"exp":4102444800}]}"#;

/// A house in which nodes can enrol.
pub(crate) async fn house() -> House {
    with(|_| {}).await
}

pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> House {
    House::with(|config, dir| {
        std::fs::write(dir.path().join("keys.json"), KEYS).unwrap();
        config.fleet.listen = "127.0.0.1:0".to_owned();
        config.fleet.public = "https://127.0.0.1:7300".to_owned();
        config.fleet.authority = dir.path().join("authority").display().to_string();
        config.fleet.parents = vec!["https://shield.example".to_owned()];
        change(config);
    })
    .await
}

pub(crate) async fn invite(house: &House, wish: Value) -> Value {
    json(
        house.post("/v1/fleet/joins", &wish).send().await.unwrap(),
        201,
    )
    .await
}

/// The wish for a partner's node that cannot be probed.
pub(crate) fn wish(name: &str) -> Value {
    json!({"site": "isp-1", "name": name, "prefixes": ["192.0.2.0/24", "2001:db8::/32"], "probe": false})
}

/// Whoever has a token: a key of its own, and what it was given.
pub(crate) struct Somebody {
    pub(crate) base: String,
    roots: RootCertStore,
    pub(crate) token: JoinToken,
    pub(crate) key: KeyPair,
    pub(crate) certificate: Option<String>,
    now: u64,
}

impl Somebody {
    pub(crate) fn with(house: &House, made: &Value) -> Self {
        let token = JoinToken::parse(made["token"].as_str().unwrap()).unwrap();
        Self::of(house, token, &house.dir.path().join("authority"))
    }

    pub(crate) fn of(house: &House, token: JoinToken, authority: &Path) -> Self {
        let pem = std::fs::read(authority.join("authority.pem")).unwrap();
        let authority = CertificateDer::from_pem_slice(&pem).unwrap();
        assert_eq!(
            <[u8; 32]>::from(Sha256::digest(&authority)),
            token.authority
        );
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        Self {
            base: format!("https://{}", house.running.nodes.unwrap()),
            roots,
            token,
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            certificate: None,
            now: NOW,
        }
    }

    pub(crate) async fn enrolled(house: &House, name: &str) -> Self {
        let mut node = Self::with(house, &invite(house, wish(name)).await);
        let enrolled = json(node.enrol(&[]).await, 201).await;
        assert_eq!(enrolled["name"], name);
        node.takes(&enrolled);
        node
    }

    pub(crate) fn takes(&mut self, answer: &Value) {
        self.certificate = Some(answer["certificate"].as_str().unwrap().to_owned());
    }

    pub(crate) fn csr(&self) -> String {
        let wish = CertificateParams::new(vec!["whatever.example".to_owned()]).unwrap();
        wish.serialize_request(&self.key).unwrap().pem().unwrap()
    }

    pub(crate) fn client(&self) -> reqwest::Client {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let time = Arc::new(At(self.now));
        let config = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
                let chain = chain.map(Result::unwrap).collect();
                let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let client = runtime::http::client().tls_backend_preconfigured(config);
        client.no_proxy().build().unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Response> {
        let request = self
            .client()
            .request(method, format!("{}{path}", self.base));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.timeout(Duration::from_secs(20)).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.send(Method::POST, path, Some(body)).await.unwrap()
    }

    pub(crate) async fn enrol(&self, prefixes: &[&str]) -> Response {
        self.enrol_with(&self.csr(), prefixes).await
    }

    pub(crate) async fn enrol_with(&self, csr: &str, prefixes: &[&str]) -> Response {
        let announce =
            json!({"base": "https://edge.isp.example", "prefixes": prefixes, "capacity_bps": 1000});
        let body = json!({"secret": self.token.secret, "csr": csr, "announce": announce});
        self.post("/v1/fleet/enroll", body).await
    }

    pub(crate) async fn beat(&self, said: Value) -> Response {
        self.post("/v1/fleet/heartbeat", said).await
    }

    /// So many heartbeats, five seconds apart.
    pub(crate) async fn beats(&self, house: &House, count: u32) {
        for _ in 0..count {
            house.clock.advance(5);
            json(self.beat(json!({})).await, 200).await;
            // Each is written down before the next one comes.
            state(house, "none").await;
        }
    }
}

/// A clock that stands.
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("At")
    }
}

/// How a node stands, as operators see it; `Null` where there is none.
pub(crate) async fn state(house: &House, name: &str) -> Value {
    let nodes = json(house.get("/v1/fleet/nodes").await, 200).await;
    let nodes = nodes["nodes"].as_array().unwrap().clone();
    let found = nodes.into_iter().find(|node| node["name"] == name);
    found.map_or(Value::Null, |node| node["state"].clone())
}

/// Waits until something is so: routing looks at the catalogue by itself.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let looked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), looked).await;
    assert!(in_time.is_ok(), "{what}");
}
