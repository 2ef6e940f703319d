//! One `get` over HTTP/1.1, HTTP/2 or HTTP/3, which follows redirects and says what was really used.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use reqwest::Url;

use super::h3::Pool;
use super::{Options, Protocol, trust};

/// What a server answered in the end.
#[derive(Debug)]
pub(super) struct Answer {
    /// The address after redirects: the base of whatever the body refers to.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) protocol: Protocol,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// From the request until the last byte, redirects included.
    pub(super) took: Duration,
}

/// Why no answer came. The texts are predicates about the address, and say what to do next.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No connection.
    #[error(
        "could not be reached ({0}): see whether the server runs (`millrace status`) and whether the port is right"
    )]
    Connect(String),
    /// The certificate was refused.
    #[error(
        "could not be trusted ({0}): give the root that signed the certificate with `--ca FILE`, or use `--insecure` on a machine of your own"
    )]
    Trust(String),
    /// Silence.
    #[error("fell silent for too long: see the log of the edge and of the tiers behind it")]
    Silent,
    /// A body that ended too early, or a broken exchange.
    #[error(
        "broke off before its whole body had arrived ({0}): see the log of the edge and of the tiers behind it"
    )]
    Cut(String),
    /// A body beyond [`MAX_BODY`].
    #[error(
        "is larger than {} MiB, which is more than a player should take in one piece: cut shorter segments",
        MAX_BODY >> 20
    )]
    TooLarge,
    /// A redirect to nowhere, or too many.
    #[error("leads astray ({0}): correct the address that redirects")]
    Redirect(String),
    /// HTTP/2 or HTTP/3 asked of a plain address.
    #[error("is a plain http address, which {0} cannot speak: give the https address")]
    Plain(Protocol),
}

/// A client for one play.
pub(super) struct Client {
    tcp: reqwest::Client,
    quic: Option<Pool>,
    wanted: Option<Protocol>,
}

impl Client {
    /// Reads the roots and prepares the connections; opens none.
    ///
    /// # Errors
    /// A sentence about the option that cannot be followed.
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        let mut tls = trust::tls(options.ca.as_deref(), options.insecure)?;
        tls.alpn_protocols = match options.protocol {
            Some(Protocol::H1) => vec![b"http/1.1".to_vec()],
            Some(Protocol::H2) => vec![b"h2".to_vec()],
            Some(Protocol::H3) | None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        let quic = match options.protocol {
            Some(Protocol::H3) => Some(Pool::new(tls.clone())?),
            _ => None,
        };
        let builder = runtime::http::client()
            .no_proxy()
            .tls_backend_preconfigured(tls);
        let builder = match options.protocol {
            Some(Protocol::H1) => builder.http1_only(),
            _ => builder,
        };
        let tcp = builder
            .build()
            .map_err(|error| format!("The HTTP client cannot be made: {}.", root_cause(&error)))?;
        Ok(Self {
            tcp,
            quic,
            wanted: options.protocol,
        })
    }

    /// Fetches `url`, following redirects.
    ///
    /// # Errors
    /// [`Failure`]; a status other than 200 is no failure, but an answer.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, Failure> {
        let started = Instant::now();
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut answer = self.once(&url).await?;
            if !answer.status.is_redirection() {
                self.refuse_plain(&answer)?;
                answer.took = started.elapsed();
                return Ok(answer);
            }
            url = target(&answer)?;
        }
        Err(Failure::Redirect(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    /// Says good-bye on HTTP/3, so that the server need not wait for its idle timeout.
    pub(super) async fn close(self) {
        if let Some(pool) = self.quic {
            pool.close().await;
        }
    }

    async fn once(&self, url: &Url) -> Result<Answer, Failure> {
        match &self.quic {
            Some(pool) if url.scheme() == "https" => pool.get(url).await,
            _ => self.over_tcp(url).await,
        }
    }

    /// A plain address may redirect to the one that speaks the wanted protocol, no more.
    fn refuse_plain(&self, answer: &Answer) -> Result<(), Failure> {
        match self.wanted {
            Some(wanted) if wanted != Protocol::H1 && answer.url.scheme() != "https" => {
                Err(Failure::Plain(wanted))
            }
            _ => Ok(()),
        }
    }

    async fn over_tcp(&self, url: &Url) -> Result<Answer, Failure> {
        let mut response = self
            .tcp
            .get(url.clone())
            .send()
            .await
            .map_err(|error| explain(&error))?;
        let protocol = match response.version() {
            http::Version::HTTP_2 => Protocol::H2,
            http::Version::HTTP_3 => Protocol::H3,
            _ => Protocol::H1,
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| explain(&error))? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(Failure::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            url: url.clone(),
            status,
            protocol,
            headers,
            body: body.freeze(),
            took: Duration::ZERO,
        })
    }
}

/// Where a redirect leads.
fn target(answer: &Answer) -> Result<Url, Failure> {
    let place = answer
        .headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Failure::Redirect(format!("status {} without a Location", answer.status)))?;
    let url = answer
        .url
        .join(place)
        .map_err(|error| Failure::Redirect(format!("its Location is no address: {error}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Failure::Redirect(format!("it redirects to {other}"))),
    }
}

/// Sorts what went wrong. The address is left out: it may bear a token.
fn explain(error: &reqwest::Error) -> Failure {
    let cause = root_cause(error);
    if error.is_timeout() {
        Failure::Silent
    } else if is_about_certificates(&cause) {
        Failure::Trust(cause)
    } else if error.is_connect() {
        Failure::Connect(cause)
    } else {
        Failure::Cut(cause)
    }
}

/// Whether a TLS library's text is about the peer's certificate.
pub(super) fn is_about_certificates(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("certificate") || text.contains("unknownissuer") || text.contains("unknown ca")
}

/// The innermost cause, which alone says something, and never the address.
fn root_cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        return "the request could not be made".to_owned();
    };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The largest body that is taken, in bytes.
pub(super) const MAX_BODY: usize = 256 << 20;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// The shared TLS settings with one ALPN protocol.
pub(super) fn with_alpn(mut tls: rustls::ClientConfig, alpn: &[u8]) -> Arc<rustls::ClientConfig> {
    tls.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(tls)
}
