//! One certificate for TCP and QUIC, exchangeable while both serve.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;

use crate::error::Error;

/// The certificate chain and key that every handshake gets, read from PEM files.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads chain and key.
    ///
    /// # Errors
    /// When a file cannot be read, holds no certificate or key, or the two do not belong together.
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(read(chain, key)?),
            chain: chain.to_owned(),
            key: key.to_owned(),
        }))
    }

    /// Reads the files again; handshakes from now on get the new certificate.
    ///
    /// # Errors
    /// As [`Certificate::load`]; the old certificate then stays.
    pub fn reload(&self) -> Result<(), Error> {
        self.current.store(Arc::new(read(&self.chain, &self.key)?));
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.chain.display())
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

fn read(chain_path: &Path, key_path: &Path) -> Result<CertifiedKey, Error> {
    let pem = open(chain_path)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong(chain_path, "must hold a certificate chain in PEM form"))?;
    if chain.is_empty() {
        return Err(wrong(
            chain_path,
            "must hold a certificate chain in PEM form",
        ));
    }
    let pem = open(key_path)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong(key_path, "must hold a private key in PEM form"))?;
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
