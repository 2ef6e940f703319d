//! From a client's address to its site: the longest of the prefixes that hold it.
//!
//! Prefixes are nested or apart, so they cut the addresses into runs of which each has one answer. Those runs lie
//! sorted: a lookup is one binary search, whatever the lengths of the prefixes.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, Read as _};
use std::net::IpAddr;

use contracts::fleet::Network;
use ipnet::IpNet;

/// The most prefixes.
pub const MOST: usize = 1_000_000;
/// The longest line, in bytes.
const LONGEST_LINE: u64 = 512;
/// The most lines, those with comments alone among them.
const MOST_LINES: usize = 4 * MOST;
/// How many bad lines are told.
const MOST_FAULTS: usize = 20;
/// No prefix holds these addresses.
const NOWHERE: Whose = Whose {
    site: u32::MAX,
    length: 0,
};

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

/// A site's prefix as two addresses, and the line that says it.
struct Prefix<T> {
    first: T,
    last: T,
    whose: Whose,
    line: usize,
}

/// Whose addresses they are, and how long the prefix is that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whose {
    site: u32,
    length: u8,
}

/// Where runs of addresses begin, ascending, and whose they are.
#[derive(Debug)]
struct Runs<T> {
    starts: Vec<T>,
    sites: Vec<u32>,
    lengths: Vec<u8>,
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

#[derive(Default)]
struct Reading {
    v4: Vec<Prefix<u32>>,
    v6: Vec<Prefix<u128>>,
    sites: HashMap<Box<str>, u32>,
    faults: Vec<Fault>,
}

impl Reading {
    const fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn fault(&mut self, line: usize, what: impl Into<String>) {
        let what = what.into();
        self.faults.push(Fault { line, what });
    }

    fn line(&mut self, number: usize, line: &[u8]) {
        let ended = line.ends_with(b"\n");
        if !ended && u64::try_from(line.len()).is_ok_and(|length| length == LONGEST_LINE) {
            return self.fault(number, format!("longer than {LONGEST_LINE} bytes"));
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return self.fault(number, "is not UTF-8");
        };
        let said = line.split('#').next().unwrap_or_default();
        let mut words = said.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, ..) => {}
            (Some(prefix), Some(site), None) => self.prefix(number, prefix, site),
            _ => self.fault(number, "is not like \"192.0.2.0/24 site\""),
        }
    }

    fn prefix(&mut self, line: usize, prefix: &str, site: &str) {
        let Ok(net) = prefix.parse::<IpNet>() else {
            return self.fault(line, format!("{prefix:?} is not like \"192.0.2.0/24\""));
        };
        if net.addr() != net.network() {
            return self.fault(line, format!("{prefix} has bits beyond its length"));
        }
        if !is_name(site) {
            return self.fault(
                line,
                "a site has 1 to 64 letters, digits, \".\", \"-\" and \"_\"",
            );
        }
        if self.len() == MOST {
            return self.fault(line, format!("more than {MOST} prefixes"));
        }
        let Some(site) = self.intern(site) else {
            return self.fault(line, "too many sites");
        };
        self.keep(net, site, line);
    }

    fn keep(&mut self, net: IpNet, site: u32, line: usize) {
        let length = net.prefix_len();
        match (net.network().to_canonical(), net.broadcast().to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.push(Prefix {
                first: first.into(),
                last: last.into(),
                whose: Whose {
                    site,
                    length: length - if net.network().is_ipv6() { 96 } else { 0 },
                },
                line,
            }),
            // Of a prefix that is wider than IPv4 within IPv6 the ends are not both of it.
            _ => {
                let wide = |address| match address {
                    IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
                    IpAddr::V6(address) => u128::from(address),
                };
                self.v6.push(Prefix {
                    first: wide(net.network()),
                    last: wide(net.broadcast()),
                    whose: Whose { site, length },
                    line,
                });
            }
        }
    }

    fn intern(&mut self, site: &str) -> Option<u32> {
        if let Some(known) = self.sites.get(site) {
            return Some(*known);
        }
        let fresh = u32::try_from(self.sites.len()).ok()?;
        self.sites.insert(site.into(), fresh);
        Some(fresh)
    }

    fn done(mut self) -> Result<Prefixes, Vec<Fault>> {
        let count = self.len();
        let v4 = Runs::of(self.v4, |end| end.checked_add(1), &mut self.faults);
        let v6 = Runs::of(self.v6, |end| end.checked_add(1), &mut self.faults);
        if !self.faults.is_empty() {
            self.faults.sort_by_key(|fault| fault.line);
            self.faults.truncate(MOST_FAULTS);
            return Err(self.faults);
        }
        let mut sites: Vec<_> = self.sites.into_iter().collect();
        sites.sort_unstable_by_key(|(_, number)| *number);
        let sites = sites.into_iter().map(|(site, _)| site).collect();
        Ok(Prefixes {
            v4,
            v6,
            sites,
            count,
        })
    }
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            sites: Vec::new(),
            lengths: Vec::new(),
        }
    }
}

