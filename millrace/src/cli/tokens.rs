//! What can be typed about signed URLs.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

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
    /// How long until it expires, as 4h or 90s; a number alone is seconds
    #[arg(
        long,
        value_name = "SPAN",
        default_value = "4h",
        value_parser = super::span_or_seconds,
        conflicts_with = "expires"
    )]
    pub(crate) expires_in: ::config::Span,
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
