//! Clients for the three protocols, each as plain as a test needs.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, ServerName};
use tier::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where to and how.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub protocol: Protocol,
    roots: Arc<rustls::RootCertStore>,
}

/// An answer whose body is read step by step. Dropped, it is given up.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    body: Body,
}

/// A whole answer.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    /// `Err`: what came before the answer broke off.
    pub body: Result<Bytes, Bytes>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a handful of them live, in tests"
)]
enum Body {
    H1 {
        stream: Pin<Box<dyn Io>>,
        buffer: BytesMut,
        left: Left,
    },
    H2(h2::RecvStream),
    H3 {
        stream: h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>,
        _connection: quinn::Endpoint,
        _sender: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Bytes(usize),
    Chunked,
    ToClose,
}

impl Client {
    pub fn new(address: SocketAddr, protocol: Protocol, root: &CertificateDer<'static>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        Self {
            address,
            protocol,
            roots: Arc::new(roots),
        }
    }

    pub async fn get(&self, target: &str, fields: &[(&str, &str)]) -> Got {
        self.open("GET", target, fields).await.whole().await
    }

    pub async fn open(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(method, target, fields, "").await
    }

    /// As [`Client::open`], with a body.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let length = body.len().to_string();
        let sized = [fields, &[("content-length", length.as_str())]].concat();
        let fields = if body.is_empty() { fields } else { &sized };
        self.speak(method, target, fields, (body, true)).await
    }

    /// As [`Client::send`], with no more than the beginning of the body that the fields announce.
    pub async fn begin(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.speak(method, target, fields, (body.into(), false))
            .await
    }

    /// Whether the body is whole stands beside it.
    async fn speak(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: (Bytes, bool),
    ) -> Answer {
        match self.protocol {
            Protocol::H1 => {
                let mut text = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n");
                for (name, value) in fields {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                text.push_str("\r\n");
                let bytes = [text.as_bytes(), &body.0].concat();
                let stream = self.tls("http/1.1").await;
                h1(stream, &bytes, method == "HEAD").await
            }
            Protocol::H2 => {
                let (sender, _) = self.h2().await;
                h2_exchange(sender, request(method, target, fields), body).await
            }
            Protocol::H3 => {
                let connection = self.h3().await;
                h3_send(connection, request(method, target, fields), body).await
            }
        }
    }

    pub async fn tls(&self, alpn: &str) -> Pin<Box<dyn Io>> {
        self.tls_behind(b"", alpn).await.unwrap()
    }

    /// A connection whose first bytes are a load balancer's.
    pub async fn tls_behind(&self, said: &[u8], alpn: &str) -> std::io::Result<Pin<Box<dyn Io>>> {
        let config = self.tls_config(alpn);
        let mut tcp = TcpStream::connect(self.address).await?;
        tcp.write_all(said).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, tcp).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
        Ok(Box::pin(stream))
    }

    /// An HTTP/2 connection, driven until it closes.
    pub async fn h2(&self) -> (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<()>) {
        self.h2_over(self.tls("h2").await).await
    }

    pub async fn h2_over(
        &self,
        stream: Pin<Box<dyn Io>>,
    ) -> (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<()>) {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        (sender, driver)
    }

    /// What believes the edge, offers one protocol, and remembers sessions.
    pub fn tls_config(&self, alpn: &str) -> rustls::ClientConfig {
        let mut config = rustls::ClientConfig::builder()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        config
    }

    pub async fn quic(&self) -> (quinn::Endpoint, quinn::Connection) {
        let config = self.tls_config("h3");
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let connecting = endpoint.connect(self.address, "localhost").unwrap();
        (endpoint.clone(), connecting.await.unwrap())
    }

    async fn h3(
        &self,
    ) -> (
        quinn::Endpoint,
        h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    ) {
        let (endpoint, connection) = self.quic().await;
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection))
            .await
            .unwrap();
        tokio::spawn(async move {
            std::future::poll_fn(|cx| driver.poll_close(cx)).await;
        });
        (endpoint, sender)
    }
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> http::Request<()> {
    let uri: http::Uri = format!("https://localhost{target}").parse().unwrap();
    let mut request = http::Request::builder()
        .method(method)
        .uri(uri)
        .body(())
        .unwrap();
    for (name, value) in fields {
        let name = HeaderName::try_from(*name).unwrap();
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

pub async fn h2_send(
    sender: h2::client::SendRequest<Bytes>,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let body = (Bytes::new(), true);
    h2_exchange(sender, request(method, target, fields), body).await
}

async fn h2_exchange(
    sender: h2::client::SendRequest<Bytes>,
    request: http::Request<()>,
    (body, whole): (Bytes, bool),
) -> Answer {
    let mut sender = sender.ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(body, whole).unwrap();
    }
    let (head, body) = response.await.unwrap().into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Body::H2(body),
    }
}

