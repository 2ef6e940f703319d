//! Whom a client trusts, and the one suite of ciphers that it offers, so that all servers work alike.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// The certificates that a server's own may stem from.
pub(crate) enum Trust {
    /// These.
    These(RootCertStore),
    /// The system's, and these.
    System(Vec<CertificateDer<'static>>),
}

impl Trust {
    /// Trusts the certificates of a PEM file.
    pub(crate) fn file(file: &Path) -> Result<Self> {
        let mut store = RootCertStore::empty();
        for certificate in read(file)? {
            store.add(certificate)?;
        }
        Ok(Self::These(store))
    }

    /// Trusts whom the system trusts, and the certificates of a PEM file.
    pub(crate) fn system(more: Option<&Path>) -> Result<Self> {
        Ok(Self::System(
            more.map(read).transpose()?.unwrap_or_default(),
        ))
    }

    /// TLS 1.3 with AES-128 and X25519, always a whole handshake.
    pub(super) fn config(&self, protocol: &[u8]) -> Result<ClientConfig> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![kx_group::X25519];
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let builder = match self {
            Self::These(store) => builder.with_root_certificates(store.clone()),
            Self::System(more) => {
                let verifier = Verifier::new_with_extra_roots(more.clone(), provider)?;
                let builder = builder.dangerous();
                builder.with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    Ok(certificates.collect::<Result<_, _>>()?)
}
