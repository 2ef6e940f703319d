//! The UDP socket, its QUIC endpoint, and the loop that takes connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use pingora::apps::HttpServerApp;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use runtime::shutdown::Shutdown;
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::batch::Gathering;
use super::code::Code;
use super::connection::{Connection, Context, Early};
use super::metrics::Metrics;
use super::session;
use super::settings::Settings;
use super::steering::{Steering, Tag, Tagged};

/// A bound socket that does not answer yet.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    local_addr: SocketAddr,
    settings: Arc<watch::Sender<Settings>>,
    metrics: Metrics,
    steering: Option<Steering>,
}

impl Listener {
    /// The address it is bound to, with the port that the system chose if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Its counters, to be registered where they shall be seen.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Its settings. Those that come later hold for the connections from then on, as far as they do not concern the
    /// socket and QUIC's windows.
    #[must_use]
    pub fn settings(&self) -> Arc<watch::Sender<Settings>> {
        Arc::clone(&self.settings)
    }

    /// What shares the port with another process; nothing where the kernel cannot do that.
    pub const fn take_steering(&mut self) -> Option<Steering> {
        self.steering.take()
    }
}

/// Binds a UDP socket for HTTP/3. Port 0 lets the system choose. `resolver` may be the one that
/// serves TLS over TCP. Must be called inside a tokio runtime.
///
/// # Errors
///
/// The socket cannot be bound, or a setting is out of bounds (`InvalidInput`).
pub fn bind(
    addr: SocketAddr,
    resolver: Arc<dyn ResolvesServerCert>,
    settings: &Settings,
) -> io::Result<Listener> {
    bind_beside(None, addr, resolver, settings)
}

/// As [`bind`], beside the socket of a process that has this tag and goes on answering its connections. It gets all
/// packets until the new one's [`Steering::take_over`].
///
/// # Errors
///
/// As [`bind`]; or the kernel cannot share a port.
pub fn bind_beside(
    elder: Option<Tag>,
    addr: SocketAddr,
    resolver: Arc<dyn ResolvesServerCert>,
    settings: &Settings,
) -> io::Result<Listener> {
    let config = server_config(resolver, settings)?;
    let (socket, steering) = shared_socket(elder, addr, settings)?;
    let mut endpoint_config = EndpointConfig::default();
    if let Some(steering) = &steering {
        let tag = steering.tag();
        endpoint_config.cid_generator(move || Box::new(Tagged::new(tag)));
    }
    let endpoint = Endpoint::new(endpoint_config, Some(config), socket, Arc::new(Gathering))?;
    let local_addr = endpoint.local_addr()?;
    Ok(Listener {
        endpoint,
        local_addr,
        settings: Arc::new(watch::Sender::new(settings.clone())),
        metrics: Metrics::new(),
        steering,
    })
}

/// Answers requests with `app` until shutdown. Then no connection is taken any more, every client
/// gets GOAWAY, and requests in progress are completed, for at most [`Settings::drain`]. Where
/// another process serves instead, connections that began at this one are taken still, and each
/// client has half of that time to go there. Returns when all connections have ended.
pub async fn serve<A>(listener: Listener, app: Arc<A>, mut shutdown: Shutdown)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let Listener {
        endpoint,
        local_addr,
        settings,
        metrics,
        ..
    } = listener;
    let mut settings = settings.subscribe();
    let tls = session::Connection::tls();
    let of = |settings: &Settings| {
        Arc::new(Context {
            app: Arc::clone(&app),
            settings: settings.clone(),
            metrics: metrics.clone(),
            server: local_addr,
            tls: Arc::clone(&tls),
        })
    };
    let mut context = of(&settings.borrow_and_update());
    let asked = shutdown.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                if let Some(incoming) = admit(incoming, &endpoint, &context) {
                    connections.spawn(connect(incoming, Arc::clone(&context), asked.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
            Ok(()) = settings.changed() => context = of(&settings.borrow_and_update()),
            () = shutdown.requested() => break,
        }
    }
    let drain = context.settings.drain;
    let settled = Instant::now() + SETTLE.min(drain / 2);
    let drained = async {
        // packets that came before the other process took over may still lie in the socket
        while !connections.is_empty() || (shutdown.is_replaced() && Instant::now() < settled) {
            tokio::select! {
                Some(incoming) = endpoint.accept() => {
                    if !shutdown.is_replaced() {
                        // told at once, a client goes elsewhere without waiting
                        incoming.refuse();
                    } else if let Some(incoming) = admit(incoming, &endpoint, &context) {
                        connections.spawn(connect(incoming, Arc::clone(&context), asked.clone()));
                    }
                }
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep_until(settled), if connections.is_empty() => {}
            }
        }
    };
    if timeout(drain, drained).await.is_err() {
        tracing::warn!("gave up HTTP/3 requests that were still in progress at shutdown");
    }
    endpoint.close(Code::NO_ERROR.into(), b"shutdown");
    // lets the farewell leave; clients that are gone are not waited for
    let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
}

