//! Where the house can be reached, and where its film can be watched.

use anyhow::Context as _;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::state::State;
use crate::api::{Api, HOUSE_FILE};
use crate::cli;

/// Where the roles listen.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Addresses {
    /// The control plane.
    pub(crate) api: String,
    /// Where uploads go.
    pub(crate) ingest: String,
    /// The edges, as viewers see them.
    pub(crate) edges: Vec<Edge>,
    /// The internal port (metrics and health) of every role, by name.
    pub(crate) internal: Vec<Internal>,
}

/// One edge.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Edge {
    /// As it calls itself in `Cache-Status`.
    pub(crate) name: String,
    /// HTTP/1.1, HTTP/2 and, on the same port, HTTP/3.
    pub(crate) https: String,
    /// Plain HTTP/1.1, for players that do not trust the certificate.
    pub(crate) http: String,
}

/// One role's internal port.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Internal {
    /// The role's name.
    pub(crate) name: String,
    /// Its internal port.
    pub(crate) base: String,
}

impl Addresses {
    /// Leaves a note in the folder by which other verbs find the house.
    pub(crate) fn note(&self, state: &State) -> anyhow::Result<()> {
        std::fs::write(state.path(HOUSE_FILE), serde_json::to_string_pretty(self)?)
            .context("cannot note the addresses")
    }

    /// The internal port of a role.
    pub(crate) fn internal(&self, name: &str) -> anyhow::Result<&str> {
        let found = self.internal.iter().find(|internal| internal.name == name);
        Ok(&found.with_context(|| format!("no role {name}"))?.base)
    }
}

/// The film with its addresses: what `up` prints.
pub(crate) struct Stage {
    facts: Value,
}

impl Stage {
    /// Starts a playback session for the film.
    pub(crate) async fn open(
        api: &Api,
        addresses: &Addresses,
        state: &State,
        video: &str,
    ) -> anyhow::Result<Self> {
        let wish = json!({"video_id": video});
        let session = api
            .json(api.request(Method::POST, "/v1/playback/start").json(&wish))
            .await?;
        let manifest = |name: &str| {
            session
                .pointer(&format!("/manifests/{name}"))
                .cloned()
                .unwrap_or_default()
        };
        let logical = |file: &str| format!("{}/v/{video}/{file}", addresses.api);
        let facts = json!({
            "video_id": video,
            "watch": format!("{}/watch?v={video}", addresses.api),
            "hls": manifest("hls"),
            "hls_ts": manifest("hls_ts"),
            "dash": manifest("dash"),
            "logical": {
                "hls": logical("master.m3u8"),
                "hls_ts": logical("master_ts.m3u8"),
                "dash": logical("manifest.mpd"),
            },
            "api": addresses.api,
            "ingest": addresses.ingest,
            "edges": addresses.edges,
            "internal": addresses.internal,
            "certificate": state.text("tls/cert.pem"),
            "spki": state.spki()?,
            "keys": state.text("keys.json"),
            "dir": state.text(""),
        });
        Ok(Self { facts })
    }

    /// A fact of the stage as text.
    pub(crate) fn fact(&self, pointer: &str) -> &str {
        self.facts
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The facts as one JSON object.
    pub(crate) const fn facts(&self) -> &Value {
        &self.facts
    }

    /// Prints the addresses; those of pages where they are built.
    pub(crate) fn print(&self, options: &cli::Up) {
        if options.json {
            say!("{}", self.facts);
            return;
        }
        say!();
        if options.web.is_some() {
            say!("  Watch   {}", self.fact("/watch"));
        }
        say!("  HLS     {}", self.fact("/hls"));
        say!("  HLS-TS  {}", self.fact("/hls_ts"));
        say!("  DASH    {}", self.fact("/dash"));
        say!();
        say!(
            "The edges' certificate is the house's own ({});",
            self.fact("/certificate")
        );
        say!("a player that does not trust it plays over plain HTTP from the same edges.");
        let studio = match &options.web {
            Some(_) => format!("at {}/studio, or ", self.fact("/api")),
            None => String::new(),
        };
        say!(
            "Add a film {studio}with `millrace add FILE --api {}`. Ctrl-C stops the house.",
            self.fact("/api")
        );
    }
}
