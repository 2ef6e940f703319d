//! Asking nodes that have enrolled whether they can be reached where they say: before anybody is sent there, and later.

use std::sync::Arc;
use std::time::Duration;

use contracts::fleet::{Announce, Origin};
use contracts::id::NodeId;
use reqwest::Client;
use reqwest::header::HeaderMap;
use runtime::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::roster::Entry;
use crate::app::App;

/// How many are asked at once.
const AT_ONCE: usize = 64;
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
            let name = entry.member.name.clone();
            let announce = entry.member.announce.clone();
            asking.spawn(async move {
                let _turn = turns.acquire_owned().await;
                let answered = answers(&client, &name, &announce).await;
                (name, announce, answered)
            });
        }
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                answered = asking.join_next() => match answered {
                    Some(Ok((name, announce, answered))) => {
                        door.roster.probed(&name, announce, answered);
                    }
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

/// Whether a node answers wherever it says that viewers reach it.
async fn answers(client: &Client, name: &NodeId, announce: &Announce) -> bool {
    for at in [Some(&announce.base), announce.plain.as_ref()] {
        if let Some(at) = at
            && !answers_at(client, name, at).await
        {
            return false;
        }
    }
    true
}

/// Whether that node is there, over TLS with a certificate that is good. That it serves nothing at its root, or nobody
/// without a token, is as it should be.
async fn answers_at(client: &Client, name: &NodeId, base: &Origin) -> bool {
    let asked = client.head(format!("{base}/")).timeout(PATIENCE).send();
    asked
        .await
        .is_ok_and(|answer| !answer.status().is_server_error() && is_of(answer.headers(), name))
}

/// Whether a node of that name is among those that an answer came from, by `Cache-Status` (RFC 9211 §2): whoever
/// announces somebody else's address sends no viewers there.
fn is_of(headers: &HeaderMap, name: &NodeId) -> bool {
    let lines = headers.get_all("cache-status").into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut caches = lines.flat_map(|line| line.split(','));
    caches.any(|cache| cache.split(';').next().map(str::trim) == Some(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_the_name_under_which_it_answers() {
        let name = NodeId::parse("isp-1").unwrap();
        let is_of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("cache-status", line.parse().unwrap());
            }
            is_of(&headers, &name)
        };
        for good in [
            &["isp-1"][..],
            &["shield-1; hit, isp-1; fwd=miss; stored"],
            &["front; hit", "isp-1;hit"],
        ] {
            assert!(is_of(good), "{good:?}");
        }
        for bad in [&[][..], &["isp-2"], &["isp-10; hit"], &["a; key=isp-1"]] {
            assert!(!is_of(bad), "{bad:?}");
        }
    }
}
