//! Configuration that edge and shield share, and the node that it makes.

mod disk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use config::{ByteSize, Problems, Span};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::disk::{Directory, Disk};
use crate::access::{self, Access};
use crate::app;
use crate::feed::{self, Feed};
use crate::intake;
use crate::listen::Limits;
use crate::pace::Patience;
use crate::parent::{Address, DETOURS, Timeouts};
use crate::prefetch;

/// `[cache]`: what the node keeps in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Memory for objects and fills, bookkeeping included. At least 1MiB. Default `512MiB`. More
    /// keeps more films off the parents.
    pub memory: ByteSize,
    /// Largest object that is stored; larger ones pass through. At most a quarter of `memory`.
    /// Default `64MiB`. More lets one object push out more others.
    pub max_object: ByteSize,
    /// How long a request waits for another one's fill of the same object to begin before it asks
    /// the parent itself. At most 30m, and at least twice `upstream.connect_timeout` and
    /// `upstream.read_timeout` together, in which two parents are asked. Default `65s`.
    pub fill_wait: Span,
    /// A fill whose last viewer left is finished when no more than this is missing, or no more than what is there
    /// already; one of unknown length, while no more than this has come. What was thrown away of the object within ten
    /// minutes, each time this at least, is added: who asks and leaves again and again makes parents send an object a
    /// few times and not for ever. At most 1TiB. Default `8MiB`. More fetches what perhaps nobody asks for again, less
    /// fetches the beginning twice.
    pub finish_unread: ByteSize,
    /// What it keeps on disks.
    pub disk: Disk,
}

/// `[upstream]`: how the node asks its parents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// File with the credential that parents want to see; empty: none is shown.
    pub hop_secret_file: PathBuf,
    /// PEM file of the authority that signs `https` parents' certificates; empty: the system's.
    pub ca_file: PathBuf,
    /// PEM file with the certificate chain that is shown to `https` parents that ask for one, leaf first; empty: none.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// Time to connect, TLS included. 10ms to 1m. Default `2s`.
    pub connect_timeout: Span,
    /// Time for a response header, and between two reads of a body. 100ms to 10m. Default `30s`, of a shield
    /// `12s`. Children should wait for longer than two attempts take: `connect_timeout` and this.
    pub read_timeout: Span,
    /// How long an unused connection is kept. Default `60s`.
    pub idle_timeout: Span,
    /// How long a parent that could not be reached is asked last. Default `5s`.
    pub cooldown: Span,
    /// Unused connections kept. 1 to 65536. Default 256. More costs file descriptors here and
    /// there.
    pub keepalive: usize,
}

/// `[clients]`: what the node bears with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clients {
    /// TCP connections at a time on each listener. 1 to 1000000. Default 10000. Each costs a file
    /// descriptor and, while it waits, up to 14KiB, over HTTP/2 some 55KiB.
    pub max_connections: usize,
    /// Time for a TLS handshake. 100ms to 1m. Default `10s`.
    pub handshake_timeout: Span,
    /// Time for a whole request header from its first byte. 100ms to 5m. Default `15s`.
    pub header_timeout: Span,
    /// How long a client may take nothing of an answer. 100ms to 10m. Default `60s`.
    pub write_timeout: Span,
    /// How long a client may send nothing of a request's body. 100ms to 10m. Default `30s`.
    pub read_timeout: Span,
    /// Bytes a second that a client must take of an answer, or send of a body. Whoever keeps this
    /// rate is never cut; below it, waiting uses up `write_timeout` or `read_timeout`, to which
    /// each byte adds its part of a second. At most 1MiB; 0 asks for one byte within each of
    /// these times. Default `1KiB`. More frees places sooner, and cuts viewers on poor lines.
    pub min_rate: ByteSize,
    /// How long answers in progress get when the node stops, or another process takes over. At most 10m. Default
    /// `10s`.
    pub drain: Span,
}

/// `[log]`: what the node writes down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Each answered request.
    pub access: Access,
}

