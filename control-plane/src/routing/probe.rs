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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::{AtomicU16, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use contracts::time::UnixSeconds;
    use prometheus::Opts;

    use super::*;
    use crate::routing::config::Edge;
    use crate::routing::prefixes::Prefixes;
    use crate::routing::{Film, Watcher};

    /// An edge whose `/healthz` answers what it is told to.
    async fn edge() -> (String, Arc<AtomicU16>) {
        let status = Arc::new(AtomicU16::new(200));
        let told = Arc::clone(&status);
        let healthz = move || {
            let status = told.load(Ordering::Relaxed);
            async move { StatusCode::from_u16(status).unwrap() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        let app = Router::new().route("/healthz", get(healthz));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, status)
    }

    fn first(routing: &Routing) -> Vec<String> {
        let film = Film {
            id: "film",
            protected: false,
            m2: false,
        };
        let watcher = Watcher {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            draw: 0,
            current: None,
        };
        let places = routing.places(film, watcher, UnixSeconds(0));
        places.into_iter().map(|place| place.name).collect()
    }

    #[tokio::test]
    async fn an_edge_is_left_after_two_failures_and_taken_back_at_the_first_answer() {
        let (url, status) = edge().await;
        let named = |name: &str, priority| Edge {
            name: name.to_owned(),
            priority,
            ..Edge::default()
        };
        let edges = vec![named("probed", 0), named("other", 1)];
        let routing = Routing::new(edges, Prefixes::default());
        let gauge = IntGaugeVec::new(Opts::new("up", "up"), &["edge"]).unwrap();
        let client = runtime::http::client().build().unwrap();
        let mut probed = vec![Probed {
            edge: "probed".to_owned(),
            url,
            failures: 0,
        }];
        for (says, want) in [
            (200, vec!["probed", "other"]),
            (503, vec!["probed", "other"]),
            (503, vec!["other"]),
            (404, vec!["other"]),
            (204, vec!["probed", "other"]),
        ] {
            status.store(says, Ordering::Relaxed);
            probed = round(probed, &client).await;
            probed[0].tell(&routing, &gauge);
            assert_eq!(first(&routing), want, "after {says}");
        }
        assert_eq!(gauge.with_label_values(&["probed"]).get(), 1);
    }
}
