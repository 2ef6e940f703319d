//! Asking edges how they are: one HEAD each, again and again.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGaugeVec;
use reqwest::Client;
use runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::routing::Routing;

/// How many are asked at once.
const AT_ONCE: usize = 16;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// After how many answers that did not come, one after another, an edge is not well.
const FAILURES: u32 = 2;

/// One edge that is asked.
struct Probed {
    edge: String,
    url: String,
    failures: u32,
}

/// Asks every edge that names a probe, at an interval, until shutdown.
pub(crate) async fn watch(
    routing: Arc<Routing>,
    gauge: IntGaugeVec,
    client: Client,
    every: Duration,
    mut shutdown: Shutdown,
) {
    let asked = routing.edges().iter().filter(|edge| !edge.probe.is_empty());
    let mut probed: Vec<Probed> = asked
        .map(|edge| Probed {
            edge: edge.name.clone(),
            url: edge.probe.clone(),
            failures: 0,
        })
        .collect();
    if probed.is_empty() {
        return;
    }
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = rounds.tick() => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            asked = round(probed, &client) => probed = asked,
        }
        for probe in &probed {
            probe.tell(&routing, &gauge);
        }
    }
}

/// Asks each once.
async fn round(probed: Vec<Probed>, client: &Client) -> Vec<Probed> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for mut probe in probed {
        let (client, turns) = (client.clone(), Arc::clone(&turns));
        asking.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let well = is_well(&client, &probe.url).await;
            probe.failures = if well {
                0
            } else {
                probe.failures.saturating_add(1)
            };
            probe
        });
    }
    asking.join_all().await
}

/// Whether it answers with a status below 400.
async fn is_well(client: &Client, url: &str) -> bool {
    let answer = client.head(url).timeout(PATIENCE).send().await;
    answer.is_ok_and(|answer| answer.status().as_u16() < 400)
}

impl Probed {
    fn tell(&self, routing: &Routing, gauge: &IntGaugeVec) {
        let well = self.failures < FAILURES;
        let edge = self.edge.as_str();
        if self.failures == FAILURES {
            tracing::warn!(
                edge,
                "edge {edge} does not answer its probe: viewers go elsewhere"
            );
        }
        routing.tell(edge, |condition| condition.healthy = well);
        gauge.with_label_values(&[edge]).set(well.into());
    }
}