/// What `[cache]`, `[upstream]`, `[clients]` and `[feed]` mean once checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory of the cache in bytes.
    pub cache_bytes: usize,
    /// Largest stored object in bytes.
    pub max_object_bytes: usize,
    /// What may be missing of a fill that nobody reads, in bytes.
    pub finish_unread_bytes: usize,
    /// Disks below the memory.
    pub disk: Option<crate::cache::disk::Settings>,
    /// The parents, at least one.
    pub parents: Vec<Address>,
    /// File with the credential for parents.
    pub hop_secret_file: Option<PathBuf>,
    /// Certificate chain and key that are shown to parents.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Time-outs towards parents.
    pub timeouts: Timeouts,
    /// What each listener bears with.
    pub limits: Limits,
    /// What Pingora's side needs.
    pub app: app::Options,
    /// Where orders to purge and to revoke come from.
    pub feed: feed::Settings,
    /// When and how fast parents are asked; at any time and as fast as they answer unless the role sets it.
    pub fill: intake::Terms,
    /// What is fetched ahead; nothing unless the role sets it.
    pub prefetch: prefetch::Settings,
    /// The access log; none unless the role sets it.
    pub access: Option<access::Settings>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(512),
            max_object: ByteSize::mib(64),
            fill_wait: Span::seconds(65),
            finish_unread: ByteSize::mib(8),
            disk: Disk::default(),
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            hop_secret_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            connect_timeout: Span::seconds(2),
            read_timeout: Span::seconds(30),
            idle_timeout: Span::seconds(60),
            cooldown: Span::seconds(5),
            keepalive: 256,
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            handshake_timeout: Span::seconds(10),
            header_timeout: Span::seconds(15),
            write_timeout: Span::seconds(60),
            read_timeout: Span::seconds(30),
            min_rate: ByteSize(1024),
            drain: Span::seconds(10),
        }
    }
}

/// The keys of what the two roles share that take effect without a restart; one that ends in `.` stands for a section.
pub const RELOADED: [&str; 11] = [
    "parents",
    "fill.",
    "clients.",
    "cache.fill_wait",
    "upstream.hop_secret_file",
    "upstream.certificate",
    "upstream.key",
    "upstream.connect_timeout",
    "upstream.read_timeout",
    "upstream.idle_timeout",
    "upstream.cooldown",
];

/// Checks what the two roles share. Faults are added to `problems`; the settings are of use only
/// when there are none.
pub fn check(
    parents: &[String],
    cache: &Cache,
    upstream: &Upstream,
    clients: &Clients,
    feed: &Feed,
    problems: &mut Problems,
) -> Settings {
    let memory = within(problems, "cache.memory", cache.memory, 1 << 20, 1 << 46);
    let largest = within(problems, "cache.max_object", cache.max_object, 1, 1 << 40);
    if largest > memory / 4 {
        problems.add(
            "cache.max_object",
            "must be at most a quarter of cache.memory",
        );
    }
    let parents = addresses(problems, parents);
    let mut timeouts = Timeouts {
        fill_wait: Duration::ZERO,
        connect: span(
            problems,
            "upstream.connect_timeout",
            upstream.connect_timeout,
            10,
            60_000,
        ),
        read: span(
            problems,
            "upstream.read_timeout",
            upstream.read_timeout,
            100,
            600_000,
        ),
        idle: span(
            problems,
            "upstream.idle_timeout",
            upstream.idle_timeout,
            0,
            3_600_000,
        ),
        cooldown: span(problems, "upstream.cooldown", upstream.cooldown, 0, 600_000),
    };
    let limits = limits(problems, clients);
    let (disk, feed) = (disk::check(problems, cache), feed.check(problems));
    if disk.is_some() && feed.from.is_none() && feed.state_file.is_none() {
        problems.add(
            "feed.state_file",
            "must name a file where cache.disk.directories names some and feed.from is empty: after a restart, the \
             disks would bring back what was purged by hand",
        );
    }
    timeouts.fill_wait = fill_wait(problems, cache, timeouts);
    Settings {
        cache_bytes: memory,
        disk,
        max_object_bytes: largest,
        finish_unread_bytes: within(
            problems,
            "cache.finish_unread",
            cache.finish_unread,
            0,
            1 << 40,
        ),
        app: app::Options {
            attempts: ATTEMPTS.saturating_add(DETOURS) as usize,
            keepalive_pool: count(problems, "upstream.keepalive", upstream.keepalive, 65_536),
            parent_ca: some(&upstream.ca_file),
            h2_idle: Duration::from_secs(120),
            write: limits.write,
            read: limits.read,
        },
        feed,
        fill: intake::Terms::default(),
        prefetch: prefetch::Settings::default(),
        access: None,
        parents,
        hop_secret_file: some(&upstream.hop_secret_file),
        identity: identity(upstream, problems),
        timeouts,
        limits,
    }
}

