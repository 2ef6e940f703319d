//! HTTP/3 on quinn with frames of our own: one kind of request, answers cut into their frames and no more.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, NoneTokenStore, RecvStream, SendStream, TransportConfig,
    VarInt,
};
use rustls::ClientConfig as Tls;

use super::{Answer, qpack};

/// A stream at a time of a connection that others share.
#[derive(Clone)]
pub(crate) struct Lane {
    connection: Arc<Open>,
}

/// A connection; its last lane closes it.
struct Open {
    connection: Connection,
    /// Must not end before the connection does (RFC 9114 §6.2.1).
    _control: SendStream,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connection.close(NO_ERROR, b"");
    }
}

/// What every connection is made with.
pub(super) fn config(tls: Tls) -> Result<ClientConfig> {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()));
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    // All servers have one name, and none likes a token that another has given.
    config.token_store(Arc::new(NoneTokenStore));
    Ok(config)
}

/// An endpoint with a socket of its own, as each client has one.
fn endpoint() -> Result<Endpoint> {
    let socket = socket2::Socket::from(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?);
    // The kernel gives as much as its limit allows.
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    let runtime = quinn::default_runtime().context("no runtime for QUIC")?;
    let mut config = quinn::EndpointConfig::default();
    config.max_udp_payload_size(DATAGRAM)?;
    Ok(Endpoint::new(config, None, socket.into(), runtime)?)
}

/// A request's one frame.
pub(super) fn request(authority: &str, path: &str) -> Bytes {
    let header = qpack::request(authority, path);
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX) & 0x3fff;
    let [high, low] = length.to_be_bytes();
    [&[HEADERS, 0x40 | high, low][..], &header].concat().into()
}

impl Lane {
    pub(super) async fn open(
        config: &ClientConfig,
        address: SocketAddr,
        name: &str,
    ) -> Result<Self> {
        let connecting = endpoint()?.connect_with(config.clone(), address, name)?;
        let connection = connecting.await.context("no QUIC")?;
        let mut control = connection.open_uni().await?;
        control.write_all(&SETTINGS).await?;
        let from_server = connection.clone();
        // What the server tells on streams of its own is taken in, so that it may go on.
        tokio::spawn(async move {
            while let Ok(mut stream) = from_server.accept_uni().await {
                tokio::spawn(async move {
                    while let Ok(Some(_)) = stream.read_chunk(usize::MAX, false).await {}
                });
            }
        });
        Ok(Self {
            connection: Arc::new(Open {
                connection,
                _control: control,
            }),
        })
    }

    pub(super) async fn get(
        &mut self,
        request: &Bytes,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Answer> {
        let (mut send, receive) = self.connection.connection.open_bi().await?;
        send.write_chunk(request.clone()).await?;
        send.finish()?;
        let mut frames = Frames::new(receive);
        let mut status = None;
        let (mut bytes, mut first) = (0, None);
        while let Some((kind, length)) = frames.next().await? {
            match kind {
                HEADERS if status.is_none() => {
                    let header = frames.gather(length).await?;
                    status = Some(qpack::status(&header).context("a status that is not read")?);
                }
                DATA => {
                    let mut left = length;
                    while left > 0 {
                        let piece = frames.piece(left).await?;
                        first.get_or_insert_with(Instant::now);
                        left -= piece.len();
                        bytes += piece.len();
                        sink(&piece);
                    }
                }
                _ => drop(frames.gather(length).await?),
            }
        }
        Ok(Answer {
            status: status.context("no header")?,
            bytes,
            first: first.unwrap_or_else(Instant::now),
        })
    }
}

/// The frames of a stream (RFC 9114 §7.1), types of one byte only.
struct Frames {
    stream: RecvStream,
    /// What has been read and not taken.
    here: Bytes,
}

impl Frames {
    const fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            here: Bytes::new(),
        }
    }

    /// Type and length of the next frame; none when the stream has ended before it.
    async fn next(&mut self) -> Result<Option<(u8, usize)>> {
        if self.here.is_empty() && !self.more().await? {
            return Ok(None);
        }
        let kind = self.varint().await?;
        let length = usize::try_from(self.varint().await?)?;
        // A type of which nobody has heard is passed over.
        Ok(Some((u8::try_from(kind).unwrap_or(u8::MAX), length)))
    }

    /// RFC 9000 §16.
    async fn varint(&mut self) -> Result<u64> {
        let first = self.byte().await?;
        let mut number = u64::from(first & 0x3f);
        for _ in 1..1 << (first >> 6) {
            number = number << 8 | u64::from(self.byte().await?);
        }
        Ok(number)
    }

    async fn byte(&mut self) -> Result<u8> {
        self.need().await?;
        Ok(self.here.get_u8())
    }

    /// A whole frame's payload, which must be small.
    async fn gather(&mut self, length: usize) -> Result<Vec<u8>> {
        ensure!(length <= MOST_GATHERED, "a frame of {length} bytes");
        let mut all = Vec::with_capacity(length);
        while all.len() < length {
            let piece = self.piece(length - all.len()).await?;
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// The next bytes, at most so many.
    async fn piece(&mut self, most: usize) -> Result<Bytes> {
        self.need().await?;
        Ok(self.here.split_to(self.here.len().min(most)))
    }

    async fn need(&mut self) -> Result<()> {
        if self.here.is_empty() && !self.more().await? {
            bail!("the stream ended within a frame");
        }
        Ok(())
    }

    /// Reads; false at the end.
    async fn more(&mut self) -> Result<bool> {
        while self.here.is_empty() {
            match self.stream.read_chunk(usize::MAX, true).await? {
                Some(chunk) => self.here = chunk.bytes,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// A control stream (RFC 9114 §6.2.1) with settings that say nothing.
const SETTINGS: [u8; 3] = [0, 4, 0];
const NO_ERROR: VarInt = VarInt::from_u32(0x100);
const MOST_GATHERED: usize = 64 << 10;
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;
/// The largest datagram that is taken, so that every server sends the same: what quinn itself would try at most.
const DATAGRAM: u16 = 1452;
const SOCKET_BUFFER: usize = 8 << 20;
const IDLE_MS: u32 = 120_000;
