//! What a node says of itself every few seconds, and what it is told to do.

use serde::{Deserialize, Deserializer, Serialize};

use super::announce::Announce;
use super::limits::{count, percent, text};
use crate::id::FeedId;

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// What it announces, where that is not what was last accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce: Option<Announce>,
    /// The feed whose orders it has applied; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedId>,
    /// The number of the last of them.
    #[serde(deserialize_with = "count")]
    pub applied: u64,
    /// For how many seconds after the feed's last answer it may go on to serve what is purged; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stops_s: Option<u64>,
    /// What it sends.
    pub load: Load,
    /// What its cache holds and does.
    pub cache: CacheUse,
    /// What it fetches from its parents.
    pub fill: FillUse,
    /// It is being emptied and ends soon: nobody new is to be sent there.
    pub draining: bool,
}

/// What a node sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Bits a second to viewers, since the last heartbeat.
    #[serde(deserialize_with = "count")]
    pub egress_bps: u64,
    /// Requests a second, since the last heartbeat.
    #[serde(deserialize_with = "count")]
    pub requests_s: u64,
    /// Connections of viewers.
    #[serde(deserialize_with = "count")]
    pub connections: u64,
    /// The most that it takes; 0: it does not know.
    #[serde(deserialize_with = "count")]
    pub max_connections: u64,
    /// Its processors' use, 0 to 100.
    #[serde(deserialize_with = "percent")]
    pub cpu_percent: u64,
}

/// What a node's cache holds, and what it did since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheUse {
    /// Memory that is taken, in bytes.
    #[serde(deserialize_with = "count")]
    pub memory_used: u64,
    /// Memory that may be taken, in bytes.
    #[serde(deserialize_with = "count")]
    pub memory_size: u64,
    /// Disk that is taken, in bytes.
    #[serde(deserialize_with = "count")]
    pub disk_used: u64,
    /// Disk that may be taken, in bytes.
    #[serde(deserialize_with = "count")]
    pub disk_size: u64,
    /// Requests that were answered from the cache.
    #[serde(deserialize_with = "count")]
    pub hits: u64,
    /// Requests that were not.
    #[serde(deserialize_with = "count")]
    pub misses: u64,
    /// Bytes that viewers were sent.
    #[serde(deserialize_with = "count")]
    pub bytes_out: u64,
    /// Bytes that parents have sent.
    #[serde(deserialize_with = "count")]
    pub bytes_filled: u64,
}

/// What a node fetches from its parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FillUse {
    /// Whether it may fetch now, by its hours.
    pub open: bool,
    /// The most that it fetches, in bytes a second; 0: no limit.
    #[serde(deserialize_with = "count")]
    pub rate_bytes_s: u64,
    /// Bytes a second that parents sent, since the last heartbeat.
    #[serde(deserialize_with = "count")]
    pub used_bytes_s: u64,
}

impl Default for FillUse {
    fn default() -> Self {
        Self {
            open: true,
            rate_bytes_s: 0,
            used_bytes_s: 0,
        }
    }
}

/// What a node is told in answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// After how many seconds the next heartbeat is wished.
    pub every_s: u64,
    /// For how many seconds after this one viewers are still sent to it, should no other be heard.
    pub lease_s: u64,
    /// Whether it is being emptied, by an operator's wish: viewers that it has may stay, nobody new is sent there.
    #[serde(default)]
    pub drain: bool,
    /// The version of its settings as they are now; where it has another, it is to fetch them.
    #[serde(deserialize_with = "text::<_, 64>")]
    pub settings_version: String,
    /// Why nobody is sent to it: it was not found where it says that viewers reach it. Absent: it was, or is not asked.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "line"
    )]
    pub unreached: Option<String>,
}

/// Reads as much of a line as a log should have of it.
fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let said = Option::<String>::deserialize(deserializer)?;
    let plain = |letter: &char| !letter.is_control();
    Ok(said.map(|said| said.chars().filter(plain).take(LINE).collect()))
}

/// How many letters of a line are taken.
const LINE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_heartbeat_says_that_the_node_lives() {
        let least: Heartbeat = serde_json::from_str("{}").unwrap();
        assert_eq!(least, Heartbeat::default());
        assert!(least.fill.open);
    }

    #[test]
    fn a_heartbeat_reads_back_from_its_own_text() {
        let heartbeat = Heartbeat {
            applied: 7,
            stops_s: Some(60),
            load: Load {
                cpu_percent: 100,
                ..Load::default()
            },
            draining: true,
            ..Heartbeat::default()
        };
        let text = serde_json::to_string(&heartbeat).unwrap();
        assert_eq!(serde_json::from_str::<Heartbeat>(&text).unwrap(), heartbeat);
    }

    #[test]
    fn why_nobody_is_sent_to_a_node_is_a_line_of_a_log_whatever_is_sent() {
        let told = serde_json::json!({"every_s": 5, "lease_s": 20, "settings_version": "1"});
        let read = |told: &serde_json::Value| serde_json::from_value::<Orders>(told.clone());
        assert_eq!(read(&told).unwrap().unreached, None);
        let mut long = told;
        long["unreached"] = format!("nobody\n{}", "x".repeat(9000)).into();
        let line = read(&long).unwrap().unreached.unwrap();
        assert!(line.starts_with("nobodyx"), "{line}");
        assert_eq!(line.len(), LINE);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for bad in [
            r#"{"load":{"cpu_percent":101}}"#,
            r#"{"load":{"egress_bps":-1}}"#,
            r#"{"cache":{"hits":9223372036854775808}}"#,
            r#"{"applied":1e30}"#,
        ] {
            assert!(serde_json::from_str::<Heartbeat>(bad).is_err(), "{bad}");
        }
    }
}
