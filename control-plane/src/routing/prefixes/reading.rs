//! Reading lines, and networks that nodes announce, into prefixes.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::runs::{Prefix, Runs, Whose};
use super::{Fault, LONGEST_LINE, MOST, MOST_FAULTS, Prefixes, is_name};

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading {
    v4: Vec<Prefix<u32>>,
    v6: Vec<Prefix<u128>>,
    sites: HashMap<Box<str>, u32>,
    pub(super) faults: Vec<Fault>,
}

impl Reading {
    pub(super) const fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub(super) fn fault(&mut self, line: usize, what: impl Into<String>) {
        let what = what.into();
        self.faults.push(Fault { line, what });
    }

    pub(super) fn line(&mut self, number: usize, line: &[u8]) {
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

    pub(super) fn keep(&mut self, net: IpNet, site: u32, line: usize) {
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

    pub(super) fn intern(&mut self, site: &str) -> Option<u32> {
        if let Some(known) = self.sites.get(site) {
            return Some(*known);
        }
        let fresh = u32::try_from(self.sites.len()).ok()?;
        self.sites.insert(site.into(), fresh);
        Some(fresh)
    }

    pub(super) fn done(mut self) -> Result<Prefixes, Vec<Fault>> {
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
