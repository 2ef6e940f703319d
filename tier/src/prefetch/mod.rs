//! What a player will ask for next, fetched before it does.
//!
//! Which object that is, the player says (CMCD `nor`), or else the order of segments. It is fetched on the node's own
//! behalf once the player has its answer, and only while parents have little to do: never ahead of what somebody waits
//! for.

use std::collections::HashSet;
use std::sync::Arc;

use contracts::address::{Address, Item};
use parking_lot::Mutex;
use pingora::cache::key::HashBinary;
use prometheus::{IntCounterVec, Opts, Registry};
use serde::{Deserialize, Serialize};

/// `[prefetch]`: what players will ask for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Segments that are fetched ahead at a time. 0 to 1024; 0: none. Default 0. Each segment that nobody watches in
    /// the end costs its bytes from the parent.
    pub at_once: usize,
    /// With so many requests of viewers in progress at the parents, nothing is fetched ahead. 1 to 100000. Default 32.
    /// More lets it compete with them.
    pub unless_busy: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            at_once: 0,
            unless_busy: 32,
        }
    }
}

/// What a node is fetching ahead.
#[derive(Clone)]
pub(crate) struct Prefetch {
    settings: Settings,
    under_way: Arc<Mutex<HashSet<HashBinary>>>,
    counted: IntCounterVec,
}

/// One object that is being fetched ahead; what a request on the node's own behalf bears with it.
pub(crate) struct Errand {
    /// Its address.
    pub(crate) address: String,
    key: HashBinary,
    under_way: Arc<Mutex<HashSet<HashBinary>>>,
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.key);
    }
}

impl Prefetch {
    pub(crate) fn register(
        settings: Settings,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "millrace_tier_prefetches_total",
            "Objects that a player was expected to ask for next: fetched ahead, there already, or passed over",
        );
        let counted = IntCounterVec::new(options, &["outcome"])?;
        registry.register(Box::new(counted.clone()))?;
        for outcome in [BEGUN, CACHED, BUSY, FULL] {
            counted.with_label_values(&[outcome]);
        }
        Ok(Self {
            settings,
            under_way: Arc::default(),
            counted,
        })
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.settings.at_once > 0
    }

    /// Takes up an object, unless it is there, or the parents have so many requests that it had better not be.
    pub(crate) fn begin(
        &self,
        address: String,
        key: HashBinary,
        is_cached: bool,
        at_parents: usize,
    ) -> Option<Errand> {
        let mut under_way = self.under_way.lock();
        let demand = at_parents.saturating_sub(under_way.len());
        let outcome = if is_cached || under_way.contains(&key) {
            CACHED
        } else if demand >= self.settings.unless_busy {
            BUSY
        } else if under_way.len() >= self.settings.at_once {
            FULL
        } else {
            under_way.insert(key);
            BEGUN
        };
        self.counted.with_label_values(&[outcome]).inc();
        (outcome == BEGUN).then(|| Errand {
            address,
            key,
            under_way: Arc::clone(&self.under_way),
        })
    }
}

/// The object that follows one: what the player says, if it lies beside it, or the next in order.
pub(crate) fn following(path: &str, said: Option<&str>) -> Option<String> {
    let address = Address::parse(path).ok()?;
    let (folder, _) = path.rsplit_once('/')?;
    let beside = said.and_then(|name| {
        let said = Address::parse(&format!("{folder}/{name}")).ok()?;
        let ahead = matches!(
            said.item,
            Item::Segment(..) | Item::Cues(..) | Item::Init(_)
        );
        (ahead && !name.contains('/') && said != address).then(|| said.to_string())
    });
    beside.or_else(|| address.following().map(|next| next.to_string()))
}

const BEGUN: &str = "begun";
const CACHED: &str = "cached";
const BUSY: &str = "busy";
const FULL: &str = "full";

#[cfg(test)]
mod tests {
    use super::*;

    fn prefetch() -> Prefetch {
        let settings = Settings {
            at_once: 2,
            unless_busy: 10,
        };
        Prefetch::register(settings, &Registry::new()).unwrap()
    }

    #[test]
    fn the_next_is_what_the_player_says_or_what_follows_in_order() {
        let here = "/v/a/720p/segment_7.m4s";
        for (said, next) in [
            (None, "/v/a/720p/segment_8.m4s"),
            (Some("segment_9.m4s"), "/v/a/720p/segment_9.m4s"),
            (Some("init.mp4"), "/v/a/720p/init.mp4"),
            // Elsewhere, itself, or nothing that one would fetch ahead.
            (Some("../1080p/segment_8.m4s"), "/v/a/720p/segment_8.m4s"),
            (Some("/v/a/720p/segment_9.m4s"), "/v/a/720p/segment_8.m4s"),
            (Some("segment_7.m4s"), "/v/a/720p/segment_8.m4s"),
            (Some("content.key"), "/v/a/720p/segment_8.m4s"),
            (Some("segment_9.m4s?x"), "/v/a/720p/segment_8.m4s"),
        ] {
            assert_eq!(following(here, said).as_deref(), Some(next), "{said:?}");
        }
        assert_eq!(following("/v/a/720p/playlist.m3u8", None), None);
        let first = following("/v/a/720p/playlist.m3u8", Some("segment_1.ts"));
        assert_eq!(first.as_deref(), Some("/v/a/720p/segment_1.ts"));
        assert_eq!(following("/anything", Some("segment_1.ts")), None);
    }

    #[test]
    fn few_are_fetched_ahead_and_each_once() {
        let prefetch = prefetch();
        let begin = |key| prefetch.begin("/v".to_owned(), [key; 16], false, 0);
        let first = begin(1).unwrap();
        assert!(begin(1).is_none());
        let _second = begin(2).unwrap();
        assert!(begin(3).is_none(), "two at once");
        drop(first);
        assert!(begin(3).is_some());
    }

    #[test]
    fn nothing_is_fetched_ahead_while_viewers_wait_for_much() {
        let prefetch = prefetch();
        let begin = |key, at_parents| prefetch.begin("/v".to_owned(), [key; 16], false, at_parents);
        assert!(begin(1, 10).is_none());
        let _ahead = begin(1, 9).unwrap();
        assert!(begin(2, 10).is_some(), "one of the ten is its own");
        assert!(prefetch.begin("/v".to_owned(), [4; 16], true, 0).is_none());
    }
}
