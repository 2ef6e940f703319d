//! How a shield is configured.

use std::net::SocketAddr;
use std::path::PathBuf;

use config::{Problem, Problems, Span};
use serde::{Deserialize, Serialize};
use tier::feed::Feed;
use tier::intake::Fill;
use tier::settings::{self, Cache, Clients, Log, Upstream};

/// `config/shield.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node's name: 1 to 32 of `a-z 0-9 -`. Default `shield-1`.
    pub name: String,
    /// Part of every cache key. Default `millrace`.
    pub zone: String,
    /// Base URLs of the origins, `http://host:port` or `https://host:port`. Default
    /// `["http://127.0.0.1:9000"]`.
    pub parents: Vec<String>,
    /// File with the credential that children must show. Empty: whoever can connect is served, which is
    /// refused unless `listen.plain` is a loopback address. Default empty.
    pub hop_secret_file: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// The certificate for `listen.https`.
    pub tls: Tls,
    /// What it keeps.
    pub cache: Cache,
    /// How it asks its parents. `read_timeout` is 12s by default: two attempts end before an edge gives up.
    pub upstream: Upstream,
    /// When and how fast it fetches from them.
    pub fill: Fill,
    /// What it bears with.
    pub clients: Clients,
    /// What it is ordered to purge.
    pub feed: Feed,
    /// What it writes down.
    pub log: Log,
}

/// The keys that take effect without a restart; one that ends in `.` stands for a section.
#[must_use]
pub fn reloaded() -> Vec<&'static str> {
    [&["hop_secret_file", "tls."], &settings::RELOADED[..]].concat()
}

/// `[listen]`: addresses as `ip:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// HTTP/1.1 for edges. Default `127.0.0.1:9001`.
    pub plain: String,
    /// HTTP/1.1 and HTTP/2 over TLS for edges; empty: none. Default empty.
    pub https: String,
    /// Metrics and health. Default `127.0.0.1:9101`.
    pub internal: String,
}

/// `[tls]`: PEM files for `listen.https`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that signs children's certificates: whoever shows none of its certificates is not let in. Nodes that
    /// their certificate names need no credential beside it, and are refused when the feed says that they were
    /// dismissed. Empty: none is asked for.
    pub client_ca_file: PathBuf,
}

/// A listener with TLS.
#[derive(Clone, Debug)]
pub struct Https {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate.
    pub tls: Tls,
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name.
    pub name: String,
    /// Part of every cache key.
    pub zone: String,
    /// File with the credential that children must show.
    pub hop_secret_file: Option<PathBuf>,
    /// HTTP/1.1 for edges.
    pub plain: SocketAddr,
    /// The same with TLS.
    pub https: Option<Https>,
    /// Metrics and health.
    pub internal: SocketAddr,
    /// What it shares with an edge.
    pub tier: settings::Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "shield-1".to_owned(),
            zone: "millrace".to_owned(),
            parents: vec!["http://127.0.0.1:9000".to_owned()],
            hop_secret_file: PathBuf::new(),
            listen: Listen::default(),
            tls: Tls::default(),
            cache: Cache::default(),
            upstream: Upstream {
                read_timeout: Span::seconds(12),
                ..Upstream::default()
            },
            fill: Fill::default(),
            clients: Clients::default(),
            feed: Feed::default(),
            log: Log::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            plain: "127.0.0.1:9001".to_owned(),
            https: String::new(),
            internal: "127.0.0.1:9101".to_owned(),
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
        let plain = settings::listen(&mut problems, "listen.plain", &self.listen.plain);
        let internal = settings::listen(&mut problems, "listen.internal", &self.listen.internal);
        let hop_secret_file = settings::some(&self.hop_secret_file);
        let secret = &self.hop_secret_file;
        problems.need_secret("hop_secret_file", secret, "listen.plain", plain);
        let https = self.https(&mut problems);
        let mut listeners = vec![("listen.plain", plain), ("listen.internal", internal)];
        listeners.extend(https.iter().map(|https| ("listen.https", https.address)));
        problems.apart(&listeners);
        let (cache, upstream, clients) = (&self.cache, &self.upstream, &self.clients);
        let (parents, feed) = (&self.parents, &self.feed);
        let tier = settings::check(parents, cache, upstream, clients, feed, &mut problems);
        if !self.fill.fallbacks.is_empty() {
            problems.add(
                "fill.fallbacks",
                "must be empty: edges ask another parent themselves",
            );
        }
        let tier = settings::Settings {
            fill: self.fill.check(&mut problems),
            access: self.log.access.check(&mut problems),
            ..tier
        };
        problems.or(Settings {
            name: self.name,
            zone: self.zone,
            hop_secret_file,
            plain,
            https,
            internal,
            tier,
        })
    }
}

