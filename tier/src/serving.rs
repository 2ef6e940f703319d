//! What runs of a node: listeners and attendants, and how they end or go to another process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use runtime::internal::Health;
use runtime::shutdown::{Shutdown, Trigger};
use runtime::upgrade::{Elder, Estate, Facts};
use rustls::server::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::h3::{self, Steering, Tag};
use crate::listen::{self, Limits, Terms};
use crate::node::Node;

/// A TCP listener, bound.
pub struct Bound {
    /// By what name it goes to another process.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// A node that serves. Dropped, it stops at once.
pub struct Serving {
    /// The node.
    pub node: Node,
    /// What it says of itself.
    pub health: Health,
    /// Time that answers in progress get at the end.
    drain: Mutex<Duration>,
    limits: Limits,
    terms: Vec<(&'static str, watch::Sender<Terms>)>,
    /// Copies of the listeners, to hand them over.
    handles: Vec<(String, std::net::TcpListener)>,
    quic: Option<Quic>,
    /// Ends the listeners.
    trigger: Trigger,
    shutdown: Shutdown,
    listening: JoinSet<()>,
    /// Ends those who attend to the node as long as it answers.
    last: Trigger,
    until_last: Shutdown,
    attending: JoinSet<()>,
}

/// The port of HTTP/3.
struct Quic {
    settings: Arc<watch::Sender<h3::Settings>>,
    /// Nothing where the kernel cannot share it.
    steering: Option<Steering>,
}

impl Bound {
    /// Takes over the listener of the process before, or binds one; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or not the machine's.
    pub async fn new(
        name: &'static str,
        address: SocketAddr,
        elder: Option<&mut Elder>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address, source };
        let inherited = elder.and_then(|elder| elder.listener(name, address));
        let listener = match inherited {
            Some(listener) => {
                listener.set_nonblocking(true).map_err(failed)?;
                TcpListener::from_std(listener).map_err(failed)?
            }
            None => listen::bind(address).await?,
        };
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            name,
            address,
            listener,
        })
    }
}

/// The tag of the process before, where it serves HTTP/3 at an address.
#[must_use]
pub fn tag(elder: Option<&Elder>, address: SocketAddr) -> Option<Tag> {
    let facts = elder?.facts();
    let same = facts.get(QUIC_PORT).copied() == Some(address.port().into());
    let tag = facts.get(QUIC_TAG).copied().filter(|_| same);
    tag.and_then(|tag| Tag::try_from(tag).ok())
}

impl Serving {
    /// A node on which nobody listens yet.
    #[must_use]
    pub fn new(node: Node, limits: Limits) -> Self {
        let (trigger, shutdown) = Trigger::new();
        let (last, until_last) = Trigger::new();
        Self {
            node,
            health: Health::new(),
            drain: Mutex::new(limits.drain),
            limits,
            terms: Vec::new(),
            handles: Vec::new(),
            quic: None,
            trigger,
            shutdown,
            listening: JoinSet::new(),
            last,
            until_last,
            attending: JoinSet::new(),
        }
    }

    /// Serves HTTP/1.1 on a listener, and with `tls` HTTP/2.
    ///
    /// # Errors
    /// When the process has no descriptor left for a copy.
    pub fn listen(
        &mut self,
        bound: Bound,
        tls: Option<Arc<ServerConfig>>,
        proxied_by: &[IpNet],
    ) -> Result<(), Error> {
        let name = bound.name;
        let listener = self.keep(bound)?;
        let limits = Limits {
            proxied_by: proxied_by.to_vec(),
            ..self.limits.clone()
        };
        let (terms, on) = watch::channel(Terms { limits, tls });
        self.terms.push((name, terms));
        self.listening.spawn(listen::serve(
            listener,
            on,
            Arc::clone(&self.node.app),
            self.node.metrics.connections.clone(),
            self.shutdown.clone(),
        ));
        Ok(())
    }

    /// Serves HTTP/3 on a listener. What another process served at its port comes here from now on.
    ///
    /// # Errors
    /// When the kernel does not lead it here.
    pub fn listen_quic(&mut self, mut listener: h3::Listener) -> Result<(), Error> {
        let steering = listener.take_steering();
        listener.metrics().register(&self.node.registry)?;
        let settings = listener.settings();
        let (address, app) = (listener.local_addr(), Arc::clone(&self.node.app));
        self.listening
            .spawn(h3::serve(listener, app, self.shutdown.clone()));
        let taken = steering.as_ref().map_or(Ok(()), Steering::take_over);
        taken.map_err(|source| Error::Bind { address, source })?;
        self.quic = Some(Quic { settings, steering });
        Ok(())
    }

    /// Serves the internal port, follows the feed and watches the disks.
    ///
    /// # Errors
    /// As for [`Serving::listen`].
    pub fn attend(&mut self, internal: Bound) -> Result<(), Error> {
        let internal = self.keep(internal)?;
        let (node, health) = (&self.node, &self.health);
        node.tell(internal, health, &self.shutdown, &mut self.listening);
        node.attend(health, &self.until_last, &mut self.attending);
        Ok(())
    }

