//! What players tell of a playback, and what it comes to, over HTTP.
//!
//! 1. [`events`] takes events, [`cmcd`] takes Common Media Client Data, for a session that is known;
//! 2. the crate `telemetry` has them durably, and folds them into the catalogue;
//! 3. [`stats`] tells a film's publisher of views, [`qoe`] operators how well films play.

pub(crate) mod cmcd;
pub(crate) mod config;
pub(crate) mod events;
mod networks;
pub(crate) mod qoe;
pub(crate) mod quality;
pub(crate) mod stats;

use std::net::IpAddr;
use std::sync::Arc;

use ::config::Problems;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use catalog::Catalog;
use catalog::sessions::Session;
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use prometheus::Registry;
use runtime::clock::Clock;
use runtime::problem::Problem;
use telemetry::event::{Event, Fault};
use telemetry::fold::Rules;
use telemetry::{Collector, Folder, Metrics, Playback, Source, Taken};

use self::config::TelemetrySettings;
use self::networks::Networks;
use crate::app::App;
use crate::client::Client;
use crate::config::Settings;
use crate::error::Error;
use crate::people::limits::{Limit, Limits, Rates};
use crate::people::network;
use crate::problem::{self, catalogue};
use crate::routing::Routing;

/// The most events, or lines, that are told at once.
pub(crate) const MOST: usize = 100;

/// What collects events.
pub(crate) struct Telemetry {
    collector: Option<Collector>,
    pub(crate) networks: Networks,
    /// Its own: sessions and viewers are many, and must not push out who guesses passwords.
    limits: Limits,
}

impl Telemetry {
    /// Opens the log, where there is one, and gives who folds it.
    pub(crate) async fn open(
        settings: &Settings,
        (catalog, routing): (&Catalog, &Arc<Routing>),
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<(Self, Option<Folder>), Error> {
        let its = &settings.telemetry;
        let mut telemetry = Self {
            collector: None,
            networks: Networks::load(its.networks.clone())?,
            limits: Limits::new(Rates { key: 1, address: 1 }),
        };
        let Some(address) = &its.log else {
            return Ok((telemetry, None));
        };
        let metrics = Metrics::new(registry)?;
        let log = telemetry::log::open(address, its.limits).await;
        let log = log.map_err(telemetry::fold::Error::from)?;
        let routing = Arc::clone(routing);
        let edge_of = Box::new(move |said: &str| routing.edge_of(said));
        let collector = Collector::new(Arc::clone(&log), edge_of, metrics.clone());
        telemetry.collector = Some(collector);
        let rules = Rules {
            view_after: its.view_after,
            keep: its.keep,
        };
        let plays = Arc::clone(&catalog.plays);
        let folder = Folder::new(log, plays, clock, rules, metrics);
        folder.prepare().await?;
        Ok((telemetry, Some(folder)))
    }

    /// Reads the files that the settings name, and opens nothing.
    pub(crate) fn inspect(settings: &TelemetrySettings, problems: &mut Problems) {
        let networks = Networks::load(settings.networks.clone());
        problems.take("telemetry.networks", networks);
    }

    /// Whether anybody takes what players tell.
    pub(crate) const fn takes_events(&self) -> bool {
        self.collector.is_some()
    }

    fn collector(&self) -> Result<&Collector, Problem> {
        self.collector.as_ref().ok_or_else(problem::no_events)
    }

    /// What is told, and who takes it; refused where nobody does, and when too much comes from a network.
    fn hear(
        &self,
        client: Client,
        body: Result<Bytes, BytesRejection>,
        now: UnixSeconds,
    ) -> Result<(&Collector, Bytes), Problem> {
        let collector = self.collector()?;
        let from = network(client.address);
        let counted = self.limits.take(Limit::EventsFrom, from, now);
        counted.map_err(problem::too_many)?;
        Ok((collector, body.map_err(problem::too_large_told)?))
    }

    /// Counts a request for a session, and refuses it when there were too many.
    fn count_of(&self, session: &SessionId, now: UnixSeconds) -> Result<(), Problem> {
        let counted = self.limits.take(Limit::EventsOf, session.as_str(), now);
        counted.map_err(problem::too_many)
    }

    /// Takes what a session told.
    async fn take(
        &self,
        session: Session,
        from: IpAddr,
        source: Source,
        told: Vec<(usize, Result<Event, Fault>)>,
        now: UnixSeconds,
    ) -> Result<Taken, Problem> {
        let playback = Playback {
            session: session.id,
            video: session.video,
            started: session.started,
            expires: session.expires,
            isp: self.networks.of(from),
        };
        let taken = self.collector()?.take(&playback, source, told, now).await;
        taken.map_err(|error| {
            tracing::warn!("events are refused: {error}");
            problem::unavailable("Events cannot be written now; send them again in a moment.")
        })
    }
}

impl App {
    /// The session of that id, also when it is over.
    async fn session(&self, id: &SessionId) -> Result<Option<Session>, Problem> {
        self.catalog.sessions.find(id).await.map_err(catalogue)
    }
}