impl Config {
    fn https(&self, problems: &mut Problems) -> Option<Https> {
        let named = |path: &PathBuf| !path.as_os_str().is_empty();
        if self.listen.https.is_empty() {
            // Whoever names one means connections to be secret, which they would not be.
            for (key, path) in [
                ("tls.certificate", &self.tls.certificate),
                ("tls.key", &self.tls.key),
                ("tls.client_ca_file", &self.tls.client_ca_file),
            ] {
                if named(path) {
                    problems.add(key, "is of no use without `listen.https`");
                }
            }
            return None;
        }
        let address = settings::listen(problems, "listen.https", &self.listen.https);
        for (key, path) in [
            ("tls.certificate", &self.tls.certificate),
            ("tls.key", &self.tls.key),
        ] {
            if !named(path) {
                problems.add(key, "must name a PEM file");
            }
        }
        let guarded = named(&self.hop_secret_file) || named(&self.tls.client_ca_file);
        if !guarded && !address.ip().is_loopback() {
            let why = "or hop_secret_file is needed unless `listen.https` is a loopback address";
            problems.add("tls.client_ca_file", why);
        }
        Some(Https {
            address,
            tls: self.tls.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_reloaded_is_there_and_the_guide_names_it() {
        let guide = include_str!("../../docs/operate.md");
        assert_eq!(
            config::guide::unnamed::<Config>(&reloaded(), guide),
            [""; 0]
        );
    }

    #[test]
    fn the_annotated_file_equals_the_defaults() {
        let file = include_str!("../../config/shield.toml");
        assert_eq!(config::guide::shows_defaults::<Config>(file), Ok(()));
    }

    #[test]
    fn only_a_shield_on_loopback_may_go_without_a_hop_secret() {
        let check = |plain: &str, hop_secret_file: &str| {
            let config = Config {
                hop_secret_file: hop_secret_file.into(),
                listen: Listen {
                    plain: plain.to_owned(),
                    ..Listen::default()
                },
                ..Config::default()
            };
            config.check().map_err(|problems| {
                let keys = problems.into_iter().map(|problem| problem.key);
                keys.collect::<Vec<_>>()
            })
        };
        for open in ["0.0.0.0:9001", "[::]:9001", "192.0.2.7:9001"] {
            assert_eq!(check(open, "").unwrap_err(), ["hop_secret_file"], "{open}");
            assert!(check(open, "/etc/millrace/hop").is_ok(), "{open}");
        }
        for closed in ["127.0.0.1:9001", "127.0.0.2:0", "[::1]:9001"] {
            assert!(check(closed, "").is_ok(), "{closed}");
        }
    }

    #[test]
    fn https_needs_a_certificate_and_somebody_to_guard_it() {
        let mut config = Config::default();
        config.listen.https = "0.0.0.0:9443".to_owned();
        let keys = |config: &Config| {
            let problems = config.clone().check().err().unwrap_or_default();
            let keys = problems.into_iter().map(|problem| problem.key);
            keys.collect::<Vec<_>>()
        };
        let all = ["tls.certificate", "tls.key", "tls.client_ca_file"];
        assert_eq!(keys(&config), all);
        config.tls.certificate = "chain.pem".into();
        config.tls.key = "key.pem".into();
        config.tls.client_ca_file = "ca.pem".into();
        assert_eq!(keys(&config), [""; 0]);
        config.listen.internal = config.listen.https.clone();
        assert_eq!(
            keys(&config),
            ["listen.https"],
            "one port is one listener's"
        );
        // What was meant to be secret would not be.
        config.listen = Listen::default();
        assert_eq!(keys(&config), all);
    }

    #[test]
    fn a_shield_may_have_hours_and_a_rate_and_sends_nobody_elsewhere() {
        let mut config = Config::default();
        config.fill.hours = vec!["01:00-07:00".to_owned()];
        config.fill.rate = config::ByteSize::mib(1);
        let settings = config.clone().check().unwrap();
        assert!(settings.tier.fill.hours.is_some() && settings.tier.fill.rate.is_some());
        config.fill.fallbacks = vec!["https://edge.example".to_owned()];
        let problems = config.check().unwrap_err();
        assert_eq!(problems[0].key, "fill.fallbacks");
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert!(Config::default().check().is_ok());
    }
}
