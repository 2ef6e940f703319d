//! Accepting connections, and serving over HTTP with the limits that a port open to strangers needs.

mod answers;
mod crowd;
mod patient;
mod secured;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::shutdown::Shutdown;

pub use answers::{Answers, Sending};
use crowd::Crowd;
pub use crowd::network;
pub use patient::Patient;
pub use secured::{PeerCertificate, serve_secured};

/// What a listener bears with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Those beyond wait in the system's queue.
    pub connections: usize,
    /// Of those, from one address, or one IPv6 network of 64 bits. Those beyond are closed.
    pub each: usize,
    /// Time for the first whole request header, from when the connection was accepted.
    pub first: Duration,
    /// Time for each further one, from when it is waited for: a connection that says nothing for as
    /// long is closed. Over HTTP/2 a peer that does not answer a ping within as long is, too.
    pub header: Duration,
    /// How long a peer may take nothing of what is sent to it: less than 64 KiB, and less than what
    /// is left.
    pub write: Duration,
}

/// Who is at the other end of a request's connection; [`serve`] puts it into the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// How long accepting pauses when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest request header, in bytes.
const MAX_HEADER: usize = 64 << 10;
/// Requests at a time on a connection over HTTP/2.
const MAX_STREAMS: u32 = 128;

/// Serves HTTP/1.1 until shutdown, then lets answers under way end. The caller bounds that by
/// dropping the future, which cuts what is left.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) {
    let http = http(limits).http1_only();
    let connection = |stream: TokioIo<Patient>, answers: Answers| {
        let router = TowerToHyperService::new(router.clone());
        let peer = stream.inner().peer().map(|peer| Peer(peer.ip()));
        let answer = service_fn(move |mut request: Request<Incoming>| {
            answers.asked(request.version());
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            router.call(request)
        });
        http.serve_connection(stream, answer).into_owned()
    };
    accept(listener, limits, connection, shutdown).await;
}

/// What speaks HTTP/1.1 and, with whoever begins so, HTTP/2, within the limits.
#[must_use]
pub fn http(limits: Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(MAX_HEADER);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header)
        .keep_alive_timeout(limits.header)
        .max_concurrent_streams(MAX_STREAMS);
    http
}

/// As [`serve`], for whoever speaks in a way of its own on connections of [`http()`]; it tells of each
/// request that comes ([`Answers::asked`]).
pub async fn accept<C>(
    listener: TcpListener,
    limits: Limits,
    connection: impl Fn(TokioIo<Patient>, Answers) -> C,
    mut shutdown: Shutdown,
) where
    C: GracefulConnection + Send + 'static,
    C::Output: Send,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let crowd = Crowd::new(limits.each);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = shutdown.requested() => break,
            // Ended connections are taken out as they end, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // One peer that is gone already, or no descriptors left: neither ends the listener.
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = crowd.admit(peer.ip()) else {
            continue;
        };
        // Only costs latency when it fails.
        let _ = stream.set_nodelay(true);
        let answers = Answers::new(limits);
        let stream = TokioIo::new(Patient::new(stream, limits.write));
        let served = graceful.watch(connection(stream, answers.clone()));
        connections.spawn(async move {
            tokio::select! {
                biased;
                // An error is a peer that broke off or spoke no HTTP: nobody is left to tell.
                _ = served => {}
                () = answers.overdue() => {}
            }
            drop((slot, place));
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

#[cfg(test)]
mod tests;
