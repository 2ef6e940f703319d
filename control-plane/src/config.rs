//! The control plane's configuration: what may be set, and what it becomes once it was checked.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ::config::{Problem, Problems, Span};
use catalog::Address;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use crate::drm::config::{Adapter, Drm, DrmConfig, HdcpConfig, PolicyConfig, VendorConfig};
pub use crate::fleet::config::{Enrolment, FleetConfig, FleetSettings};
pub use crate::notices::config::{EventsConfig, Webhook};
pub use crate::people::config::{
    Accounts, AccountsConfig, Issuer, IssuerConfig, Jwks, Publishers, SignUp,
};
pub use crate::playback::config::{Bound, Playback, PlaybackConfig};
use crate::routing::config as routing;
pub use crate::routing::config::Edge;
pub use crate::telemetry::config::{TelemetryConfig, TelemetrySettings};

/// The keys of `config/control.toml`; as environment variables, `MILLRACE_CONTROL__<KEY>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the API and the watch page. Port 0 takes a free one. Default
    /// `127.0.0.1:8080`.
    pub listen: String,
    /// Address and port of `/metrics` and `/healthz`; keep it from the public. Default
    /// `127.0.0.1:8081`.
    pub internal: String,
    /// The catalogue: `sqlite:///absolute/path` for one machine, `postgres://user@host/database` for
    /// several. Ingest opens the same. Default `sqlite:///var/lib/millrace/catalog.db`.
    pub catalog: Address,
    /// The keyring: a JSON file with the keys that tokens are signed with; read again when it
    /// changes. Empty: nothing can be played. Default empty.
    pub keys: String,
    /// How the outside reaches this API, such as `https://api.example`. Empty: `http://` and the
    /// address listened on, and whoever asks is taken to be on this machine. Default empty.
    pub public_base: String,
    /// How clients reach ingest, such as `https://upload.example`. Uploads are redirected there.
    /// Default `http://127.0.0.1:7050`.
    pub ingest_base: String,
    /// The edges that carry the films, outside CDNs among them. Default none.
    pub edges: Vec<Edge>,
    /// File with the sites of clients' networks, `prefix site` a line; read again when it changes. Empty: no
    /// client's site is known. Default empty.
    pub prefixes: String,
    /// How often edges that name a `probe` are asked, 1 s to 1 h. Default `10s`.
    pub probe_every: Span,
    /// After how long players ask again which edge to take, 5 s to 5 m. Default `30s`.
    pub steering_ttl: Span,
    /// The folder of the built watch page. Empty: `/` says what to do. Default empty.
    pub web_root: String,
    /// File with the key that operators show as `Authorization: Bearer`. Empty: operators have
    /// accounts; where there are none, operator calls are open to this machine, which is refused
    /// unless `listen` is a loopback address and `public_base` none or this machine's. Default empty.
    pub operator_key: String,
    /// Origins whose pages may call the API, such as `https://site.example`. Default none: only
    /// the watch page served here.
    pub allowed_origins: Vec<String>,
    /// How long a token outlives the film's length, 1 m to 7 d. Longer survives longer pauses,
    /// shorter limits what a passed-on address is worth. Default `4h`.
    pub token_margin: Span,
    /// How often a player is asked for a heartbeat, 5 s to 10 m. Default `30s`.
    pub heartbeat: Span,
    /// Networks of proxies in front of this API whose `millrace-client-ip` is believed, such as
    /// `10.0.0.0/8`; they must remove what clients sent. Default none.
    pub trusted_hops: Vec<String>,
    /// Accounts, and whose tokens count.
    pub accounts: AccountsConfig,
    /// How long sessions live, and how many at once.
    pub playback: PlaybackConfig,
    /// What protected films are encrypted with.
    pub drm: DrmConfig,
    /// Edges and shields that are given orders.
    pub fleet: FleetConfig,
    /// What players tell, and what becomes of it.
    pub telemetry: TelemetryConfig,
    /// Who is told what becomes of films.
    pub events: EventsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            internal: "127.0.0.1:8081".to_owned(),
            catalog: "sqlite:///var/lib/millrace/catalog.db".into(),
            keys: String::new(),
            public_base: String::new(),
            ingest_base: "http://127.0.0.1:7050".to_owned(),
            edges: Vec::new(),
            prefixes: String::new(),
            probe_every: Span::seconds(10),
            steering_ttl: Span::seconds(30),
            web_root: String::new(),
            operator_key: String::new(),
            allowed_origins: Vec::new(),
            token_margin: Span::seconds(4 * 3600),
            heartbeat: Span::seconds(30),
            trusted_hops: Vec::new(),
            accounts: AccountsConfig::default(),
            playback: PlaybackConfig::default(),
            drm: DrmConfig::default(),
            fleet: FleetConfig::default(),
            telemetry: TelemetryConfig::default(),
            events: EventsConfig::default(),
        }
    }
}

