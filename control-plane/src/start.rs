//! Starting and stopping the control plane.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::config::{Problem, Problems};
use catalog::Catalog;
use prometheus::Registry;
use runtime::clock::{Clock, System};
use runtime::internal::{self, Health};
use runtime::listen::{self, Limits};
use runtime::operator::Operator;
use runtime::secret::Unusable;
use runtime::shutdown::{Shutdown, Trigger};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::app::{self, App, RequestIds};
use crate::config::Settings;
use crate::error::Error;
use crate::fleet::authority::Authority;
use crate::fleet::door::{self, Door};
use crate::fleet::{self, Fleet, orders::Orders, probing, roster};
use crate::keeping;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::notices::hook::Hook;
use crate::people::{People, first};
use crate::playback::geo::Geo;
use crate::routing::{Routing, file, leases, probe};
use crate::signer::Signer;
use crate::steering::template::Templates;
use crate::telemetry::Telemetry;

/// How long stopping waits for answers under way.
const DRAIN: Duration = Duration::from_secs(5);

/// What the port bears with. A connection costs some 20 KiB and a file descriptor.
const LIMITS: Limits = Limits {
    connections: 4096,
    each: 4096,
    first: Duration::from_secs(15),
    header: Duration::from_secs(15),
    write: Duration::from_secs(30),
};

/// A control plane that listens. Dropping it stops it at once.
pub struct Running {
    /// Where the API and the watch page are.
    pub listen: SocketAddr,
    /// Where metrics and health are.
    pub internal: SocketAddr,
    /// Where nodes enrol and are heard, if they can.
    pub nodes: Option<SocketAddr>,
    /// A secret to be told once, where there is no operator yet and no operator key: whoever makes
    /// an account with this invitation within a day is the operator.
    pub first_operator: Option<String>,
    trigger: Trigger,
    tasks: JoinSet<()>,
}

/// Opens the catalogue, reads the secrets, and listens; answers from when it returns.
///
/// # Errors
/// [`Error`] names the address, the file or the engine that cannot be used.
pub async fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<Running, Error> {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;
    let operator = operator(&settings)?;
    let people = People::load(&settings.accounts, metrics.hashed.clone())?;
    let signer = Signer::load(settings.keys.clone())?;
    let keys = Keys::load(&settings.drm)?;
    let geo = Geo::load(settings.playback.geo_file.clone())?;
    let hook = settings.webhook.as_ref().map(Hook::load).transpose()?;
    let loaded = file::read(settings.prefixes.as_deref())?;
    let stamp = loaded.stamp();
    let routing = Arc::new(Routing::new(settings.edges.clone(), loaded.prefixes));
    let catalog = open_catalog(&settings, &clock).await?;
    let orders = Orders::open(Arc::clone(&catalog.feed), Arc::clone(&clock)).await?;
    let fleet = Fleet::load(&settings.fleet, &catalog, clock.now())?;
    let known = (&catalog, &routing);
    let opened = Telemetry::open(&settings, known, Arc::clone(&clock), &registry);
    let (telemetry, folder) = opened.await?;
    let by_account = operator.is_nobody();
    let (listener, listen) = bind(settings.listen).await?;
    let (inner, internal_address) = bind(settings.internal).await?;
    let door = bind_door(&settings).await?;
    let public_base = settings
        .public_base
        .clone()
        .unwrap_or_else(|| format!("http://{listen}"));
    let (invites, now) = (catalog.clone(), clock.now());
    let app = Arc::new(App {
        settings,
        public_base,
        catalog,
        clock,
        signer,
        geo,
        routing,
        templates: Templates::new()?,
        operator,
        people,
        keys,
        orders,
        telling: tokio::sync::Mutex::default(),
        fleet,
        telemetry,
        metrics,
        request_ids: RequestIds::new(format!("{:016x}", getrandom::u64()?)),
    });
    let router = app::router(Arc::clone(&app));
    let health = Health::new();

    let (trigger, shutdown) = Trigger::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(listen::serve(listener, router, LIMITS, shutdown.clone()));
    tend_routing(&mut tasks, &app, stamp, &health, &shutdown)?;
    let door = door.map(|(listener, address)| {
        open_door(&mut tasks, &app, listener, &health, &shutdown).map(|()| address)
    });
    tasks.spawn(fleet::attend(Arc::clone(&app), shutdown.clone()));
    tell_webhook(&mut tasks, hook, &app, &shutdown);
    if let Some(folder) = folder {
        tasks.spawn(folder.run(shutdown.clone()));
    }
    tasks.spawn(keeping::keep(app, health.clone(), shutdown.clone()));
    tasks.spawn(async move {
        if let Err(error) = internal::serve(inner, registry, health, shutdown).await {
            tracing::error!("the internal listener failed: {error}");
        }
    });
    // Last, so that whoever is told can use it.
    let first_operator = match by_account {
        true => first::invite(&invites, now).await?,
        false => None,
    };
    tracing::info!(%listen, "the control plane listens on {listen}");
    Ok(Running {
        listen,
        internal: internal_address,
        nodes: door.transpose()?,
        first_operator,
        trigger,
        tasks,
    })
}

