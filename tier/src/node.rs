//! A proxy put together from settings and a role.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::cache::lock::CacheLock;
use prometheus::Registry;
use runtime::secret::{Secret, Unusable};

use crate::admission::Admission;
use crate::app::App;
use crate::beacon::Beacon;
use crate::cache::Ram;
use crate::error::Error;
use crate::headers::Viewers;
use crate::metrics::Metrics;
use crate::parent::Parents;
use crate::policy::Policy;
use crate::proxy::{Proxy, Rules};
use crate::settings::Settings;

/// What makes an edge an edge and a shield a shield.
pub struct Role {
    /// The node's name in `Cache-Status`, and with a random number in `CDN-Loop`.
    pub name: String,
    /// Part of every cache key: nodes that serve different houses have different zones.
    pub zone: String,
    /// What it serves.
    pub policy: Policy,
    /// Who is let in.
    pub admission: Arc<dyn Admission>,
    /// Who hears of every answered request.
    pub beacon: Arc<dyn Beacon>,
    /// What viewers get beyond the object; `None` for a node that serves tiers only.
    pub viewers: Option<Viewers>,
}

/// A node that is ready to be put behind listeners.
pub struct Node {
    /// The application for [`crate::listen::serve`] and [`crate::h3::serve`].
    pub app: Arc<App>,
    /// The node's cache. Pingora wants storage that lives for ever, so each node leaks the empty
    /// shell of one; [`Ram::purge_all`] gives the objects back.
    pub cache: &'static Ram,
    /// The node's figures.
    pub metrics: Metrics,
    /// Where they are registered.
    pub registry: Registry,
}

impl Node {
    /// Builds a node.
    ///
    /// # Errors
    /// When the hop credential cannot be read or the system gives no random number.
    pub fn build(settings: &Settings, role: Role) -> Result<Self, Error> {
        let cache: &'static Ram = Box::leak(Box::new(Ram::new(settings.cache_bytes)));
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, cache)?;
        let hop_secret = settings.hop_secret_file.as_deref().map(secret);
        let rules = Rules {
            loop_id: format!("{}-{:016x}", role.name, getrandom::u64()?),
            name: role.name,
            zone: role.zone,
            hop_secret: hop_secret.transpose()?,
            max_object_bytes: settings.max_object_bytes,
            fill_wait: settings.fill_wait,
            client_write: settings.client_write,
        };
        let proxy = Proxy {
            policy: role.policy,
            admission: role.admission,
            beacon: role.beacon,
            viewers: role.viewers,
            cache,
            lock: Box::leak(CacheLock::new_boxed(FILL_HEADER_LIMIT)),
            parents: Parents::new(settings.parents.clone(), settings.timeouts),
            questions: Arc::default(),
            metrics: metrics.clone(),
            rules,
        };
        Ok(Self {
            app: App::new(proxy, settings.app.clone()),
            cache,
            metrics,
            registry,
        })
    }
}

/// Reads a credential between tiers: one line of printable ASCII.
///
/// # Errors
/// When the file cannot be read or holds anything else.
pub fn secret(path: &Path) -> Result<HeaderValue, Error> {
    let secret = Secret::read(path, SHORTEST)?;
    let value = HeaderValue::from_str(secret.as_str());
    let mut value = value.map_err(|_| Unusable::new(path, "does not fit in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The shortest credential between tiers, in characters.
const SHORTEST: usize = 16;

/// After this long a fill that has not even a response header is given up as the one fill, and
/// another request may begin its own.
const FILL_HEADER_LIMIT: Duration = Duration::from_secs(60);