impl<T: Copy + Ord> Runs<T> {
    /// The runs that prefixes cut the addresses into: within a prefix those of the longer ones, and around them its
    /// own. `after` is the address after one, if there is one.
    fn of(
        mut prefixes: Vec<Prefix<T>>,
        after: impl Fn(T) -> Option<T>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        prefixes.sort_unstable_by(|a, b| (a.first, b.last, a.line).cmp(&(b.first, a.last, b.line)));
        let mut runs = Self::default();
        let mut open: Vec<(T, Whose)> = Vec::new();
        for (at, prefix) in prefixes.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| prefixes.get(before));
            if let Some(same) = before.filter(|b| (b.first, b.last) == (prefix.first, prefix.last))
            {
                let what = format!("the prefix stands in line {} too", same.line);
                let line = prefix.line;
                faults.push(Fault { line, what });
            }
            runs.close(&mut open, &after, |last| last < prefix.first);
            runs.begin(prefix.first, prefix.whose);
            open.push((prefix.last, prefix.whose));
        }
        runs.close(&mut open, &after, |_| true);
        runs.starts.shrink_to_fit();
        runs.sites.shrink_to_fit();
        runs.lengths.shrink_to_fit();
        runs
    }

    /// Ends the innermost open prefixes for as long as `over` says so of their last address.
    fn close(
        &mut self,
        open: &mut Vec<(T, Whose)>,
        after: impl Fn(T) -> Option<T>,
        over: impl Fn(T) -> bool,
    ) {
        while let Some((last, _)) = open.pop_if(|(last, _)| over(*last)) {
            let around = open.last().map_or(NOWHERE, |(_, whose)| *whose);
            if let Some(next) = after(last) {
                self.begin(next, around);
            }
        }
    }

    fn begin(&mut self, start: T, whose: Whose) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.sites.pop();
            self.lengths.pop();
        }
        let before = (self.sites.last(), self.lengths.last());
        if before != (Some(&whose.site), Some(&whose.length)) {
            self.starts.push(start);
            self.sites.push(whose.site);
            self.lengths.push(whose.length);
        }
    }

    fn find(&self, address: T) -> Option<Whose> {
        let after = self.starts.partition_point(|start| *start <= address);
        let at = after.checked_sub(1)?;
        let (site, length) = (*self.sites.get(at)?, *self.lengths.get(at)?);
        let whose = Whose { site, length };
        (whose != NOWHERE).then_some(whose)
    }

    fn size_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<T>()
            + self.sites.capacity() * size_of::<u32>()
            + self.lengths.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(text: &str) -> Prefixes {
        Prefixes::read(text.as_bytes()).unwrap()
    }

    fn faults(text: &str) -> Vec<(usize, String)> {
        let faults = Prefixes::read(text.as_bytes()).unwrap_err();
        faults.into_iter().map(|f| (f.line, f.what)).collect()
    }

    #[test]
    fn the_longest_prefix_wins_as_brute_force_says() {
        let data = include_str!("../../tests/data/prefix_routing.json");
        let data: Value = serde_json::from_str(data).unwrap();
        let text: String = data["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|route| {
                let word = |name: &str| route[name].as_str().unwrap();
                format!("{} {}\n", word("prefix"), word("isp"))
            })
            .collect();
        let prefixes = read(&text);
        let lookups = data["lookups"].as_array().unwrap();
        assert_eq!((prefixes.len(), lookups.len()), (191, 185));
        for lookup in lookups {
            let address: IpAddr = lookup["ip"].as_str().unwrap().parse().unwrap();
            let want = lookup["want"]["isp"].as_str();
            assert_eq!(prefixes.site(address), want, "{address}");
        }
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_nothing_is_taken() {
        let text = "# sites\n192.0.2.0/24 a\n192.0.2.0 b\n\n192.0.2.1/24 c\n2001:db8::/32 d # good\n\
            10.0.0.0/8\n10.0.0.0/8 a b\n10.0.0.0/8 a/b\n192.0.2.0/24 z\n";
        let lines: Vec<usize> = faults(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [3, 5, 7, 8, 9, 10]);
        assert_eq!(faults(text)[5].1, "the prefix stands in line 2 too");
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_is_told() {
        let text = "x".repeat(1 << 20);
        assert_eq!(faults(&text)[0], (1, "longer than 512 bytes".to_owned()));
        assert_eq!(faults(&text).len(), MOST_FAULTS);
    }

    #[test]
    fn ipv4_within_ipv6_is_ipv4_in_addresses_and_in_prefixes() {
        let prefixes = read("::ffff:192.0.2.0/120 a\n::/0 rest\n");
        let site = |text: &str| prefixes.site(text.parse().unwrap());
        assert_eq!(site("192.0.2.7"), Some("a"));
        assert_eq!(site("::ffff:192.0.2.7"), Some("a"));
        assert_eq!(site("192.0.3.7"), None);
        assert_eq!(site("2001:db8::1"), Some("rest"));
    }

    #[test]
    fn what_nodes_announce_is_bounded_and_what_is_beyond_takes_nothing_away() {
        let networks = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"];
        let networks = networks.map(|text| (Network::parse(text).unwrap(), "isp"));
        let announced = Prefixes::of_at_most(2, networks);
        let site = |text: &str| announced.site(text.parse().unwrap());
        assert_eq!(announced.len(), 2);
        assert_eq!((site("10.1.0.1"), site("10.3.0.1")), (Some("isp"), None));
    }

    #[test]
    fn of_two_tables_the_longer_prefix_wins_and_the_first_table_s_of_two_as_long() {
        let file = read("10.0.0.0/8 house\n10.1.0.0/16 house\n2001:db8::/32 house\n");
        let network = |text, site| (Network::parse(text).unwrap(), site);
        let announced = Prefixes::of([
            network("10.2.0.0/16", "isp"),
            network("10.1.0.0/16", "isp"),
            network("10.0.0.0/7", "isp"),
            network("::ffff:10.3.0.0/112", "isp"),
            network("10.3.0.0/16", "later"),
        ]);
        assert_eq!(announced.len(), 4);
        for (address, site) in [
            ("10.2.0.1", Some("isp")),
            ("10.1.0.1", Some("house")),
            ("10.3.0.1", Some("isp")),
            ("10.9.0.1", Some("house")),
            ("11.0.0.1", Some("isp")),
            ("12.0.0.1", None),
            ("2001:db8::1", Some("house")),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(file.site_or(&announced, address), site, "{address}");
            let alone = Prefixes::default();
            assert_eq!(file.site_or(&alone, address), file.site(address));
        }
    }

    #[test]
    fn prefixes_reach_to_the_last_address() {
        let prefixes = read("0.0.0.0/0 all\n255.255.255.255/32 last\n::/0 all\nffff::/16 last\n");
        let site = |text: &str| prefixes.site(text.parse().unwrap());
        assert_eq!(site("255.255.255.255"), Some("last"));
        assert_eq!(site("255.255.255.254"), Some("all"));
        assert_eq!(site("0.0.0.0"), Some("all"));
        assert_eq!(
            site("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            Some("last")
        );
        assert_eq!(site("::"), Some("all"));
    }

    proptest! {
        #[test]
        fn whatever_the_prefixes_the_longest_that_holds_the_address_wins(
            prefixes in proptest::collection::btree_set((0_u32..64, 24_u8..=32), 0..40),
            asked in 0_u32..300,
        ) {
            let at = |low: u32| std::net::Ipv4Addr::from(0x0a00_0000 + low);
            let mut nets: Vec<IpNet> = prefixes
                .iter()
                .map(|(low, length)| format!("{}/{length}", at(*low)).parse::<IpNet>().unwrap().trunc())
                .collect();
            nets.sort();
            nets.dedup();
            let text: String = nets.iter().map(|net| format!("{net} {}\n", net.to_string().replace('/', "_"))).collect();
            let table = read(&text);
            let address = IpAddr::from(at(asked));
            let best = nets.iter().filter(|net| net.contains(&address)).max_by_key(|net| net.prefix_len());
            let best = best.map(|net| net.to_string().replace('/', "_"));
            prop_assert_eq!(table.site(address), best.as_deref());
        }
    }
}
