//! Serving over TLS: a connection whose handshake is made when it is first read from or written to.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::{Answers, Limits, Patient, Peer, accept, http};
use crate::shutdown::Shutdown;

/// The certificate that the other end of a request's connection has shown, which [`serve_secured`] puts into the
/// request; the handshake has found it good.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub CertificateDer<'static>);

/// As [`super::serve`], over TLS. A handshake is a part of what a connection's first header may take.
pub async fn serve_secured(
    listener: TcpListener,
    router: Router,
    tls: Arc<ServerConfig>,
    limits: Limits,
    shutdown: Shutdown,
) {
    let http = http(limits).http1_only();
    let acceptor = TlsAcceptor::from(tls);
    let connection = |stream: TokioIo<Patient>, answers: Answers| {
        let stream = stream.into_inner();
        let peer = stream.peer().map(|peer| Peer(peer.ip()));
        let shown = Arc::new(OnceLock::new());
        let secured = Secured {
            state: State::Shaking(Box::new(acceptor.accept(stream))),
            shown: Arc::clone(&shown),
        };
        let router = TowerToHyperService::new(router.clone());
        let answer = service_fn(move |mut request: Request<Incoming>| {
            answers.asked(request.version());
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            if let Some(certificate) = shown.get() {
                let certificate = CertificateDer::clone(certificate);
                request
                    .extensions_mut()
                    .insert(PeerCertificate(certificate));
            }
            router.call(request)
        });
        http.serve_connection(TokioIo::new(secured), answer)
            .into_owned()
    };
    accept(listener, limits, connection, shutdown).await;
}

/// A connection over TLS.
struct Secured {
    state: State,
    /// The certificate that the peer has shown, once the handshake is made.
    shown: Arc<OnceLock<CertificateDer<'static>>>,
}

enum State {
    Shaking(Box<Accept<Patient>>),
    Open(Box<TlsStream<Patient>>),
    Failed,
}

impl Secured {
    fn poll_open(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut TlsStream<Patient>>>> {
        if let State::Shaking(accept) = &mut self.state {
            match ready!(Pin::new(&mut **accept).poll(context)) {
                Ok(stream) => {
                    let shown = stream.get_ref().1.peer_certificates();
                    if let Some(leaf) = shown.and_then(<[_]>::first) {
                        // Nobody else sets it.
                        let _ = self.shown.set(leaf.clone().into_owned());
                    }
                    self.state = State::Open(Box::new(stream));
                }
                Err(error) => {
                    self.state = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            State::Shaking(_) | State::Failed => {
                Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
            }
        }
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?.poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?.poll_flush(context)
    }

    /// A connection that is ended before its handshake is made is let go as it is.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            State::Shaking(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
