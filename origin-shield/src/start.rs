//! Binding the listeners and putting a shield together.

use std::net::SocketAddr;
use std::sync::Arc;

use config::{Problem, Problems};
use runtime::upgrade::Elder;
use rustls::ServerConfig;
use tier::listen::Terms;
use tier::node::{Node, Role, Way};
use tier::policy::Policy;
use tier::serving::{Bound, Serving};
use tier::tls::Certificate;

use crate::config::{Settings, Tls};
use crate::hop::Hop;

/// Reads the secrets that the settings name, as [`start`] does, and opens nothing.
///
/// # Errors
/// What is wrong with each of them, by its key.
pub fn inspect(settings: &Settings) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    let secret = settings.hop_secret_file.as_deref().map(tier::node::secret);
    problems.take("hop_secret_file", secret.transpose());
    if let Some(https) = &settings.https {
        let files = &https.tls;
        tier::tls::inspect("tls", &files.certificate, &files.key, &mut problems);
        if let Some(authority) = tier::settings::some(&files.client_ca_file) {
            tier::tls::inspect_authority("tls.client_ca_file", &authority, &mut problems);
        }
    }
    tier::node::inspect(&settings.tier, &mut problems);
    problems.or(())
}

/// A shield that serves. Dropped, it stops at once; [`Serving::stop`] lets answers end.
pub struct Running {
    /// HTTP/1.1 for edges.
    pub plain: SocketAddr,
    /// HTTP/1.1 and HTTP/2 over TLS.
    pub https: Option<SocketAddr>,
    /// Metrics and health.
    pub internal: SocketAddr,
    /// What runs.
    pub serving: Serving,
    hop: Arc<Hop>,
}

/// Starts a shield; its listeners are bound when this returns.
///
/// # Errors
/// When an address or a credential is not to be had.
pub async fn start(settings: Settings) -> Result<Running, tier::Error> {
    start_after(settings, None).await
}

/// As [`start`], in place of another process, which hands its listeners and its disks over.
///
/// # Errors
/// As [`start`].
pub async fn start_after(
    settings: Settings,
    mut elder: Option<&mut Elder>,
) -> Result<Running, tier::Error> {
    let secret = settings.hop_secret_file.as_deref().map(tier::node::secret);
    let hop = Arc::new(Hop::new(secret.transpose()?));
    let role = Role {
        name: settings.name,
        zone: settings.zone,
        policy: Policy::Films,
        admission: Arc::clone(&hop) as _,
        viewers: None,
        revokes: Some(Arc::clone(&hop) as _),
    };
    // First: who cannot be answered yet asks another parent.
    let node = Node::build_after(&settings.tier, role, elder.as_deref_mut()).await?;
    let plain = Bound::new("plain", settings.plain, elder.as_deref_mut()).await?;
    let https = match &settings.https {
        Some(https) => {
            let tls = tls(&https.tls)?;
            let bound = Bound::new("https", https.address, elder.as_deref_mut()).await?;
            Some((tls, bound))
        }
        None => None,
    };
    let internal = Bound::new("internal", settings.internal, elder).await?;
    let mut running = Running {
        plain: plain.address,
        https: https.as_ref().map(|(_, bound)| bound.address),
        internal: internal.address,
        serving: Serving::new(node, settings.tier.limits),
        hop,
    };
    let serving = &mut running.serving;
    serving.listen(plain, None, &[])?;
    if let Some((tls, bound)) = https {
        serving.listen(bound, Some(tls), &[])?;
    }
    serving.attend(internal)?;
    Ok(running)
}

impl Running {
    /// Takes from settings what can change while the shield serves ([`crate::config::reloaded`]): all of it, or nothing.
    ///
    /// # Errors
    /// When a file that they name is not to be had.
    pub fn renew(&self, settings: &Settings) -> Result<(), tier::Error> {
        let secret = settings.hop_secret_file.as_deref().map(tier::node::secret);
        let secret = secret.transpose()?;
        let https = settings.https.as_ref().map(|https| tls(&https.tls));
        let https = https.transpose()?;
        let way = Way::read(&settings.tier)?;
        self.hop.demand(secret);
        if https.is_some() {
            let change = |terms: &mut Terms| terms.tls.clone_from(&https);
            self.serving.change("https", change);
        }
        self.serving.node.renew(&settings.tier, way);
        self.serving.bear(&settings.tier.limits);
        Ok(())
    }

    /// Forgets every cached object; fills in progress are finished and not stored.
    ///
    /// # Errors
    /// The name of a disk that could not take note.
    pub async fn purge_all(&self) -> Result<(), String> {
        self.serving.node.cache.purge_all().await
    }

    /// Stops listening, lets answers in progress end for the configured time, and closes the cache.
    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

fn tls(files: &Tls) -> Result<Arc<ServerConfig>, tier::Error> {
    let certificate = Certificate::load(&files.certificate, &files.key)?;
    match tier::settings::some(&files.client_ca_file) {
        Some(authority) => tier::tls::mutual_config(certificate, &authority),
        None => tier::tls::server_config(certificate),
    }
}
