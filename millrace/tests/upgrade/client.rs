//! Clients of the three protocols that take an answer piece by piece, and say when a connection is to be left.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    H1,
    H2,
    H3,
}

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::H1, Protocol::H2, Protocol::H3];

/// Where to, and whom to trust.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    protocol: Protocol,
    tls: Arc<rustls::ClientConfig>,
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection on which one request after another is made.
pub(crate) enum Connection {
    H1(Option<Pin<Box<dyn Io>>>),
    H2(h2::client::SendRequest<Bytes>),
    H3(
        quinn::Endpoint,
        h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    ),
}

/// An answer of which the header has come.
#[expect(
    clippy::large_enum_variant,
    reason = "a handful of them live, in tests"
)]
pub(crate) enum Answer<'a> {
    H1 {
        home: &'a mut Option<Pin<Box<dyn Io>>>,
        stream: Pin<Box<dyn Io>>,
        buffer: BytesMut,
        left: usize,
        last: bool,
    },
    H2(h2::RecvStream),
    H3(h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>),
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The connection was to be left before anything was asked: no loss.
    Left,
    /// A request was lost.
    Lost(String),
}

type Asked<T> = Result<T, Wrong>;

impl Client {
    pub(crate) fn new(
        address: SocketAddr,
        protocol: Protocol,
        root: &CertificateDer<'static>,
    ) -> Self {
        runtime::tls::install_provider();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let mut tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let alpn: &[u8] = match protocol {
            Protocol::H1 => b"http/1.1",
            Protocol::H2 => b"h2",
            Protocol::H3 => b"h3",
        };
        tls.alpn_protocols = vec![alpn.to_vec()];
        Self {
            address,
            protocol,
            tls: Arc::new(tls),
        }
    }

    pub(crate) async fn connect(&self) -> Asked<Connection> {
        match self.protocol {
            Protocol::H1 => Ok(Connection::H1(Some(self.tls().await?))),
            Protocol::H2 => {
                let (sender, connection) = h2::client::handshake(self.tls().await?)
                    .await
                    .map_err(lost)?;
                tokio::spawn(connection);
                Ok(Connection::H2(sender))
            }
            Protocol::H3 => {
                let tls = quinn::crypto::rustls::QuicClientConfig::try_from(Arc::clone(&self.tls));
                let config = quinn::ClientConfig::new(Arc::new(tls.unwrap()));
                let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
                let connecting = endpoint.connect_with(config, self.address, "localhost");
                let connection = connecting.unwrap().await.map_err(lost)?;
                let connection = h3_quinn::Connection::new(connection);
                let (mut driver, sender) = h3::client::new(connection).await.map_err(lost)?;
                tokio::spawn(async move {
                    std::future::poll_fn(|cx| driver.poll_close(cx)).await;
                });
                Ok(Connection::H3(endpoint, sender))
            }
        }
    }

    async fn tls(&self) -> Asked<Pin<Box<dyn Io>>> {
        let tcp = TcpStream::connect(self.address).await.map_err(lost)?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
        Ok(Box::pin(connector.connect(name, tcp).await.map_err(lost)?))
    }

    /// One whole answer on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Asked<Bytes> {
        let mut connection = self.connect().await?;
        connection.get(path).await?.rest().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Self::H3(endpoint, _) = self {
            // Its driver would keep it open.
            endpoint.close(0_u32.into(), b"");
        }
    }
}

impl Connection {
    /// Asks for a path and waits for the header, which must be a 200.
    pub(crate) async fn get(&mut self, path: &str) -> Asked<Answer<'_>> {
        match self {
            Self::H1(home) => {
                let stream = home.take().ok_or(Wrong::Left)?;
                h1(home, stream, path).await
            }
            Self::H2(sender) => {
                let ready = sender.clone().ready().await;
                let mut sender = ready.map_err(|_| Wrong::Left)?;
                let (response, _) = sender.send_request(request(path), true).map_err(lost)?;
                let response = response.await.map_err(lost)?;
                is_ok(response.status())?;
                Ok(Answer::H2(response.into_body()))
            }
            Self::H3(_, sender) => {
                let sent = sender.send_request(request(path)).await;
                let mut stream = sent.map_err(|_| Wrong::Left)?;
                stream.finish().await.map_err(lost)?;
                let response = stream.recv_response().await.map_err(lost)?;
                is_ok(response.status())?;
                Ok(Answer::H3(stream))
            }
        }
    }
}

impl Answer<'_> {
    /// The next bytes; `None` at a clean end.
    pub(crate) async fn next(&mut self) -> Asked<Option<Bytes>> {
        match self {
            Self::H1 {
                home: _,
                stream,
                buffer,
                left,
                last: _,
            } => {
                if *left == 0 {
                    return Ok(None);
                }
                if buffer.is_empty() && stream.read_buf(buffer).await.map_err(lost)? == 0 {
                    return Err(lost(format!("{left} bytes are missing")));
                }
                let piece = buffer.split_to(buffer.len().min(*left)).freeze();
                *left -= piece.len();
                Ok(Some(piece))
            }
            Self::H2(stream) => match stream.data().await.transpose().map_err(lost)? {
                Some(piece) => {
                    let given = stream.flow_control().release_capacity(piece.len());
                    given.map_err(lost)?;
                    Ok(Some(piece))
                }
                None => Ok(None),
            },
            Self::H3(stream) => {
                let piece = stream.recv_data().await.map_err(lost)?;
                Ok(piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())))
            }
        }
    }

    /// All that is left of it.
    pub(crate) async fn rest(mut self) -> Asked<Bytes> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        if let Self::H1 {
            home,
            stream,
            last: false,
            ..
        } = self
        {
            *home = Some(stream);
        }
        Ok(all.freeze())
    }
}

async fn h1<'a>(
    home: &'a mut Option<Pin<Box<dyn Io>>>,
    mut stream: Pin<Box<dyn Io>>,
    path: &str,
) -> Asked<Answer<'a>> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.map_err(lost)?;
    let mut buffer = BytesMut::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut buffer).await.map_err(lost)? == 0 {
            return Err(lost("closed before a header came"));
        }
    };
    let head = String::from_utf8(buffer.split_to(end).to_vec()).unwrap();
    let head = head.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(lost(head));
    }
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let left = field("content-length: ").unwrap().parse().unwrap();
    Ok(Answer::H1 {
        home,
        stream,
        buffer,
        left,
        last: field("connection: ") == Some("close"),
    })
}

fn request(path: &str) -> http::Request<()> {
    let uri = format!("https://localhost{path}");
    http::Request::get(uri).body(()).unwrap()
}

fn is_ok(status: http::StatusCode) -> Asked<()> {
    if status == http::StatusCode::OK {
        Ok(())
    } else {
        Err(lost(status))
    }
}

fn lost(why: impl std::fmt::Display) -> Wrong {
    Wrong::Lost(why.to_string())
}
