//! A proxy put together from settings and a role.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::cache::lock::CacheLock;
use prometheus::Registry;
use runtime::clock::System;
use runtime::internal::{Health, serve_with};
use runtime::secret::{Secret, Unusable};
use runtime::shutdown::Shutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::access::Log;
use crate::admission::Admission;
use crate::app::App;
use crate::cache::Cache;
use crate::cache::disk::State;
use crate::changes::Changes;
use crate::error::Error;
use crate::feed::{Follower, Lines, Orders, Pace, Place, Revokes, Server, Source, by_hand};
use crate::headers::Viewers;
use crate::metrics::Metrics;
use crate::parent::{self, DETOURS, Parents, Timeouts};
use crate::policy::Policy;
use crate::prefetch::Prefetch;
use crate::proxy::{Proxy, Rules};
use crate::purge::Purges;
use crate::settings::{ATTEMPTS, Settings};
use crate::tls;

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
    /// What viewers get beyond the object; `None` for a node that serves tiers only.
    pub viewers: Option<Viewers>,
    /// Who puts revocations in force; `None` for a node that admits by none.
    pub revokes: Option<Arc<dyn Revokes>>,
}

/// A node that is ready to be put behind listeners.
pub struct Node {
    /// The application for [`crate::listen::serve`] and [`crate::h3::serve`].
    pub app: Arc<App>,
    /// The node's cache. Pingora wants storage that lives for ever, so each node leaks the empty
    /// shell of one; [`Cache::close`] gives the objects back.
    pub cache: &'static Cache,
    /// The node's figures.
    pub metrics: Metrics,
    /// Where they are registered.
    pub registry: Registry,
    /// What was ordered: purges and revocations.
    pub orders: Arc<Orders>,
    access: Option<Arc<Log>>,
    feed: Option<(Arc<dyn Source>, Pace)>,
}

impl Node {
    /// Builds a node, within a Tokio runtime. Its disks are opened meanwhile;
    /// [`Cache::ready`] waits for them.
    ///
    /// # Errors
    /// When the hop credential cannot be read or the system gives no random number.
    pub fn build(settings: &Settings, role: Role) -> Result<Self, Error> {
        let cache = match &settings.disk {
            Some(disk) => Cache::with_disks(settings.cache_bytes, disk),
            None => Cache::new(settings.cache_bytes),
        };
        let cache: &'static Cache = Box::leak(Box::new(cache));
        let registry = Registry::new();
        let purges = Arc::new(Purges::new(&settings.feed.purges));
        let metrics = Metrics::register(&registry, cache, Arc::clone(&purges))?;
        let identity = settings.identity.as_ref();
        let identity = identity.map(|(chain, key)| tls::identity(chain, key));
        let parents = Parents::new(settings.parents.clone(), settings.timeouts);
        let parents = Arc::new(parents.shown(identity.transpose()?));
        parent::register(&registry, &parents)?;
        let hop_secret = settings
            .hop_secret_file
            .as_deref()
            .map(secret)
            .transpose()?;
        let feed = source(settings, hop_secret.as_ref())?;
        let file = settings.feed.state_file.as_deref();
        let orders = Orders::open(Arc::clone(&purges), role.revokes, file, System.wall())?;
        let access = settings.access.as_ref();
        let access = access.map(|log| Log::new(log, &role.name, &registry));
        let access = access.transpose()?.map(Arc::new);
        let rules = Rules {
            loop_id: format!("{}-{:016x}", role.name, getrandom::u64()?),
            name: role.name,
            zone: role.zone,
            hop_secret,
            max_object_bytes: settings.max_object_bytes,
            fill_wait: settings.fill_wait,
        };
        let proxy = Proxy {
            policy: role.policy,
            admission: role.admission,
            access: access.clone(),
            viewers: role.viewers,
            cache,
            lock: Box::leak(CacheLock::new_boxed(header_limit(settings))),
            parents,
            purges,
            prefetch: Prefetch::register(settings.prefetch, &registry)?,
            questions: Arc::default(),
            changes: Changes::default(),
            metrics: metrics.clone(),
            rules,
        };
        Ok(Self {
            app: App::new(proxy, settings.app.clone(), metrics.connections.clone()),
            cache,
            metrics,
            registry,
            orders: Arc::new(orders),
            access,
            feed: feed.map(|source| (source, settings.feed.pace)),
        })
    }

