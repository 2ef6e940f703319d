//! A site's rule: everybody may ask for anything.

use contracts::reason::Reason;
use http::Uri;
use tier::admission::{Admission, Admitted, Facts, Refused, Visitor};

/// Admits every request whose target is one of a server (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug)]
pub struct Everybody;

impl Admission for Everybody {
    fn admit(&self, facts: &Facts<'_>, _: Visitor) -> Result<Admitted, Refused> {
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
                Everybody.readmit(target),
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
            assert_eq!(Everybody.readmit(target), Err(Reason::Target), "{target}");
        }
    }
}
