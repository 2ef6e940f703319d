//! The control plane that is measured, its catalogue, and who is signed in to it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use catalog::videos::{Event, NewVideo};
use contracts::id::VideoId;
use rustls::RootCertStore;
use serde::Deserialize;
use serde_json::Value;
use test_postgres::Server;

use super::round::{self, Line, Processes, Want};
use super::{Engine, STREAMS};
use crate::machine::Cores;
use crate::process;
use crate::wire::{Client, Trust};

/// Passwords are hashed by so many at a time while viewers sign up.
const SIGNING_UP: usize = 2;

/// A running control plane; dropped, it is stopped.
pub(super) struct Site {
    engine: Engine,
    client: Client,
    address: SocketAddr,
    child: Child,
    database: Option<Server>,
}

/// What `millrace control` says once it listens.
#[derive(Deserialize)]
struct Ready {
    listen: Listen,
}

#[derive(Deserialize)]
struct Listen {
    http: SocketAddr,
}

impl Site {
    /// Starts one with a film in its catalogue; none where there is no server for it.
    pub(super) async fn start(
        folder: &Path,
        program: &Path,
        engine: Engine,
        cores: Cores,
    ) -> Result<Option<Self>> {
        if folder.exists() {
            fs::remove_dir_all(folder).context("cannot remove what an earlier run left")?;
        }
        fs::create_dir_all(folder).context("cannot make a folder for the control plane")?;
        let (address, database) = match engine {
            Engine::Sqlite => {
                let file = folder.join("catalog.db");
                (format!("sqlite://{}", file.display()), None)
            }
            Engine::Postgres => {
                let Some(server) = Server::start() else {
                    return Ok(None);
                };
                server.durable();
                (server.database(), Some(server))
            }
        };
        film(&address).await?;
        let config = configured(folder, &address)?;
        let (child, ready) = process::role::<Ready>(program, "control", &config, cores)?;
        Ok(Some(Self {
            engine,
            client: Client::new(&Trust::These(RootCertStore::empty()))?,
            address: ready.listen.http,
            child,
            database,
        }))
    }

    /// Signs so many viewers up and in, and gives what they show.
    pub(super) async fn viewers(&self, count: usize) -> Result<Vec<String>> {
        let who = |number: usize, more: &str| {
            format!(
                r#"{{"email":"v{number}@example.com","password":"correct horse battery"{more}}}"#
            )
        };
        let ask = |number| Want::post("/v1/users", &who(number, r#","name":"viewer""#), 201);
        self.round("sign up", (0..count).map(ask).collect(), SIGNING_UP)
            .await?;
        let ask = |number| Want::post("/v1/auth/login", &who(number, ""), 200);
        let logins = self.round("log in", (0..count).map(ask).collect(), SIGNING_UP);
        members(&logins.await?.1, "access_token")
    }

    /// Asks for everything once.
    pub(super) async fn round(
        &self,
        what: &'static str,
        wants: Vec<Want>,
        connections: usize,
    ) -> Result<(Line, Vec<Vec<u8>>)> {
        let processes = Processes {
            control: self.child.id(),
            database: self.database.as_ref().map(Server::process),
        };
        let to = (&self.client, self.address);
        round::run((what, self.engine), wants, connections, to, processes).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sessions that were begun.
pub(super) fn sessions(answers: &[Vec<u8>]) -> Result<Vec<String>> {
    members(answers, "session_id")
}

fn members(answers: &[Vec<u8>], name: &str) -> Result<Vec<String>> {
    let member = |answer: &Vec<u8>| {
        let answer: Value = serde_json::from_slice(answer)?;
        let member = answer.get(name).and_then(Value::as_str);
        Ok(member
            .context("an answer without what is wanted")?
            .to_owned())
    };
    answers.iter().map(member).collect()
}

/// A film of an hour that everybody may watch.
async fn film(address: &str) -> Result<()> {
    let catalog = catalog::open(address, Arc::new(runtime::clock::System)).await?;
    let id = VideoId::parse("film")?;
    let new = NewVideo {
        id: id.clone(),
        title: "A film".to_owned(),
        privacy: contracts::asset::Privacy::Public,
        protected: false,
    };
    catalog.videos.create(new).await?;
    let duration_ms = 3_600_000;
    for event in [Event::Uploaded, Event::Published { duration_ms }] {
        catalog.videos.advance(&id, event).await?;
    }
    Ok(())
}

/// Writes the configuration, and the secrets that it names.
fn configured(folder: &Path, catalog: &str) -> Result<std::path::PathBuf> {
    let secrets = [
        ("keys.json", KEYS),
        (
            "token.key",
            "one key of access tokens that no other site has",
        ),
        ("operator.key", "an operator key of some length"),
    ];
    for (name, text) in secrets {
        fs::write(folder.join(name), text).context("cannot write a secret")?;
    }
    let dir = folder.display();
    let text = format!(
        r#"
        listen = "127.0.0.1:0"
        internal = "127.0.0.1:0"
        catalog = "{catalog}"
        keys = "{dir}/keys.json"
        operator_key = "{dir}/operator.key"
        trusted_hops = ["127.0.0.0/8"]
        edges = [{{ name = "edge-1", base = "https://127.0.0.1:9" }}, {{ name = "edge-2", base = "https://127.0.0.2:9" }}]
        [accounts]
        token_keys = ["{dir}/token.key"]
        sign_up = "anybody"
        access_ttl = "1h"
        address_rate = 100000
        [playback]
        streams = {STREAMS}
        lease = "1h"
        "#
    );
    let file = folder.join("control.toml");
    fs::write(&file, text).context("cannot write a configuration")?;
    Ok(file)
}

/// A keyring of one key.
const KEYS: &str = r#"{"keyring":[{"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/","/t/"],"nbf":0,"exp":4102444800}]}"#;
