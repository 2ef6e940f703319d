//! Accepting connections, and serving a router over HTTP/1.1 with the limits that a port open to strangers needs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::shutdown::Shutdown;

/// What a listener bears with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Those beyond wait in the system's queue.
    pub connections: usize,
    /// Time for a whole request header, from when it is waited for: a connection that says nothing
    /// for as long is closed.
    pub header: Duration,
}

/// How long accepting pauses when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until shutdown, then lets answers under way end. The caller bounds that by dropping the
/// future, which cuts what is left.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) {
    let connection = |stream| connection(stream, router.clone(), limits);
    accept(listener, limits.connections, connection, shutdown).await;
}

/// As [`serve`], for whoever speaks on a connection in a way of its own; at most `most` at a time.
pub async fn accept<C>(
    listener: TcpListener,
    most: usize,
    connection: impl Fn(TcpStream) -> C,
    mut shutdown: Shutdown,
) where
    C: GracefulConnection + Send + 'static,
    C::Output: Send,
{
    let slots = Arc::new(Semaphore::new(most));
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
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // One peer that is gone already, or no descriptors left: neither ends the listener.
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Only costs latency when it fails.
        let _ = stream.set_nodelay(true);
        let served = graceful.watch(connection(stream));
        connections.spawn(async move {
            // An error is a peer that broke off or spoke no HTTP: nobody is left to tell.
            let _ = served.await;
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

type Service = TowerToHyperService<Router>;

fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
) -> http1::Connection<TokioIo<TcpStream>, Service> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::shutdown::Trigger;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    async fn start(limits: Limits) -> (std::net::SocketAddr, Trigger, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = Trigger::new();
        let router = Router::new().route("/", get(async || "well"));
        (
            address,
            trigger,
            tokio::spawn(serve(listener, router, limits, shutdown)),
        )
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"well") {
            let mut some = [0; 256];
            let read = stream.read(&mut some).await.unwrap();
            assert!(
                read > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&answer)
            );
            answer.extend_from_slice(&some[..read]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_the_next_request_and_closed_at_shutdown() {
        let limits = Limits {
            connections: 4,
            header: Duration::from_secs(60),
        };
        let (address, trigger, served) = start(limits).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        trigger.fire();
        served.await.unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_says_nothing_is_closed_and_makes_room_for_the_next() {
        let limits = Limits {
            connections: 1,
            header: Duration::from_millis(50),
        };
        let (address, _trigger, _served) = start(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut next).await.starts_with("HTTP/1.1 200"));
    }
}
