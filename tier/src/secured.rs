//! A TLS connection whose records leave together.

use std::io::{self, BufRead as _, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use rustls::server::ServerConfig;
use rustls::{ProtocolVersion, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;

use crate::child;
use crate::tcp::Tcp;

/// A TLS connection to a client, after its handshake.
///
/// Each system call costs about as much as the encryption of a record, so records wait until there
/// is a batch of them, or nothing more is written. Over HTTP/1.1 each write is a batch. Over HTTP/2
/// each frame is a write, and is flushed: there the first flush after a write only asks to be
/// called again, and if another frame is written first, both leave together.
pub(crate) struct Secured<S = Tcp> {
    stream: S,
    tls: ServerConnection,
    digest: Arc<SslDigest>,
    gathers: bool,
    /// Bytes that were written and whose records have not all left.
    held: usize,
    /// Something was written since the last flush.
    written: bool,
    /// The task was asked to come again.
    woken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Secured<S> {
    /// Shakes hands. ALPN chooses the protocol.
    pub(crate) async fn accept(config: Arc<ServerConfig>, stream: S) -> io::Result<Self> {
        let accepted = TlsAcceptor::from(config).accept(stream).await?;
        let (stream, mut tls) = accepted.into_inner();
        let gathers = tls.alpn_protocol() == Some(b"h2");
        let overhead = if gathers { OVERHEAD_BYTES } else { 0 };
        tls.set_buffer_limit(Some(BATCH_BYTES + overhead));
        Ok(Self {
            stream,
            gathers,
            digest: Arc::new(digest(&tls)),
            tls,
            held: 0,
            written: false,
            woken: false,
        })
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut polled = Polled {
            stream: &mut self.stream,
            cx,
        };
        match self.tls.read_tls(&mut polled) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
            Ok(_) => {}
        }
        if let Err(error) = self.tls.process_new_packets() {
            // The client learns why, where that can be said at once.
            let _ = self.push(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(()))
    }

    /// Hands all records to the stream beneath.
    fn push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut polled = Polled {
                stream: &mut self.stream,
                cx,
            };
            match self.tls.write_tls(&mut polled) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.held = 0;
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        // What does not fit would be torn, and leave as one more small record.
        if self.held > 0 && self.held + length > BATCH_BYTES {
            ready!(self.push(cx))?;
        }
        loop {
            let taken = self.tls.writer().write_vectored(bufs)?;
            self.held += taken;
            self.written = true;
            if self.gathers && taken == length {
                return Poll::Ready(Ok(taken));
            }
            match self.push(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Ready(Ok(())) if taken == 0 => {}
                // What waits leaves with what comes next, or when it is flushed.
                _ => return Poll::Ready(Ok(taken)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if std::mem::take(&mut this.woken) && this.held > 0 {
            // Nobody has flushed a second time. An error shows at the next write.
            let _ = this.push(cx);
        }
        loop {
            let mut reader = this.tls.reader();
            match reader.fill_buf() {
                Ok(bytes) => {
                    let part = bytes.get(..buf.remaining()).unwrap_or(bytes);
                    let taken = part.len();
                    buf.put_slice(part);
                    reader.consume(taken);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(this.receive(cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.put(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.put(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if std::mem::take(&mut this.written) && this.gathers {
            if !std::mem::replace(&mut this.woken, true) {
                cx.waker().wake_by_ref();
            }
            return Poll::Ready(Ok(()));
        }
        ready!(this.push(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Said once, however often it is asked for.
        this.tls.send_close_notify();
        ready!(this.push(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// What Pingora is told of a connection: that it is secured, and by what.
fn digest(tls: &ServerConnection) -> SslDigest {
    let version = match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    child::digest(version, tls)
}

/// The stream beneath as rustls wants it.
struct Polled<'a, 'b, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> io::Read for Polled<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buf) {
            Poll::Ready(read) => read.map(|()| buf.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> io::Write for Polled<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.stream).poll_write_vectored(self.cx, bufs) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shutdown for Secured<S> {
    async fn shutdown(&mut self) {
        // Whoever is gone needs no farewell.
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: UniqueID> UniqueID for Secured<S> {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl<S> Ssl for Secured<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        Some(Arc::clone(&self.digest))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.tls.alpn_protocol()? {
            b"h2" => Some(ALPN::H2),
            b"http/1.1" => Some(ALPN::H1),
            _ => None,
        }
    }
}

impl<S: GetTimingDigest> GetTimingDigest for Secured<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl<S: GetProxyDigest> GetProxyDigest for Secured<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl<S: GetSocketDigest> GetSocketDigest for Secured<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[async_trait]
impl<S: Send> Peek for Secured<S> {}

impl<S: std::fmt::Debug> std::fmt::Debug for Secured<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secured({:?})", self.stream)
    }
}

/// What leaves at once: four records. More would be out of the nearest caches when it leaves.
const BATCH_BYTES: usize = 64 * 1024;

/// By how much records may be longer than what they bear.
const OVERHEAD_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use super::*;
    use crate::counted::Counted;

    async fn connected(alpn: &str, room: usize) -> (TlsStream<DuplexStream>, Secured<Counted>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        runtime::tls::install_provider();
        let mut server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let mut client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        for protocols in [&mut server.alpn_protocols, &mut client.alpn_protocols] {
            *protocols = vec![alpn.into()];
        }
        let (near, far) = tokio::io::duplex(room);
        let name = ServerName::try_from("localhost").unwrap();
        let (client, server) = tokio::join!(
            TlsConnector::from(Arc::new(client)).connect(name, near),
            Secured::accept(Arc::new(server), Counted(far, 0)),
        );
        let mut server = server.unwrap();
        server.stream.1 = 0;
        (client.unwrap(), server)
    }

    /// Writes frames as the HTTP/2 library does: each is flushed, and once more at the end.
    async fn frames(server: &mut Secured<Counted>, frames: &[&[u8]]) {
        for frame in frames {
            server.write_all(frame).await.unwrap();
            server.flush().await.unwrap();
        }
        server.flush().await.unwrap();
    }

    #[tokio::test]
    async fn frames_that_come_together_leave_together() {
        let (mut client, mut server) = connected("h2", 1 << 20).await;
        frames(&mut server, &[&[1; 100], &[2; 200], &[3; 300]]).await;
        assert_eq!(server.stream.1, 1, "one write");
        client.read_exact(&mut [0; 600]).await.unwrap();
        let full = [7; 16 * 1024];
        frames(&mut server, &[&full[..]; 8]).await;
        assert_eq!(server.stream.1, 3, "two batches");
        let mut all = vec![0; 8 * full.len()];
        client.read_exact(&mut all).await.unwrap();
        assert_eq!(all, full.repeat(8));
    }

    #[tokio::test]
    async fn a_last_frame_leaves_though_nobody_flushes_it_again() {
        let (mut client, mut server) = connected("h2", 1 << 20).await;
        server.write_all(b"settings").await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(server.stream.1, 0, "another frame may follow");
        let idle = async { server.read(&mut [0; 1]).await.unwrap() };
        let mut seen = [0; 8];
        tokio::select! {
            biased;
            _ = idle => unreachable!("the client says nothing"),
            read = client.read_exact(&mut seen) => { read.unwrap(); }
        }
        assert_eq!(&seen, b"settings");
    }

    #[tokio::test]
    async fn over_http1_everything_leaves_as_it_is_written() {
        let (mut client, mut server) = connected("http/1.1", 1 << 20).await;
        for (written, part) in [(1, &b"one"[..]), (2, b"two")] {
            server.write_all(part).await.unwrap();
            assert_eq!(server.stream.1, written);
            client.read_exact(&mut [0; 3]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_slow_client_has_no_room_for_is_not_lost() {
        for alpn in ["h2", "http/1.1"] {
            let (mut client, mut server) = connected(alpn, 10_000).await;
            let body: Vec<u8> = (0..400_000u32).map(|n| n.to_le_bytes()[1]).collect();
            let sent = async {
                for part in body.chunks(30_000) {
                    server.write_all(part).await.unwrap();
                    server.flush().await.unwrap();
                }
                AsyncWriteExt::shutdown(&mut server).await.unwrap();
            };
            let mut seen = Vec::new();
            let (_, read) = tokio::join!(sent, client.read_to_end(&mut seen));
            read.unwrap();
            assert!(seen == body, "{alpn}");
        }
    }
}
