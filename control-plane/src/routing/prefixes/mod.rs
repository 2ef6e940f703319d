//! From a client's address to its site: the longest of the prefixes that hold it.
//!
//! Prefixes are nested or apart, so they cut the addresses into runs of which each has one answer (`runs`). Those runs
//! lie sorted: a lookup is one binary search, whatever the lengths of the prefixes. `reading` makes them of a file.

mod reading;
mod runs;

use std::collections::BTreeSet;
use std::io::{BufRead, Read as _};
use std::net::IpAddr;

use contracts::fleet::Network;

use self::reading::Reading;
use self::runs::{Runs, Whose};

/// The most prefixes.
pub const MOST: usize = 1_000_000;

/// Which addresses are of which site.
#[derive(Debug, Default)]
pub struct Prefixes {
    v4: Runs<u32>,
    v6: Runs<u128>,
    sites: Vec<Box<str>>,
    count: usize,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Fault {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Prefixes {
    /// Reads `prefix site` lines: an address with a length, white space, and the site's name. `#` begins a comment;
    /// empty lines do not count. A prefix of IPv4 addresses within IPv6 is the IPv4 prefix.
    ///
    /// # Errors
    /// The bad lines with their numbers, twenty at most; where there are any, nothing is taken.
    pub fn read(mut text: impl BufRead) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading::default();
        let mut line = Vec::new();
        for number in 1..=MOST_LINES {
            line.clear();
            let mut bounded = (&mut text).take(LONGEST_LINE);
            match bounded.read_until(b'\n', &mut line) {
                Ok(0) => return reading.done(),
                Ok(_) => reading.line(number, &line),
                Err(error) => reading.fault(number, format!("cannot be read: {error}")),
            }
            if reading.faults.len() >= MOST_FAULTS {
                return Err(reading.faults);
            }
        }
        reading.fault(MOST_LINES, format!("more than {MOST_LINES} lines"));
        reading.done()
    }

    /// These networks of these sites. Of two sites that have the same network one gets it, always the same; of more than
    /// [`MOST`] those count that come first, by their addresses.
    #[must_use]
    pub fn of<'a>(networks: impl IntoIterator<Item = (Network, &'a str)>) -> Self {
        Self::of_at_most(MOST, networks)
    }

    fn of_at_most<'a>(most: usize, networks: impl IntoIterator<Item = (Network, &'a str)>) -> Self {
        let networks: BTreeSet<(Network, &str)> = networks.into_iter().collect();
        let mut reading = Reading::default();
        let mut before = None;
        for (network, site) in networks {
            let has_room = reading.len() < most;
            if before.replace(network) != Some(network)
                && has_room
                && let Some(site) = reading.intern(site)
            {
                reading.keep(network.net(), site, 0);
            }
        }
        if reading.len() == most {
            tracing::error!("nodes announce {most} networks, and no more than that count");
        }
        // What could be wrong with lines is not with these.
        reading.done().unwrap_or_default()
    }

    /// The site of an address; an IPv4 address within IPv6 is the IPv4 address.
    #[must_use]
    pub fn site(&self, address: IpAddr) -> Option<&str> {
        self.find(address).map(|(site, _)| site)
    }

    /// As [`site`](Self::site), where `other` counts as well: the longer prefix wins, this one's of two as long.
    #[must_use]
    pub fn site_or<'a>(&'a self, other: &'a Self, address: IpAddr) -> Option<&'a str> {
        let (ours, theirs) = (self.find(address), other.find(address));
        match (ours, theirs) {
            (Some((_, ours)), Some((site, theirs))) if theirs > ours => Some(site),
            (Some((site, _)), _) | (None, Some((site, _))) => Some(site),
            (None, None) => None,
        }
    }

    /// The site of an address, and the length of the prefix that says so.
    fn find(&self, address: IpAddr) -> Option<(&str, u8)> {
        let Whose { site, length } = match address.to_canonical() {
            IpAddr::V4(address) => self.v4.find(u32::from(address)),
            IpAddr::V6(address) => self.v6.find(u128::from(address)),
        }?;
        let site = self.sites.get(usize::try_from(site).ok()?)?;
        Some((site, length))
    }

    /// How many prefixes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What they take of the memory, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let names: usize = self.sites.iter().map(|site| site.len()).sum();
        let table = self.sites.capacity() * size_of::<Box<str>>();
        self.v4.size_bytes() + self.v6.size_bytes() + table + names
    }
}

/// Whether a text may name a site, a region or an edge: it stands in playlists as it is.
#[must_use]
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// The longest line, in bytes.
const LONGEST_LINE: u64 = 512;
/// The most lines, those with comments alone among them.
const MOST_LINES: usize = 4 * MOST;
/// How many bad lines are told.
const MOST_FAULTS: usize = 20;

#[cfg(test)]
mod tests;
