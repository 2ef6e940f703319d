//! A proxy put together from settings and a role.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use config::Problems;
use contracts::fleet::Kind;
use contracts::id::NodeId;
use http::HeaderValue;
use pingora::cache::lock::CacheLock;
use pingora::utils::tls::CertKey;
use prometheus::Registry;
use runtime::clock::System;
use runtime::internal::{Health, serve_with};
use runtime::secret::{Secret, Unusable};
use runtime::shutdown::Shutdown;
use runtime::upgrade::{Elder, Facts};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::access::Log;
use crate::admission::Admission;
use crate::app::App;
use crate::cache::Cache;
use crate::cache::disk::State;
use crate::changes::Changes;
use crate::error::Error;
use crate::feed::{
    Follower, Lines, Orders, Pace, Place, Revokes, Server, Source, Who, by_hand, client,
};
use crate::headers::Viewers;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::parent::{self, Credential, DETOURS, Parents, Timeouts};
use crate::policy::Policy;
use crate::prefetch::Prefetch;
use crate::proxy::{Proxy, Rules, Wasted};
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
    /// Whether and how fast parents are asked.
    pub intake: Arc<Intake>,
    parents: parent::Current,
    hop_secret: Credential,
    state_file: Option<PathBuf>,
    access: Option<Arc<Log>>,
    feed: Option<(Arc<dyn Source>, Pace)>,
    /// The same, where it is a server.
    server: Option<Arc<Server>>,
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
        let way = Way::read(settings)?;
        let parents = Parents::new(settings.parents.clone(), settings.timeouts);
        let parents = Arc::new(ArcSwap::from_pointee(parents.shown(way.identity)));
        parent::register(&registry, &parents)?;
        let hop_secret = Credential::default();
        hop_secret.set(way.hop_secret);
        let (feed, server) = source(settings, &role, &hop_secret, way.feed);
        let file = settings.feed.state_file.as_deref();
        let orders = Orders::open(Arc::clone(&purges), role.revokes, file, System.wall())?;
        let access = settings.access.as_ref();
        let access = access.map(|log| Log::new(log, &role.name, &registry));
        let access = access.transpose()?.map(Arc::new);
        let intake = Arc::new(Intake::register(settings.fill.clone(), &registry)?);
        let rules = Rules {
            loop_id: format!("{}-{:016x}", role.name, getrandom::u64()?),
            name: role.name,
            zone: role.zone,
            hop_secret: hop_secret.clone(),
            max_object_bytes: settings.max_object_bytes,
            finish_unread_bytes: settings.finish_unread_bytes,
        };
        let proxy = Proxy {
            policy: role.policy,
            admission: role.admission,
            access: access.clone(),
            viewers: role.viewers,
            cache,
            lock: Box::leak(CacheLock::new_boxed(header_limit(settings))),
            parents: Arc::clone(&parents),
            intake: Arc::clone(&intake),
            purges,
            prefetch: Prefetch::register(settings.prefetch, &registry)?,
            questions: Arc::default(),
            changes: Changes::default(),
            wasted: Wasted::default(),
            metrics: metrics.clone(),
            rules,
        };
        Ok(Self {
            app: App::new(proxy, settings.app.clone(), metrics.connections.clone()),
            cache,
            metrics,
            registry,
            orders: Arc::new(orders),
            intake,
            parents,
            hop_secret,
            state_file: settings.feed.state_file.clone(),
            access,
            feed: feed.map(|source| (source, settings.feed.pace)),
            server,
        })
    }

    /// Builds a node whose disks are open, in place of another process, if there is one, which lets go of them first.
    ///
    /// # Errors
    /// As [`Node::build`]; or the other process breaks the handover off.
    pub async fn build_after(
        settings: &Settings,
        role: Role,
        elder: Option<&mut Elder>,
    ) -> Result<Self, Error> {
        let facts = match elder {
            Some(elder) => {
                let facts = elder.ask().await.map_err(Error::Handover)?;
                Some((facts, Instant::now()))
            }
            None => None,
        };
        let node = Self::build(settings, role)?;
        node.cache.ready().await;
        if let Some((facts, told_at)) = facts {
            node.follow_on(&facts, told_at);
        }
        Ok(node)
    }

    /// Follows the node's feed, if it has one, and watches its disks, until shutdown; and begins to write its access
    /// log, until [`Node::close`].
    pub fn attend(&self, health: &Health, shutdown: &Shutdown, tasks: &mut JoinSet<()>) {
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
    }

    /// Serves the node's internal port until shutdown.
    pub fn tell(
        &self,
        internal: TcpListener,
        health: &Health,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        let by_hand = by_hand(Arc::clone(&self.orders));
        let (registry, health) = (self.registry.clone(), health.clone());
        let served = serve_with(by_hand, internal, registry, health, shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!("the internal port is gone: {error}");
            }
        });
    }

    /// Takes other parents, and another way to ask them, for the requests that come from now on.
    pub fn renew(&self, settings: &Settings, way: Way) {
        let parents = self.parents.load();
        let parents = parents.replaced(settings.parents.clone(), settings.timeouts);
        self.parents.store(Arc::new(parents.shown(way.identity)));
        self.hop_secret.set(way.hop_secret);
        self.intake.set(settings.fill.clone());
        if let (Some(server), Some(client)) = (&self.server, way.feed) {
            server.ask_by(client);
        }
    }

    /// Lets another process have the disks and the file of orders, and says what it cannot read there. This node serves
    /// on: it finds what the disks hold, and writes nothing.
    pub async fn lend(&self) -> Facts {
        let mut facts = Facts::from([(THROUGH.to_owned(), self.orders.lend())]);
        self.cache.lend().await;
        if let Some(age) = self.orders.purges().lease.age() {
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            facts.insert(LEASE_AGE_MS.to_owned(), age);
        }
        facts
    }

    /// Takes back what was lent, from a process that has ended.
    pub fn reclaim(&self) {
        self.cache.reclaim();
        let file = self.state_file.as_deref();
        if let Err(why) = self.orders.reclaim(file, System.wall()) {
            tracing::error!("orders would not survive a restart: {why}");
        }
    }

    /// Goes on where a process has left off that lent what it had, and told so some time ago.
    fn follow_on(&self, facts: &Facts, told_at: Instant) {
        let known = facts.get(THROUGH).copied().unwrap_or(u64::MAX);
        let age = facts.get(LEASE_AGE_MS).copied().map(Duration::from_millis);
        // What the other knew of the feed holds for one who knows the same orders.
        if let Some(sent) = age.and_then(|age| told_at.checked_sub(age))
            && self.orders.through() >= known
        {
            self.orders.purges().lease.renew(sent);
        }
    }
}

