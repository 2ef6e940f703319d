//! Where nodes enrol and are heard: a listener over TLS, with certificates of the fleet's own authority.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use catalog::Catalog;
use catalog::members::Member;
use contracts::time::UnixSeconds;
use runtime::clock::Clock;
use runtime::life::Life;
use runtime::listen::PeerCertificate;
use runtime::problem::Problem;
use runtime::shutdown::Shutdown;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

use super::authority::{self, Authority};
use super::beats::Beats;
use super::config::Enrolment;
use super::roster::Roster;
use crate::app::App;
use crate::error::Error;
use crate::people::limits::Limit;
use crate::problem::{self, catalogue};

/// How often it is looked whether the listener's certificate is past half of its life.
const LOOK: Duration = Duration::from_secs(600);

/// What nodes meet.
pub(crate) struct Door {
    pub(crate) settings: Enrolment,
    pub(crate) authority: Authority,
    /// The authorities of parents, in PEM.
    pub(crate) parents_trust: String,
    pub(crate) beats: Beats,
    pub(crate) roster: Roster,
    shown: Arc<Shown>,
}

/// The certificate that the listener shows, and when its half is over.
#[derive(Debug)]
struct Shown(ArcSwap<(Arc<CertifiedKey>, UnixSeconds)>);

/// A node that has shown its certificate, and is not dismissed.
pub(crate) struct Known(pub(crate) Member);

impl Door {
    /// Opens the authority, and has it sign what the listener shows.
    pub(crate) fn open(
        settings: &Enrolment,
        catalog: &Catalog,
        now: UnixSeconds,
    ) -> Result<Self, Error> {
        let authority = Authority::open(&settings.authority, now)?;
        let shown = certificate(&authority, settings, now)?;
        let members = || Arc::clone(&catalog.members);
        Ok(Self {
            parents_trust: trust(settings)?,
            beats: Beats::by(members(), settings.quarantine),
            roster: Roster::new(members(), settings.quarantine),
            shown: Arc::new(Shown(ArcSwap::from_pointee(shown))),
            settings: settings.clone(),
            authority,
        })
    }

    /// What speaks TLS for the listener. Who shows a certificate shows one of the authority that is good now; who
    /// shows none may enrol.
    pub(crate) fn tls(&self, clock: Arc<dyn Clock>) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        let added = roots.add(self.authority.certificate().clone());
        added.map_err(|_| Error::Tls)?;
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|_| Error::Tls)?;
        let config = ServerConfig::builder_with_details(provider, Arc::new(Time(clock)))
            .with_safe_default_protocol_versions()
            .map_err(|_| Error::Tls)?;
        let mut config = config
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&self.shown) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Has the listener's certificate signed anew before it ends, until shutdown.
    pub(crate) async fn renew(app: Arc<App>, mut shutdown: Shutdown) {
        let Some(door) = app.fleet.door.as_ref() else {
            return;
        };
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = app.clock.now();
            if now < door.shown.0.load().1 {
                continue;
            }
            match certificate(&door.authority, &door.settings, now) {
                Ok(fresh) => door.shown.0.store(Arc::new(fresh)),
                Err(error) => {
                    tracing::error!("the listener of nodes keeps its certificate: {error}")
                }
            }
        }
    }
}

impl FromRequestParts<Arc<App>> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let shown = parts.extensions.get::<PeerCertificate>();
        let shown = shown.ok_or_else(problem::certificate_needed)?;
        let (name, key) = authority::named(&shown.0).ok_or_else(problem::node_refused)?;
        let now = app.clock.now();
        app.people.count(Limit::NodeAsks, &key, now)?;
        // A connection may outlive the certificate that it began with.
        if Life::of(&shown.0).is_none_or(|life| life.until() <= now) {
            return Err(problem::certificate_needed());
        }
        let found = app.catalog.members.find(&name).await.map_err(catalogue)?;
        let member = found.ok_or_else(problem::node_unknown)?;
        if member.dismissed.is_some() || member.key != key {
            return Err(problem::node_refused());
        }
        Ok(Self(member))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().0))
    }
}

fn certificate(
    authority: &Authority,
    settings: &Enrolment,
    now: UnixSeconds,
) -> Result<(Arc<CertifiedKey>, UnixSeconds), Error> {
    let life = settings.certificate_ttl.as_secs();
    let host = settings.public.host();
    let signed = authority.server(host, now, now.plus(life))?;
    Ok((Arc::new(signed), now.plus(life / 2)))
}

/// What stands in the file of the authorities of parents.
pub(crate) fn trust(settings: &Enrolment) -> Result<String, Error> {
    let Some(path) = &settings.parents_ca else {
        return Ok(String::new());
    };
    let unusable = |fault: String| Error::Secret(runtime::secret::Unusable::new(path, fault));
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| unusable(format!("cannot be read: {error}")))?;
    if text.len() > MAX_TRUST || !text.contains("-----BEGIN CERTIFICATE-----") {
        let fault = "holds no certificate in PEM, or more than 64 KiB";
        return Err(unusable(fault.to_owned()));
    }
    Ok(text)
}

/// What settings may hold.
const MAX_TRUST: usize = 64 << 10;

/// The house's clock, as TLS asks it.
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            self.0.now().0,
        )))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}
