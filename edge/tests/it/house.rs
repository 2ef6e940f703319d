//! One edge in front of scripted parents.

use std::path::PathBuf;
use std::sync::Arc;

use contracts::time::UnixSeconds;
use contracts::token::KeyRing;
use edge::config::Config;
use runtime::clock::Fixed;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tier::Protocol;

use crate::client::Client;
use crate::origin::Origin;

pub const NOW: u64 = 1_800_000_000;
pub const PROTOCOLS: [Protocol; 3] = Protocol::ALL;

/// An edge that runs, with what it was made from.
pub struct House {
    pub edge: edge::Running,
    pub clock: Arc<Fixed>,
    pub files: TempDir,
    root: CertificateDer<'static>,
}

impl House {
    /// An edge that fills from `origin`; films are public and need no token.
    pub async fn open(origin: &Origin) -> Self {
        Self::with(origin, |config| config.public_without_token = true).await
    }

    /// An edge in front of a site, as it is by default.
    pub async fn site(origin: &Origin) -> Self {
        Self::with(origin, |config| config.serve = edge::config::Serve::Site).await
    }

    pub async fn with(origin: &Origin, change: impl FnOnce(&mut Config)) -> Self {
        Self::before(origin.url(), change).await
    }

    pub async fn before(parent: String, change: impl FnOnce(&mut Config)) -> Self {
        Self::try_before(parent, change).await.unwrap()
    }

    pub async fn try_with(
        origin: &Origin,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self, edge::Error> {
        Self::try_before(origin.url(), change).await
    }

    async fn try_before(
        parent: String,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self, edge::Error> {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| -> PathBuf {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut config = Config {
            parents: vec![parent],
            keyring_file: write(
                "keys.json",
                include_str!("../../../contracts/tests/data/native_token.json").to_owned(),
            ),
            ..Config::default()
        };
        config.tls.certificate = write("chain.pem", made.cert.pem());
        config.tls.key = write("key.pem", made.signing_key.serialize_pem());
        config.listen.https = "127.0.0.1:0".to_owned();
        config.listen.internal = "127.0.0.1:0".to_owned();
        config.clients.drain = config::Span::millis(100);
        change(&mut config);
        let clock = Arc::new(Fixed::at(UnixSeconds(NOW)));
        let settings = config.check().unwrap();
        let edge = edge::start(settings, Arc::clone(&clock) as _).await?;
        Ok(Self {
            edge,
            clock,
            files,
            root: made.cert.der().clone(),
        })
    }

    pub fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.edge.https, protocol, &self.root)
    }

    /// A value from the metrics page; zero when it is not there.
    pub async fn metric(&self, line: &str) -> u64 {
        let page = self.page("/metrics").await;
        page.lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
            .unwrap_or(0)
    }

    pub async fn page(&self, path: &str) -> String {
        page(self.edge.internal, path).await
    }
}

/// A page of an internal port.
pub async fn page(internal: std::net::SocketAddr, path: &str) -> String {
    let stream = tokio::net::TcpStream::connect(internal).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = crate::client::h1(Box::pin(stream), head.as_bytes(), false).await;
    String::from_utf8(answer.whole().await.bytes().to_vec()).unwrap()
}

/// A target with a token for everything under `/v/`, valid now.
pub fn signed(path: &str) -> String {
    signed_for(&[], path)
}

/// A path with a token that says `claims`, by a key of the vectors.
pub fn minted(claims: &contracts::token::Claims, path: &str) -> String {
    let ring = KeyRing::from_json(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ))
    .unwrap();
    format!("/~{}{path}", ring.find("k1").unwrap().mint(claims).unwrap())
}

/// A path with a token for some renditions only.
pub fn signed_for(renditions: &[&str], path: &str) -> String {
    let mut claims = contracts::token::Claims::new("/v/", UnixSeconds(NOW + 3600));
    claims.renditions = renditions
        .iter()
        .map(|id| contracts::id::RenditionId::parse(id).unwrap())
        .collect();
    minted(&claims, path)
}
