//! How an edge is configured.

mod node;
mod rates;
mod site;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use config::{Problem, Problems};
use contracts::fleet::Announce;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tier::feed::Feed;
use tier::intake::Fill;
use tier::policy::Policy;
use tier::prefetch;
use tier::settings::{self, Cache, Clients, Log, Upstream};

pub use self::node::Node;
pub use self::rates::Rates;
pub use self::site::{Serve, Site};
use crate::gate::{self, Holds};

/// `config/edge.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node's name: 1 to 32 of `a-z 0-9 -`. Default `edge-1`. Viewers see it in
    /// `Cache-Status`.
    pub name: String,
    /// Part of every cache key. Default `millrace`. Edges of one house share it.
    pub zone: String,
    /// What it serves: `films`, behind the gate; or `site`: whatever the parents, which may then be any HTTP origin,
    /// answer to any request, kept as RFC 9111 has it. Default `films`.
    pub serve: Serve,
    /// Base URLs of the parents, `http://host:port` or `https://host:port`. Default
    /// `["http://127.0.0.1:9001"]`. Each object has its own order of preference among them.
    pub parents: Vec<String>,
    /// The keyring: a JSON file with the keys that admit tokens; read again when it changes.
    /// Empty: no token is admitted.
    pub keyring_file: PathBuf,
    /// Which keys the keyring may hold: `any`, or `public-only` on a node that a partner runs: then it does not start
    /// with keys with which one could mint. Default `any`.
    pub keys: Holds,
    /// Verified tokens that are remembered, each for a minute at most, 0 to 1000000. Default 16384. Each takes some
    /// 1KiB; fewer than there are viewers on `m2` or Common Access Tokens cost a signature's verification a request.
    pub verified_tokens: usize,
    /// Whether films that are public may be fetched without a token. Default
    /// `false`.
    pub public_without_token: bool,
    /// Networks of hops in front of this node whose `millrace-client-ip` and
    /// `millrace-client-country` are believed, such as `10.0.0.0/8`. Default none: the client is
    /// the other end of the connection.
    pub trusted_hops: Vec<String>,
    /// A MaxMind DB file with `country.iso_code`, for tokens that name countries; read again when it changes. At most
    /// 512MiB, and it lies in memory. Empty: no country is known.
    pub geo_file: PathBuf,
    /// Revocations that are kept, 1 to 10000000. Default 100000. Each takes some 100 bytes; those that do not fit are
    /// not in force.
    pub revocations: usize,
    /// How much one client, and one session, may ask for.
    pub rates: Rates,
    /// How it serves a site.
    pub site: Site,
    /// Where it listens.
    pub listen: Listen,
    /// The certificate for TCP and QUIC.
    pub tls: Tls,
    /// What it keeps.
    pub cache: Cache,
    /// How it asks its parents.
    pub upstream: Upstream,
    /// When and how fast it fetches from them.
    pub fill: Fill,
    /// What it bears with.
    pub clients: Clients,
    /// What it is ordered to purge and to revoke.
    pub feed: Feed,
    /// What it fetches before players ask for it.
    pub prefetch: prefetch::Settings,
    /// What it announces of itself where it has joined a house.
    pub node: Node,
    /// What it writes down.
    pub log: Log,
}

/// The keys that take effect without a restart; one that ends in `.` stands for a section.
#[must_use]
pub fn reloaded() -> Vec<&'static str> {
    let own = [
        "keyring_file",
        "keys",
        "verified_tokens",
        "public_without_token",
        "trusted_hops",
        "geo_file",
        "rates.",
        "node.",
        "tls.",
        "listen.https_proxied_by",
        "listen.plain_proxied_by",
    ];
    [&own[..], &settings::RELOADED].concat()
}

/// `[listen]`: addresses as `ip:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// HTTP/1.1 and HTTP/2 over TLS, and HTTP/3 on the same UDP port. Default `127.0.0.1:8443`.
    pub https: String,
    /// Networks of load balancers in front of `https`, such as `10.0.0.0/8`. Where there are any, every TCP connection
    /// must come from one of them and begin with a PROXY protocol header (version 1 or 2), which says who the client
    /// is. HTTP/3 is not concerned. Default none.
    pub https_proxied_by: Vec<String>,
    /// Whether a client that comes back over HTTP/3 may send GET and HEAD before the handshake is complete (0-RTT), and
    /// so have its answer a round trip sooner. Who records such a request can have another edge answer it once more;
    /// the parents of a site see it with `Early-Data: 1` (RFC 8470). Over TCP nobody may. Default `true`.
    pub early_data: bool,
    /// HTTP/1.1 without TLS; empty: none. Default none.
    pub plain: String,
    /// As `https_proxied_by`, for `plain`.
    pub plain_proxied_by: Vec<String>,
    /// Metrics and health; keep it from the public. Default `127.0.0.1:9102`.
    pub internal: String,
}

