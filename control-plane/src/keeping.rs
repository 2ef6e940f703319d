//! What the control plane does by itself: looking whether the catalogue answers, reading files again, ending sessions whose lease is
//! lost, forgetting those that are over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::time::UnixSeconds;
use runtime::internal::Health;
use runtime::shutdown::Shutdown;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::{fleet, keys};

/// How often the catalogue is asked whether it answers.
const LOOK: Duration = Duration::from_secs(5);
/// How many looks pass between two sweeps of the sessions.
const LOOKS_A_SWEEP: u64 = 120;
/// How long a session is remembered after its token has ended, in seconds: a day, for questions.
pub(crate) const REMEMBERED_S: u64 = 86_400;

/// Keeps house until shutdown.
pub(crate) async fn keep(app: Arc<App>, health: Health, mut shutdown: Shutdown) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut count, mut told) = (0_u64, BTreeMap::new());
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = looks.tick() => {}
        }
        look(&app, &health).await;
        lapse(&app).await;
        refresh(&app, &health, &mut told).await;
        let fault = app.signer.fault(app.clock.now());
        note("keyring", fault.map(str::to_owned), &health, &mut told);
        if keys::rotation::tend(&app).await.is_err() {
            tracing::warn!("content keys that have ended are looked at later");
        }
        if let Err(error) = fleet::count(&app).await {
            tracing::warn!("the nodes cannot be counted: {error}");
        }
        if count.is_multiple_of(LOOKS_A_SWEEP) {
            sweep(&app).await;
        }
        count += 1;
    }
}

async fn look(app: &App, health: &Health) {
    match app.catalog.ping().await {
        Ok(()) => health.recover(),
        Err(error) => health.ail(error.to_string()),
    }
}

/// Reads files again that have changed; they may be large. What is wrong with one is told once in the log, and by the
/// internal port until it is mended.
async fn refresh(app: &Arc<App>, health: &Health, told: &mut BTreeMap<&'static str, String>) {
    let app = Arc::clone(app);
    let read = tokio::task::spawn_blocking(move || {
        let keys = app.keys.as_ref();
        let keys = keys.map_or(Ok(false), |keys| keys.licensing.refresh());
        [
            ("countries", app.geo.refresh()),
            ("networks", app.telemetry.networks.refresh()),
            ("licence keys", keys),
        ]
    });
    for (name, outcome) in read.await.into_iter().flatten() {
        let fault = outcome.as_ref().err().map(ToString::to_string);
        if outcome.is_ok_and(|changed| changed) {
            tracing::info!("the {name} were read again");
        }
        let fault = fault.map(|fault| format!("they stay as they were: {fault}"));
        note(name, fault, health, told);
    }
}

/// Has a fault be told: in the log, when it is another one than before, and by the internal port until it is mended.
fn note(
    name: &'static str,
    fault: Option<String>,
    health: &Health,
    told: &mut BTreeMap<&'static str, String>,
) {
    if let Some(fault) = &fault
        && told.get(name) != Some(fault)
    {
        tracing::warn!("{name}: {fault}");
    }
    health.degrade(name, fault.clone());
    match fault {
        Some(fault) => drop(told.insert(name, fault)),
        None => drop(told.remove(name)),
    }
}

/// Ends sessions that count against a limit and whose player is gone, and tells edges of what ended.
async fn lapse(app: &App) {
    match app.catalog.sessions.lapse(app.clock.now()).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{count} sessions have lost their lease"),
        Err(error) => tracing::warn!("sessions whose lease is lost stay for now: {error}"),
    }
    if app.tell_of_ended().await.is_err() {
        tracing::warn!("edges are told later of sessions that have ended");
    }
}

/// Forgets sessions that ended long ago, so that the catalogue does not grow with every play.
async fn sweep(app: &App) {
    let limit = app.clock.now().0.saturating_sub(REMEMBERED_S);
    let forgotten = app.catalog.sessions.forget(UnixSeconds(limit)).await;
    match forgotten {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{count} sessions that ended long ago are forgotten"),
        Err(error) => tracing::warn!("sessions that ended long ago stay for now: {error}"),
    }
    let now = app.clock.now();
    let before = |span: Duration| UnixSeconds(now.0.saturating_sub(span.as_secs()));
    let spans = &app.settings.fleet;
    if let Err(error) = app.catalog.feed.fold(before(spans.keep_orders), now).await {
        tracing::warn!("old orders stay for now: {error}");
    }
    match app.catalog.nodes.forget(before(spans.forget_nodes)).await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(
            count,
            "{count} nodes were not heard of for long and are forgotten"
        ),
        Err(error) => tracing::warn!("nodes that were not heard of for long stay for now: {error}"),
    }
    let members = &app.catalog.members;
    if let Err(error) = members.forget(now, before(spans.forget_nodes)).await {
        tracing::warn!("dismissed nodes and old joins stay for now: {error}");
    }
    if let Err(error) = app.catalog.guesses.forget(now).await {
        tracing::warn!("guesses that count no more stay for now: {error}");
    }
    if let Err(error) = app.catalog.logins.forget(now).await {
        tracing::warn!("logins that have ended stay for now: {error}");
    }
}
