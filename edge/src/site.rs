//! A site's rule: everybody may ask for anything on the hosts that are served.

use contracts::reason::Reason;
use http::Uri;
use tier::admission::{Admission, Admitted, Facts, Refused, Visitor};

/// Admits every request whose target is one of a server (RFC 9112 §3.2).
#[derive(Clone, Debug, Default)]
pub struct Everybody {
    hosts: Vec<String>,
}

impl Everybody {
    /// Serves these hosts, in small letters, or any when there are none.
    #[must_use]
    pub const fn on(hosts: Vec<String>) -> Self {
        Self { hosts }
    }

    /// Whether a host is served, with whatever port.
    fn serves(&self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let mut hosts = self.hosts.iter();
        self.hosts.is_empty() || hosts.any(|served| served.eq_ignore_ascii_case(host))
    }
}

impl Admission for Everybody {
    fn admit(&self, facts: &Facts<'_>, _: Visitor) -> Result<Admitted, Refused> {
        if !self.serves(facts.authority) {
            // RFC 9110 §7.4
            return Err(Reason::Host.into());
        }
        Ok(self.readmit(facts.target)?)
    }

    fn readmit(&self, target: &str) -> Result<Admitted, Reason> {
        if target.contains('#') {
            return Err(Reason::Target);
        }
        let uri: Uri = target.parse().map_err(|_| Reason::Target)?;
        let scheme = uri.scheme_str();
        if !matches!(scheme, None | Some("http" | "https"))
            || (scheme.is_none() && uri.authority().is_some())
        {
            return Err(Reason::Target);
        }
        let address = uri.path_and_query().map(|address| address.as_str());
        match address.ok_or(Reason::Target)? {
            address if address.starts_with('?') => Ok(Admitted::to(format!("/{address}"))),
            address => Ok(Admitted::to(address.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_with_any_query_is_an_address() {
        for (target, address) in [
            ("/", "/"),
            ("/a//../b?c=%2F&d", "/a//../b?c=%2F&d"),
            ("http://host/a", "/a"),
            ("https://host?a", "/?a"),
            ("*", "*"),
        ] {
            assert_eq!(
                Everybody::default().readmit(target),
                Ok(Admitted::to(address.to_owned())),
                "{target}"
            );
        }
        for target in [
            "",
            "a",
            "host:80",
            "/a#b",
            "/a b",
            "ftp://host/a",
            "/\u{7f}",
        ] {
            assert_eq!(
                Everybody::default().readmit(target),
                Err(Reason::Target),
                "{target}"
            );
        }
    }
    #[test]
    fn only_hosts_that_are_served_are_admitted_where_some_are_named() {
        let some = Everybody::on(vec!["a.example".to_owned(), "[::1]".to_owned()]);
        for served in [
            "a.example",
            "A.example",
            "a.example:8443",
            "a.example.",
            "[::1]",
            "[::1]:1",
        ] {
            assert!(some.serves(served), "{served}");
            assert!(Everybody::default().serves(served));
        }
        for other in [
            "",
            "b.example",
            "x.a.example",
            "a.example.b",
            "a.example@b",
            "::1",
        ] {
            assert!(!some.serves(other), "{other}");
        }
    }
}
