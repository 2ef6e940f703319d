//! Edges and shields: what they are ordered to purge and to revoke, and how far each of them is.
//!
//! 1. [`orders`] gives orders, which the catalogue numbers;
//! 2. [`feed`] tells them to nodes, and wakes those that wait;
//! 3. [`heard`] keeps what nodes say of themselves, in a [`pile`] until it is written down;
//! 4. [`standing`](catalog::nodes::standing) judges from that how far an order has come; [`purges`] is that over HTTP;
//! 5. [`removal`] takes a film away.
//!
//! Nodes that enrol come by the [`door`], a listener of their own:
//! 1. [`joins`] lets one enrol, once; [`enrolling`] is what it asks then and later, and [`authority`] signs;
//! 2. [`beats`] writes down how nodes are, and [`state`] judges it;
//! 3. [`roster`] tells routing of it, and [`probing`] asks the nodes themselves;
//! 4. [`nodes`] is all of that over HTTP.

pub(crate) mod authority;
pub(crate) mod beats;
pub(crate) mod config;
pub(crate) mod door;
pub(crate) mod enrolling;
mod fallbacks;
pub(crate) mod feed;
pub(crate) mod heard;
pub(crate) mod joins;
pub(crate) mod nodes;
pub(crate) mod orders;
mod pile;
pub(crate) mod probing;
pub(crate) mod purges;
pub(crate) mod removal;
pub(crate) mod roster;
#[expect(
    dead_code,
    reason = "describes what the types of `contracts::fleet` read and write"
)]
mod shapes;
pub(crate) mod state;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use catalog::Catalog;
use contracts::header::HOP;
use contracts::id::NodeId;
use contracts::time::UnixSeconds;
use runtime::shutdown::Shutdown;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use self::config::FleetSettings;
use self::door::Door;
use self::heard::Heard;
use self::waiting::Waiting;
use crate::app::App;
use crate::error::Error;
use crate::keys::credential;

/// The nodes of a house.
pub(crate) struct Fleet {
    /// The digests of the credentials that nodes show.
    hops: Vec<[u8; 32]>,
    /// What they say.
    pub(crate) heard: Heard,
    /// Those that wait for orders.
    pub(crate) waiting: Waiting,
    /// When it was last said in the log that a node is ahead of the feed.
    said: AtomicU64,
    /// Where nodes enrol; `None`: they cannot.
    pub(crate) door: Option<Door>,
    /// After how long without a heartbeat a node that has enrolled is left.
    pub(crate) quarantine: Duration,
}

impl Fleet {
    /// Reads the credentials that the configuration names, and opens the authority.
    pub(crate) fn load(
        settings: &FleetSettings,
        catalog: &Catalog,
        now: UnixSeconds,
    ) -> Result<Self, Error> {
        let door = settings.enrolment.as_ref();
        let door = door.map(|settings| Door::open(settings, catalog, now));
        Ok(Self {
            hops: hops(settings)?,
            heard: Heard::by(Arc::clone(&catalog.nodes)),
            waiting: Waiting::new(settings.waiting),
            said: AtomicU64::new(0),
            door: door.transpose()?,
            quarantine: settings.quarantine,
        })
    }

    /// Whether a node of that name has enrolled, dismissed ones too.
    pub(crate) fn has_enrolled(&self, name: &NodeId) -> bool {
        let roster = self.door.as_ref().map(|door| door.roster.entries());
        roster.is_some_and(|entries| entries.iter().any(|entry| entry.member.name == *name))
    }

    /// Whether there is anybody to give orders to.
    pub(crate) const fn is_open(&self) -> bool {
        !self.hops.is_empty()
    }

    /// Whether it is to be said in the log that a node is ahead of the feed: all that are ask again and again.
    pub(crate) fn is_news(&self, now: UnixSeconds) -> bool {
        let said = self.said.load(Ordering::Relaxed);
        let news = now.0 >= said.saturating_add(SAID_S);
        if news {
            self.said.store(now.0, Ordering::Relaxed);
        }
        news
    }

    /// Whether what was shown is a node's credential.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(HOP).map_or(&b""[..], |value| value.as_bytes());
        let shown: [u8; 32] = Sha256::digest(shown).into();
        let each = self.hops.iter().map(|hop| shown.ct_eq(hop));
        each.fold(Choice::from(0), |any, one| any | one).into()
    }
}

/// The digests of the credentials that the configuration names.
pub(crate) fn hops(settings: &FleetSettings) -> Result<Vec<[u8; 32]>, Error> {
    let files = settings.hop_secrets.iter();
    files.map(|path| credential(path)).collect()
}

/// Until shutdown, hears of what other processes order, and writes down what nodes say. What fails is tried again; that
/// the catalogue does not answer is said elsewhere.
pub(crate) async fn attend(app: Arc<App>, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return app.orders.close(),
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(error) = app.orders.look().await {
            tracing::debug!("the feed cannot be looked at: {error}");
        }
        if let Err(error) = app.fleet.heard.write().await {
            tracing::debug!("what nodes said cannot be written down: {error}");
        }
    }
}

/// Counts the nodes, and how far each of them is.
pub(crate) async fn count(app: &App) -> Result<(), catalog::Error> {
    let waiting = app.fleet.waiting.count();
    app.metrics
        .waiting
        .set(i64::try_from(waiting).unwrap_or(i64::MAX));
    let Some(extent) = app.catalog.feed.extent().await? else {
        return Ok(());
    };
    let nodes = app.fleet.heard.list().await?;
    app.metrics
        .nodes
        .set(i64::try_from(nodes.len()).unwrap_or(i64::MAX));
    app.metrics.lag.reset();
    // Nodes that lag do so together: few numbers are asked for.
    let mut lags: HashMap<u64, u64> = HashMap::from([(extent.head, 0)]);
    for node in nodes {
        let ours = node.last.feed.as_ref() == Some(&extent.id);
        let applied = if ours { node.last.applied } else { 0 };
        let lag = match lags.get(&applied) {
            Some(lag) => *lag,
            None => app.catalog.feed.count_after(applied).await?,
        };
        lags.insert(applied, lag);
        let gauge = app
            .metrics
            .lag
            .with_label_values(&[node.last.name.as_str()]);
        gauge.set(i64::try_from(lag).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// How often the log is told of nodes that are ahead of the feed, in seconds.
const SAID_S: u64 = 60;

/// How often.
const LOOK: Duration = Duration::from_millis(250);
