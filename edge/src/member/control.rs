//! The control plane as a node asks it.

use std::sync::Arc;
use std::time::Duration;

use contracts::fleet::{
    CERTIFICATE, ENROL, Enrol, Enrolled, HEARTBEAT, Heartbeat, JoinToken, MAX_SETTINGS, Orders,
    Origin, Renew, Renewed, SETTINGS, Settings,
};
use reqwest::Method;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{Error, Folder};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It was not reached, or is another one.
    #[error("the control plane cannot be reached at {at}: {why}")]
    Unreachable {
        /// Where it was asked.
        at: Origin,
        /// Why not.
        why: String,
    },
    /// It answers with a status that says no.
    #[error("the control plane answers {status}: {said}")]
    Refused {
        /// The status.
        status: u16,
        /// What kind of refusal it says that it is: the problem's type without `urn:millrace:`.
        kind: String,
        /// What it says of it.
        said: String,
    },
    /// Its answer cannot be read.
    #[error("the control plane's answer is not one")]
    Answer,
}

/// The control plane's listener for nodes.
pub(super) struct Control {
    base: Origin,
    client: reqwest::Client,
    /// Whose word counts for it.
    known_by: &'static str,
}

impl Control {
    /// The one that a token names, known by the authority that it names alone.
    pub(super) fn pinned(token: &JoinToken) -> Result<Self, Error> {
        runtime::tls::install_provider();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pinned = Pinned {
            authority: token.authority,
            provider: Arc::clone(&provider),
        };
        let unusable = |error: rustls::Error| Fault::Unreachable {
            at: token.url.clone(),
            why: error.to_string(),
        };
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        let client = runtime::http::client().tls_backend_preconfigured(tls);
        let known_by = "the join token names";
        let unusable = |error| unreachable(&token.url, known_by, error);
        Ok(Self {
            base: token.url.clone(),
            client: client.build().map_err(unusable)?,
            known_by,
        })
    }

    /// The one of a node that has joined.
    pub(super) fn of(folder: &Folder, base: Origin) -> Result<Self, tier::Error> {
        let (chain, key) = folder.identity();
        let client = tier::feed::client(Some(&folder.authority()), Some((&chain, &key)))?;
        let known_by = "this node was given when it joined";
        Ok(Self {
            base,
            client,
            known_by,
        })
    }

    /// Whether this is the one there.
    pub(super) fn is_at(&self, base: &Origin) -> bool {
        self.base == *base
    }

    pub(super) async fn enrol(&self, enrol: &Enrol) -> Result<Enrolled, Fault> {
        self.ask(Method::POST, ENROL, Some(enrol)).await
    }

    pub(super) async fn renew(&self, renew: &Renew) -> Result<Renewed, Fault> {
        self.ask(Method::POST, CERTIFICATE, Some(renew)).await
    }

    pub(super) async fn beat(&self, heartbeat: &Heartbeat) -> Result<Orders, Fault> {
        self.ask(Method::POST, HEARTBEAT, Some(heartbeat)).await
    }

    pub(super) async fn settings(&self) -> Result<Settings, Fault> {
        self.ask::<(), _>(Method::GET, SETTINGS, None).await
    }

    async fn ask<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        question: Option<&Q>,
    ) -> Result<A, Fault> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, url).timeout(PATIENCE);
        if let Some(question) = question {
            request = request.json(question);
        }
        let lost = |error| unreachable(&self.base, self.known_by, error);
        let mut answer = request.send().await.map_err(lost)?;
        let mut json = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(lost)? {
            if json.len() + piece.len() > MAX_ANSWER {
                return Err(Fault::Answer);
            }
            json.extend_from_slice(&piece);
        }
        let status = answer.status();
        if !status.is_success() {
            return Err(refused(status.as_u16(), &json));
        }
        serde_json::from_slice(&json).map_err(|_| Fault::Answer)
    }
}

/// Whether a certificate in PEM is the authority's that a token names.
pub(super) fn is_authority(pem: &str, token: &JoinToken) -> bool {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    der.is_ok_and(|der| Sha256::digest(&der)[..] == token.authority)
}

/// What a problem (RFC 9457) says, no more of it than stands in a line.
fn refused(status: u16, json: &[u8]) -> Fault {
    let problem: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    let member = |name: &str| problem.get(name)?.as_str();
    let line = |text: &str| {
        let plain = |letter: &char| !letter.is_control();
        text.chars().filter(plain).take(LINE).collect()
    };
    let kind = member("type").and_then(|kind| kind.strip_prefix("urn:millrace:"));
    let said = member("detail").or_else(|| member("title"));
    Fault::Refused {
        status,
        kind: line(kind.unwrap_or_default()),
        said: line(said.unwrap_or("it does not say why")),
    }
}

fn unreachable(at: &Origin, known_by: &str, error: reqwest::Error) -> Fault {
    let at = at.clone();
    let mut text = runtime::http::causes(&error.without_url());
    if text.contains("UnknownIssuer") {
        let why = format!(
            "its certificate is of another authority than the one that {known_by}: either this is another control plane, \
             or something on the way opens the connection"
        );
        return Fault::Unreachable { at, why };
    }
    // The wrong time looks like a certificate that has ended, or has not begun.
    if ["expired", "not valid yet", "Expired", "NotValidYet"]
        .iter()
        .any(|word| text.contains(word))
    {
        text.push_str("; is this machine's clock right?");
    }
    Fault::Unreachable { at, why: text }
}

/// Believes who is vouched for by one authority, whose certificate is known by its digest and stands in the chain.
#[derive(Debug)]
struct Pinned {
    authority: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_it = |shown: &&CertificateDer<'_>| Sha256::digest(shown)[..] == self.authority;
        let unknown = || rustls::Error::from(CertificateError::UnknownIssuer);
        let authority = intermediates.iter().find(is_it).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let known = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let known = known.map_err(|_| unknown())?;
        known.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer in bytes: settings, and certificates beside them.
const MAX_ANSWER: usize = MAX_SETTINGS + (128 << 10);

/// The most that is repeated of what a refusal says, in letters.
const LINE: usize = 500;