async fn h3_send(
    (endpoint, mut sender): (
        quinn::Endpoint,
        h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    ),
    request: http::Request<()>,
    (body, whole): (Bytes, bool),
) -> Answer {
    let mut stream = sender.send_request(request).await.unwrap();
    if !body.is_empty() {
        stream.send_data(body).await.unwrap();
    }
    if whole {
        stream.finish().await.unwrap();
    }
    let (head, ()) = stream.recv_response().await.unwrap().into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Body::H3 {
            stream,
            _connection: endpoint,
            _sender: sender,
        },
    }
}

/// Sends raw bytes as an HTTP/1.1 request and reads the answer's header.
pub async fn h1(mut stream: Pin<Box<dyn Io>>, bytes: &[u8], headless: bool) -> Answer {
    stream.write_all(bytes).await.unwrap();
    let mut buffer = BytesMut::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read_buf(&mut buffer).await.unwrap_or(0);
        assert_ne!(read, 0, "closed before a header came");
    };
    let head = String::from_utf8(buffer.split_to(end).to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status: u16 = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::try_from(name).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let length = headers
        .get("content-length")
        .map(|value| value.to_str().unwrap().parse().unwrap());
    let left = match length {
        _ if headless || matches!(status, 204 | 304) => Left::Bytes(0),
        Some(length) => Left::Bytes(length),
        None if headers.contains_key("transfer-encoding") => Left::Chunked,
        None => Left::ToClose,
    };
    Answer {
        status,
        headers,
        body: Body::H1 {
            stream,
            buffer,
            left,
        },
    }
}

impl Answer {
    /// The next bytes; `None` at a clean end; `Err` when the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match &mut self.body {
            Body::H1 {
                stream,
                buffer,
                left,
            } => h1_next(stream, buffer, left).await,
            Body::H2(body) => match body.data().await {
                Some(Ok(bytes)) => {
                    body.flow_control().release_capacity(bytes.len()).unwrap();
                    Ok(Some(bytes))
                }
                Some(Err(error)) => Err(error.to_string()),
                None => Ok(None),
            },
            Body::H3 { stream, .. } => match stream.recv_data().await {
                Ok(Some(mut bytes)) => Ok(Some(bytes.copy_to_bytes(bytes.remaining()))),
                Ok(None) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    pub async fn whole(mut self) -> Got {
        let mut body = BytesMut::new();
        let body = loop {
            match self.next().await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) => break Ok(body.freeze()),
                Err(_) => break Err(body.freeze()),
            }
        };
        Got {
            status: self.status,
            headers: self.headers,
            body,
        }
    }
}

async fn h1_next(
    stream: &mut Pin<Box<dyn Io>>,
    buffer: &mut BytesMut,
    left: &mut Left,
) -> Result<Option<Bytes>, String> {
    loop {
        match left {
            Left::Bytes(0) => return Ok(None),
            Left::Bytes(count) if !buffer.is_empty() => {
                let part = buffer.split_to(buffer.len().min(*count)).freeze();
                *count -= part.len();
                return Ok(Some(part));
            }
            Left::ToClose if !buffer.is_empty() => return Ok(Some(buffer.split().freeze())),
            Left::Chunked => {
                if let Some(end) = buffer.windows(2).position(|two| two == b"\r\n") {
                    let line = std::str::from_utf8(&buffer[..end]).unwrap();
                    let size = usize::from_str_radix(line, 16).map_err(|e| e.to_string())?;
                    if buffer.len() >= end + 2 + size + 2 {
                        buffer.advance(end + 2);
                        let part = buffer.split_to(size).freeze();
                        buffer.advance(2);
                        return Ok((size > 0).then_some(part));
                    }
                }
            }
            _ => {}
        }
        match stream.read_buf(buffer).await {
            Ok(0) if *left == Left::ToClose => return Ok(None),
            Ok(0) => return Err("closed".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

impl Got {
    pub fn field(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn bytes(&self) -> &Bytes {
        self.body.as_ref().expect("a clean end")
    }
}
