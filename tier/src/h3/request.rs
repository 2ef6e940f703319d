//! One request stream, from its first byte until the client has the answer.

use std::sync::Arc;

use http::Method;
use pingora::apps::HttpServerApp;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr;
use tokio::sync::watch;

use super::code::{Code, Fault};
use super::connection::Context;
use super::fields::Request;
use super::frame;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::qpack::Encoder;
use super::session::{self, Session};
use crate::metrics::Cut;
use crate::priority::Priority;

/// Both halves of a request stream.
pub(super) struct Streams {
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) arrival: Arrival,
}

/// When a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// After the handshake.
    Sure,
    /// Before it was complete: somebody may have recorded it and sent it again.
    Early,
}

impl Arrival {
    /// Lets a request in, if it does no harm when it is sent twice. What is asked further on is
    /// told so (RFC 8470 §5.1).
    fn admit(self, mut request: Request) -> Result<Request, Fault> {
        if self == Self::Sure {
            return Ok(request);
        }
        if !matches!(request.header.method, Method::GET | Method::HEAD) {
            return Err(Fault::TooEarly);
        }
        let said = request.header.insert_header("early-data", "1");
        said.map(|()| request)
            .map_err(|_| Fault::Stream(Code::INTERNAL_ERROR))
    }
}

impl Streams {
    /// Serves the request to its end. Returns whether the response was delivered.
    pub(super) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
        self,
        quic: quinn::Connection,
        context: Arc<Context<A>>,
        shutdown: watch::Receiver<bool>,
    ) -> bool {
        let Self {
            mut inbound,
            outbound,
            arrival,
        } = self;
        let Context {
            settings,
            metrics,
            server,
            ..
        } = &*context;
        let header = tokio::time::timeout(settings.header, inbound.header()).await;
        let header = header.unwrap_or_else(|_| {
            metrics.cut(Cut::SlowHeader);
            // the application has seen nothing of it
            Err(Fault::Stream(Code::REQUEST_REJECTED))
        });
        // what has arrived of the body may already show a fault, such as an end too early
        let header = header.and_then(|header| Ok((header, inbound.look_ahead()?)));
        let header = header.and_then(|(header, ahead)| Ok((arrival.admit(header)?, ahead)));
        let (header, ahead) = match header {
            Ok(header) => header,
            Err(fault) => return refuse(fault, inbound, outbound, &quic, &context).await,
        };
        outbound
            .wish()
            .suggest(Priority::of(&header.header.headers));
        let delivered = outbound.delivered();
        let connection = session::Connection {
            client: SocketAddr::Inet(quic.remote_address()),
            server: Some(SocketAddr::Inet(local(&quic, *server))),
            digest: Digest {
                ssl_digest: Some(Arc::clone(&context.tls)),
                ..Digest::default()
            },
            metrics: metrics.clone(),
            quic: quic.clone(),
        };
        metrics.requests.inc();
        let session = Session::new(header, ahead, inbound, outbound, connection, settings);
        let session = ServerSession::new_custom(Box::new(session));
        context.app.process_new_http(session, &shutdown).await;
        delivered.await
    }
}

/// Ends a request that the application never saw, as far as the fault reaches.
async fn refuse<A>(
    fault: Fault,
    mut inbound: Inbound,
    mut outbound: Outbound,
    quic: &quinn::Connection,
    context: &Context<A>,
) -> bool {
    let metrics = &context.metrics;
    if !matches!(fault, Fault::Gone | Fault::TooEarly) {
        metrics.malformed.inc();
    }
    match fault {
        Fault::Gone => outbound.abort(Code::REQUEST_CANCELLED),
        Fault::Stream(code) => {
            outbound.abort(code);
            inbound.stop(code);
        }
        Fault::Connection(code) => {
            metrics.connections_failed.inc();
            outbound.abort(code);
            quic.close(code.into(), b"");
        }
        Fault::TooLarge | Fault::TooEarly => {
            let status: &[u8] = if fault == Fault::TooLarge {
                b"431"
            } else {
                b"425"
            };
            let mut encoder = Encoder::new();
            encoder.field(":status", status);
            encoder.field("content-length", b"0");
            outbound.push(frame::HEADERS, encoder.finish());
            outbound.end();
            let delivered = outbound.delivered();
            if outbound.flush().await.is_ok() {
                inbound.stop(Code::NO_ERROR);
                return delivered.await;
            }
        }
    }
    false
}

/// The address that the client reached; the system may know only the port.
fn local(quic: &quinn::Connection, server: std::net::SocketAddr) -> std::net::SocketAddr {
    quic.local_ip()
        .map_or(server, |ip| (ip, server.port()).into())
}
