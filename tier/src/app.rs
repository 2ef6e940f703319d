//! The proxy as Pingora runs it: one application behind every listener.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use crate::h2;
use crate::metrics::Connections;
use crate::pace::Patience;
use crate::proxy::Proxy;

/// One proxy with its upstream connections, shared by all listeners of a node.
pub struct App {
    proxy: Arc<HttpProxy<Proxy>>,
    options: HttpServerOptions,
    streams: ArcSwap<h2::Terms>,
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
        Arc::new(Self {
            proxy: Arc::new(http_proxy(&Arc::new(conf), proxy)),
            options: server,
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
        let session = match session {
            ServerSession::H2(session) => {
                let session = h2::Session::new(session, h2::Terms::clone(&self.streams.load()));
                ServerSession::new_custom(Box::new(session))
            }
            session => session,
        };
        self.proxy.process_new_http(session, shutdown).await
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
        self.proxy.http_cleanup().await;
    }
}

pub(crate) const H2_STREAMS: u32 = 128;
const H2_HEADER_LIST_BYTES: u32 = 16 * 1024;
