//! The internal port of every role: `/metrics` for Prometheus and `/healthz` for supervisors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State as FromState;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::shutdown::Shutdown;

/// What a role says of itself: well, or what ails it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ailment: Option<String>,
    /// Parts without which the role has no work to do.
    lost: BTreeMap<String, String>,
    /// Parts that the role does without.
    degraded: BTreeMap<String, String>,
}

impl Health {
    /// A healthy role.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the role cannot do its work, and why.
    pub fn ail(&self, why: impl Into<String>) {
        self.state().ailment = Some(why.into());
    }

    /// Says that the role is well again.
    pub fn recover(&self) {
        self.state().ailment = None;
    }

    /// What ails the role, if anything does.
    #[must_use]
    pub fn ailment(&self) -> Option<String> {
        self.state().ailment.clone()
    }

    /// Says that the role does its work without a part, and why; or that the part is well.
    pub fn degrade(&self, part: &str, why: Option<String>) {
        let degraded = &mut self.state().degraded;
        match why {
            Some(why) => drop(degraded.insert(part.to_owned(), why)),
            None => drop(degraded.remove(part)),
        }
    }

    /// Says that a part is gone without which the role has no work to do, and why; or that it is there again.
    pub fn lose(&self, part: &str, why: Option<String>) {
        let lost = &mut self.state().lost;
        match why {
            Some(why) => drop(lost.insert(part.to_owned(), why)),
            None => drop(lost.remove(part)),
        }
    }

    /// What `/healthz` says, and whether the role is well: a line for the role, and one for each part that it does without.
    #[must_use]
    pub fn report(&self) -> (bool, String) {
        let state = self.state();
        let lost = state.lost.iter();
        let lost = lost.map(|(part, why)| format!("{part}: {why}"));
        let ailments: Vec<String> = state.ailment.iter().cloned().chain(lost).collect();
        let first = if ailments.is_empty() {
            "ok".to_owned()
        } else {
            ailments.join("; ")
        };
        let parts = state.degraded.iter();
        let lines = parts.map(|(part, why)| format!("degraded: {part}: {why}\n"));
        let text = std::iter::once(format!("{first}\n")).chain(lines).collect();
        (ailments.is_empty(), text)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the internal port until shutdown.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    health: Health,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    serve_with(Router::new(), listener, registry, health, shutdown).await
}

/// As [`serve`], with what a role lets its operator do.
///
/// # Errors
/// When the listener fails.
pub async fn serve_with(
    more: Router,
    listener: TcpListener,
    registry: Registry,
    health: Health,
    mut shutdown: Shutdown,
) -> std::io::Result<()> {
    let router = more
        .route("/metrics", get(metrics).with_state(registry))
        .route("/healthz", get(healthz).with_state(health));
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.requested().await })
        .await
}

async fn metrics(FromState(registry): FromState<Registry>) -> impl IntoResponse {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, encoder.format_type().to_owned())],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain".to_owned())],
            error.to_string().into_bytes(),
        ),
    }
}

async fn healthz(FromState(health): FromState<Health>) -> (StatusCode, String) {
    let (well, report) = health.report();
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_does_without_a_part_is_well_and_says_so() {
        let health = Health::new();
        health.degrade("disk /a", Some("gone".to_owned()));
        assert_eq!(
            health.report(),
            (true, "ok\ndegraded: disk /a: gone\n".to_owned())
        );
        health.ail("no keys");
        assert!(!health.report().0);
        health.recover();
        health.degrade("disk /a", None);
        assert_eq!(health.report(), (true, "ok\n".to_owned()));
    }

    #[test]
    fn a_role_that_has_lost_its_work_is_not_well_whatever_else_recovers() {
        let health = Health::new();
        health.lose("membership", Some("dismissed".to_owned()));
        health.ail("no keys");
        let both = "no keys; membership: dismissed\n".to_owned();
        assert_eq!(health.report(), (false, both));
        health.recover();
        assert_eq!(
            health.report(),
            (false, "membership: dismissed\n".to_owned())
        );
        health.lose("membership", None);
        assert_eq!(health.report(), (true, "ok\n".to_owned()));
    }
}
