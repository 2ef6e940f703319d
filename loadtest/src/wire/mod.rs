//! The load generator's side of HTTP: raw and cheap, so that the server is what is measured.
//!
//! A [`Client`] opens connections; each gives lanes, one over HTTP/1.1 and as many streams as are wanted over HTTP/2
//! and HTTP/3. A [`Lane`] asks for one thing at a time.

mod h1;
mod h2;
mod h3;
pub(crate) mod head;
mod qpack;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::ValueEnum;
use http::Uri;
use rustls::ClientConfig;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) use tls::Trust;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// HTTP/1.1 over TCP
    Plain,
    /// HTTP/1.1 over TLS
    Tls,
    /// HTTP/2 over TLS
    H2,
    /// HTTP/3 over QUIC
    H3,
}

impl Protocol {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Tls, Self::H2, Self::H3];

    /// As tables have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "h1",
            Self::Tls => "h1 TLS",
            Self::H2 => "h2",
            Self::H3 => "h3",
        }
    }
}

/// Something to ask for, written down for each protocol once and for all.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The target, its token included.
    pub(crate) path: String,
    h1: Bytes,
    uri: Uri,
    h3: Bytes,
}

impl Ask {
    /// A `GET` of a target of an authority.
    pub(crate) fn get(authority: &str, path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let uri = Uri::builder()
            .scheme("https")
            .authority(authority)
            .path_and_query(path.as_str())
            .build()
            .with_context(|| format!("cannot ask {authority} for such a path"))?;
        Ok(Self {
            h1: format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n").into(),
            h3: h3::request(authority, &path),
            uri,
            path,
        })
    }

    /// A request of another method with lines for its head and a body, for HTTP/1.1 alone.
    pub(crate) fn telling(
        authority: &str,
        (method, path): (&str, &str),
        head: &str,
        body: &[u8],
    ) -> Result<Self> {
        let length = body.len();
        let told = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\n{head}content-length: {length}\r\n\r\n"
        );
        Ok(Self {
            h1: [told.as_bytes(), body].concat().into(),
            ..Self::get(authority, path)?
        })
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the body.
    pub(crate) bytes: usize,
    /// When the first byte of the body was here; of the header where there is no body.
    pub(crate) first: Instant,
}

/// Opens connections to one server.
pub(crate) struct Client {
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    quic: quinn::ClientConfig,
}

impl Client {
    /// A client that trusts so.
    pub(crate) fn new(trust: &Trust) -> Result<Self> {
        Ok(Self {
            h1: Arc::new(trust.config(b"http/1.1")?),
            h2: Arc::new(trust.config(b"h2")?),
            quic: h3::config(trust.config(b"h3")?)?,
        })
    }

    /// Opens a connection to a server of this name and gives so many lanes of it; over HTTP/1.1 there is one.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        protocol: Protocol,
        lanes: usize,
    ) -> Result<Vec<Lane>> {
        match protocol {
            Protocol::Plain => Ok(vec![Lane::Plain(h1::Lane::new(tcp(address).await?))]),
            Protocol::Tls => {
                let stream = secure(&self.h1, address, name).await?;
                Ok(vec![Lane::Tls(Box::new(h1::Lane::new(stream)))])
            }
            Protocol::H2 => {
                let stream = secure(&self.h2, address, name).await?;
                let lane = h2::Lane::open(stream).await?;
                Ok((0..lanes).map(|_| Lane::H2(lane.clone())).collect())
            }
            Protocol::H3 => {
                let lane = h3::Lane::open(&self.quic, address, name).await?;
                Ok((0..lanes).map(|_| Lane::H3(lane.clone())).collect())
            }
        }
    }
}

/// Asks for one thing after the other.
pub(crate) enum Lane {
    Plain(h1::Lane<TcpStream>),
    Tls(Box<h1::Lane<TlsStream<TcpStream>>>),
    H2(h2::Lane),
    H3(h3::Lane),
}

impl Lane {
    /// Asks, and gives the body to `sink` piece by piece.
    pub(crate) async fn get(&mut self, ask: &Ask, sink: impl FnMut(&[u8])) -> Result<Answer> {
        let answered = match self {
            Self::Plain(lane) => lane.get(&ask.h1, sink).await,
            Self::Tls(lane) => lane.get(&ask.h1, sink).await,
            Self::H2(lane) => lane.get(&ask.uri, sink).await,
            Self::H3(lane) => lane.get(&ask.h3, sink).await,
        };
        answered.context("no whole answer")
    }
}

async fn tcp(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn secure(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> Result<TlsStream<TcpStream>> {
    let name = name.to_owned().try_into().context("no name of a server")?;
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = connector.connect(name, tcp(address).await?).await;
    stream.context("no TLS")
}
