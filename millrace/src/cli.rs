//! What can be typed after `millrace`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::play;

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

/// Options of `millrace keys rotate`.
#[derive(Args)]
pub(crate) struct Rotate {
    /// The film's id
    #[arg(allow_hyphen_values = true)]
    pub(crate) video: String,
    /// For how many seconds the old keys still count; without it as long as tokens last
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace: Option<u64>,
    #[command(flatten)]
    pub(crate) api: Api,
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
    /// The file that holds the operator key, where the house wants one
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_key: Option<PathBuf>,
}

/// Options of `millrace add`.
#[derive(Args)]
pub(crate) struct Add {
    /// The film
    pub(crate) file: PathBuf,
    /// Its title; without it the file's name
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Who may watch: public, unlisted or private
    #[arg(long, default_value = "public", value_parser = ["public", "unlisted", "private"])]
    pub(crate) privacy: String,
    /// Subtitles of the film, WebVTT or SubRip, as `en=FILE`; may be repeated
    #[arg(long, value_name = "LANGUAGE=FILE", value_parser = Subtitles::parse)]
    pub(crate) subtitles: Vec<Subtitles>,
    /// The channel that it is for; publishers need one of their own
    #[arg(
        long,
        value_name = "CHANNEL_ID",
        conflicts_with = "resume",
        allow_hyphen_values = true
    )]
    pub(crate) channel: Option<String>,
    /// The film leaves the house encrypted only
    #[arg(long, conflicts_with = "resume")]
    pub(crate) protected: bool,
    /// Go on with an upload that was cut off
    #[arg(long, value_name = "UPLOAD_ID", allow_hyphen_values = true)]
    pub(crate) resume: Option<String>,
    /// Wait until the film can be watched, or has failed
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Subtitles to go with a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subtitles {
    /// Their language, as a BCP 47 tag.
    pub(crate) language: String,
    /// Where they are.
    pub(crate) file: PathBuf,
}

impl Subtitles {
    fn parse(text: &str) -> Result<Self, String> {
        let (language, file) = text
            .split_once('=')
            .filter(|(_, file)| !file.is_empty())
            .ok_or("it must be LANGUAGE=FILE, such as en=film.srt")?;
        // Whether it is a language, ingest says; it must not be another path.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if language.is_empty() || !language.bytes().all(plain) {
            return Err(format!("{language:?} is no language such as en or pt-br"));
        }
        Ok(Self {
            language: language.to_ascii_lowercase(),
            file: file.into(),
        })
    }
}

/// Options of `millrace play`.
#[derive(Args)]
pub(crate) struct Play {
    /// An HLS playlist or a DASH manifest
    pub(crate) url: String,
    /// The only protocol to use; without it what the server and this player agree on
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<play::Protocol>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Trust the certificates in this PEM file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl Play {
    pub(crate) fn to_options(&self) -> play::Options {
        play::Options {
            url: self.url.clone(),
            protocol: self.protocol,
            ca: self.ca.clone(),
            insecure: self.insecure,
        }
    }
}

/// Options of `millrace sign`.
#[derive(Args)]
pub(crate) struct Sign {
    /// What to sign: a path, or a subtree that ends in `/`
    pub(crate) path: String,
    /// The keyring, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: PathBuf,
    /// The key to sign with; without it the youngest that may
    #[arg(long)]
    pub(crate) kid: Option<String>,
    /// Seconds until it expires
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 14_400,
        conflicts_with = "expires"
    )]
    pub(crate) expires_in: u64,
    /// When it expires, in Unix seconds
    #[arg(long, value_name = "UNIX")]
    pub(crate) expires: Option<u64>,
    /// From when on it is good, in Unix seconds
    #[arg(long, value_name = "UNIX")]
    pub(crate) not_before: Option<u64>,
    /// The playback session that it belongs to
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// A client network (CIDR); may be repeated
    #[arg(long = "network", value_name = "CIDR")]
    pub(crate) networks: Vec<ipnet::IpNet>,
    /// Countries, as `AT,DE` or `!BY,RU`
    #[arg(long)]
    pub(crate) countries: Option<String>,
    /// A rendition that it admits; may be repeated
    #[arg(long = "rendition", value_name = "ID")]
    pub(crate) renditions: Vec<String>,
    /// The plain query form, for this one path
    #[arg(long, conflicts_with_all = ["session", "networks", "countries", "renditions", "not_before"])]
    pub(crate) plain: bool,
    /// What to put before the signed path, such as `https://edge.example`
    #[arg(long, value_name = "URL", default_value = "")]
    pub(crate) base: String,
}

