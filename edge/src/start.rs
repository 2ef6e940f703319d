//! Binding the listeners and putting an edge together.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::{Problem, Problems};
use runtime::clock::Clock;
use runtime::internal::Health;
use runtime::shutdown::Shutdown;
use runtime::upgrade::Elder;
use tier::listen::Terms;
use tier::node::{Node, Role, Way};
use tier::policy::Policy;
use tier::serving::{Bound, Serving, tag};
use tier::tls::{Certificate, Pair};
use tier::{Viewers, admission::Admission, h3};

use crate::config::Settings;
use crate::gate::{self, FileError, Gate, Rules};
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

/// An edge that serves. Dropped, it stops at once; [`Serving::stop`] lets answers end.
pub struct Running {
    /// HTTP/1.1 and HTTP/2 over TCP, HTTP/3 over UDP.
    pub https: SocketAddr,
    /// HTTP/1.1 without TLS.
    pub plain: Option<SocketAddr>,
    /// Metrics and health.
    pub internal: SocketAddr,
    /// What runs.
    pub serving: Serving,
    gate: Arc<Gate>,
    certificate: Arc<Certificate>,
}

/// Starts an edge; its listeners are bound when this returns.
///
/// # Errors
/// When an address, the certificate, the keyring or a credential is not to be had.
pub async fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<Running, Error> {
    start_after(settings, clock, None).await
}

/// As [`start`], in place of another process, which hands its listeners and its disks over.
///
/// # Errors
/// As [`start`].
pub async fn start_after(
    settings: Settings,
    clock: Arc<dyn Clock>,
    mut elder: Option<&mut Elder>,
) -> Result<Running, Error> {
    runtime::tls::install_provider();
    let certificate = Certificate::load(&settings.tls.certificate, &settings.tls.key)?;
    let gate = Arc::new(Gate::open(&settings.gate, clock)?);
    let sockets = Sockets::bind(&settings, &certificate, elder.as_deref_mut()).await?;
    let role = Role {
        name: settings.name.clone(),
        zone: settings.zone.clone(),
        policy: settings.serve.clone(),
        admission: admission(&settings, &gate),
        viewers: Some(viewers(&settings, sockets.https.address.port())),
        revokes: Some(Arc::clone(&gate) as _),
    };
    let node = Node::build_after(&settings.tier, role, elder).await?;
    let mut running = Running {
        https: sockets.https.address,
        plain: sockets.plain.as_ref().map(|bound| bound.address),
        internal: sockets.internal.address,
        serving: Serving::new(node, settings.tier.limits.clone()),
        gate,
        certificate,
    };
    running.serve(sockets, &settings)?;
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

    /// Takes from settings what can change while the edge serves ([`crate::config::reloaded`]): all of it, or nothing.
    ///
    /// # Errors
    /// When a file that they name is not to be had.
    pub fn renew(&self, settings: &Settings) -> Result<(), Error> {
        let pair = Pair::read(&settings.tls.certificate, &settings.tls.key)?;
        let rules = Rules::read(&settings.gate)?;
        let way = Way::read(&settings.tier)?;
        self.certificate.set(pair);
        self.gate.renew(rules);
        self.serving.node.renew(&settings.tier, way);
        self.serving.bear(&settings.tier.limits);
        for (name, proxied_by) in [
            ("https", &settings.https_proxied_by),
            ("plain", &settings.plain_proxied_by),
        ] {
            let change = |terms: &mut Terms| terms.limits.proxied_by.clone_from(proxied_by);
            self.serving.change(name, change);
        }
        Ok(())
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
        self.serving.node.cache.purge_all().await
    }

    /// Stops listening, lets answers in progress end for the configured time, and closes the cache.
    pub async fn stop(self) {
        self.serving.stop().await;
    }

    fn serve(&mut self, sockets: Sockets, settings: &Settings) -> Result<(), Error> {
        let tls = tier::tls::server_config(Arc::clone(&self.certificate) as _)?;
        let serving = &mut self.serving;
        serving.listen(sockets.https, Some(tls), &settings.https_proxied_by)?;
        if let Some(plain) = sockets.plain {
            serving.listen(plain, None, &settings.plain_proxied_by)?;
        }
        let gate = Arc::clone(&self.gate);
        serving.beside(|health, shutdown| watch_files(gate, health, shutdown));
        serving.attend(sockets.internal)?;
        // Last: with it, this process gets what another has got so far.
        serving.listen_quic(sockets.quic)?;
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
    https: Bound,
    quic: h3::Listener,
    plain: Option<Bound>,
    internal: Bound,
}

impl Sockets {
    async fn bind(
        settings: &Settings,
        certificate: &Arc<Certificate>,
        mut elder: Option<&mut Elder>,
    ) -> Result<Self, Error> {
        let (https, quic) = tcp_and_udp(settings, certificate, elder.as_deref_mut()).await?;
        let plain = match settings.plain {
            Some(address) => Some(Bound::new("plain", address, elder.as_deref_mut()).await?),
            None => None,
        };
        let internal = Bound::new("internal", settings.internal, elder).await?;
        Ok(Self {
            https,
            quic,
            plain,
            internal,
        })
    }
}

/// Binds one port number for TCP and UDP. When any port will do, the one that TCP got may be taken
/// for UDP; then another is tried.
async fn tcp_and_udp(
    settings: &Settings,
    certificate: &Arc<Certificate>,
    mut elder: Option<&mut Elder>,
) -> Result<(Bound, h3::Listener), Error> {
    let mut quic = h3::Settings {
        early_data: settings.early_data,
        ..h3::Settings::default()
    };
    quic.bear(&settings.tier.limits);
    let mut tries_left: u32 = if settings.https.port() == 0 { 16 } else { 1 };
    loop {
        let tcp = Bound::new("https", settings.https, elder.as_deref_mut()).await?;
        let (address, tag) = (tcp.address, tag(elder.as_deref(), tcp.address));
        tries_left -= 1;
        match h3::bind_beside(tag, address, Arc::clone(certificate) as _, &quic) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) if tries_left > 0 && error.kind() == ErrorKind::AddrInUse => {}
            Err(source) => return Err(tier::Error::Bind { address, source }.into()),
        }
    }
}

/// Reads the keyring, the geo file, the certificate and the secrets that the settings name, as [`start`] does, and opens nothing.
///
/// # Errors
/// What is wrong with each of them, by its key.
pub fn inspect(settings: &Settings) -> Result<(), Vec<Problem>> {
    runtime::tls::install_provider();
    let mut problems = Problems::default();
    let (chain, key) = (&settings.tls.certificate, &settings.tls.key);
    tier::tls::inspect("tls", chain, key, &mut problems);
    for (key, fault) in gate::inspect(&settings.gate) {
        problems.add(key, fault.to_string());
    }
    tier::node::inspect(&settings.tier, &mut problems);
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

#[cfg(test)]
mod tests {
    use contracts::time::UnixSeconds;
    use runtime::clock::Fixed;
    use runtime::shutdown::Trigger;

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
