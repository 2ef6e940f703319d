//! Binding the listeners and putting an edge together.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::{Problem, Problems};
use runtime::clock::Clock;
use runtime::internal::Health;
use runtime::shutdown::{Shutdown, Trigger};
use tier::node::{Node, Role};
use tier::policy::Policy;
use tier::tls::Certificate;
use tier::{Viewers, admission::Admission, h3, listen};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::Settings;
use crate::gate::{self, FileError, Gate};
use crate::site::Everybody;

/// Why an edge did not start, or did not take new files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A listener, a certificate or a credential is not to be had.
    #[error(transparent)]
    Tier(#[from] tier::Error),
    /// The keyring or another file of the gate is not to be had.
    #[error(transparent)]
    File(#[from] FileError),
}

/// An edge that serves. Dropped, it stops at once; [`Running::stop`] lets answers end.
pub struct Running {
    /// HTTP/1.1 and HTTP/2 over TCP, HTTP/3 over UDP.
    pub https: SocketAddr,
    /// HTTP/1.1 without TLS.
    pub plain: Option<SocketAddr>,
    /// Metrics and health.
    pub internal: SocketAddr,
    node: Node,
    gate: Arc<Gate>,
    certificate: Arc<Certificate>,
    trigger: Trigger,
    patience: Duration,
    tasks: JoinSet<()>,
}

/// Starts an edge; its listeners are bound when this returns.
///
/// # Errors
/// When an address, the certificate, the keyring or a credential is not to be had.
pub async fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<Running, Error> {
    runtime::tls::install_provider();
    let certificate = Certificate::load(&settings.tls.certificate, &settings.tls.key)?;
    let gate = Arc::new(Gate::open(&settings.gate, clock)?);
    let sockets = Sockets::bind(&settings, &certificate).await?;
    let role = Role {
        name: settings.name.clone(),
        zone: settings.zone.clone(),
        policy: settings.serve.clone(),
        admission: admission(&settings, &gate),
        viewers: Some(viewers(&settings, sockets.https_address.port())),
        revokes: Some(Arc::clone(&gate) as _),
    };
    let node = Node::build(&settings.tier, role)?;
    node.cache.ready().await;
    let (trigger, shutdown) = Trigger::new();
    let mut running = Running {
        https: sockets.https_address,
        plain: sockets.plain.as_ref().map(|(_, address)| *address),
        internal: sockets.internal_address,
        node,
        gate,
        certificate,
        trigger,
        patience: settings.tier.limits.drain + GRACE,
        tasks: JoinSet::new(),
    };
    running.serve(sockets, &settings, &shutdown)?;
    Ok(running)
}

impl Running {
    /// Reads keyring, geo file and certificate again, now rather than at the next look at the files.
    ///
    /// # Errors
    /// When one of them is not to be had; the old one then stays.
    pub fn reload(&self) -> Result<(), Error> {
        let looked = self.gate.refresh();
        self.certificate.reload()?;
        match looked.map_err(|faults| faults.into_iter().next()) {
            Err(Some(fault)) => Err(fault.into()),
            _ => Ok(()),
        }
    }

    /// The gate, to set its limits and to bring it revocations.
    #[must_use]
    pub const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

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

    fn serve(
        &mut self,
        sockets: Sockets,
        settings: &Settings,
        shutdown: &Shutdown,
    ) -> Result<(), Error> {
        let tls = tier::tls::server_config(Arc::clone(&self.certificate) as _)?;
        let limits = &settings.tier.limits;
        let listeners = [
            Some((sockets.https, Some(tls), &settings.https_proxied_by)),
            sockets
                .plain
                .map(|(listener, _)| (listener, None, &settings.plain_proxied_by)),
        ];
        for (listener, tls, proxied_by) in listeners.into_iter().flatten() {
            let limits = listen::Limits {
                proxied_by: proxied_by.clone(),
                ..limits.clone()
            };
            self.tasks.spawn(listen::serve(
                listener,
                tls,
                Arc::clone(&self.node.app),
                limits,
                self.node.metrics.connections.clone(),
                shutdown.watch(),
            ));
        }
        sockets
            .quic
            .metrics()
            .register(&self.node.registry)
            .map_err(tier::Error::from)?;
        let app = Arc::clone(&self.node.app);
        self.tasks
            .spawn(h3::serve(sockets.quic, app, shutdown.watch()));
        let health = Health::new();
        self.tasks.spawn(watch_files(
            Arc::clone(&self.gate),
            health.clone(),
            shutdown.clone(),
        ));
        self.node
            .attend(sockets.internal, &health, shutdown, &mut self.tasks);
        Ok(())
    }
}

/// Films stand behind the gate; a site is open to everybody.
fn admission(settings: &Settings, gate: &Arc<Gate>) -> Arc<dyn Admission> {
    match settings.serve {
        Policy::Films => Arc::clone(gate) as _,
        Policy::Site(_) => Arc::new(Everybody::on(settings.hosts.clone())),
    }
}

fn viewers(settings: &Settings, h3_port: u16) -> Viewers {
    match settings.serve {
        Policy::Films => Viewers::new(Some(h3_port)),
        Policy::Site(_) => Viewers::of_site(Some(h3_port)),
    }
}

struct Sockets {
    https: TcpListener,
    quic: h3::Listener,
    https_address: SocketAddr,
    plain: Option<(TcpListener, SocketAddr)>,
    internal: TcpListener,
    internal_address: SocketAddr,
}

impl Sockets {
    async fn bind(settings: &Settings, certificate: &Arc<Certificate>) -> Result<Self, Error> {
        let (https, https_address, quic) = tcp_and_udp(settings, certificate).await?;
        let plain = match settings.plain {
            Some(address) => Some(tcp(address).await?),
            None => None,
        };
        let (internal, internal_address) = tcp(settings.internal).await?;
        Ok(Self {
            https,
            quic,
            https_address,
            plain,
            internal,
            internal_address,
        })
    }
}

/// Binds one port number for TCP and UDP. When any port will do, the one that TCP got may be taken
/// for UDP; then another is tried.
async fn tcp_and_udp(
    settings: &Settings,
    certificate: &Arc<Certificate>,
) -> Result<(TcpListener, SocketAddr, h3::Listener), Error> {
    let limits = &settings.tier.limits;
    let quic = h3::Settings {
        max_connections: limits.max_connections,
        handshake: limits.handshake,
        header: limits.header,
        read: limits.read,
        write: limits.write,
        drain: limits.drain,
        ..h3::Settings::default()
    };
    let mut tries_left: u32 = if settings.https.port() == 0 { 16 } else { 1 };
    loop {
        let (tcp, address) = tcp(settings.https).await?;
        tries_left -= 1;
        match h3::bind(address, Arc::clone(certificate) as _, &quic) {
            Ok(udp) => return Ok((tcp, address, udp)),
            Err(error) if tries_left > 0 && error.kind() == ErrorKind::AddrInUse => {}
            Err(source) => return Err(tier::Error::Bind { address, source }.into()),
        }
    }
}

async fn tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let listener = listen::bind(address).await?;
    let bound = listener
        .local_addr()
        .map_err(|source| tier::Error::Bind { address, source })?;
    Ok((listener, bound))
}

