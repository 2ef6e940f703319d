//! A scripted control plane: an authority, and a listener over TLS that nodes join at.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use axum::{Json, Router};
use contracts::fleet::{
    self, Enrol, Enrolled, Heartbeat, JoinSecret, JoinToken, Orders, Origin, Renew, Renewed,
    Settings,
};
use contracts::id::NodeId;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The control plane of a test.
pub struct Control {
    pub origin: Origin,
    pub script: Arc<Script>,
    task: tokio::task::JoinHandle<()>,
}

/// What it is to answer, and what it was asked.
pub struct Script {
    issuer: CertifiedIssuer<'static, KeyPair>,
    secret: JoinSecret,
    used: Mutex<HashSet<String>>,
    pub settings: Mutex<Settings>,
    /// How long certificates last, for how long they have lasted when they are given.
    pub life: Mutex<(Duration, Duration)>,
    /// What a heartbeat is refused with: status, kind, why.
    pub refusal: Mutex<Option<(u16, &'static str, &'static str)>>,
    pub drain: Mutex<bool>,
    /// Why nobody is sent to the node.
    pub unreached: Mutex<Option<String>>,
    /// Heartbeats, each with the digest of the certificate that its connection has shown.
    pub beats: watch::Sender<Vec<(Heartbeat, [u8; 32])>>,
    pub certificates: watch::Sender<usize>,
}

type Refusal = (StatusCode, Json<Value>);

impl Control {
    pub async fn start(settings: impl FnOnce(&mut Settings)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = Origin::parse(&format!("https://localhost:{}", address.port())).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut wished = Settings {
            version: String::new(),
            control: origin.clone(),
            parents: vec![Origin::parse("http://127.0.0.1:1").unwrap()],
            parents_trust: String::new(),
            zone: "millrace".to_owned(),
            keyring: r#"{"keyring":[]}"#.to_owned(),
            fallbacks: Vec::new(),
            public_without_token: true,
        };
        settings(&mut wished);
        let script = Arc::new(Script {
            issuer,
            secret: JoinSecret::from_random([5; 32]),
            used: Mutex::default(),
            settings: Mutex::new(wished.sealed()),
            life: Mutex::new((Duration::from_secs(3600), Duration::ZERO)),
            refusal: Mutex::default(),
            drain: Mutex::default(),
            unreached: Mutex::default(),
            beats: watch::Sender::default(),
            certificates: watch::Sender::default(),
        });
        let tls = Tls {
            listener,
            acceptor: script.acceptor(),
        };
        let router = Router::new()
            .route(fleet::ENROL, post(enrol))
            .route(fleet::CERTIFICATE, post(renew))
            .route(fleet::HEARTBEAT, post(beat))
            .route(fleet::SETTINGS, get(settings_of))
            .route(
                fleet::FEED,
                get(async || Json(json!({"head": 0, "entries": []}))),
            )
            .with_state(Arc::clone(&script))
            .into_make_service_with_connect_info::<Shown>();
        let task = tokio::spawn(async move { axum::serve(tls, router).await.unwrap() });
        Self {
            origin,
            script,
            task,
        }
    }

    pub fn token(&self) -> JoinToken {
        JoinToken {
            url: self.origin.clone(),
            authority: Sha256::digest(self.script.issuer.der()).into(),
            secret: self.script.secret.clone(),
        }
    }

    /// Waits for a heartbeat like that.
    pub async fn beat(&self, like: impl Fn(&Heartbeat) -> bool) -> (Heartbeat, [u8; 32]) {
        let mut beats = self.script.beats.subscribe();
        let last = |beats: &Vec<(Heartbeat, [u8; 32])>| {
            beats.iter().rev().find(|(beat, _)| like(beat)).cloned()
        };
        let wait = beats.wait_for(|beats| last(beats).is_some());
        let found = tokio::time::timeout(Duration::from_secs(20), wait).await;
        last(&found.expect("no such heartbeat").unwrap()).unwrap()
    }

    /// From now on nobody hears.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Script {
    fn acceptor(&self) -> TlsAcceptor {
        runtime::tls::install_provider();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
        let chain = vec![leaf.der().clone(), self.issuer.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }

    fn certify(&self, csr: &str) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        let node = fleet::uri(&NodeId::parse("isp-1").unwrap());
        request.params.subject_alt_names = vec![SanType::URI(node.as_str().try_into().unwrap())];
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (life, over) = *self.life.lock();
        let now = rcgen::date_time_ymd(1970, 1, 1)
            + runtime::clock::System
                .wall()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
        request.params.not_before = now - over;
        request.params.not_after = now - over + life;
        self.certificates.send_modify(|count| *count += 1);
        let made = request.signed_by(&self.issuer).unwrap();
        format!("{}{}", made.pem(), self.issuer.pem())
    }
}

async fn enrol(
    State(script): State<Arc<Script>>,
    Json(enrol): Json<Enrol>,
) -> Result<(StatusCode, Json<Enrolled>), Refusal> {
    let is_new = enrol.secret == script.secret && script.used.lock().insert(enrol.secret.text());
    if !is_new {
        return Err((
            StatusCode::FORBIDDEN,
            Json(json!({"title": "join refused"})),
        ));
    }
    let enrolled = Enrolled {
        name: NodeId::parse("isp-1").unwrap(),
        certificate: script.certify(&enrol.csr),
        authority: script.issuer.pem(),
        settings: script.settings.lock().clone(),
    };
    Ok((StatusCode::CREATED, Json(enrolled)))
}

async fn renew(State(script): State<Arc<Script>>, Json(renew): Json<Renew>) -> Json<Renewed> {
    let certificate = script.certify(&renew.csr);
    Json(Renewed { certificate })
}

async fn settings_of(State(script): State<Arc<Script>>) -> Json<Settings> {
    Json(script.settings.lock().clone())
}

async fn beat(
    State(script): State<Arc<Script>>,
    ConnectInfo(Shown(shown)): ConnectInfo<Shown>,
    Json(beat): Json<Heartbeat>,
) -> Result<Json<Orders>, Refusal> {
    let shown = shown.expect("a node shows its certificate");
    let is_news = beat.announce.is_some();
    script.beats.send_modify(|beats| beats.push((beat, shown)));
    if let Some((status, kind, why)) = *script.refusal.lock()
        && (status != 400 || is_news)
    {
        let status = StatusCode::from_u16(status).unwrap();
        let kind = format!("urn:millrace:{kind}");
        let problem = json!({"type": kind, "title": "no", "detail": why});
        return Err((status, Json(problem)));
    }
    Ok(Json(Orders {
        every_s: 1,
        lease_s: 20,
        drain: *script.drain.lock(),
        settings_version: script.settings.lock().version.clone(),
        unreached: script.unreached.lock().clone(),
    }))
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The digest of the certificate that a connection has shown.
#[derive(Clone)]
struct Shown(Option<[u8; 32]>);

impl Connected<IncomingStream<'_, Tls>> for Shown {
    fn connect_info(stream: IncomingStream<'_, Tls>) -> Self {
        let (_, tls) = stream.io().get_ref();
        let digest =
            |shown: &[CertificateDer<'_>]| shown.first().map(|der| Sha256::digest(der).into());
        Self(tls.peer_certificates().and_then(digest))
    }
}