    /// Does something beside, until the node has answered its last request.
    pub fn beside<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        task: impl FnOnce(Health, Shutdown) -> F,
    ) {
        let task = task(self.health.clone(), self.until_last.clone());
        self.attending.spawn(task);
    }

    fn keep(&mut self, bound: Bound) -> Result<TcpListener, Error> {
        let Bound {
            name,
            address,
            listener,
        } = bound;
        let copy = || {
            let listener = listener.into_std()?;
            let copy = listener.try_clone()?;
            Ok((copy, TcpListener::from_std(listener)?))
        };
        let copied: io::Result<_> = copy();
        let (copy, listener) = copied.map_err(|source| Error::Bind { address, source })?;
        self.handles.push((name.to_owned(), copy));
        Ok(listener)
    }

    /// Serves new connections within other limits.
    pub fn bear(&self, limits: &Limits) {
        *self.drain.lock() = limits.drain;
        self.node.app.bear(limits.write, limits.read);
        for (_, terms) in &self.terms {
            terms.send_modify(|terms| {
                let proxied_by = std::mem::take(&mut terms.limits.proxied_by);
                terms.limits = Limits {
                    proxied_by,
                    ..limits.clone()
                };
            });
        }
        if let Some(quic) = &self.quic {
            quic.settings.send_modify(|settings| settings.bear(limits));
        }
    }

    /// Changes the terms of the listener of a name.
    pub fn change(&self, name: &str, change: impl Fn(&mut Terms)) {
        let meant = self.terms.iter().filter(|(its, _)| *its == name);
        meant.for_each(|(_, terms)| terms.send_modify(&change));
    }

    /// What goes to a new process at its start.
    ///
    /// # Errors
    /// When the process has no descriptor left, or the kernel cannot share the port of HTTP/3.
    pub fn estate(&self) -> io::Result<Estate> {
        let mut estate = Estate::default();
        for (name, handle) in &self.handles {
            estate.listeners.push((name.clone(), handle.try_clone()?));
        }
        match &self.quic {
            None => {}
            Some(Quic { steering: None, .. }) => {
                let why = "the kernel cannot lead QUIC packets to one of two processes";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            Some(Quic {
                steering: Some(steering),
                ..
            }) => {
                steering.keep_all()?;
                let port = steering.port()?;
                let facts = [
                    (QUIC_TAG, u64::from(steering.tag())),
                    (QUIC_PORT, port.into()),
                ];
                let facts = facts.map(|(name, value)| (name.to_owned(), value));
                estate.facts.extend(facts);
            }
        }
        Ok(estate)
    }

    /// Lets a new process have what only one may have; this one serves on.
    ///
    /// # Errors
    /// When the disks do not end their work in time.
    pub async fn lend(&self) -> Result<Facts, String> {
        let lent = tokio::time::timeout(LENT_WITHIN, self.node.lend()).await;
        lent.map_err(|_| "the disks did not end their work in time".to_owned())
    }

    /// Takes everything back from a new process that has ended.
    pub fn reclaim(&self) {
        self.node.reclaim();
    }

    /// Leads who is connected to the process that has taken over, and returns when the last answer has ended, the time
    /// to drain is over, or `at_once` resolves.
    pub async fn hand_over(self, at_once: impl Future<Output = ()>) {
        self.node.cache.give();
        self.trigger.replace();
        self.end(at_once).await;
    }

    /// Stops listening, lets answers in progress end for the time to drain, and closes the cache.
    pub async fn stop(self) {
        self.trigger.fire();
        self.end(std::future::pending()).await;
    }

    async fn end(mut self, at_once: impl Future<Output = ()>) {
        // Who wants to connect is to hear that nobody listens, or comes to the other process.
        self.handles.clear();
        self.quic = None;
        let ended = async { while self.listening.join_next().await.is_some() {} };
        // The listeners keep to the time to drain by themselves; this is for whatever does not.
        let patience = *self.drain.lock() + GRACE;
        tokio::select! {
            ended = tokio::time::timeout(patience, ended) => if ended.is_err() {
                tracing::warn!("stopped before every task had ended");
            },
            () = at_once => tracing::info!("stopped before every answer had ended"),
        }
        self.listening.abort_all();
        self.last.fire();
        let ended = async { while self.attending.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("stopped before the feed and the disks were left");
        }
        self.node.close().await;
    }
}

const QUIC_TAG: &str = "quic_tag";
const QUIC_PORT: &str = "quic_port";

/// How long disks may take to write what waits.
const LENT_WITHIN: Duration = Duration::from_secs(30);

/// Beyond the time to drain, how long a stop may take.
const GRACE: Duration = Duration::from_secs(2);
