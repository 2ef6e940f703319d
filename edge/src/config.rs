//! How an edge is configured.

use std::net::SocketAddr;
use std::path::PathBuf;

use config::{Problem, Problems};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tier::settings::{self, Cache, Clients, Upstream};

/// `config/edge.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node's name: 1 to 32 of `a-z 0-9 -`. Default `edge-1`. Viewers see it in
    /// `Cache-Status`.
    pub name: String,
    /// Part of every cache key. Default `millrace`. Edges of one house share it.
    pub zone: String,
    /// Base URLs of the parents, `http://host:port` or `https://host:port`. Default
    /// `["http://127.0.0.1:9001"]`. Each object has its own order of preference among them.
    pub parents: Vec<String>,
    /// The keyring: a JSON file with the keys that admit tokens; read again when it changes.
    /// Empty: no token is admitted.
    pub keyring_file: PathBuf,
    /// Whether films that are public may be fetched without a token. Default
    /// `false`.
    pub public_without_token: bool,
    /// Networks of hops in front of this node whose `millrace-client-ip` and
    /// `millrace-client-country` are believed, such as `10.0.0.0/8`. Default none: the client is
    /// the other end of the connection.
    pub trusted_hops: Vec<String>,
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
}

/// `[listen]`: addresses as `ip:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// HTTP/1.1 and HTTP/2 over TLS, and HTTP/3 on the same UDP port. Default `127.0.0.1:8443`.
    pub https: String,
    /// HTTP/1.1 without TLS; empty: none. Default none.
    pub plain: String,
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
    /// The keyring file.
    pub keyring_file: Option<PathBuf>,
    /// Whether public films may be fetched without a token.
    pub public_without_token: bool,
    /// Networks of hops that are believed.
    pub trusted_hops: Vec<IpNet>,
    /// TLS on TCP, and QUIC on the same UDP port.
    pub https: SocketAddr,
    /// Without TLS.
    pub plain: Option<SocketAddr>,
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
            parents: vec!["http://127.0.0.1:9001".to_owned()],
            keyring_file: PathBuf::new(),
            public_without_token: false,
            trusted_hops: Vec::new(),
            listen: Listen::default(),
            tls: Tls::default(),
            cache: Cache::default(),
            upstream: Upstream::default(),
            clients: Clients::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            https: "127.0.0.1:8443".to_owned(),
            plain: String::new(),
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
        for (key, file) in [
            ("tls.certificate", &self.tls.certificate),
            ("tls.key", &self.tls.key),
        ] {
            if file.as_os_str().is_empty() {
                problems.add(key, "must name a PEM file");
            }
        }
        let hops = self.trusted_hops.iter().filter_map(|text| {
            let net = text
                .parse::<IpNet>()
                .map_err(|_| format!("{text:?} must be a network such as 10.0.0.0/8"));
            problems.take("trusted_hops", net)
        });
        let trusted_hops = hops.collect();
        let (cache, upstream, clients) = (&self.cache, &self.upstream, &self.clients);
        let tier = settings::check(&self.parents, cache, upstream, clients, &mut problems);
        problems.or(Settings {
            name: self.name,
            zone: self.zone,
            keyring_file: settings::some(&self.keyring_file),
            public_without_token: self.public_without_token,
            trusted_hops,
            https,
            plain,
            internal,
            tls: self.tls,
            tier,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        config.clients.max_connections = 0;
        config.cache.disk.admit_after = 0;
        let problems = config.check().unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let expected = [
            "name",
            "listen.https",
            "trusted_hops",
            "parents",
            "clients.max_connections",
            "cache.disk.admit_after",
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
        assert_eq!(directory.size, config::ByteSize::mib(1024));
        for (bad, line, key) in [
            ("[cache.disk]\nsegments = 4\n", "edge.toml:2", "segments"),
            (
                "[cache.disk]\ndirectories = [{ path = \"/a\" }]\n",
                "edge.toml:2",
                "size",
            ),
            ("[cache.disk]\n\nretry = 30\n", "edge.toml:3", "retry"),
        ] {
            let said = lines(bad).unwrap_err();
            assert!(said.contains(line) && said.contains(key), "{said}");
        }
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert!(Config::default().check().is_ok());
    }
}