    /// Follows the node's feed, if it has one, watches its disks, and serves its internal port, until shutdown; and
    /// begins to write its access log, until [`Node::close`].
    pub fn attend(
        &self,
        internal: TcpListener,
        health: &Health,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        if let Some(access) = &self.access {
            access.begin(health);
        }
        if let Some((source, pace)) = &self.feed {
            let follower = Follower {
                source: Arc::clone(source),
                orders: Arc::clone(&self.orders),
                pace: *pace,
                health: health.clone(),
                metrics: self.metrics.feed.clone(),
            };
            tasks.spawn(follower.run(random, shutdown.clone()));
        }
        tasks.spawn(Self::watch_disks(
            self.cache,
            health.clone(),
            shutdown.clone(),
        ));
        let by_hand = by_hand(Arc::clone(&self.orders));
        let (registry, health) = (self.registry.clone(), health.clone());
        let served = serve_with(by_hand, internal, registry, health, shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!("the internal port is gone: {error}");
            }
        });
    }
}

fn source(
    settings: &Settings,
    credential: Option<&HeaderValue>,
) -> Result<Option<Arc<dyn Source>>, Error> {
    Ok(match &settings.feed.from {
        None => None,
        Some(Place::File(path)) => Some(Arc::new(Lines::new(path.clone()))),
        Some(Place::Server(url)) => {
            let authority = settings.app.parent_ca.as_deref();
            let server = Server::new(url.clone(), credential.cloned(), authority)?;
            Some(Arc::new(server))
        }
    })
}

/// Numbers between 0 and 1 from the system's randomness; one without it does without.
fn random() -> f64 {
    let drawn = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(drawn) / f64::from(u32::MAX)
}

impl Node {
    /// Closes the cache, and the access log once everything in it is written.
    pub async fn close(&self) {
        self.cache.close().await;
        if let Some(access) = &self.access {
            access.close().await;
        }
    }

    /// Says in the node's health which disks it does without, until shutdown.
    async fn watch_disks(cache: &'static Cache, health: Health, mut shutdown: Shutdown) {
        let each = cache.volumes().iter().map(|volume| {
            let health = health.clone();
            async move {
                let part = format!("disk {}", volume.name);
                let mut state = volume.watch();
                loop {
                    health.degrade(&part, ailment(&state.borrow_and_update()));
                    if state.changed().await.is_err() {
                        return;
                    }
                }
            }
        });
        tokio::select! {
            _ = futures_util::future::join_all(each) => {}
            () = shutdown.requested() => {}
        }
    }
}

fn ailment(state: &State) -> Option<String> {
    match state {
        State::Opening => Some("its index is being read".to_owned()),
        State::Serving(note) => note.clone(),
        State::ReadOnly(why) => Some(format!("not written to: {why}")),
        State::Aside(why) => Some(format!("not in use: {why}")),
        State::Closed => None,
    }
}

/// Reads a credential between tiers: one line of printable ASCII.
///
/// # Errors
/// When the file cannot be read or holds anything else.
pub fn secret(path: &Path) -> Result<HeaderValue, Error> {
    let secret = Secret::credential(path)?;
    let value = HeaderValue::from_str(secret.as_str());
    let mut value = value.map_err(|_| Unusable::new(path, "does not fit in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// After this long, in which all parents that a request may ask have been asked, a fill that has not even a response
/// header is given up as the one fill, and another request may begin its own.
fn header_limit(settings: &Settings) -> Duration {
    let Timeouts { connect, read, .. } = settings.timeouts;
    (connect + read) * ATTEMPTS + connect * DETOURS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_tells_what_ails_a_disk_until_it_is_well() {
        let why = || "why".to_owned();
        let said = [
            (State::Opening, Some("its index is being read")),
            (State::Serving(None), None),
            (State::Serving(Some(why())), Some("why")),
            (State::ReadOnly(why()), Some("not written to: why")),
            (State::Aside(why()), Some("not in use: why")),
            (State::Closed, None),
        ];
        for (state, expected) in said {
            assert_eq!(ailment(&state).as_deref(), expected, "{state:?}");
        }
    }
}