/// Options of `millrace check`.
#[derive(Args)]
pub(crate) struct Check {
    /// The request target: token, path and query
    #[arg(allow_hyphen_values = true)]
    pub(crate) target: String,
    /// The keyring, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: PathBuf,
    /// The instant to judge by; without it the present
    #[arg(long, value_name = "UNIX")]
    pub(crate) now: Option<u64>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub(crate) client_ip: Option<IpAddr>,
    /// The client's country, ISO 3166-1 alpha-2; without it unknown
    #[arg(long, value_name = "CC")]
    pub(crate) country: Option<String>,
}

/// Options of `millrace purge`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Purge {
    /// A path, `/v/FILM/master.m3u8`; in front of a site `//host/path`
    #[arg(long, group = "what", value_name = "PATH")]
    pub(crate) url: Option<String>,
    /// What bears this tag in Surrogate-Key
    #[arg(long, group = "what")]
    pub(crate) tag: Option<String>,
    /// What is below a path that ends in `/`
    #[arg(long, group = "what", value_name = "PATH/")]
    pub(crate) prefix: Option<String>,
    /// All of a film
    #[arg(
        long,
        group = "what",
        value_name = "VIDEO_ID",
        allow_hyphen_values = true
    )]
    pub(crate) video: Option<String>,
    /// Everything
    #[arg(long, group = "what")]
    pub(crate) all: bool,
    /// On whose behalf: what is purged bears the tag `t:TENANT`, or none that begins with `t:`
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Let it be served as far as stale objects are, rather than never again
    #[arg(long)]
    pub(crate) soft: bool,
    /// Wait until no node serves it any more, and say who is waited for
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait no longer than this (`90s`, `10m`), then exit with 1
    #[arg(long, requires = "wait", value_name = "TIME", value_parser = span)]
    pub(crate) timeout: Option<::config::Span>,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Options of `millrace remove`.
#[derive(Args)]
pub(crate) struct Remove {
    /// The film's id
    #[arg(allow_hyphen_values = true)]
    pub(crate) video: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Options of `millrace retry`.
#[derive(Args)]
pub(crate) struct Retry {
    /// The film's id
    #[arg(allow_hyphen_values = true)]
    pub(crate) video: String,
    #[command(flatten)]
    pub(crate) api: Api,
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

/// Options of `millrace invite`.
#[derive(Args)]
pub(crate) struct Invite {
    /// The site that the node stands in
    #[arg(long)]
    pub(crate) site: String,
    /// The node's name; without it one that begins with its site
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A network that it may announce; may be repeated
    #[arg(long = "prefix", value_name = "CIDR")]
    pub(crate) prefixes: Vec<String>,
    /// The region of its site
    #[arg(long, default_value = "")]
    pub(crate) region: String,
    /// Its capacity beside those of others; without it by what it says that it can send
    #[arg(long)]
    pub(crate) weight: Option<u32>,
    /// Smaller comes first, wherever it stands
    #[arg(long, default_value_t = 0)]
    pub(crate) priority: u32,
    /// It is the house's own: it serves viewers from anywhere, not of its site and region alone
    #[arg(long)]
    pub(crate) ours: bool,
    /// Protected films may come from it
    #[arg(long)]
    pub(crate) protected: bool,
    /// It cannot be reached from the control plane: three heartbeats are enough
    #[arg(long)]
    pub(crate) no_probe: bool,
    /// How long the token counts, 1m to 30d
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = span)]
    pub(crate) expires: ::config::Span,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

fn span(text: &str) -> Result<::config::Span, String> {
    let value = serde_json::Value::from(text);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Options of `millrace nodes`.
#[derive(Args)]
pub(crate) struct Nodes {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Options of `millrace drain`.
#[derive(Args)]
pub(crate) struct Drain {
    /// The node's name
    pub(crate) name: String,
    /// Send viewers there again
    #[arg(long)]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) api: Api,
}

/// Options of `millrace dismiss`.
#[derive(Args)]
pub(crate) struct Dismiss {
    /// The node's name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) api: Api,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subtitles(values: &[&str]) -> Result<Vec<Subtitles>, clap::Error> {
        let named = values.iter().flat_map(|value| ["--subtitles", value]);
        let words = ["millrace", "add", "film.mp4"].into_iter().chain(named);
        match Arguments::try_parse_from(words)?.command {
            Command::Add(add) => Ok(add.subtitles),
            _ => unreachable!("the verb is add"),
        }
    }

    #[test]
    fn subtitles_are_a_language_and_a_file() {
        let told = subtitles(&["en=a=b.srt", "pt-BR=c.vtt"]).unwrap();
        let told: Vec<_> = told
            .iter()
            .map(|one| (one.language.as_str(), one.file.to_str().unwrap()))
            .collect();
        assert_eq!(told, [("en", "a=b.srt"), ("pt-br", "c.vtt")]);
        for fault in ["en", "en=", "=a.srt", "../x=a.srt", "e n=a.srt"] {
            assert!(subtitles(&[fault]).is_err(), "{fault}");
        }
    }
}