/// A configuration without faults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the API is.
    pub listen: SocketAddr,
    /// Where metrics and health are.
    pub internal: SocketAddr,
    /// The catalogue's address.
    pub catalog: Address,
    /// The keyring file.
    pub keys: Option<PathBuf>,
    /// How the outside reaches this API; `None`: by the address listened on.
    pub public_base: Option<String>,
    /// How clients reach ingest.
    pub ingest_base: String,
    /// The edges, bases without a slash at the end.
    pub edges: Vec<Edge>,
    /// The file with the sites of clients' networks.
    pub prefixes: Option<PathBuf>,
    /// How often edges are asked how they are.
    pub probe_every: Duration,
    /// After how long players ask again which edge to take.
    pub steering_ttl: Duration,
    /// The folder of the watch page.
    pub web_root: Option<PathBuf>,
    /// The file of the operator key.
    pub operator_key: Option<PathBuf>,
    /// Origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// How long a token outlives the film's length.
    pub token_margin: Duration,
    /// How often a heartbeat is wished.
    pub heartbeat: Duration,
    /// Networks of proxies that are believed.
    pub trusted_hops: Vec<IpNet>,
    /// Accounts, and whose tokens count.
    pub accounts: Accounts,
    /// How long sessions live, and how many at once.
    pub playback: Playback,
    /// What protected films are encrypted with.
    pub drm: Drm,
    /// Edges and shields that are given orders.
    pub fleet: FleetSettings,
    /// What players tell, and what becomes of it.
    pub telemetry: TelemetrySettings,
    /// Who is told what becomes of films.
    pub webhook: Option<Webhook>,
}

impl Settings {
    /// Whether this machine alone is meant to ask: neither listens it elsewhere, nor do clients reach it at an address
    /// that is not this machine's, through a proxy.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.listen.ip().is_loopback() && self.public_base.as_deref().is_none_or(is_here)
    }
}

/// What tells operators from others.
const OPERATORS: &str =
    "name a file with a key, or one in `accounts.token_keys`, so that operators have accounts";

impl Config {
    /// Checks every key.
    ///
    /// # Errors
    /// All faults at once, each with its key.
    pub fn check(self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Problems::default();
        let listen = address(&mut problems, "listen", &self.listen);
        let internal = address(&mut problems, "internal", &self.internal);
        // Where there are accounts, operators are among them.
        if self.accounts.token_keys.is_empty() {
            if self.operator_key.is_empty() && !listen.ip().is_loopback() {
                let rule = format!("needed unless `listen` is a loopback address: {OPERATORS}");
                problems.add("operator_key", rule);
            }
            let elsewhere = !self.public_base.is_empty() && !is_here(&self.public_base);
            if elsewhere && listen.ip().is_loopback() && self.operator_key.is_empty() {
                let rule = format!(
                    "needed where `public_base` is not this machine's, as others come through a proxy: {OPERATORS}"
                );
                problems.add("operator_key", rule);
            }
        }
        span(
            &mut problems,
            "token_margin",
            self.token_margin,
            60..=7 * 86_400,
        );
        span(&mut problems, "heartbeat", self.heartbeat, 5..=600);
        let mut edges = self.edges;
        routing::check(&mut edges, &mut problems);
        span(&mut problems, "probe_every", self.probe_every, 1..=3600);
        span(&mut problems, "steering_ttl", self.steering_ttl, 5..=300);
        let allowed_origins = self.allowed_origins.iter();
        let allowed_origins = allowed_origins
            .map(|text| origin(&mut problems, "allowed_origins", text))
            .collect();
        problems.take("catalog", catalog::check_address(&self.catalog));
        let fleet = self.fleet.check(&mut problems);
        let mut listeners = vec![("listen", listen), ("internal", internal)];
        let nodes = fleet.enrolment.iter();
        listeners.extend(nodes.map(|nodes| ("fleet.listen", nodes.listen)));
        problems.apart(&listeners);
        let settings = Settings {
            listen,
            internal,
            catalog: self.catalog,
            keys: file(self.keys),
            public_base: (!self.public_base.is_empty())
                .then(|| base(&mut problems, "public_base", &self.public_base)),
            ingest_base: base(&mut problems, "ingest_base", &self.ingest_base),
            edges,
            prefixes: file(self.prefixes),
            probe_every: self.probe_every.0,
            steering_ttl: self.steering_ttl.0,
            web_root: file(self.web_root),
            operator_key: file(self.operator_key),
            allowed_origins,
            token_margin: self.token_margin.0,
            heartbeat: self.heartbeat.0,
            trusted_hops: networks(&mut problems, &self.trusted_hops),
            accounts: self.accounts.check(&mut problems),
            playback: self.playback.check(self.heartbeat, &mut problems),
            drm: self.drm.check(&mut problems),
            fleet,
            telemetry: self.telemetry.check(&mut problems),
            webhook: self.events.check(&mut problems),
        };
        problems.or(settings)
    }
}

