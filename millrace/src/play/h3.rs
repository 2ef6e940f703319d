//! HTTP/3: one QUIC connection an authority, shared by every request to it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use quinn::crypto::rustls::QuicClientConfig;
use reqwest::Url;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Protocol;
use super::client::{Answer, Failure, MAX_BODY, is_about_certificates, with_alpn};

/// The open connections.
pub(super) struct Pool {
    config: quinn::ClientConfig,
    open: Mutex<HashMap<String, Connection>>,
}

struct Connection {
    endpoint: quinn::Endpoint,
    quic: quinn::Connection,
    requests: SendRequest<OpenStreams, Bytes>,
}

impl Pool {
    /// A pool without a connection.
    ///
    /// # Errors
    /// A sentence, when the TLS settings cannot serve QUIC.
    pub(super) fn new(tls: rustls::ClientConfig) -> Result<Self, String> {
        let crypto = QuicClientConfig::try_from(with_alpn(tls, b"h3"))
            .map_err(|error| format!("HTTP/3 cannot be set up: {error}."))?;
        Ok(Self {
            config: quinn::ClientConfig::new(Arc::new(crypto)),
            open: Mutex::new(HashMap::new()),
        })
    }

    /// Fetches `url`; the answer's time is the caller's to measure.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, Failure> {
        let requests = self.connection(url).await?;
        timeout(SILENCE * 4, exchange(requests, url))
            .await
            .map_err(|_| Failure::Silent)?
    }

    /// Closes every connection and waits, for a moment, until the peers know.
    pub(super) async fn close(self) {
        for (_, connection) in self.open.into_inner() {
            drop(connection.requests);
            connection
                .endpoint
                .close(H3_NO_ERROR.into(), b"played to the end");
            let _ = timeout(FAREWELL, connection.endpoint.wait_idle()).await;
        }
    }

    /// The authority's connection, opened when there is none that lives.
    async fn connection(&self, url: &Url) -> Result<SendRequest<OpenStreams, Bytes>, Failure> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(443);
        let authority = format!("{host}:{port}");
        // Held while connecting, so that simultaneous first requests share one connection.
        let mut open = self.open.lock().await;
        if let Some(known) = open.get(&authority)
            && known.quic.close_reason().is_none()
        {
            return Ok(known.requests.clone());
        }
        let fresh = timeout(CONNECT, connect(&self.config, host, port))
            .await
            .map_err(|_| Failure::Connect("no answer over QUIC within 5 s".to_owned()))??;
        let requests = fresh.requests.clone();
        open.insert(authority, fresh);
        Ok(requests)
    }
}

async fn connect(
    config: &quinn::ClientConfig,
    host: &str,
    port: u16,
) -> Result<Connection, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::Connect(error.to_string());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|error| refused(&error))?;
    let mut last = Failure::Connect("the name has no address".to_owned());
    for address in addresses {
        match handshake(config, address, bare).await {
            Ok(connection) => return Ok(connection),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn handshake(
    config: &quinn::ClientConfig,
    address: SocketAddr,
    name: &str,
) -> Result<Connection, Failure> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let refused = |text: String| match is_about_certificates(&text) {
        true => Failure::Trust(text),
        false => Failure::Connect(text),
    };
    let endpoint = quinn::Endpoint::client(any).map_err(|error| refused(error.to_string()))?;
    let quic = endpoint
        .connect_with(config.clone(), address, name)
        .map_err(|error| refused(error.to_string()))?
        .await
        .map_err(|error| refused(error.to_string()))?;
    let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(quic.clone()))
        .await
        .map_err(|error| refused(error.to_string()))?;
    // The driver ends with the connection.
    tokio::spawn(async move { driver.wait_idle().await });
    Ok(Connection {
        endpoint,
        quic,
        requests,
    })
}

async fn exchange(
    mut requests: SendRequest<OpenStreams, Bytes>,
    url: &Url,
) -> Result<Answer, Failure> {
    let cut = |error: h3::error::StreamError| Failure::Cut(error.to_string());
    let request = http::Request::get(url.as_str())
        .header(
            http::header::USER_AGENT,
            concat!("millrace/", env!("CARGO_PKG_VERSION")),
        )
        .header(http::header::ACCEPT, "*/*")
        .body(())
        .map_err(|_| Failure::Redirect("the address is outside what HTTP allows".to_owned()))?;
    let mut stream = requests.send_request(request).await.map_err(cut)?;
    // A server that has answered already may have asked for no more (STOP_SENDING with
    // H3_NO_ERROR); its answer counts all the same (RFC 9114 §4.1). One that is gone shows below.
    let _ = stream.finish().await;
    let response = timeout(SILENCE, stream.recv_response())
        .await
        .map_err(|_| Failure::Silent)?
        .map_err(cut)?;
    let mut body = BytesMut::new();
    loop {
        let piece = timeout(SILENCE, stream.recv_data())
            .await
            .map_err(|_| Failure::Silent)?
            .map_err(cut)?;
        let Some(mut piece) = piece else { break };
        if body.len() + piece.remaining() > MAX_BODY {
            return Err(Failure::TooLarge);
        }
        let length = piece.remaining();
        body.extend_from_slice(&piece.copy_to_bytes(length));
    }
    let (parts, ()) = response.into_parts();
    Ok(Answer {
        url: url.clone(),
        status: parts.status,
        protocol: Protocol::H3,
        headers: parts.headers,
        body: body.freeze(),
        took: Duration::ZERO,
    })
}

/// How long a handshake may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a peer may stay silent within an answer.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the close is waited for.
const FAREWELL: Duration = Duration::from_millis(500);
/// `H3_NO_ERROR`, RFC 9114 §8.1.
const H3_NO_ERROR: u32 = 0x100;
