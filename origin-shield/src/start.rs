//! Binding the listeners and putting a shield together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::{Problem, Problems};
use runtime::internal::Health;
use runtime::shutdown::Trigger;
use rustls::ServerConfig;
use tier::listen;
use tier::node::{Node, Role};
use tier::policy::Policy;
use tier::tls::Certificate;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::{Settings, Tls};
use crate::hop::Hop;

/// Reads the secrets that the settings name, as [`start`] does, and opens nothing.
///
/// # Errors
/// What is wrong with each of them, by its key.
pub fn inspect(settings: &Settings) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    let (demanded, shown) = (&settings.hop_secret_file, &settings.tier.hop_secret_file);
    for (key, file) in [
        ("hop_secret_file", demanded),
        ("upstream.hop_secret_file", shown),
    ] {
        let secret = file.as_deref().map(tier::node::secret);
        problems.take(key, secret.transpose());
    }
    if let Some(https) = &settings.https {
        problems.take("tls", tls(&https.tls));
    }
    problems.or(())
}

/// A shield that serves. Dropped, it stops at once; [`Running::stop`] lets answers end.
pub struct Running {
    /// HTTP/1.1 for edges.
    pub plain: SocketAddr,
    /// HTTP/1.1 and HTTP/2 over TLS.
    pub https: Option<SocketAddr>,
    /// Metrics and health.
    pub internal: SocketAddr,
    node: Node,
    trigger: Trigger,
    patience: Duration,
    tasks: JoinSet<()>,
}

/// Starts a shield; its listeners are bound when this returns.
///
/// # Errors
/// When an address or a credential is not to be had.
pub async fn start(settings: Settings) -> Result<Running, tier::Error> {
    let secret = settings.hop_secret_file.as_deref().map(tier::node::secret);
    let role = Role {
        name: settings.name,
        zone: settings.zone,
        policy: Policy::Films,
        admission: Arc::new(Hop::new(secret.transpose()?)),
        viewers: None,
        revokes: None,
    };
    let node = Node::build(&settings.tier, role)?;
    node.cache.ready().await;
    let (plain, plain_address) = tcp(settings.plain).await?;
    let https = match &settings.https {
        Some(https) => Some((tls(&https.tls)?, tcp(https.address).await?)),
        None => None,
    };
    let (internal, internal_address) = tcp(settings.internal).await?;
    let (trigger, shutdown) = Trigger::new();
    let patience = settings.tier.limits.drain + GRACE;
    let mut tasks = JoinSet::new();
    let https_address = https.as_ref().map(|(_, (_, address))| *address);
    let https = https.map(|(tls, (listener, _))| (listener, Some(tls)));
    for (listener, tls) in std::iter::once((plain, None)).chain(https) {
        tasks.spawn(listen::serve(
            listener,
            tls,
            Arc::clone(&node.app),
            settings.tier.limits.clone(),
            node.metrics.connections.clone(),
            shutdown.watch(),
        ));
    }
    node.attend(internal, &Health::new(), &shutdown, &mut tasks);
    Ok(Running {
        plain: plain_address,
        https: https_address,
        internal: internal_address,
        node,
        trigger,
        patience,
        tasks,
    })
}

impl Running {
    /// Forgets every cached object; fills in progress are finished and not stored.
    ///
    /// # Errors
    /// The name of a disk that could not take note.
    pub async fn purge_all(&self) -> Result<(), String> {
        self.node.cache.purge_all().await
    }

    /// Stops listening, lets answers in progress end for the configured time, and closes the cache.
    pub async fn stop(mut self) {
        self.trigger.fire();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        // The listeners keep to the drain time by themselves; this is for whatever does not.
        if tokio::time::timeout(self.patience, ended).await.is_err() {
            tracing::warn!("stopped before every task had ended");
        }
        self.node.close().await;
    }
}

fn tls(files: &Tls) -> Result<Arc<ServerConfig>, tier::Error> {
    let certificate = Certificate::load(&files.certificate, &files.key)?;
    match tier::settings::some(&files.client_ca_file) {
        Some(authority) => tier::tls::mutual_config(certificate, &authority),
        None => tier::tls::server_config(certificate),
    }
}

async fn tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), tier::Error> {
    let listener = listen::bind(address).await?;
    let bound = listener
        .local_addr()
        .map_err(|source| tier::Error::Bind { address, source })?;
    Ok((listener, bound))
}

/// Beyond the drain time, how long a stop may take.
const GRACE: Duration = Duration::from_secs(2);