/// Those who wait for a fill do so until a second parent has been asked: if they gave up with the first, each would ask
/// a slow parent on its own.
fn fill_wait(problems: &mut Problems, cache: &Cache, timeouts: Timeouts) -> Duration {
    let key = "cache.fill_wait";
    let wait = span(problems, key, cache.fill_wait, 100, 1_800_000);
    if wait < (timeouts.connect + timeouts.read) * 2 {
        let least =
            "must be at least twice upstream.connect_timeout and upstream.read_timeout together";
        problems.add(key, least);
    }
    wait
}

/// What `[clients]` means for each listener.
fn limits(problems: &mut Problems, clients: &Clients) -> Limits {
    within(problems, "clients.min_rate", clients.min_rate, 0, 1 << 20);
    Limits {
        max_connections: count(
            problems,
            "clients.max_connections",
            clients.max_connections,
            1_000_000,
        ),
        handshake: span(
            problems,
            "clients.handshake_timeout",
            clients.handshake_timeout,
            100,
            60_000,
        ),
        header: span(
            problems,
            "clients.header_timeout",
            clients.header_timeout,
            100,
            300_000,
        ),
        write: patience(
            problems,
            "clients.write_timeout",
            clients.write_timeout,
            clients.min_rate,
        ),
        read: patience(
            problems,
            "clients.read_timeout",
            clients.read_timeout,
            clients.min_rate,
        ),
        drain: span(problems, "clients.drain", clients.drain, 0, 600_000),
        proxied_by: Vec::new(),
    }
}

fn identity(upstream: &Upstream, problems: &mut Problems) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (some(&upstream.certificate), some(&upstream.key));
    if certificate.is_some() != key.is_some() {
        problems.add(
            "upstream.certificate",
            "needs upstream.key, and that needs it",
        );
    }
    certificate.zip(key)
}

/// A path that may be left empty.
#[must_use]
pub fn some(path: &std::path::Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

fn addresses(problems: &mut Problems, urls: &[String]) -> Vec<Address> {
    if urls.is_empty() {
        problems.add("parents", "must list at least one http://host:port");
    }
    let parsed = urls
        .iter()
        .map(|url| Address::parse(url).map_err(|error| format!("{url:?} {error}")));
    parsed
        .filter_map(|address| problems.take("parents", address))
        .collect()
}

/// Reads networks such as `10.0.0.0/8`.
pub fn networks(problems: &mut Problems, key: &str, texts: &[String]) -> Vec<IpNet> {
    let read = texts.iter().map(|text| {
        let net = text.parse::<IpNet>();
        net.map_err(|_| format!("{text:?} must be a network such as 10.0.0.0/8"))
    });
    read.filter_map(|net| problems.take(key, net)).collect()
}

fn within(problems: &mut Problems, key: &str, size: ByteSize, low: u64, high: u64) -> usize {
    if !(low..=high).contains(&size.0) {
        let (low, high) = (ByteSize(low), ByteSize(high));
        problems.add(key, format!("must be {low} to {high}"));
    }
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn span(problems: &mut Problems, key: &str, span: Span, low_ms: u64, high_ms: u64) -> Duration {
    let (low, high) = (Span::millis(low_ms), Span::millis(high_ms));
    if span < low || span > high {
        problems.add(key, format!("must be {low} to {high}"));
    }
    span.0
}

fn patience(problems: &mut Problems, key: &str, grace: Span, rate: ByteSize) -> Patience {
    Patience {
        grace: span(problems, key, grace, 100, 600_000),
        bytes_per_s: rate.0,
    }
}

fn count(problems: &mut Problems, key: &str, count: usize, high: usize) -> usize {
    if count == 0 || count > high {
        problems.add(key, format!("must be 1 to {high}"));
    }
    count
}

/// Checks a node's name: it stands in header fields and in log lines.
pub fn check_name(problems: &mut Problems, name: &str) {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let lettered = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase());
    if name.len() > 32 || !lettered || !name.bytes().all(plain) {
        problems.add("name", "must be 1 to 32 of a-z 0-9 -, a letter first");
    }
}

/// Reads an address to listen on.
pub fn listen(problems: &mut Problems, key: &str, text: &str) -> SocketAddr {
    let read = text
        .parse()
        .map_err(|_| format!("{text:?} must be ip:port"));
    // What stands in for a faulty address is never used: the problem was noted.
    problems.take(key, read).unwrap_or(UNUSED)
}

/// How often parents are asked at most: one retry a hop, and one for what is newer than a parent gave.
pub(crate) const ATTEMPTS: u32 = 3;

const UNUSED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
