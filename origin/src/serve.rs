//! Starting and stopping an origin.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use prometheus::Registry;
use runtime::{
    internal::{self, Health},
    shutdown::{Shutdown, Trigger},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    config::Settings,
    library::Library,
    media::Media,
    metrics::Metrics,
    request::{Origin, handle},
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
    /// The counters cannot be declared.
    #[error("the metrics cannot be declared")]
    Metrics(#[from] prometheus::Error),
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
    let shelf = Arc::new(Shelf::new(store, metrics.clone(), health.clone()));
    let origin = Arc::new(Origin {
        library: Library::new(Arc::clone(&shelf), &settings, metrics.clone()),
        media: Media::new(shelf, &settings, metrics.clone()),
        metrics,
        hop_secret: hop_secret(&settings).await?,
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

async fn hop_secret(settings: &Settings) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = &settings.hop_secret else {
        return Ok(None);
    };
    let fault = |source| Error::HopSecret {
        path: path.display().to_string(),
        source,
    };
    let text = tokio::fs::read(path).await.map_err(fault)?;
    let secret = text.trim_ascii().to_vec();
    if secret.is_empty() {
        return Err(fault(std::io::Error::other("the file is empty")));
    }
    Ok(Some(secret))
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
