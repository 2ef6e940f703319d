//! Which roles a house has, in which order they start, and what each is told.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use anyhow::Context as _;
use toml::{Table, toml};

use super::addresses::{Addresses, Edge, Internal};
use super::house::Ports;
use super::more;
use super::state::State;
use crate::cli;
use crate::roles::Ready;

/// The roles of a house, parents before children: a child is told where its parent listens.
const PARTS: [(&str, &str); 6] = [
    ("origin", "origin"),
    ("shield", "shield-1"),
    ("ingest", "ingest"),
    ("edge", "edge-1"),
    ("edge", "edge-2"),
    ("control", "control"),
];

/// One role to start.
pub(crate) struct Part {
    /// The verb that starts it.
    pub(crate) role: &'static str,
    /// Its name in this house.
    pub(crate) name: String,
    /// Its TOML.
    pub(crate) config: String,
}

/// What is started so far, and what comes next.
pub(crate) struct Plan<'a> {
    state: &'a State,
    options: &'a cli::Up,
    old_ports: Ports,
    /// Where the control plane will listen: ingest is told before it starts.
    control: String,
    /// That place, kept until then, so that no other role is given it.
    held: Option<TcpListener>,
    started: Vec<(String, Ready)>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(state: &'a State, options: &'a cli::Up) -> Self {
        let old_ports = state.ports();
        let (control, held) = certain(&listen(&old_ports, "control", "http"));
        Self {
            state,
            options,
            old_ports,
            control,
            held,
            started: Vec::new(),
        }
    }

    /// The next role, told where those before it listen; `None` when all have started.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Part>> {
        let Some((role, name)) = PARTS.get(self.started.len()) else {
            return Ok(None);
        };
        let mut config = match *role {
            "origin" => self.origin(),
            "shield" => self.shield()?,
            "ingest" => self.ingest(),
            "edge" => self.edge(name)?,
            _ => {
                self.held = None;
                self.control()?
            }
        };
        more::add(&self.state.path("config"), name, &mut config)?;
        Ok(Some(Part {
            role,
            name: (*name).to_owned(),
            config: config.to_string(),
        }))
    }

    /// Notes where a role listens.
    pub(crate) fn started(&mut self, part: &Part, ready: Ready) {
        self.started.push((part.name.clone(), ready));
    }

    /// All ports, by role and listener, for the next run.
    pub(crate) fn ports(&self) -> Ports {
        let mut ports = BTreeMap::new();
        for (name, ready) in &self.started {
            for (listener, address) in &ready.listen {
                ports.insert(format!("{name}.{listener}"), address.port());
            }
        }
        ports
    }

    /// Where everything listens.
    pub(crate) fn addresses(&self) -> anyhow::Result<Addresses> {
        let edges = ["edge-1", "edge-2"].map(|name| {
            Ok(Edge {
                name: name.to_owned(),
                https: self.https(name)?,
                http: format!("http://{}", self.at(name, "http")?),
            })
        });
        let internal = self.started.iter().map(|(name, _)| {
            Ok(Internal {
                name: name.clone(),
                base: format!("http://{}", self.at(name, "internal")?),
            })
        });
        Ok(Addresses {
            api: format!("http://{}", self.at("control", "http")?),
            ingest: format!("http://{}", self.at("ingest", "http")?),
            edges: edges.into_iter().collect::<anyhow::Result<_>>()?,
            internal: internal.collect::<anyhow::Result<_>>()?,
        })
    }

    fn origin(&self) -> Table {
        let (listen, internal) = (
            self.listen("origin", "http"),
            self.listen("origin", "internal"),
        );
        let (store, hop) = (self.store(), self.state.text("hop.secret"));
        let keys = format!("http://{}/v1/keys", self.control);
        let shown = self.state.text("keys.secret");
        toml! {
            listen = listen
            internal = internal
            store = store
            hop_secret = hop
            keys = keys
            keys_secret = shown
        }
    }

    fn shield(&self) -> anyhow::Result<Table> {
        let (listen, internal) = (
            self.listen("shield-1", "http"),
            self.listen("shield-1", "internal"),
        );
        let parent = format!("http://{}", self.at("origin", "http")?);
        // The shield demands it of edges, and shows it to the origin.
        let (demanded, shown) = (self.state.text("hop.secret"), self.state.text("hop.secret"));
        let (feed, orders) = (self.feed(), self.state.text("run/shield-1.orders"));
        Ok(toml! {
            name = "shield-1"
            parents = [parent]
            hop_secret_file = demanded
            [listen]
            plain = listen
            internal = internal
            [upstream]
            hop_secret_file = shown
            [feed]
            from = feed
            state_file = orders
            every = "200ms"
        })
    }

    fn ingest(&self) -> Table {
        let (listen, internal) = (
            self.listen("ingest", "http"),
            self.listen("ingest", "internal"),
        );
        let (store, catalog, work) = (self.store(), self.catalog(), self.state.text("work"));
        let control = format!("http://{}", self.control);
        let base = control.clone();
        toml! {
            listen = listen
            internal = internal
            store = store
            catalog = catalog
            work = work
            control = control
            control_base = base
        }
    }

    fn edge(&self, name: &str) -> anyhow::Result<Table> {
        let (https, plain) = (self.listen(name, "https"), self.listen(name, "http"));
        let internal = self.listen(name, "internal");
        let parent = format!("http://{}", self.at("shield-1", "http")?);
        let (keys, hop) = (self.state.text("keys.json"), self.state.text("hop.secret"));
        let access = self.state.text(&format!("log/{name}.access.log"));
        let (feed, orders) = (self.feed(), self.state.text(&format!("run/{name}.orders")));
        let (certificate, key) = (
            self.state.text("tls/cert.pem"),
            self.state.text("tls/key.pem"),
        );
        Ok(toml! {
            name = name
            parents = [parent]
            keyring_file = keys
            [listen]
            https = https
            plain = plain
            internal = internal
            [tls]
            certificate = certificate
            key = key
            [upstream]
            hop_secret_file = hop
            [feed]
            from = feed
            state_file = orders
            every = "200ms"
            [log.access]
            to = access
        })
    }

    fn control(&self) -> anyhow::Result<Table> {
        let (listen, internal) = (self.control.clone(), self.listen("control", "internal"));
        let (catalog, keys) = (self.catalog(), self.state.text("keys.json"));
        let ingest = format!("http://{}", self.at("ingest", "http")?);
        let (kek, shown) = (
            self.state.text("kek.secret"),
            self.state.text("keys.secret"),
        );
        let tokens = self.state.text("token.secret");
        let hop = self.state.text("hop.secret");
        let events = format!("file://{}", self.state.text("events"));
        let web = self.options.web.as_deref().map(Path::canonicalize);
        let web = web.transpose();
        let web =
            web.context("the watch page's folder is missing; `cargo xtask setup` builds it")?;
        let web = web
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        let mut table = toml! {
            listen = listen
            internal = internal
            catalog = catalog
            keys = keys
            ingest_base = ingest
            web_root = web
            [accounts]
            token_keys = [tokens]
            sign_up = "anybody"
            [fleet]
            hop_secrets = [hop]
            [drm]
            key_encryption_key = kek
            keys_secret = shown
            systems = ["identity", "clearkey"]
            [telemetry]
            log = events
        };
        let mut edges = Vec::new();
        for name in ["edge-1", "edge-2"] {
            let (base, plain) = (
                self.https(name)?,
                format!("http://{}", self.at(name, "http")?),
            );
            edges.push(toml::Value::Table(toml! {
                name = name
                base = base
                plain = plain
            }));
        }
        table.insert("edges".to_owned(), edges.into());
        Ok(table)
    }

    /// Where edges and the shield hear what to purge and to revoke.
    fn feed(&self) -> String {
        format!("http://{}/v1/fleet/feed", self.control)
    }

    fn store(&self) -> String {
        let given = self.options.store.clone();
        given.unwrap_or_else(|| format!("file://{}", self.state.text("store")))
    }

    fn catalog(&self) -> String {
        format!("sqlite://{}", self.state.text("catalog.db"))
    }

    /// The name in the certificate, since players check it.
    fn https(&self, name: &str) -> anyhow::Result<String> {
        Ok(format!(
            "https://localhost:{}",
            self.at(name, "https")?.port()
        ))
    }

    /// Where a started role listens.
    fn at(&self, name: &str, listener: &str) -> anyhow::Result<SocketAddr> {
        let role = self.started.iter().find(|(started, _)| started == name);
        let address = role.and_then(|(_, ready)| ready.listen.get(listener));
        Ok(*address.with_context(|| format!("{name} does not say where its {listener} is"))?)
    }

    fn listen(&self, name: &str, listener: &str) -> String {
        listen(&self.old_ports, name, listener)
    }
}

/// What a role shall listen on: the port of the last run when it is free, else any free one.
fn listen(old_ports: &Ports, name: &str, listener: &str) -> String {
    let old = old_ports
        .get(&format!("{name}.{listener}"))
        .copied()
        .unwrap_or(0);
    // An edge's HTTP/3 is on the same UDP port.
    let free = TcpListener::bind(("127.0.0.1", old)).is_ok()
        && UdpSocket::bind(("127.0.0.1", old)).is_ok();
    format!("127.0.0.1:{}", if free { old } else { 0 })
}

/// The same address with a port that is free now instead of port 0.
fn certain(address: &str) -> (String, Option<TcpListener>) {
    let held = TcpListener::bind(address).ok();
    let bound = held.as_ref().and_then(|held| held.local_addr().ok());
    let address = bound.map_or_else(|| address.to_owned(), |address| address.to_string());
    (address, held)
}
