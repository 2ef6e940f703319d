//! Asking nodes that have enrolled whether they can be reached where they say: before anybody is sent there, and later.

use std::fmt;
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

/// Why a node was not found where it says that viewers reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    at: Origin,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// Nobody answers, or not in time.
    Silence(String),
    /// What answers shows a certificate that does not count here.
    Certificate(String),
    /// It answers that it cannot.
    Status(u16),
    /// Another one answers.
    Another,
}

impl Fault {
    /// What the node is told. It has been announced by somebody else, and may be an address that only the control plane
    /// reaches: whether anything listens there, and what, is for operators.
    pub(crate) fn for_node(&self) -> String {
        let at = &self.at;
        match &self.what {
            What::Certificate(_) => format!(
                "the control plane does not trust the certificate that is shown at {at}, or it is for another name; \
                 operators see more (GET /v1/fleet/nodes)"
            ),
            _ => format!(
                "the control plane has no answer of this node from {at}: nothing answers there, or something else does; \
                 operators see more (GET /v1/fleet/nodes)"
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.at;
        match &self.what {
            What::Silence(why) => write!(f, "{at} does not answer: {why}"),
            What::Certificate(why) => write!(
                f,
                "the certificate that is shown at {at} is not trusted here: {why} (SSL_CERT_FILE names other authorities \
                 than the system's)"
            ),
            What::Status(status) => write!(f, "{at} answers {status}"),
            What::Another => write!(
                f,
                "{at} answers, but not as this node: its name is not in Cache-Status; is another server there?"
            ),
        }
    }
}

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
                let found = answers(&client, &name, &announce).await;
                (name, announce, found)
            });
        }
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                found = asking.join_next() => match found {
                    Some(Ok((name, announce, found))) => {
                        door.roster.probed(&name, announce, found.err());
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
async fn answers(client: &Client, name: &NodeId, announce: &Announce) -> Result<(), Fault> {
    for at in std::iter::once(&announce.base).chain(&announce.plain) {
        let found = answers_at(client, name, at).await;
        found.map_err(|what| Fault {
            at: at.clone(),
            what,
        })?;
    }
    Ok(())
}

/// Whether that node is there, over TLS with a certificate that is good. That it serves nothing at its root, or nobody
/// without a token, is as it should be.
async fn answers_at(client: &Client, name: &NodeId, base: &Origin) -> Result<(), What> {
    let asked = client.head(format!("{base}/")).timeout(PATIENCE).send();
    let answer = asked.await.map_err(|error| silence(error.without_url()))?;
    if answer.status().is_server_error() {
        return Err(What::Status(answer.status().as_u16()));
    }
    if !is_of(answer.headers(), name) {
        return Err(What::Another);
    }
    Ok(())
}

fn silence(error: reqwest::Error) -> What {
    if error.is_timeout() {
        let why = format!("it was waited for {} s", PATIENCE.as_secs());
        return What::Silence(why);
    }
    let why: String = runtime::http::causes(&error).chars().take(LINE).collect();
    // As rustls has it, whichever layer tells of it.
    match why.split_once("invalid peer certificate: ") {
        Some((_, why)) => What::Certificate(why.to_owned()),
        None => What::Silence(why),
    }
}

/// The most that is told of a connection's error, in letters.
const LINE: usize = 300;

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
