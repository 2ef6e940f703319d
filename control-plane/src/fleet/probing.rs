//! Asking nodes that have enrolled whether they can be reached where they say: before anybody is sent there, and later.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::roster::Entry;
use crate::app::App;

/// How many are asked at once.
const AT_ONCE: usize = 16;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks every node that can be asked, at an interval, until shutdown.
pub(crate) async fn watch(app: Arc<App>, client: Client, mut shutdown: Shutdown) {
    let Some(door) = app.fleet.door.as_ref() else {
        return;
    };
    let mut rounds = tokio::time::interval(app.settings.probe_every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = rounds.tick() => {}
        }
        let entries = door.roster.entries();
        let asked = entries.iter().filter(|entry| is_asked(entry));
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for entry in asked {
            let (client, turns) = (client.clone(), Arc::clone(&turns));
            let (name, base) = (
                entry.member.name.clone(),
                entry.member.announce.base.clone(),
            );
            asking.spawn(async move {
                let _turn = turns.acquire_owned().await;
                (name, answers(&client, base.as_str()).await)
            });
        }
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                answered = asking.join_next() => match answered {
                    Some(Ok((name, answered))) => door.roster.probed(&name, answered),
                    Some(Err(_)) => {}
                    None => break,
                },
            }
        }
    }
}

const fn is_asked(entry: &Entry) -> bool {
    entry.member.terms.probe && entry.member.dismissed.is_none()
}

/// Whether there is an HTTP server, over TLS one whose certificate is good. That it serves nothing at its root, or
/// nobody without a token, is as it should be.
async fn answers(client: &Client, base: &str) -> bool {
    let asked = client.head(format!("{base}/")).timeout(PATIENCE).send();
    asked
        .await
        .is_ok_and(|answer| !answer.status().is_server_error())
}
