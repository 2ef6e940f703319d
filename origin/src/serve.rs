//! Starting and stopping an origin.

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use config::{Problem, Problems};
use hyper::{body::Incoming, service::service_fn};
use prometheus::Registry;
use runtime::{
    internal::{self, Health},
    listen::{self, Answers, Limits},
    secret::{Secret, Unusable},
    shutdown::{Shutdown, Trigger},
};
use store::Store;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    config::Settings,
    kept::Kept,
    keys::{self, Cached},
    library::Library,
    media::Media,
    memory::Memory,
    metrics::Metrics,
    request::{Origin, handle},
    seldom::Seldom,
    shelf::Shelf,
};

/// Why an origin did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] store::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file with a credential cannot be used.
    #[error(transparent)]
    Secret(#[from] Unusable),
    /// The client of the key service cannot be made.
    #[error("the keys cannot be asked for")]
    Keys(#[from] reqwest::Error),
    /// The counters cannot be declared.
    #[error("the metrics cannot be declared")]
    Metrics(#[from] prometheus::Error),
}

/// Reads the secrets that the settings name, as [`start`] does, and opens nothing.
///
/// # Errors
/// What is wrong with each of them, by its key.
pub fn inspect(settings: &Settings) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    problems.take("store", store::inspect(&settings.store));
    problems.take("hop_secret", secret(settings.hop_secret.as_deref()));
    problems.take("keys_secret", secret(settings.keys_secret.as_deref()));
    problems.or(())
}

/// A running origin.
#[derive(Debug)]
pub struct Running {
    /// Where it answers tiers.
    pub listen: SocketAddr,
    /// Where its metrics and health are.
    pub internal: SocketAddr,
    trigger: Trigger,
    tasks: Vec<JoinHandle<()>>,
    drain: Duration,
}

/// Starts an origin; when this returns, it listens.
///
/// # Errors
/// [`Error`], before anything was bound or after everything was let go again.
pub async fn start(settings: Settings) -> Result<Running, Error> {
    let store = store::find(&settings.store)?;
    // One that only does not answer may come back, and until then health says so.
    if let Err(absent @ store::Error::Absent { .. }) = store::look(&*store).await {
        return Err(absent.into());
    }
    start_over(store, settings).await
}

/// As [`start`], over a store that is open already; [`Settings::store`] says nothing then.
///
/// # Errors
/// As [`start`].
pub async fn start_over(store: Arc<dyn Store>, settings: Settings) -> Result<Running, Error> {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;
    let health = Health::new();
    let hop_secret = secret(settings.hop_secret.as_deref())?;
    let keys_secret = secret(settings.keys_secret.as_deref())?;
    let shelf = Shelf::new(
        Arc::clone(&store),
        Memory::new(settings.body_memory(), settings.pack_wait),
        settings.read_timeout,
        metrics.clone(),
        health.clone(),
    );
    let shelf = Arc::new(shelf);
    let origin = Arc::new(Origin {
        library: Library::new(Arc::clone(&shelf), &settings, metrics.clone()),
        media: Media::new(shelf, metrics.clone()),
        keys: keys(
            &settings,
            keys_secret
                .as_ref()
                .or(hop_secret.as_ref())
                .map(Secret::as_bytes),
            &metrics,
        )?,
        kept: Kept::new(settings.text_memory, metrics.clone()),
        metrics,
        hop_secret,
        strangers: Seldom::new(Duration::from_secs(60)),
        troubles: Seldom::new(Duration::from_secs(1)),
    });
    let listener = bind(settings.listen).await?;
    let internal = bind(settings.internal).await?;
    let (trigger, shutdown) = Trigger::new();
    let limits = Limits {
        write: settings.write_timeout,
        ..LIMITS
    };
    let running = Running {
        listen: address(&listener, settings.listen),
        internal: address(&internal, settings.internal),
        trigger,
        tasks: vec![
            tokio::spawn(serve(listener, origin, limits, shutdown.clone())),
            tokio::spawn(watch(store, health.clone(), shutdown.clone())),
            tokio::spawn(serve_internal(internal, registry, health, shutdown)),
        ],
        drain: settings.drain,
    };
    tracing::info!(listen = %running.listen, internal = %running.internal, "origin listens on {}", running.listen);
    Ok(running)
}

impl Running {
    /// Stops taking requests, lets those under way finish for as long as configured, and ends.
    pub async fn stop(self) {
        self.trigger.fire();
        for mut task in self.tasks {
            if tokio::time::timeout(self.drain, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

fn secret(path: Option<&Path>) -> Result<Option<Secret>, Unusable> {
    path.map(Secret::credential).transpose()
}

/// What knows the keys of protected films, and remembers them.
fn keys(
    settings: &Settings,
    hop: Option<&[u8]>,
    metrics: &Metrics,
) -> Result<Option<Cached>, Error> {
    let Some(source) = &settings.keys else {
        return Ok(None);
    };
    let keys = keys::open(source, hop, settings.read_timeout)?;
    let cached = Cached::new(keys, settings.keys_ttl, metrics.clone());
    Ok(Some(cached))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

fn address(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

async fn serve(listener: TcpListener, origin: Arc<Origin>, limits: Limits, shutdown: Shutdown) {
    let http = listen::http(limits);
    let connection = |stream, answers: Answers| {
        let origin = Arc::clone(&origin);
        let answer = service_fn(move |request: http::Request<Incoming>| {
            answers.asked(request.version());
            let (origin, answers) = (Arc::clone(&origin), answers.clone());
            async move {
                let mut response = handle(&origin, request).await;
                let body = response.body_mut();
                if let Some(sending) = answers.sending(body.len()) {
                    body.hold(sending);
                }
                Ok::<_, Infallible>(response)
            }
        });
        http.serve_connection(stream, answer).into_owned()
    };
    listen::accept(listener, limits, connection, shutdown).await;
}

/// Has health say whether the store is there, also while nobody asks for anything.
async fn watch(store: Arc<dyn Store>, health: Health, mut shutdown: Shutdown) {
    tokio::select! {
        () = store::watch(store, |why| health.degrade("store", why)) => {}
        () = shutdown.requested() => {}
    }
}

async fn serve_internal(
    listener: TcpListener,
    registry: Registry,
    health: Health,
    shutdown: Shutdown,
) {
    if let Err(error) = internal::serve(listener, registry, health, shutdown).await {
        tracing::error!(%error, "the origin's internal listener failed");
    }
}

/// What the port bears with from whoever reaches it. Tiers keep few connections, and idle ones for a minute; so many
/// bound what they cost if they do not.
const LIMITS: Limits = Limits {
    connections: 10_000,
    each: 10_000,
    first: Duration::from_secs(10),
    header: Duration::from_secs(75),
    write: Duration::from_secs(30),
};
