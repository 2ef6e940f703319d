//! What can be typed after `millrace`.

mod films;
mod nodes;
mod tokens;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use films::{Add, Play, Purge, Remove, Retry, Rotate, Subtitles};
pub(crate) use nodes::{Dismiss, Drain, Invite, Nodes};
pub(crate) use tokens::{Check, Sign};

/// A video CDN that you run yourself.
#[derive(Parser)]
#[command(name = "millrace", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start the whole house on this machine and publish a film
    Up(Up),
    /// Run an edge: what viewers meet
    Edge(Edge),
    /// Run an origin shield: the caching hop before the origin
    Shield(Role),
    /// Run the origin: packs films just in time
    Origin(Role),
    /// Run the control plane: the API and the watch page
    Control(Role),
    /// Run ingest: takes uploads and makes them playable
    Ingest(Role),
    /// Upload a film
    Add(Add),
    /// Play a manifest without a screen, and check everything that it promises
    Play(Play),
    /// Make a signed URL
    Sign(Sign),
    /// Say whether a request target would be admitted
    Check(Check),
    /// Have every edge and shield forget what they hold
    Purge(Purge),
    /// Take a film away, from every edge and for good
    Remove(Remove),
    /// Try a film once more that could not be made
    Retry(Retry),
    /// Replace keys: those of a film, or the one that all are sealed with
    #[command(subcommand)]
    Keys(Keys),
    /// The feed of orders to edges and shields
    #[command(subcommand)]
    Feed(Feed),
    /// Show the state of a running house
    Status(Status),
    /// Let a node enrol: print the token that it is started with
    Invite(Invite),
    /// Show the edges and shields, and how each is
    Nodes(Nodes),
    /// Send nobody new to a node that has enrolled
    Drain(Drain),
    /// Take a node that has enrolled out of the house, for good
    Dismiss(Dismiss),
}

/// What `millrace keys` does.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Draw new keys for a protected film
    Rotate(Rotate),
    /// Seal the keys of all films with the first key-encryption key
    Reseal(Api),
}

/// What `millrace feed` does.
#[derive(Subcommand)]
pub(crate) enum Feed {
    /// Have it begin anew, after the catalogue was put back to a backup: every node takes everything for purged
    Renew(Api),
}

/// Options of `millrace up`.
#[derive(Args)]
pub(crate) struct Up {
    /// The folder for state, logs and generated configuration
    #[arg(long, default_value = ".millrace", value_name = "FOLDER")]
    pub(crate) dir: PathBuf,
    /// The film to publish; without it a 30 s test film is made with ffmpeg
    #[arg(long, value_name = "FILE")]
    pub(crate) media: Option<PathBuf>,
    /// Play everything once in every format and protocol, then stop: exit 0 when all is right
    #[arg(long)]
    pub(crate) check: bool,
    /// Print one JSON object with the addresses instead of a text
    #[arg(long)]
    pub(crate) json: bool,
    /// The folder of the built watch page
    #[arg(long, value_name = "FOLDER")]
    pub(crate) web: Option<PathBuf>,
    /// The store's address, such as s3://bucket/prefix?…; without it, a folder of the state
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) store: Option<String>,
}

/// Options of every role.
#[derive(Args)]
pub(crate) struct Role {
    /// The role's TOML file; without it the defaults and the environment count
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only say whether the configuration and the keys and secrets that it names are right: exit 0 when they are, 64 when not
    #[arg(long)]
    pub(crate) check: bool,
    /// Log as JSON, one object a line
    #[arg(long)]
    pub(crate) log_json: bool,
    /// Stop when standard input is closed
    #[arg(long)]
    pub(crate) leash: bool,
}

/// Options of `millrace edge`.
#[derive(Args)]
pub(crate) struct Edge {
    #[command(flatten)]
    pub(crate) role: Role,
    /// Join a house with this token, which counts once; where the node has joined already, it is not used again
    #[arg(
        long,
        value_name = "TOKEN",
        env = "MILLRACE_JOIN",
        hide_env_values = true
    )]
    pub(crate) join: Option<String>,
    /// The folder of a node that has joined, or is to join: its key, its certificate and what the house wishes. Without it
    /// and without --join the configuration alone counts; with --join alone it is /var/lib/millrace/node
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
}

/// Where the control plane is.
#[derive(Args)]
pub(crate) struct Api {
    /// The control plane; without it the house in ./.millrace
    #[arg(long, value_name = "URL", env = "MILLRACE_API")]
    pub(crate) api: Option<String>,
    /// The file that holds the operator key, or an API key with the scope for what is done; where the house wants one
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_key: Option<PathBuf>,
}

/// Options of `millrace status`.
#[derive(Args)]
pub(crate) struct Status {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// A span; a number alone is seconds.
fn span_or_seconds(text: &str) -> Result<::config::Span, String> {
    match text.parse() {
        Ok(seconds) => Ok(::config::Span::seconds(seconds)),
        Err(_) => span(text),
    }
}

fn span(text: &str) -> Result<::config::Span, String> {
    let value = serde_json::Value::from(text);
    serde_json::from_value(value).map_err(|error| error.to_string())
}
