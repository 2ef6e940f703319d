//! How the access log is configured.

use std::path::PathBuf;

use config::{ByteSize, Problems};
use serde::{Deserialize, Serialize};

/// `[log.access]`: one JSON object a line for each answered request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Where it goes: the path of a file, whose directory must be there, or `stdout`. Empty, the default: nowhere. A
    /// file that was moved away is made anew within a second or so.
    pub to: String,
    /// Memory for lines that are not written yet. 64KiB to 1GiB. Default `8MiB`. Lines that do not fit are dropped and
    /// counted; more bridges longer times in which nothing can be written.
    pub queue: ByteSize,
    /// How much of a client's address stands in it: `none`; `network`, the first 24 bits of an IPv4 address and 48 of
    /// an IPv6 address; or `full`. Default `network`. A whole address is personal data in many countries.
    pub client_address: ClientAddress,
}

/// How much of a client's address stands in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAddress {
    /// Nothing.
    None,
    /// Its network: /24 of IPv4, /48 of IPv6.
    Network,
    /// All of it.
    Full,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// `[log.access]`, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it goes.
    pub to: To,
    /// Bytes of lines that may wait.
    pub queue_bytes: usize,
    /// How much of a client's address stands in it.
    pub client_address: ClientAddress,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            to: String::new(),
            queue: ByteSize::mib(8),
            client_address: ClientAddress::Network,
        }
    }
}

impl Access {
    /// Turns the configuration into settings; `None` where there is to be no access log.
    pub fn check(&self, problems: &mut Problems) -> Option<Settings> {
        let (least, most) = (ByteSize(64 << 10), ByteSize::mib(1024));
        if !(least..=most).contains(&self.queue) {
            problems.add("log.access.queue", format!("must be {least} to {most}"));
        }
        let to = match self.to.as_str() {
            "" => return None,
            "stdout" => To::Stdout,
            path => To::File(path.into()),
        };
        Some(Settings {
            to,
            // One half gathers while the other is written.
            queue_bytes: usize::try_from(self.queue.0 / 2).unwrap_or(usize::MAX),
            client_address: self.client_address,
        })
    }
}
