//! The TCP side: accept, limit, shake hands, choose HTTP/1.1 or HTTP/2, drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use pingora::apps::HttpServerApp as _;
use pingora::protocols::{ALPN, Ssl as _};
use runtime::shutdown::Shutdown;
use rustls::server::ServerConfig;
use socket2::SockRef;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::error::Error;
use crate::guard::{self, Guard};
use crate::metrics::Connections;
use crate::pace::Patience;
use crate::proxied::{self, Progress, Said};
use crate::secured::Secured;
use crate::tcp::Tcp;

/// What a listener bears with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for a whole HTTP/1.1 request header, HTTP/2 header block or frame, from its first
    /// byte; for an HTTP/2 connection preface, from the handshake.
    pub header: Duration,
    /// How slowly an answer may be taken.
    pub write: Patience,
    /// How slowly a request's body may come.
    pub read: Patience,
    /// Time that answers in progress get when the node stops.
    pub drain: Duration,
    /// Networks of load balancers. Where there are any, every connection must come from one of them and begin with
    /// a PROXY protocol header, complete within the time of a handshake, which says who the client is.
    pub proxied_by: Vec<IpNet>,
}

/// How a listener serves.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What it bears with.
    pub limits: Limits,
    /// With it, ALPN chooses between HTTP/2 and HTTP/1.1; without, HTTP/1.1 is spoken.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Listens on an address; port 0 takes a free one.
///
/// # Errors
/// When the address is taken or not the machine's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| Error::Bind { address, source })
}

/// Serves connections until shutdown, each on the terms of the time at which it began, then lets answers in progress
/// end.
///
/// A connection on which nothing is asked is closed then; where another process serves instead, it
/// may be asked once more until the time to drain has passed, and the answer says that it is the
/// last. For a client may be asking at the very moment at which its connection is closed.
pub async fn serve(
    listener: TcpListener,
    mut terms: watch::Receiver<Terms>,
    app: Arc<App>,
    connections: Connections,
    mut shutdown: Shutdown,
) {
    let (mut limits, mut tls) = put_to_use(&terms.borrow_and_update());
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        tokio::select! {
            () = shutdown.requested() => break,
            Ok(()) = terms.changed() => {
                (limits, tls) = put_to_use(&terms.borrow_and_update());
            }
            _ = running.join_next(), if running.len() >= limits.max_connections => {}
            accepted = listener.accept(), if running.len() < limits.max_connections => {
                match accepted {
                    Ok((stream, peer)) => {
                        let connection = Connection {
                            app: Arc::clone(&app),
                            tls: tls.clone(),
                            limits: limits.clone(),
                            connections: connections.clone(),
                            shutdown: shutdown.watch(),
                        };
                        let counted = Counted::new(connections.open.clone());
                        running.spawn(async move {
                            connection.serve(stream, peer).await;
                            drop(counted);
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: closing connections free some.
                        tracing::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        }
    }
    drop(listener);
    if !shutdown.is_replaced() {
        app.http_cleanup().await;
    }
    let drained = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        running.shutdown().await;
    }
}

fn put_to_use(terms: &Terms) -> (Limits, Option<Arc<ServerConfig>>) {
    (terms.limits.clone(), terms.tls.clone())
}

struct Connection {
    app: Arc<App>,
    tls: Option<Arc<ServerConfig>>,
    limits: Limits,
    connections: Connections,
    shutdown: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, mut tcp: TcpStream, peer: SocketAddr) {
        // The socket may be gone already; the first read will tell.
        let _ = tcp.set_nodelay(true);
        // A kernel without it holds more for a slow reader, and tells later that it is slow.
        let _ = SockRef::from(&tcp).set_tcp_notsent_lowat(NOT_SENT_BYTES);
        let client = if self.limits.proxied_by.is_empty() {
            Some(peer)
        } else {
            self.proxied(&mut tcp, peer).await
        };
        let Some(client) = client else {
            return;
        };
        let stream = Tcp::new(tcp, client);
        let Some(tls) = &self.tls else {
            let guarded = Guard::new(stream, self.terms());
            return self.app.serve(Box::new(guarded), &self.shutdown).await;
        };
        let handshake = Secured::accept(Arc::clone(tls), stream);
        let secured = match tokio::time::timeout(self.limits.handshake, handshake).await {
            Ok(Ok(secured)) => secured,
            Ok(Err(error)) => return tracing::debug!(%peer, "TLS handshake failed: {error}"),
            Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
        };
        let guarded = if matches!(secured.selected_alpn_proto(), Some(ALPN::H2)) {
            Guard::h2(secured, self.terms())
        } else {
            Guard::new(secured, self.terms())
        };
        self.app.serve(Box::new(guarded), &self.shutdown).await;
    }

    fn terms(&self) -> guard::Terms {
        guard::Terms {
            header: self.limits.header,
            write: self.limits.write,
            read: self.limits.read,
            connections: self.connections.clone(),
        }
    }

    /// Who is behind a load balancer; `None` for a connection that is not to be served.
    async fn proxied(&self, tcp: &mut TcpStream, peer: SocketAddr) -> Option<SocketAddr> {
        let ip = peer.ip().to_canonical();
        if !self.limits.proxied_by.iter().any(|net| net.contains(&ip)) {
            tracing::debug!(%peer, "a connection that is not by a load balancer");
            return None;
        }
        match tokio::time::timeout(self.limits.handshake, said_first(tcp)).await {
            Ok(Ok(Said::Client(client))) => Some(client),
            Ok(Ok(Said::Nothing)) => Some(peer),
            Ok(Err(error)) => {
                tracing::debug!(%peer, "no PROXY protocol header: {error}");
                None
            }
            Err(_) => {
                tracing::debug!(%peer, "the PROXY protocol header took too long");
                None
            }
        }
    }
}

/// Reads the PROXY protocol header from a connection that has just begun, and nothing behind it.
async fn said_first(tcp: &mut TcpStream) -> io::Result<Said> {
    let mut seen = Vec::with_capacity(128);
    loop {
        match proxied::parse(&seen) {
            Ok(Progress::Complete(said)) => return Ok(said),
            Ok(Progress::Needs(more)) => {
                let before = seen.len();
                seen.resize(before + more, 0);
                tcp.read_exact(seen.get_mut(before..).unwrap_or_default())
                    .await?;
            }
            Err(malformed) => return Err(io::Error::new(io::ErrorKind::InvalidData, malformed)),
        }
    }
}

/// One on the gauge of open connections.
struct Counted(prometheus::IntGauge);

impl Counted {
    fn new(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How much of an answer may wait in the kernel unsent. More would hide for long how slowly a
/// client takes it, and be sent before anything that is more urgent.
const NOT_SENT_BYTES: u32 = 128 * 1024;