fn networks(problems: &mut Problems, texts: &[String]) -> Vec<IpNet> {
    let network = |text: &String| {
        let parsed = text.parse::<IpNet>();
        problems.take(
            "trusted_hops",
            parsed.map_err(|_| format!("{text:?} is not like \"10.0.0.0/8\"")),
        )
    };
    texts.iter().filter_map(network).collect()
}

pub(crate) fn address(problems: &mut Problems, key: &str, text: &str) -> SocketAddr {
    let parsed = text
        .parse()
        .map_err(|_| format!("{text:?} is not like \"127.0.0.1:8080\""));
    problems
        .take(key, parsed)
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
}

pub(crate) fn base(problems: &mut Problems, key: &str, text: &str) -> String {
    let authority = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let usable = |rest: &str| {
        rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
            && !rest.contains(['?', '#', '@', '"', '\\'])
    };
    if !authority.is_some_and(usable) {
        problems.add(
            key,
            format!("{text:?} is not like \"https://edge.example\""),
        );
    }
    text.trim_end_matches('/').to_owned()
}

/// Whether a base leads to this machine and no further.
fn is_here(base: &str) -> bool {
    let url = reqwest::Url::parse(base).ok();
    let host = url.as_ref().and_then(|url| url.host_str());
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// A base without a path: browsers and tokens know no other.
pub(crate) fn origin(problems: &mut Problems, key: &str, text: &str) -> String {
    let text = base(problems, key, text);
    if text.matches('/').count() > 2 {
        problems.add(key, format!("{text:?} must not have a path"));
    }
    text
}

pub(crate) fn span(
    problems: &mut Problems,
    key: &str,
    span: Span,
    bounds: std::ops::RangeInclusive<u64>,
) {
    if !bounds.contains(&span.0.as_secs()) {
        let (low, high) = (Span::seconds(*bounds.start()), Span::seconds(*bounds.end()));
        problems.add(key, format!("{span} is not between {low} and {high}"));
    }
}

pub(crate) fn file(text: String) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_annotated_file_equals_the_defaults() {
        let text = include_str!("../../config/control.toml");
        let loaded: Config =
            ::config::load("control", Some((Path::new("control.toml"), text)), []).unwrap();
        assert_eq!(loaded, Config::default());
    }

    #[test]
    fn who_comes_through_a_proxy_on_this_machine_is_not_taken_for_its_operator() {
        for (public_base, private) in [
            ("", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]:8080", true),
            ("https://api.example", false),
            ("https://localhost.example", false),
            ("https://192.0.2.1", false),
        ] {
            let mut config = Config {
                public_base: public_base.into(),
                ..Config::default()
            };
            let faults = config.clone().check().err().unwrap_or_default();
            let keys: Vec<String> = faults.into_iter().map(|fault| fault.key).collect();
            let wanted: &[&str] = if private { &[] } else { &["operator_key"] };
            assert_eq!(keys, wanted, "{public_base}");
            // Where there are accounts, operators are among them.
            config.accounts.token_keys = vec!["/a/file".into()];
            let settings = config.check().unwrap();
            assert_eq!(settings.is_private(), private, "{public_base}");
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let config = Config {
            listen: "0.0.0.0:80".into(),
            internal: "nowhere".into(),
            ingest_base: "ftp://x".into(),
            catalog: "/var/lib/catalog.db".into(),
            allowed_origins: vec!["*".into(), "https://site.example".into()],
            heartbeat: Span::seconds(1),
            edges: vec![
                Edge {
                    name: String::new(),
                    base: "edge".into(),
                    ..Edge::default()
                },
                Edge {
                    name: String::new(),
                    base: "https://edge/path".into(),
                    weight: 0,
                    probe: "edge".into(),
                    ..Edge::default()
                },
            ],
            ..Config::default()
        };
        let keys: Vec<String> = config
            .check()
            .unwrap_err()
            .into_iter()
            .map(|p| p.key)
            .collect();
        assert_eq!(
            keys,
            [
                "internal",
                "operator_key",
                "heartbeat",
                "edges.base",
                "edges.name",
                "edges.base",
                "edges.name",
                "edges.weight",
                "edges.probe",
                "edges.name",
                "allowed_origins",
                "catalog",
                "ingest_base"
            ]
        );
    }
}
