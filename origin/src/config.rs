//! The origin's configuration: what may be set, and what it becomes once it was checked.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use config::{ByteSize, Problem, Problems, Span};
use serde::{Deserialize, Serialize};

pub use crate::keys::Source;

/// The keys of `config/origin.toml`; as environment variables, `MILLRACE_ORIGIN__<KEY>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port on which tiers ask for media. Port 0 takes a free one. Default `127.0.0.1:7040`.
    pub listen: String,
    /// Address and port of `/metrics` and `/healthz`. Default `127.0.0.1:7041`.
    pub internal: String,
    /// Address of the store that holds the films: `file:///absolute/path`, or
    /// `s3://bucket/prefix?credentials=/absolute/path`, after which more may stand (docs/operate.md). Default
    /// `file:///var/lib/millrace/store`.
    pub store: String,
    /// File with the credential that tiers must show in `millrace-hop`. Empty: whoever reaches the port is
    /// served, which is refused unless `listen` is a loopback address. Default empty.
    pub hop_secret: String,
    /// Length of a segment that is aimed at, 2 s to 6 s. One value for a deployment: changing it changes every
    /// segment, so caches must be emptied. Shorter starts sooner, longer costs fewer requests. Default `4s`.
    pub segment: Span,
    /// How long a film's description is believed before it is read again, 100 ms to 1 m. Longer spares the
    /// store, shorter shows a new publication sooner. Default `2s`.
    pub asset_ttl: Span,
    /// How many films' descriptions are kept, 1 to 10 000 000; one of more than 4 KiB of JSON counts
    /// as several. Default `10000`.
    pub asset_entries: u64,
    /// Memory for indexes, at least 1 MiB; an hour of a rendition at 25 pictures a second takes 4 MiB.
    /// Default `256MiB`.
    pub index_memory: ByteSize,
    /// Memory for what is read, made and sent: a quarter of it for the indexes and texts of films while they are
    /// loaded, one rendition after the other; the rest for segments and pictures until they are sent and for lists
    /// while they are written; each with the most that it can take. At least 1 MiB. What takes more than its share is
    /// made alone. Beside it, the store keeps up to 64 MiB of buffers to use them again. More lets more cold requests
    /// run at once. Default `256MiB`.
    pub pack_memory: ByteSize,
    /// How long a request waits for that memory before it is answered 503, 1 ms to 1 m. Default `5s`.
    pub pack_wait: Span,
    /// Memory for playlists, manifests, texts and initialization segments that were written and may be asked for
    /// again, at least 1 MiB; each takes 2 KiB beside its bytes. Default `32MiB`.
    pub text_memory: ByteSize,
    /// How long one read of the store, or one question for keys, may take before its request is answered 504,
    /// 10 ms to 5 m. Default `10s`.
    pub read_timeout: Span,
    /// How long a connection may take nothing of what is sent on it, less than 64 KiB of it, before it is cut,
    /// 100 ms to 10 m; over HTTP/2 also how long an answer may take for each MiB that it begins. Longer bears with
    /// slower tiers, shorter gives the memory of answers that nobody reads back sooner. Default `30s`.
    pub write_timeout: Span,
    /// Where the content keys of protected films come from: `file:///an/absolute/folder` with a document
    /// `{video}.json` a film, or `http://…` or `https://…` of a service that answers `GET {keys}/{video}`, to
    /// which a credential is shown. Empty: protected films are answered 503. Default empty.
    pub keys: String,
    /// File with the credential for the service of `keys`. Empty: that of `hop_secret`, which every tier below knows
    /// too; a secret of its own keeps the keys from whoever takes over an edge. Default empty.
    pub keys_secret: String,
    /// How long keys are believed before they are asked for again, 1 s to 1 d; they are kept in memory only.
    /// Longer outlives an outage of the service, shorter sees new keys sooner. Default `5m`.
    pub keys_ttl: Span,
    /// How long stopping waits for answers under way, up to 1 m. Default `5s`.
    pub drain: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7040".to_owned(),
            internal: "127.0.0.1:7041".to_owned(),
            store: "file:///var/lib/millrace/store".to_owned(),
            hop_secret: String::new(),
            segment: Span::seconds(4),
            asset_ttl: Span::seconds(2),
            asset_entries: 10_000,
            index_memory: ByteSize::mib(256),
            pack_memory: ByteSize::mib(256),
            pack_wait: Span::seconds(5),
            text_memory: ByteSize::mib(32),
            read_timeout: Span::seconds(10),
            write_timeout: Span::seconds(30),
            keys: String::new(),
            keys_secret: String::new(),
            keys_ttl: Span::seconds(300),
            drain: Span::seconds(5),
        }
    }
}

/// A configuration without faults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where tiers ask.
    pub listen: SocketAddr,
    /// Where metrics and health are.
    pub internal: SocketAddr,
    /// The store's address.
    pub store: String,
    /// The file of the hop credential.
    pub hop_secret: Option<PathBuf>,
    /// The length of a segment that is aimed at.
    pub segment: Duration,
    /// How long a description is believed.
    pub asset_ttl: Duration,
    /// How many descriptions are kept.
    pub asset_entries: u64,
    /// Bytes for indexes.
    pub index_memory: u64,
    /// Bytes for segments under way.
    pub pack_memory: u64,
    /// How long a request waits for them.
    pub pack_wait: Duration,
    /// Bytes for text that was written.
    pub text_memory: u64,
    /// How long a read may take.
    pub read_timeout: Duration,
    /// How long a peer may take nothing of an answer.
    pub write_timeout: Duration,
    /// Where keys come from; none: nowhere.
    pub keys: Option<Source>,
    /// The file of the credential for it.
    pub keys_secret: Option<PathBuf>,
    /// How long keys are believed.
    pub keys_ttl: Duration,
    /// How long stopping waits.
    pub drain: Duration,
}