const THROUGH: &str = "through";
const LEASE_AGE_MS: &str = "lease_age_ms";

/// Notes what is wrong with each file that is read for asking parents and the feed, by its key.
pub fn inspect(settings: &Settings, problems: &mut Problems) {
    let secret = settings.hop_secret_file.as_deref().map(secret);
    problems.take("upstream.hop_secret_file", secret.transpose());
    if let Some((chain, key)) = &settings.identity {
        tls::inspect("upstream", chain, key, problems);
    }
    for (key, authority) in [
        ("upstream.ca_file", &settings.app.parent_ca),
        ("feed.ca_file", &settings.feed.ca_file),
    ] {
        if let Some(authority) = authority {
            tls::inspect_authority(key, authority, problems);
        }
    }
}

/// What is read from files for asking parents and the feed.
pub struct Way {
    identity: Option<Arc<CertKey>>,
    hop_secret: Option<HeaderValue>,
    feed: Option<reqwest::Client>,
}

impl Way {
    /// Reads them.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let files = settings.identity.as_ref();
        let files = files.map(|(chain, key)| (chain.as_path(), key.as_path()));
        let identity = files.map(|(chain, key)| tls::identity(chain, key));
        let hop_secret = settings.hop_secret_file.as_deref().map(secret);
        let feed = match &settings.feed.from {
            Some(Place::Server(_)) => {
                let authority = settings.feed.ca_file.as_deref();
                let authority = authority.or(settings.app.parent_ca.as_deref());
                Some(client(authority, files)?)
            }
            _ => None,
        };
        Ok(Self {
            identity: identity.transpose()?,
            hop_secret: hop_secret.transpose()?,
            feed,
        })
    }
}

fn source(
    settings: &Settings,
    role: &Role,
    credential: &Credential,
    client: Option<reqwest::Client>,
) -> (Option<Arc<dyn Source>>, Option<Arc<Server>>) {
    match (&settings.feed.from, client) {
        (Some(Place::File(path)), _) => (Some(Arc::new(Lines::new(path.clone()))), None),
        (Some(Place::Server(url)), Some(client)) => {
            let serves_viewers = role.viewers.is_some();
            let stops = settings.feed.purges.stops();
            let who = Who {
                name: NodeId::parse(&role.name).ok(),
                kind: if serves_viewers {
                    Kind::Edge
                } else {
                    Kind::Shield
                },
                stops_s: stops.map(|span| span.as_secs().saturating_add(1)),
            };
            let server = Server::new(url.clone(), who, credential.clone(), client);
            let server = Arc::new(server);
            (Some(Arc::clone(&server) as _), Some(server))
        }
        _ => (None, None),
    }
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
        State::Lent => Some("on its way to another process".to_owned()),
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
