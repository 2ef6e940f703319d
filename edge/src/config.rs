//! How an edge is configured.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use config::{ByteSize, Problem, Problems, Span};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tier::feed::Feed;
use tier::policy::{self, Policy};
use tier::prefetch;
use tier::settings::{self, Cache, Clients, Log, Upstream};

use crate::gate::{self, Holds, Limits};

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
    /// What it bears with.
    pub clients: Clients,
    /// What it is ordered to purge and to revoke.
    pub feed: Feed,
    /// What it fetches before players ask for it.
    pub prefetch: prefetch::Settings,
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
        "tls.",
        "listen.https_proxied_by",
        "listen.plain_proxied_by",
    ];
    [&own[..], &settings::RELOADED].concat()
}

/// What an edge serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serve {
    /// Films, behind the gate.
    Films,
    /// Any HTTP origin, to everybody.
    Site,
}

/// `[site]`: what RFC 9111 leaves to the operator; of no effect on films.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// The hosts that are served, without ports; others are answered 421. None: any, and then every name that a client
    /// makes up is fetched and kept for itself. Default none.
    pub hosts: Vec<String>,
    /// The longest time for which a response is taken for fresh that does not say so, but says when it was last
    /// changed: a tenth of the time since then, at most this. At most `30d`; `0s`: it is validated each time. Default
    /// `1d`. More spares the origin and shows changes later.
    pub heuristic: Span,
    /// How long a stale response answers while the origin cannot be reached, unless it forbids that. At most `30d`.
    /// Default `1d`.
    pub disconnected: Span,
    /// Whether clients may ask for fresher or staler responses by `Cache-Control` (`no-cache`, `max-age`,
    /// `only-if-cached` and so on). Default `false`. With `true` every client can make the origin work.
    pub client_control: bool,
    /// Whether everybody gets the cookies (`Set-Cookie`) of an answer that says for how long it is fresh, and not that
    /// it is for all (`public`, `s-maxage`). RFC 9111 §7.3 lets a cache do so. Default `false`: who asked first gets
    /// them. With `true` a session may be given to all.
    pub share_cookies: bool,
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

/// `[rates]`: more is answered with 429 and `Retry-After`. A rate of 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests a second of one client network, refused ones included. Default 0.
    pub client_requests: u32,
    /// Bytes of answers a second to one client network. What an answer is too much is waited for, a minute at most.
    /// Default `0B`.
    pub client_bytes: ByteSize,
    /// Requests a second of one session. Default 0.
    pub session_requests: u32,
    /// Bytes of answers a second to one session. Default `0B`.
    pub session_bytes: ByteSize,
    /// For how long what is not used is gathered. 1s to 10m. Default `10s`. More lets players fill longer buffers.
    pub burst: Span,
    /// Bits of an IPv4 address that name a client network. 8 to 32. Default 32.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that name a client network. 16 to 128. Default 64.
    pub ipv6_prefix: u8,
    /// Clients, and sessions, that are told apart, 8 to 16777216. Default 65536. Each takes 24 bytes a limit. With
    /// more at a time, newcomers share what others have left.
    pub entries: usize,
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
            clients: Clients::default(),
            feed: Feed::default(),
            prefetch: prefetch::Settings::default(),
            log: Log::default(),
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            heuristic: Span::seconds(86_400),
            disconnected: Span::seconds(86_400),
            client_control: false,
            share_cookies: false,
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