/// Reads the keyring, the geo file, the certificate and the secrets that the settings name, as [`start`] does, and opens nothing.
///
/// # Errors
/// What is wrong with each of them, by its key.
pub fn inspect(settings: &Settings) -> Result<(), Vec<Problem>> {
    runtime::tls::install_provider();
    let mut problems = Problems::default();
    let certificate = Certificate::load(&settings.tls.certificate, &settings.tls.key);
    problems.take("tls", certificate);
    for (key, fault) in gate::inspect(&settings.gate) {
        problems.add(key, fault.to_string());
    }
    let secret = settings.tier.hop_secret_file.as_deref();
    let secret = secret.map(tier::node::secret).transpose();
    problems.take("upstream.hop_secret_file", secret);
    problems.or(())
}

/// Takes changed files of the gate while serving; a broken one is reported and the old one kept.
async fn watch_files(gate: Arc<Gate>, health: Health, mut shutdown: Shutdown) {
    let mut ailing = false;
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(FILES_LOOK) => {}
        }
        let gate = Arc::clone(&gate);
        match tokio::task::spawn_blocking(move || gate.refresh()).await {
            Ok(Ok(taken)) => {
                for name in taken {
                    tracing::info!("took a changed {name}");
                }
                if std::mem::take(&mut ailing) {
                    health.recover();
                }
            }
            Ok(Err(faults)) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let faults = faults.join("; ");
                if !std::mem::replace(&mut ailing, true) {
                    tracing::error!("keeping what was read before: {faults}");
                }
                health.ail(faults);
            }
            Err(ended) => tracing::error!("could not look at the gate's files: {ended}"),
        }
    }
}

/// How often the gate's files are looked at.
const FILES_LOOK: Duration = Duration::from_secs(5);

/// Beyond the drain time, how long a stop may take.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use contracts::time::UnixSeconds;
    use runtime::clock::Fixed;

    use super::*;
    use crate::config::Config;

    #[tokio::test(start_paused = true)]
    async fn a_broken_file_ails_the_node_until_it_is_mended() {
        let files = tempfile::tempdir().unwrap();
        let (keys, geo) = (
            files.path().join("keys.json"),
            files.path().join("geo.mmdb"),
        );
        let database = include_bytes!("../tests/data/geo_test.mmdb");
        std::fs::write(&keys, r#"{"keyring":[]}"#).unwrap();
        std::fs::write(&geo, database).unwrap();
        let config = Config {
            keyring_file: keys.clone(),
            geo_file: geo.clone(),
            ..Config::default()
        };
        let clock = Arc::new(Fixed::at(UnixSeconds(1)));
        let gate = Gate::open(&config.check().unwrap().gate, clock).unwrap();
        let (health, (trigger, shutdown)) = (Health::new(), Trigger::new());
        let watch = tokio::spawn(watch_files(Arc::new(gate), health.clone(), shutdown));
        let look = async || {
            tokio::time::sleep(FILES_LOOK + Duration::from_secs(1)).await;
            health.ailment().unwrap_or_default()
        };
        assert_eq!(look().await, "");
        std::fs::write(&geo, "no database").unwrap();
        assert!(look().await.contains("geo.mmdb"));
        std::fs::write(&keys, "no keyring").unwrap();
        let both = look().await;
        assert!(
            both.contains("geo.mmdb") && both.contains("keys.json"),
            "{both}"
        );
        std::fs::write(&geo, database).unwrap();
        assert!(!look().await.contains("geo.mmdb"));
        std::fs::write(&keys, r#"{"keyring":[]}"#).unwrap();
        assert_eq!(look().await, "");
        trigger.fire();
        watch.await.unwrap();
    }
}
