//! Starting and stopping an origin.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Router, serve::ListenerExt};
use config::{Problem, Problems};
use prometheus::Registry;
use runtime::{
    internal::{self, Health},
    shutdown::{Shutdown, Trigger},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    config::Settings,
    keys::{self, Keys},
    library::Library,
    media::Media,
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
    /// The file of the hop credential cannot be read, or holds none.
    #[error("the hop credential in {path} cannot be used: {source}")]
    HopSecret {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
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
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;
    let health = Health::new();
    let store = store::open(&settings.store)?;
    let hop_secret = secret(settings.hop_secret.as_deref())?;
    let keys_secret = secret(settings.keys_secret.as_deref())?;
    let shelf = Shelf::new(
        store,
        settings.read_timeout,
        metrics.clone(),
        health.clone(),
    );
    let shelf = Arc::new(shelf);
    let origin = Arc::new(Origin {
        library: Library::new(Arc::clone(&shelf), &settings, metrics.clone()),
        media: Media::new(shelf, &settings, metrics.clone()),
        keys: keys(
            &settings,
            keys_secret.as_deref().or(hop_secret.as_deref()),
            &metrics,
        )?,
        metrics,
        hop_secret,
        strangers: Seldom::new(Duration::from_secs(60)),
    });
    let listener = bind(settings.listen).await?;
    let internal = bind(settings.internal).await?;
    let (trigger, shutdown) = Trigger::new();
    let running = Running {
        listen: address(&listener, settings.listen),
        internal: address(&internal, settings.internal),
        trigger,
        tasks: vec![
            tokio::spawn(serve(listener, origin, shutdown.clone())),
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

fn secret(path: Option<&Path>) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = path else {
        return Ok(None);
    };
    let fault = |source| Error::HopSecret {
        path: path.display().to_string(),
        source,
    };
    let text = std::fs::read(path).map_err(fault)?;
    let secret = text.trim_ascii().to_vec();
    if secret.is_empty() {
        return Err(fault(std::io::Error::other("the file is empty")));
    }
    Ok(Some(secret))
}

/// What knows the keys of protected films, and remembers them.
fn keys(
    settings: &Settings,
    hop: Option<&[u8]>,
    metrics: &Metrics,
) -> Result<Option<Box<dyn Keys>>, Error> {
    let Some(source) = &settings.keys else {
        return Ok(None);
    };
    let keys = keys::open(source, hop, settings.read_timeout)?;
    let cached = keys::Cached::new(keys, settings.keys_ttl, metrics.clone());
    Ok(Some(Box::new(cached)))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

fn address(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

async fn serve(listener: TcpListener, origin: Arc<Origin>, mut shutdown: Shutdown) {
    let router = Router::new().fallback(handle).with_state(origin);
    // Only costs latency when it fails.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.requested().await })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the origin's listener failed");
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
