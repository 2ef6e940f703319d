//! How an edge is configured.

use std::net::SocketAddr;
use std::path::PathBuf;

use config::{Problem, Problems, Span};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tier::policy::{self, Policy};
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
    /// What it serves: `films`, behind the gate; or `site`: whatever the parents, which may then be any HTTP origin,
    /// answer to any request, kept as RFC 9111 has it. Default `films`.
    pub serve: Serve,
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
    /// The longest time for which a response is taken for fresh that does not say so, but says when it was last
    /// changed: a tenth of the time since then, at most this. At most `30d`; `0s`: it is validated each time. Default
    /// `1d`. More spares the origin and shows changes later.
    pub heuristic: Span,
    /// How long a stale response answers while the origin cannot be reached, unless it forbids that. At most `30d`.
    /// Default `1d`.
    pub disconnected: Span,
    /// Whether clients may ask for fresher or staler responses by `Cache-Control` (`no-cache`, `max-age`,
    /// `only-if-cached` and so on). Default `true`. Every client can then make the origin work.
    pub client_control: bool,
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
    /// What it serves.
    pub serve: Policy,
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
            serve: Serve::Films,
            parents: vec!["http://127.0.0.1:9001".to_owned()],
            keyring_file: PathBuf::new(),
            public_without_token: false,
            trusted_hops: Vec::new(),
            site: Site::default(),
            listen: Listen::default(),
            tls: Tls::default(),
            cache: Cache::default(),
            upstream: Upstream::default(),
            clients: Clients::default(),
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self {
            heuristic: Span::seconds(86_400),
            disconnected: Span::seconds(86_400),
            client_control: true,
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
        let serve = self.site.policy(self.serve, &mut problems);
        let (cache, upstream, clients) = (&self.cache, &self.upstream, &self.clients);
        let tier = settings::check(&self.parents, cache, upstream, clients, &mut problems);
        problems.or(Settings {
            name: self.name,
            zone: self.zone,
            serve,
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

impl Site {
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
            }),
        }
    }
}

const LONGEST: Span = Span::seconds(30 * 86_400);

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
        config.site.heuristic = Span::seconds(31 * 86_400);
        config.clients.max_connections = 0;
        let problems = config.check().unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let expected = [
            "name",
            "listen.https",
            "trusted_hops",
            "site.heuristic",
            "parents",
            "clients.max_connections",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert!(Config::default().check().is_ok());
    }
}
