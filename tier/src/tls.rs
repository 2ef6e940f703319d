//! One certificate for TCP and QUIC, exchangeable while both serve.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use config::Problems;
use pingora::utils::tls::CertKey;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;

use crate::error::Error;

/// The certificate chain and key that every handshake gets, read from PEM files.
pub struct Certificate {
    current: ArcSwap<Pair>,
}

/// A certificate chain and its key.
pub struct Pair {
    chain: PathBuf,
    key: PathBuf,
    certified: Arc<CertifiedKey>,
}

impl Pair {
    /// Reads chain and key.
    ///
    /// # Errors
    /// When a file cannot be read, holds no certificate or key, or the two do not belong together.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, Error> {
        Ok(Self {
            certified: Arc::new(read(chain, key)?),
            chain: chain.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl Certificate {
    /// Reads chain and key.
    ///
    /// # Errors
    /// As [`Pair::read`].
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(Pair::read(chain, key)?),
        }))
    }

    /// Reads the files again; handshakes from now on get the new certificate.
    ///
    /// # Errors
    /// As [`Pair::read`]; the old certificate then stays.
    pub fn reload(&self) -> Result<(), Error> {
        let current = self.current.load();
        self.set(Pair::read(&current.chain, &current.key)?);
        Ok(())
    }

    /// Handshakes from now on get this one.
    pub fn set(&self, pair: Pair) {
        self.current.store(Arc::new(pair));
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.current.load().chain.display())
    }
}

/// TLS 1.2 and 1.3 for a TCP listener that offers HTTP/2 and HTTP/1.1.
///
/// # Errors
/// When the TLS library refuses its own defaults.
pub fn server_config(certificate: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Error> {
    runtime::tls::install_provider();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// As [`server_config`], for those alone who show a certificate that an authority has signed, in a PEM file.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn mutual_config(
    certificate: Arc<dyn ResolvesServerCert>,
    authority: &Path,
) -> Result<Arc<ServerConfig>, Error> {
    runtime::tls::install_provider();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for root in chain_of(authority)? {
        let unusable = |_| wrong(authority, "must hold certificates of an authority");
        roots.add(root).map_err(unusable)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|_| wrong(authority, "must hold certificates of an authority"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Nothing is resumed: a resumption takes the certificate of the first handshake for good, however long ago it ended.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Notes what is wrong with a certificate chain and its key, each by its own key below `section`.
pub fn inspect(section: &str, chain: &Path, key: &Path, problems: &mut Problems) {
    let Err(fault) = read(chain, key) else {
        return;
    };
    // One file may hold both: where it is does not say whose fault it is.
    let whose = if chain_of(chain).is_ok() {
        "key"
    } else {
        "certificate"
    };
    problems.add(&format!("{section}.{whose}"), fault.to_string());
}

/// Notes what is wrong with a file of authorities.
pub fn inspect_authority(key: &str, authority: &Path, problems: &mut Problems) {
    problems.take(key, chain_of(authority));
}

/// Reads the certificate that the node shows to its parents.
///
/// # Errors
/// As [`Certificate::load`].
pub(crate) fn identity(chain: &Path, key: &Path) -> Result<Arc<CertKey>, Error> {
    read(chain, key)?;
    let certificates = chain_of(chain)?;
    let certificates = certificates.iter().map(|der| der.to_vec()).collect();
    let key = key_of(key)?.secret_der().to_vec();
    Ok(Arc::new(CertKey::new(certificates, key)))
}

fn chain_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = open(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| wrong(path, "must hold a certificate chain in PEM form"))
}

fn key_of(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = open(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong(path, "must hold a private key in PEM form"))
}

fn read(chain_path: &Path, key_path: &Path) -> Result<CertifiedKey, Error> {
    let chain = chain_of(chain_path)?;
    let key = key_of(key_path)?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|_| wrong(key_path, "must hold an ECDSA, Ed25519 or RSA key"))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(_) => Err(wrong(key_path, "must be the key of the certificate")),
    }
}

fn open(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn wrong(path: &Path, rule: &'static str) -> Error {
    Error::Certificate {
        path: path.to_owned(),
        rule,
    }
}