/// `[tls]`: PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, leaf first. Default `tls/chain.pem`.
    pub certificate: PathBuf,
    /// Its private key. Default `tls/key.pem`.
    pub key: PathBuf,
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name.
    pub name: String,
    /// Part of every cache key.
    pub zone: String,
    /// What it serves.
    pub serve: Policy,
    /// The hosts that it serves, in front of a site; none: any.
    pub hosts: Vec<String>,
    /// Who is let in.
    pub gate: gate::Settings,
    /// TLS on TCP, and QUIC on the same UDP port.
    pub https: SocketAddr,
    /// Load balancers in front of it.
    pub https_proxied_by: Vec<IpNet>,
    /// Whether clients may ask before the handshake is complete, over QUIC.
    pub early_data: bool,
    /// Without TLS.
    pub plain: Option<SocketAddr>,
    /// Load balancers in front of it.
    pub plain_proxied_by: Vec<IpNet>,
    /// Metrics and health.
    pub internal: SocketAddr,
    /// The certificate.
    pub tls: Tls,
    /// What it announces.
    pub announce: Option<Announce>,
    /// What it shares with a shield.
    pub tier: settings::Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "edge-1".to_owned(),
            zone: "millrace".to_owned(),
            serve: Serve::Films,
            parents: vec!["http://127.0.0.1:9001".to_owned()],
            keyring_file: PathBuf::new(),
            keys: Holds::Any,
            verified_tokens: 16_384,
            public_without_token: false,
            trusted_hops: Vec::new(),
            geo_file: PathBuf::new(),
            revocations: 100_000,
            rates: Rates::default(),
            site: Site::default(),
            listen: Listen::default(),
            tls: Tls::default(),
            cache: Cache::default(),
            upstream: Upstream::default(),
            fill: Fill::default(),
            clients: Clients::default(),
            feed: Feed::default(),
            prefetch: prefetch::Settings::default(),
            node: Node::default(),
            log: Log::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            https: "127.0.0.1:8443".to_owned(),
            https_proxied_by: Vec::new(),
            early_data: true,
            plain: String::new(),
            plain_proxied_by: Vec::new(),
            internal: "127.0.0.1:9102".to_owned(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: "tls/chain.pem".into(),
            key: "tls/key.pem".into(),
        }
    }
}

impl Config {
    /// Turns the configuration into settings.
    ///
    /// # Errors
    /// Every fault, each with its key.
    pub fn check(self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Problems::default();
        settings::check_name(&mut problems, &self.name);
        let https = settings::listen(&mut problems, "listen.https", &self.listen.https);
        let internal = settings::listen(&mut problems, "listen.internal", &self.listen.internal);
        let plain = (!self.listen.plain.is_empty())
            .then(|| settings::listen(&mut problems, "listen.plain", &self.listen.plain));
        let mut listeners = vec![("listen.https", https), ("listen.internal", internal)];
        listeners.extend(plain.map(|plain| ("listen.plain", plain)));
        problems.apart(&listeners);
        for (key, file) in [
            ("tls.certificate", &self.tls.certificate),
            ("tls.key", &self.tls.key),
        ] {
            if file.as_os_str().is_empty() {
                problems.add(key, "must name a PEM file");
            }
        }
        let serve = self.site.policy(self.serve, &mut problems);
        let hosts = self.site.hosts(&mut problems);
        let https_proxied_by = settings::networks(
            &mut problems,
            "listen.https_proxied_by",
            &self.listen.https_proxied_by,
        );
        let plain_proxied_by = settings::networks(
            &mut problems,
            "listen.plain_proxied_by",
            &self.listen.plain_proxied_by,
        );
        let gate = self.gate(&mut problems);
        let fill = self.fill.check(&mut problems);
        let announce = self.node.check(&fill, &mut problems);
        let (cache, upstream, clients) = (&self.cache, &self.upstream, &self.clients);
        let (parents, feed) = (&self.parents, &self.feed);
        let tier = settings::check(parents, cache, upstream, clients, feed, &mut problems);
        let ahead = &self.prefetch;
        within(&mut problems, "prefetch.at_once", ahead.at_once, 0, 1024);
        within(
            &mut problems,
            "prefetch.unless_busy",
            ahead.unless_busy,
            1,
            100_000,
        );
        let tier = settings::Settings {
            fill,
            prefetch: self.prefetch,
            access: self.log.access.check(&mut problems),
            ..tier
        };
        problems.or(Settings {
            name: self.name,
            zone: self.zone,
            serve,
            hosts,
            gate,
            https,
            https_proxied_by,
            early_data: self.listen.early_data,
            plain,
            plain_proxied_by,
            internal,
            tls: self.tls,
            announce,
            tier,
        })
    }

    fn gate(&self, problems: &mut Problems) -> gate::Settings {
        gate::Settings {
            keyring_file: settings::some(&self.keyring_file),
            holds: self.keys,
            verified_tokens: within(
                problems,
                "verified_tokens",
                self.verified_tokens,
                0,
                1_000_000,
            ),
            public_without_token: self.public_without_token,
            trusted_hops: settings::networks(problems, "trusted_hops", &self.trusted_hops),
            geo_file: settings::some(&self.geo_file),
            limits: self.rates.check(problems),
            revocations: within(problems, "revocations", self.revocations, 1, 10_000_000),
        }
    }
}

fn within<T: PartialOrd + Copy + Display>(
    problems: &mut Problems,
    key: &str,
    value: T,
    low: T,
    high: T,
) -> T {
    if value < low || value > high {
        problems.add(key, format!("must be {low} to {high}"));
    }
    value
}

#[cfg(test)]
mod tests;