/// Opens the catalogue, and prolongs the leases in it: players could not be heard while there was no control plane.
/// Where there is another, this sets streams free later.
async fn open_catalog(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Catalog, Error> {
    let catalog = catalog::open(&settings.catalog, Arc::clone(clock)).await?;
    let lease = clock.now().plus(settings.playback.lease.as_secs());
    catalog.sessions.excuse(lease).await?;
    Ok(catalog)
}

/// Reads the secrets that the settings name, as [`start`] does, looks whether the catalogue's file can be used, and opens
/// nothing.
///
/// # Errors
/// What is wrong with each of them, by its key.
pub fn inspect(settings: &Settings) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    problems.take("operator_key", operator(settings));
    problems.take("catalog", catalog::inspect(&settings.catalog));
    People::inspect(&settings.accounts, &mut problems);
    let signer = problems.take("keys", Signer::load(settings.keys.clone()));
    let enrols = settings.fleet.enrolment.is_some();
    if enrols && signer.is_some_and(|signer| !signer.has_m2(System.now())) {
        problems.add("keys", roster::NO_M2);
    }
    problems.take(
        "playback.geo_file",
        Geo::load(settings.playback.geo_file.clone()),
    );
    problems.take("prefixes", file::read(settings.prefixes.as_deref()));
    Keys::inspect(&settings.drm, &mut problems);
    problems.take("fleet.hop_secrets", fleet::hops(&settings.fleet));
    if let Some(enrolment) = &settings.fleet.enrolment {
        let authority = &enrolment.authority;
        problems.take("fleet.authority", Authority::inspect(authority));
        problems.take("fleet.authority", runtime::folder::look(authority));
        problems.take("fleet.parents_ca", door::trust(enrolment));
    }
    Telemetry::inspect(&settings.telemetry, &mut problems);
    if let Some(webhook) = &settings.webhook {
        problems.take("events.webhook_secret", Hook::inspect(webhook));
    }
    problems.or(())
}

/// What keeps routing up to date: the file with the prefixes, and the probes of edges.
fn tend_routing(
    tasks: &mut JoinSet<()>,
    app: &App,
    seen: Option<file::Stamp>,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let routing = || Arc::clone(&app.routing);
    if let Some(path) = app.settings.prefixes.clone() {
        let (health, shutdown) = (health.clone(), shutdown.clone());
        tasks.spawn(file::follow(path, seen, routing(), health, shutdown));
    }
    let (nodes, asked) = (Arc::clone(&app.catalog.nodes), shutdown.clone());
    tasks.spawn(leases::follow(nodes, routing(), asked));
    let client = runtime::http::client().build()?;
    let (gauge, every) = (app.metrics.edges_well.clone(), app.settings.probe_every);
    tasks.spawn(probe::watch(
        routing(),
        gauge,
        client,
        every,
        shutdown.clone(),
    ));
    Ok(())
}

/// Has the operator's webhook told what becomes of films, where there is one.
fn tell_webhook(tasks: &mut JoinSet<()>, hook: Option<Hook>, app: &Arc<App>, shutdown: &Shutdown) {
    if let Some(hook) = hook {
        tasks.spawn(hook.follow(Arc::clone(app), shutdown.clone()));
    }
}

/// Has nodes enrol at a listener, and looks after those that have.
fn open_door(
    tasks: &mut JoinSet<()>,
    app: &Arc<App>,
    listener: TcpListener,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let Some(door) = &app.fleet.door else {
        return Ok(());
    };
    let tls = door.tls(Arc::clone(&app.clock))?;
    let limits = Limits {
        each: door.settings.per_address,
        ..LIMITS
    };
    let router = app::door(Arc::clone(app));
    let asked = || shutdown.clone();
    tasks.spawn(listen::serve_secured(
        listener,
        router,
        tls,
        limits,
        asked(),
    ));
    tasks.spawn(Door::renew(Arc::clone(app), asked()));
    tasks.spawn(roster::follow(Arc::clone(app), health.clone(), asked()));
    let client = runtime::http::client().build()?;
    tasks.spawn(probing::watch(Arc::clone(app), client, asked()));
    Ok(())
}

/// Who is the operator without an account: whoever has the key; everybody where only this machine
/// can ask; else nobody.
fn operator(settings: &Settings) -> Result<Operator, Unusable> {
    match &settings.operator_key {
        None if !settings.is_private() => Ok(Operator::nobody()),
        key => Operator::read(key.as_deref()),
    }
}

impl Running {
    /// Stops listening, lets answers under way finish for some seconds, and ends.
    pub async fn stop(mut self) {
        self.trigger.fire();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some answers were cut off");
        }
    }
}

/// Where nodes are heard, if any can enrol.
async fn bind_door(settings: &Settings) -> Result<Option<(TcpListener, SocketAddr)>, Error> {
    match &settings.fleet.enrolment {
        Some(enrolment) => bind(enrolment.listen).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
