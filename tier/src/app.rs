//! The proxy as Pingora runs it: one application behind every listener.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp as _};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, Result};
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use tokio::sync::watch;

use crate::metrics::Connections;
use crate::pace::Patience;
use crate::policy::From;
use crate::protocol::Protocol;
use crate::proxy::{Arrived, AtHand, Met, Phases, Proxy, Sight};
use crate::{h1, h2};

/// One proxy with its upstream connections, shared by all listeners of a node.
pub struct App {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) phases: Arc<HttpProxy<Phases>>,
    options: HttpServerOptions,
    streams: ArcSwap<h2::Terms>,
    /// Nothing more is to be asked.
    closing: watch::Sender<bool>,
}

/// What the application needs beyond the proxy.
#[derive(Clone, Debug)]
pub struct Options {
    /// Attempts to reach a parent, the first one included.
    pub attempts: usize,
    /// Unused connections kept to parents.
    pub keepalive_pool: usize,
    /// Certificate authority for `https` parents, a PEM file; the system's when `None`.
    pub parent_ca: Option<std::path::PathBuf>,
    /// After how long without a request an HTTP/2 connection is closed.
    pub h2_idle: Duration,
    /// How slowly an answer over HTTP/2 may be taken.
    pub write: Patience,
    /// How slowly a request's body may come over HTTP/2.
    pub read: Patience,
}

impl App {
    /// Puts a proxy to work.
    #[must_use]
    pub fn new(proxy: Proxy, options: Options, connections: Connections) -> Arc<Self> {
        runtime::tls::install_provider();
        let conf = ServerConf {
            max_retries: options.attempts,
            upstream_keepalive_pool_size: options.keepalive_pool,
            ca_file: options
                .parent_ca
                .map(|path| path.to_string_lossy().into_owned()),
            ..ServerConf::default()
        };
        let mut server = HttpServerOptions::default();
        server.h2_idle_timeout = Some(options.h2_idle);
        let proxy = Arc::new(proxy);
        let phases = Phases(Arc::clone(&proxy));
        Arc::new(Self {
            proxy,
            phases: Arc::new(http_proxy(&Arc::new(conf), phases)),
            options: server,
            closing: watch::Sender::new(false),
            streams: ArcSwap::from_pointee(h2::Terms {
                write: options.write,
                read: options.read,
                connections,
            }),
        })
    }

    /// How slowly answers and bodies over HTTP/2 may be taken and come from now on.
    pub fn bear(&self, write: Patience, read: Patience) {
        let connections = self.streams.load().connections.clone();
        self.streams.store(Arc::new(h2::Terms {
            write,
            read,
            connections,
        }));
    }
}

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let mut session: Box<dyn Session> = match session {
            ServerSession::H2(session) => Box::new(h2::Session::new(
                session,
                h2::Terms::clone(&self.streams.load()),
            )),
            ServerSession::Custom(session) => session,
            session => return self.phases.process_new_http(session, shutdown).await,
        };
        let met = match self.look(&mut *session) {
            Sight::AtHand(answer) => {
                self.give(session, answer).await;
                return None;
            }
            Sight::Onward(met) => met,
        };
        let session = ServerSession::new_custom(session);
        Met::lead(met, self.phases.process_new_http(session, shutdown)).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = H2Options::new();
        options
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(H2_HEADER_LIST_BYTES)
            .max_pending_accept_reset_streams(20)
            .max_concurrent_reset_streams(20);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.closing.send_replace(true);
        self.phases.http_cleanup().await;
    }
}

impl App {
    /// Serves a connection over TCP until its end.
    pub(crate) async fn serve(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.process_new(stream, shutdown).await;
            return;
        }
        let mut closing = self.closing.subscribe();
        let closing = async move {
            // The sender is the application's, which is not gone.
            let _ = closing.wait_for(|closing| *closing).await;
        };
        h1::serve(self, stream, closing, shutdown).await;
    }

    /// Looks whether a request over HTTP/2 or HTTP/3 can be answered at once.
    fn look(&self, session: &mut dyn Session) -> Sight {
        let brings_body = !session.is_body_empty();
        let request = session.req_header();
        let Ok(target) = str::from_utf8(request.raw_path()) else {
            return Sight::Onward(None);
        };
        self.proxy.look(&Arrived {
            protocol: Protocol::of_custom(session.digest()),
            request,
            target,
            from: From::connection(session.client_addr(), true),
            // What is given at once is given to viewers, who show no certificate.
            child: None,
            brings_body,
        })
    }

    /// Gives what is at hand. A session that is dropped before its end resets the stream.
    async fn give(&self, mut session: Box<dyn Session>, mut answer: Box<AtHand>) {
        let given = match self.proxy.header_of(&mut answer) {
            Ok(header) => give(&mut *session, header, &answer).await,
            Err(error) => Err(error),
        };
        let header = session.response_written();
        let bytes = header.map(|_| session.body_bytes_sent());
        let request = session.req_header();
        self.proxy
            .gave(request, &answer, bytes, given.err().as_deref());
    }
}

/// Hands all of it over at once: what is written piece by piece wakes the connection for each.
async fn give(
    session: &mut dyn Session,
    header: Box<ResponseHeader>,
    answer: &AtHand,
) -> Result<()> {
    let mut tasks = vec![HttpTask::Header(header, false)];
    let mut pieces = answer.pieces().peekable();
    while let Some(piece) = pieces.next() {
        tasks.push(HttpTask::Body(Some(piece), pieces.peek().is_none()));
    }
    let given = async {
        session.response_duplex_vec(tasks).await?;
        session.finish().await
    };
    given.await.map_err(Error::into_down)
}

pub(crate) const H2_STREAMS: u32 = 128;
const H2_HEADER_LIST_BYTES: u32 = 16 * 1024;
