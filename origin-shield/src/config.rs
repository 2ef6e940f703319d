//! How a shield is configured.

use std::net::SocketAddr;
use std::path::PathBuf;

use config::{Problem, Problems};
use serde::{Deserialize, Serialize};
use tier::feed::Feed;
use tier::settings::{self, Cache, Clients, Upstream};

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
    /// What it keeps.
    pub cache: Cache,
    /// How it asks its parents.
    pub upstream: Upstream,
    /// What it bears with.
    pub clients: Clients,
    /// What it is ordered to purge.
    pub feed: Feed,
}

/// `[listen]`: addresses as `ip:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// HTTP/1.1 for edges. Default `127.0.0.1:9001`.
    pub plain: String,
    /// Metrics and health. Default `127.0.0.1:9101`.
    pub internal: String,
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
            cache: Cache::default(),
            upstream: Upstream::default(),
            clients: Clients::default(),
            feed: Feed::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            plain: "127.0.0.1:9001".to_owned(),
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
        let (cache, upstream, clients) = (&self.cache, &self.upstream, &self.clients);
        let (parents, feed) = (&self.parents, &self.feed);
        let tier = settings::check(parents, cache, upstream, clients, feed, &mut problems);
        problems.or(Settings {
            name: self.name,
            zone: self.zone,
            hop_secret_file,
            plain,
            internal,
            tier,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotated_file_equals_the_defaults() {
        let file = include_str!("../../config/shield.toml");
        let read: Config = toml::from_str(file).unwrap();
        assert_eq!(read, Config::default());
        let keys = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        let defaults = toml::to_string(&Config::default()).unwrap();
        assert_eq!(keys(file), keys(&defaults), "the file shows every key");
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
    fn the_defaults_are_in_order() {
        assert!(Config::default().check().is_ok());
    }
}
