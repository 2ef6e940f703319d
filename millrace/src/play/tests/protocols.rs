//! HTTP/1.1, HTTP/2 and HTTP/3 against servers on loopback with a certificate of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::{Options, Protocol, Report, play};
use super::problems;
use super::site::{Server, Site, mime};

/// A certificate for 127.0.0.1, and its PEM file.
struct Certificate {
    key: rcgen::CertifiedKey<rcgen::KeyPair>,
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), key.cert.pem()).unwrap();
        Self { key, folder }
    }

    fn pem(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    fn server(&self, alpn: &[&[u8]]) -> rustls::ServerConfig {
        let key = PrivatePkcs8KeyDer::from(self.key.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.key.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        config
    }
}

/// A listener for axum that speaks TLS.
struct Tls {
    inner: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.inner.accept().await.unwrap();
            // A client that distrusts the certificate hangs up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

async fn over_tls(site: Site, certificate: &Certificate, alpn: &[&[u8]]) -> Server {
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = inner.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(certificate.server(alpn)));
    let router = site.router();
    let task = tokio::spawn(async move {
        axum::serve(Tls { inner, acceptor }, router).await.unwrap();
    });
    Server { address, task }
}

/// Serves over HTTP/3.
async fn over_quic(site: Site, certificate: &Certificate) -> (Server, quinn::Endpoint) {
    let tls = certificate.server(&[b"h3"]);
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let (accepting, site) = (endpoint.clone(), Arc::new(site));
    let task = tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            if let Ok(connection) = incoming.await {
                tokio::spawn(answer_all(connection, Arc::clone(&site)));
            }
        }
    });
    (Server { address, task }, endpoint)
}

async fn answer_all(connection: quinn::Connection, site: Arc<Site>) {
    let quic = h3_quinn::Connection::new(connection);
    let mut requests = h3::server::Connection::<_, Bytes>::new(quic).await.unwrap();
    while let Ok(Some(resolver)) = requests.accept().await {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let (request, mut stream) = resolver.resolve_request().await.unwrap();
            let path = request.uri().path();
            let body = site.file(path);
            let head = http::Response::builder()
                .status(if body.is_some() { 200 } else { 404 })
                .header("content-type", mime(path))
                .header("content-length", body.unwrap_or_default().len())
                .header("cache-status", "edge-1; fwd=miss; stored");
            stream.send_response(head.body(()).unwrap()).await.unwrap();
            let body = Bytes::copy_from_slice(body.unwrap_or_default());
            stream.send_data(body).await.unwrap();
            stream.finish().await.unwrap();
        });
    }
}

async fn played(server: &Server, protocol: Option<Protocol>, ca: Option<PathBuf>) -> Report {
    play(&Options {
        url: format!("https://{}/master.m3u8", server.address),
        protocol,
        ca,
        insecure: false,
    })
    .await
}

#[tokio::test]
async fn each_protocol_over_tls_is_the_one_that_was_asked_for() {
    let certificate = Certificate::new();
    let server = over_tls(Site::fmp4(), &certificate, &[b"h2", b"http/1.1"]).await;
    for (wanted, used) in [
        (None, "h2"),
        (Some(Protocol::H1), "h1"),
        (Some(Protocol::H2), "h2"),
    ] {
        let report = played(&server, wanted, Some(certificate.pem())).await;
        assert_eq!(problems(&report), "");
        assert_eq!(report.to_json()["protocol"], used);
    }
}

#[tokio::test]
async fn http3_uses_one_connection_and_says_so() {
    let certificate = Certificate::new();
    let (server, endpoint) = over_quic(Site::fmp4(), &certificate).await;
    let report = played(&server, Some(Protocol::H3), Some(certificate.pem())).await;
    assert_eq!(problems(&report), "");
    let json = report.to_json();
    assert_eq!(json["protocol"], "h3");
    assert_eq!(json["misses"], json["requests"]);
    assert_eq!(endpoint.stats().accepted_handshakes, 1);
}

#[tokio::test]
async fn another_protocol_than_the_one_asked_for_is_a_problem() {
    let certificate = Certificate::new();
    // The server knows no ALPN, so that the client falls back to HTTP/1.1.
    let server = over_tls(Site::ts(), &certificate, &[]).await;
    let report = played(&server, Some(Protocol::H2), Some(certificate.pem())).await;
    assert_eq!(report.exit_code(), 1);
    let plain = Site::ts().serve().await;
    for protocol in [Protocol::H2, Protocol::H3] {
        let report = play(&Options {
            url: plain.url("/master.m3u8"),
            protocol: Some(protocol),
            ..Options::default()
        })
        .await;
        assert!(problems(&report).contains("is a plain http address"));
    }
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_unless_told_otherwise() {
    let certificate = Certificate::new();
    let server = over_tls(Site::ts(), &certificate, &[b"h2", b"http/1.1"]).await;
    let (quic, _endpoint) = over_quic(Site::ts(), &certificate).await;
    let options = |server: &Server, protocol, insecure| Options {
        url: format!("https://{}/master.m3u8", server.address),
        protocol: Some(protocol),
        ca: None,
        insecure,
    };
    for (server, protocol) in [(&server, Protocol::H2), (&quic, Protocol::H3)] {
        let refused = play(&options(server, protocol, false)).await;
        assert!(
            problems(&refused).contains("--ca FILE"),
            "{}",
            problems(&refused)
        );
        let taken = play(&options(server, protocol, true)).await;
        assert_eq!(problems(&taken), "");
    }
    let missing = played(&server, None, Some(PathBuf::from("/nowhere/root.pem"))).await;
    assert_eq!(missing.exit_code(), 64);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_problem_with_advice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = play(&Options {
        url: format!("http://{address}/~m1.secret/v/a/master.m3u8"),
        ..Options::default()
    })
    .await;
    assert_eq!(report.exit_code(), 1);
    let problems = problems(&report);
    assert!(problems.contains("The playlist /~…/v/a/master.m3u8 could not be reached"));
    assert!(problems.contains("millrace status") && !problems.contains("secret"));
}