impl Settings {
    /// Bytes for what is read of films while they are loaded: a share of its own of [`pack_memory`](Self::pack_memory).
    pub(crate) const fn load_memory(&self) -> u64 {
        self.pack_memory / 4
    }

    /// Bytes for segments and other bodies under way.
    pub(crate) const fn body_memory(&self) -> u64 {
        self.pack_memory - self.load_memory()
    }
}

impl Config {
    /// Checks every key.
    ///
    /// # Errors
    /// All faults at once, each with its key.
    pub fn check(self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Problems::default();
        let listen = address(&mut problems, "listen", &self.listen);
        problems.need_secret("hop_secret", self.hop_secret.as_ref(), "listen", listen);
        let settings = Settings {
            listen,
            internal: address(&mut problems, "internal", &self.internal),
            segment: span(&mut problems, "segment", self.segment, 2000..=6000),
            asset_ttl: span(&mut problems, "asset_ttl", self.asset_ttl, 100..=60_000),
            asset_entries: self.asset_entries,
            index_memory: memory(&mut problems, "index_memory", self.index_memory),
            pack_memory: memory(&mut problems, "pack_memory", self.pack_memory),
            pack_wait: span(&mut problems, "pack_wait", self.pack_wait, 1..=60_000),
            text_memory: memory(&mut problems, "text_memory", self.text_memory),
            read_timeout: span(
                &mut problems,
                "read_timeout",
                self.read_timeout,
                10..=300_000,
            ),
            write_timeout: span(
                &mut problems,
                "write_timeout",
                self.write_timeout,
                100..=600_000,
            ),
            keys: keys(&mut problems, &self.keys),
            keys_ttl: span(&mut problems, "keys_ttl", self.keys_ttl, 1000..=86_400_000),
            drain: span(&mut problems, "drain", self.drain, 0..=60_000),
            hop_secret: file(self.hop_secret),
            keys_secret: file(self.keys_secret),
            store: self.store,
        };
        problems.apart(&[("listen", settings.listen), ("internal", settings.internal)]);
        problems.take("store", store::check_address(&settings.store));
        if !(1..=10_000_000).contains(&settings.asset_entries) {
            problems.add("asset_entries", "must be 1 to 10000000");
        }
        problems.or(settings)
    }
}

fn address(problems: &mut Problems, key: &str, text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| {
        problems.add(key, "must be an IP address and a port, like 127.0.0.1:7040");
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

fn span(
    problems: &mut Problems,
    key: &str,
    span: Span,
    millis: std::ops::RangeInclusive<u128>,
) -> Duration {
    if !millis.contains(&span.0.as_millis()) {
        let (least, most) = (millis.start(), millis.end());
        problems.add(key, format!("must be {least}ms to {most}ms"));
    }
    span.0
}

fn memory(problems: &mut Problems, key: &str, size: ByteSize) -> u64 {
    if size.0 < 1 << 20 {
        problems.add(key, "must be at least 1MiB");
    }
    size.0
}

fn file(path: String) -> Option<PathBuf> {
    (!path.is_empty()).then(|| PathBuf::from(path))
}

fn keys(problems: &mut Problems, address: &str) -> Option<Source> {
    if address.is_empty() {
        return None;
    }
    let source = Source::parse(address);
    if source.is_none() {
        problems.add("keys", "must be file:///an/absolute/folder, or http:// or https:// without user, query and fragment");
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotated_file_equals_the_defaults() {
        let file: Config = toml::from_str(include_str!("../../config/origin.toml")).unwrap();
        assert_eq!(file, Config::default());
        assert!(file.check().is_ok());
    }

    #[test]
    fn only_an_origin_on_loopback_may_go_without_a_hop_secret() {
        let check = |listen: &str, hop_secret: &str| {
            let config = Config {
                listen: listen.to_owned(),
                hop_secret: hop_secret.to_owned(),
                ..Config::default()
            };
            config.check().map_err(|problems| {
                let keys = problems.into_iter().map(|problem| problem.key);
                keys.collect::<Vec<_>>()
            })
        };
        for open in ["0.0.0.0:7040", "[::]:7040", "192.0.2.7:7040"] {
            assert_eq!(check(open, "").unwrap_err(), ["hop_secret"], "{open}");
            assert!(check(open, "/etc/millrace/hop").is_ok(), "{open}");
        }
        for closed in ["127.0.0.1:7040", "127.0.0.2:0", "[::1]:7040"] {
            assert!(check(closed, "").is_ok(), "{closed}");
        }
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let config = Config {
            listen: "localhost".to_owned(),
            store: String::new(),
            segment: Span::seconds(7),
            asset_entries: 0,
            pack_memory: ByteSize(5),
            text_memory: ByteSize(5),
            keys: "memcached://keys".to_owned(),
            keys_ttl: Span::millis(1),
            read_timeout: Span::millis(1),
            write_timeout: Span::millis(1),
            ..Config::default()
        };
        let problems = config.check().unwrap_err();
        let mut keys: Vec<_> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "asset_entries",
                "keys",
                "keys_ttl",
                "listen",
                "pack_memory",
                "read_timeout",
                "segment",
                "store",
                "text_memory",
                "write_timeout"
            ]
        );
    }
}
