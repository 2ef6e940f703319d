//! Speaks to the front as clients do: a server in process, an application that knows a few paths.

mod good;
mod hostile;
mod lifetime;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::server::ShutdownWatch;
use quinn::crypto::rustls::QuicClientConfig;
use runtime::shutdown::Trigger;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Metrics, Settings, bind, serve};

/// A running front.
struct House {
    addr: SocketAddr,
    app: Arc<App>,
    metrics: Metrics,
    shutdown: Trigger,
    server: JoinHandle<()>,
    certificate: CertificateDer<'static>,
}

impl House {
    async fn start() -> Self {
        Self::with(&Settings::default())
    }

    fn with(settings: &Settings) -> Self {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = issued.cert.der().clone();
        let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let certified = CertifiedKey::new(vec![certificate.clone()], key);
        let listener = bind(
            (Ipv4Addr::LOCALHOST, 0).into(),
            Arc::new(One(Arc::new(certified))),
            settings,
        )
        .unwrap();
        let (addr, metrics) = (listener.local_addr(), listener.metrics().clone());
        let (shutdown, asked) = Trigger::new();
        let app = Arc::new(App::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&app), asked));
        Self {
            addr,
            app,
            metrics,
            shutdown,
            server,
            certificate,
        }
    }

    /// A QUIC connection that has said nothing yet.
    async fn connect(&self) -> quinn::Connection {
        self.try_connect(quinn::TransportConfig::default())
            .await
            .unwrap()
    }

    async fn try_connect(
        &self,
        transport: quinn::TransportConfig,
    ) -> Result<quinn::Connection, quinn::ConnectionError> {
        let endpoint = self.endpoint(transport);
        endpoint.connect(self.addr, "localhost").unwrap().await
    }

    /// A client that remembers the server.
    fn endpoint(&self, transport: quinn::TransportConfig) -> quinn::Endpoint {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        tls.enable_early_data = true;
        let mut config =
            quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport));
        let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.set_default_client_config(config);
        endpoint
    }

    /// Asks for the shutdown and waits for its end.
    async fn stop(self) {
        self.shutdown.fire();
        self.server.await.unwrap();
    }
}

#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// What the tests ask for, by path.
#[derive(Default)]
struct App {
    /// Lets `/gated` go on.
    gate: Notify,
    /// Told when a request has reached the application, and when it has left.
    entered: Notify,
    left: Notify,
    /// What became of the last request's body, and of a client that was watched.
    noted: Mutex<Vec<String>>,
}

impl App {
    fn note(&self, text: impl Into<String>) {
        self.noted.lock().push(text.into());
    }

    fn noted(&self) -> Vec<String> {
        self.noted.lock().clone()
    }

    async fn answer(&self, session: &mut ServerSession) -> pingora::Result<()> {
        let path = session.req_header().uri.path().to_owned();
        match &path[..] {
            "/early" => {
                let early = session.req_header().headers.contains_key("early-data");
                let said = if early { "early" } else { "sure" };
                session.write_response_header(ok(None)).await?;
                session.write_response_body(said.into(), true).await
            }
            "/large" | "/large-and-urgent" | "/large-list" => {
                let mut header = ok(Some(LARGE_BYTES));
                let more = match &path[..] {
                    "/large-and-urgent" => ("priority", "u=0"),
                    "/large-list" => ("content-type", "application/dash+xml"),
                    _ => ("x-plain", "1"),
                };
                header.insert_header(more.0, more.1).unwrap();
                session.write_response_header(header).await?;
                let chunk = large_chunk();
                for _ in 0..LARGE_BYTES / chunk.len() {
                    session.write_response_body(chunk.clone(), false).await?;
                }
                session.finish_body().await
            }
            "/echo" => {
                let mut body = Vec::new();
                while let Some(piece) = session.read_request_body().await? {
                    body.extend_from_slice(&piece);
                }
                self.note(format!("body of {}", body.len()));
                session.write_response_header(ok(None)).await?;
                session.write_response_body(body.into(), true).await
            }
            "/unread" => {
                session.write_response_header(ok(Some(2))).await?;
                session.write_response_body("ok".into(), true).await
            }
            "/gated" => {
                session.write_response_header(ok(Some(10))).await?;
                session.write_response_body("first".into(), false).await?;
                self.gate.notified().await;
                session.write_response_body("later".into(), true).await
            }
            "/watched" => session.read_body_or_idle(true).await.map(drop),
            "/dropped" => {
                session.write_response_header(ok(None)).await?;
                session.write_response_body("begun".into(), false).await
            }
            "/short" => {
                session.write_response_header(ok(Some(10))).await?;
                session.write_response_body("short".into(), false).await?;
                session.finish_body().await
            }
            "/long" => {
                session.write_response_header(ok(Some(3))).await?;
                session.write_response_body("too long".into(), true).await
            }
            "/tasks" => self.tasks(session).await,
            "/panic" => panic!("the application fails"),
            _ => self.report(session).await,
        }
    }

    /// Answers through the tasks that the proxy uses, interrupting every write once.
    async fn tasks(&self, session: &mut ServerSession) -> pingora::Result<()> {
        let body = large_chunk();
        let mut tasks = vec![HttpTask::Header(ok(Some(8 * body.len())), false)];
        tasks.extend((0..8).map(|at| HttpTask::Body(Some(body.clone()), at == 7)));
        for task in tasks {
            assert!(session.supports_proxy_task_api());
            session.send_downstream_proxy_task(task);
            while session.has_pending_downstream_proxy_tasks() {
                tokio::select! {
                    biased;
                    ended = session.write_downstream_proxy_tasks() => { ended?; }
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        Ok(())
    }

    /// Says what arrived.
    async fn report(&self, session: &mut ServerSession) -> pingora::Result<()> {
        let mut response = ok(None);
        for (name, value) in [
            ("connection", "close, x-hop"),
            ("transfer-encoding", "chunked"),
            ("x-hop", "1"),
            ("x-long", &"v".repeat(300)),
        ] {
            response.insert_header(name.to_owned(), value).unwrap();
        }
        let header = session.req_header();
        let body = format!(
            "{} {} host={:?} empty={} raw={:?} peer={}",
            header.method,
            header.uri,
            header.headers.get("host"),
            header.headers.get("cookie").is_none(),
            session.to_h1_raw(),
            session.client_addr().is_some() && session.server_addr().is_some(),
        );
        let interim = Box::new(ResponseHeader::build(103, None).unwrap());
        session.write_response_header(interim).await?;
        session.write_response_header(response).await?;
        session.write_response_body(body.into(), true).await
    }
}

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        assert!(session.read_request().await.unwrap());
        self.entered.notify_one();
        let left = Left(Arc::clone(self));
        match self.answer(&mut session).await {
            Ok(()) if session.req_header().uri.path() != "/dropped" => {
                session.finish().await.ok();
            }
            Ok(()) => {}
            Err(error) => self.note(format!("{:?}", error.etype())),
        }
        drop(left);
        None
    }
}

/// Notifies when the application has left a request.
struct Left(Arc<App>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

fn ok(length: Option<usize>) -> Box<ResponseHeader> {
    let mut response = ResponseHeader::build(200, None).unwrap();
    if let Some(length) = length {
        response.insert_header("content-length", length).unwrap();
    }
    Box::new(response)
}

fn large_chunk() -> Bytes {
    (0..=255u8)
        .cycle()
        .take(256 * 1024)
        .collect::<Vec<_>>()
        .into()
}

const LARGE_BYTES: usize = 20 * 1024 * 1024;