impl Default for Rates {
    fn default() -> Self {
        Self {
            client_requests: 0,
            client_bytes: ByteSize(0),
            session_requests: 0,
            session_bytes: ByteSize(0),
            burst: Span::seconds(10),
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            entries: 65_536,
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

impl Rates {
    fn check(&self, problems: &mut Problems) -> Limits {
        if self.burst < Span::seconds(1) || self.burst > Span::seconds(600) {
            problems.add("rates.burst", "must be 1s to 10m");
        }
        Limits {
            client_requests: self.client_requests,
            client_bytes: self.client_bytes.0,
            session_requests: self.session_requests,
            session_bytes: self.session_bytes.0,
            burst: self.burst.0,
            ipv4_prefix: within(problems, "rates.ipv4_prefix", self.ipv4_prefix, 8, 32),
            ipv6_prefix: within(problems, "rates.ipv6_prefix", self.ipv6_prefix, 16, 128),
            entries: within(problems, "rates.entries", self.entries, 8, 1 << 24),
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

impl Site {
    fn hosts(&self, problems: &mut Problems) -> Vec<String> {
        let plain = |host: &&String| {
            let read = host.parse::<http::uri::Authority>();
            let bare = read.is_ok_and(|read| read.host() == host.as_str());
            bare && !host.ends_with('.')
        };
        for odd in self.hosts.iter().filter(|host| !plain(host)) {
            problems.add(
                "site.hosts",
                format!("{odd:?} must be a host without a port"),
            );
        }
        self.hosts.clone()
    }

    fn policy(&self, serve: Serve, problems: &mut Problems) -> Policy {
        let spans = [
            ("site.heuristic", self.heuristic),
            ("site.disconnected", self.disconnected),
        ];
        for (key, span) in spans {
            if span > LONGEST {
                problems.add(key, format!("must be at most {LONGEST}"));
            }
        }
        match serve {
            Serve::Films => Policy::Films,
            Serve::Site => Policy::Site(policy::Site {
                heuristic: self.heuristic.0,
                disconnected: self.disconnected.0,
                obeys_clients: self.client_control,
                shares_cookies: self.share_cookies,
            }),
        }
    }
}

const LONGEST: Span = Span::seconds(30 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_reloaded_is_there_and_the_guide_names_it() {
        let guide = include_str!("../../docs/operate.md");
        let defaults = toml::Value::try_from(Config::default()).unwrap();
        for key in reloaded() {
            let section = key.strip_suffix('.');
            let mut parts = section.unwrap_or(key).split('.');
            let found = parts.try_fold(&defaults, |value, part| value.get(part));
            assert!(found.is_some(), "{key}");
            let named = section.map_or_else(|| format!("`{key}`"), |name| format!("`{name}.*`"));
            assert!(guide.contains(&named), "{named}");
        }
    }

    #[test]
    fn the_annotated_file_equals_the_defaults() {
        let file = include_str!("../../config/edge.toml");
        let read: Config = toml::from_str(file).unwrap();
        assert_eq!(read, Config::default());
        let keys = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        let defaults = toml::to_string(&Config::default()).unwrap();
        assert_eq!(keys(file), keys(&defaults), "the file shows every key");
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let mut config = Config {
            name: "Edge 1".to_owned(),
            parents: vec!["nonsense".to_owned()],
            trusted_hops: vec!["all".to_owned()],
            ..Config::default()
        };
        config.listen.https = "8443".to_owned();
        config.site.heuristic = Span::seconds(31 * 86_400);
        config.site.hosts = vec!["a.example:443".to_owned()];
        config.clients.max_connections = 0;
        config.cache.disk.admit_after = 0;
        config.upstream.read_timeout = Span::seconds(31);
        config.listen.plain_proxied_by = vec!["10.0.0.0/33".to_owned()];
        config.rates.ipv4_prefix = 33;
        config.rates.burst = Span::millis(1);
        let problems = config.check().unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let expected = [
            "name",
            "listen.https",
            "site.heuristic",
            "site.hosts",
            "listen.plain_proxied_by",
            "trusted_hops",
            "rates.burst",
            "rates.ipv4_prefix",
            "parents",
            "clients.max_connections",
            "cache.disk.admit_after",
            "cache.fill_wait",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn an_unknown_key_of_a_disk_is_told_with_its_line() {
        let lines = |text: &str| {
            let file = Some((std::path::Path::new("edge.toml"), text));
            let read = config::load::<Config>("edge", file, []);
            read.map_err(|problems| problems[0].to_string())
        };
        let good = "[cache.disk]\ndirectories = [{ path = \"/a\", size = \"1GiB\" }]\n";
        let directory = &lines(good).unwrap().cache.disk.directories[0];
        assert_eq!(directory.size, ByteSize::mib(1024));
        for (bad, line, key) in [
            ("[cache.disk]\nsegments = 4\n", "edge.toml:2", "segments"),
            (
                "[cache.disk]\ndirectories = [{ path = \"/a\" }]\n",
                "edge.toml:2",
                "size",
            ),
            ("[cache.disk]\n\nretry = 30\n", "edge.toml:3", "`30`"),
        ] {
            let said = lines(bad).unwrap_err();
            assert!(said.contains(line) && said.contains(key), "{said}");
        }
    }

    #[test]
    fn disks_want_a_feed_or_a_file_for_what_is_purged_by_hand() {
        let said = |feed: &str| {
            let disk = "[cache.disk]\ndirectories = [{ path = \"/a\", size = \"1GiB\" }]";
            let config: Config = toml::from_str(&format!("{disk}\n[feed]\n{feed}")).unwrap();
            config.check().map(drop).map_err(|said| said[0].to_string())
        };
        let refused = said("").unwrap_err();
        assert!(
            refused.starts_with("feed.state_file: must name a file"),
            "{refused}"
        );
        assert_eq!(said("state_file = \"/b\""), Ok(()));
        assert_eq!(said("from = \"file:/c\""), Ok(()));
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert!(Config::default().check().is_ok());
    }
}
