//! What can be typed about nodes that enrol.

use clap::Args;

use super::{Api, span};

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