/// Refuses a client at the limit, and sends one that has not proved its address back for that
/// when there are many.
fn admit<A>(
    incoming: quinn::Incoming,
    endpoint: &Endpoint,
    context: &Context<A>,
) -> Option<quinn::Incoming> {
    let Context {
        settings, metrics, ..
    } = context;
    let open = endpoint.open_connections();
    if open >= settings.max_connections {
        metrics.connections_refused.inc();
        incoming.refuse();
        return None;
    }
    if open >= settings.retry_from_connections
        && !incoming.remote_address_validated()
        && incoming.may_retry()
    {
        metrics.connections_retried.inc();
        // cannot fail: the address was not validated
        let _ = incoming.retry();
        return None;
    }
    Some(incoming)
}

async fn connect<A: HttpServerApp + Send + Sync + 'static>(
    incoming: quinn::Incoming,
    context: Arc<Context<A>>,
    shutdown: Shutdown,
) {
    let until = Instant::now() + context.settings.handshake;
    let handshake = async {
        let Ok((quic, mut handshake)) = incoming.accept()?.into_0rtt() else {
            return Err(quinn::ConnectionError::LocallyClosed);
        };
        let first = tokio::select! {
            biased;
            // whether 0-RTT was accepted is for clients to know
            _ = &mut handshake => None,
            stream = quic.accept_bi() => Some(stream?),
        };
        if let Some(reason) = quic.close_reason() {
            return Err(reason);
        }
        let early = first.map(|first| Early {
            first,
            handshake,
            until,
        });
        Ok((quic, early))
    };
    match timeout_at(until, handshake).await {
        Ok(Ok((quic, early))) => {
            let connection = Connection::new(quic, context, shutdown);
            match early {
                Some(early) => connection.with_early(early).run().await,
                None => connection.run().await,
            }
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "QUIC handshake failed: {error}");
            context.metrics.connections_refused.inc();
        }
        Err(_) => context.metrics.connections_refused.inc(),
    }
}

fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    settings: &Settings,
) -> io::Result<quinn::ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(invalid)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    tls.alpn_protocols = vec![b"h3".to_vec()];
    // A ticket is good for one connection, so what was sent early cannot be sent again to this
    // node; whatever came early may still be a copy of what went to another.
    tls.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    tls.max_early_data_size = if settings.early_data { u32::MAX } else { 0 };
    let tls = QuicServerConfig::try_from(tls).map_err(invalid)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport(settings)?));
    config.max_incoming(MAX_INCOMING);
    Ok(config)
}

fn transport(settings: &Settings) -> io::Result<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(settings.idle).map_err(invalid)?;
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(settings.max_requests))
        .max_concurrent_uni_streams(VarInt::from_u32(settings.max_uni_streams))
        .stream_receive_window(VarInt::from_u32(settings.stream_receive_bytes))
        .receive_window(VarInt::from_u32(settings.connection_receive_bytes))
        .send_window(settings.connection_send_bytes)
        .max_idle_timeout(Some(idle))
        // A paused player sends nothing, and its answer is still in progress. A connection without
        // a request is closed after the idle time all the same, by us.
        .keep_alive_interval(Some(KEEP_ALIVE.min(settings.idle / 3)))
        // we use no datagrams, and take none
        .datagram_receive_buffer_size(None);
    Ok(transport)
}

/// A socket that can share its port with another process's; where the kernel knows no such thing, one that cannot.
fn shared_socket(
    elder: Option<Tag>,
    addr: SocketAddr,
    settings: &Settings,
) -> io::Result<(std::net::UdpSocket, Option<Steering>)> {
    let addr = match elder {
        Some(_) => addr,
        // a port that can be shared would be given to whoever asks in the same way: it must be free first
        None => udp_socket(addr, settings, Port::Alone)?.local_addr()?,
    };
    let socket = udp_socket(addr, settings, Port::Shared)?;
    match Steering::new(socket.try_clone()?, elder) {
        Ok(steering) => Ok((socket, Some(steering))),
        Err(error) if elder.is_none() => {
            tracing::warn!(
                "the kernel cannot lead QUIC packets to one of two processes: no upgrade without a pause: {error}"
            );
            // none of a group that nobody steers
            drop(socket);
            Ok((udp_socket(addr, settings, Port::Alone)?, None))
        }
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Shared,
    Alone,
}

fn udp_socket(
    addr: SocketAddr,
    settings: &Settings,
    port: Port,
) -> io::Result<std::net::UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if port == Port::Shared {
        socket.set_reuse_port(true)?;
    }
    // more buffer than the system allows is no reason not to serve
    let _ = socket.set_recv_buffer_size(settings.socket_buffer_bytes);
    let _ = socket.set_send_buffer_size(settings.socket_buffer_bytes);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// How many first packets may wait to be looked at.
const MAX_INCOMING: usize = 1024;

/// How many tickets of clients that may come back are kept.
const SESSIONS: usize = 16 * 1024;

/// How often a silent client is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// After another process took over, how long packets that came before are waited for.
const SETTLE: Duration = Duration::from_secs(1);

/// How long clients have to hear that the server closes.
const FAREWELL: Duration = Duration::from_secs(1);
