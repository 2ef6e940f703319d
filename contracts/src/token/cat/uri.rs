//! `catu`: conditions on parts of the address.

use std::borrow::Cow;

use ciborium::Value;
use sha2::{Digest as _, Sha256, Sha512_256};

use super::claims::{entries, text};
use crate::reason::Reason;
use crate::target;

/// Where a request goes.
#[derive(Clone, Copy)]
pub(in crate::token) struct Location<'a> {
    /// `http` or `https`.
    pub(in crate::token) scheme: &'a str,
    /// Host, and port where there is one.
    pub(in crate::token) authority: &'a str,
    /// The path without any token.
    pub(in crate::token) path: &'a str,
    /// What stands after `?`, the token included.
    pub(in crate::token) query: Option<&'a str>,
}

/// One condition: all of a token's must hold.
#[derive(Debug)]
pub(super) struct Condition {
    part: Part,
    rule: Rule,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Scheme,
    Host,
    Port,
    Path,
    Query,
    ParentPath,
    FileName,
    Stem,
    Extension,
}

#[derive(Debug)]
enum Rule {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Sha256(Vec<u8>),
    Sha512T256(Vec<u8>),
}

/// Reads the claim: a map of parts to maps of rules. A part or a rule that is not known, regular expressions among
/// them, fails the token: passing over a condition would open what it guards.
pub(super) fn conditions(value: Value) -> Result<Vec<Condition>, Reason> {
    let mut conditions = Vec::new();
    for (label, rules) in entries(value)? {
        let part = Part::of(label).ok_or(Reason::Malformed)?;
        let before = conditions.len();
        for (label, value) in entries(rules)? {
            let rule = Rule::of(label, value)?;
            conditions.push(Condition { part, rule });
        }
        if conditions.len() == before {
            return Err(Reason::Malformed);
        }
    }
    if conditions.is_empty() {
        return Err(Reason::Malformed);
    }
    Ok(conditions)
}

impl Condition {
    pub(super) fn holds(&self, location: &Location<'_>) -> bool {
        self.rule.fits(&self.part.of_location(location))
    }
}

impl Part {
    const fn of(label: i128) -> Option<Self> {
        Some(match label {
            0 => Self::Scheme,
            1 => Self::Host,
            2 => Self::Port,
            3 => Self::Path,
            4 => Self::Query,
            5 => Self::ParentPath,
            6 => Self::FileName,
            7 => Self::Stem,
            8 => Self::Extension,
            _ => return None,
        })
    }

    fn of_location<'a>(self, location: &Location<'a>) -> Cow<'a, str> {
        let Location { scheme, path, .. } = *location;
        let (parent, file) = path.rsplit_once('/').unwrap_or(("", path));
        let dot = file.rfind('.').unwrap_or(file.len());
        match self {
            Self::Scheme => scheme.into(),
            Self::Host => lower(location.host_and_port().0),
            Self::Port => match (location.host_and_port().1, scheme) {
                (Some(port), _) => port.into(),
                (None, "http") => "80".into(),
                (None, _) => "443".into(),
            },
            Self::Path => path.into(),
            Self::Query => without_token(location.query).into(),
            Self::ParentPath => parent.into(),
            Self::FileName => file.into(),
            Self::Stem => file.get(..dot).unwrap_or_default().into(),
            Self::Extension => file.get(dot..).unwrap_or_default().into(),
        }
    }
}

impl Rule {
    fn of(label: i128, value: Value) -> Result<Self, Reason> {
        Ok(match label {
            0 => Self::Exact(text(value)?),
            1 => Self::Prefix(text(value)?),
            2 => Self::Suffix(text(value)?),
            3 => Self::Contains(text(value)?),
            -1 => Self::Sha256(digest(value)?),
            -2 => Self::Sha512T256(digest(value)?),
            _ => return Err(Reason::Malformed),
        })
    }

    fn fits(&self, part: &str) -> bool {
        match self {
            Self::Exact(text) => part == text,
            Self::Prefix(text) => part.starts_with(text.as_str()),
            Self::Suffix(text) => part.ends_with(text.as_str()),
            Self::Contains(text) => part.contains(text.as_str()),
            Self::Sha256(digest) => Sha256::digest(part).as_slice() == digest.as_slice(),
            Self::Sha512T256(digest) => Sha512_256::digest(part).as_slice() == digest.as_slice(),
        }
    }
}

impl<'a> Location<'a> {
    /// Splits the authority (RFC 3986 §3.2); an IPv6 address keeps its brackets.
    fn host_and_port(&self) -> (&'a str, Option<&'a str>) {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (self.authority, None),
        }
    }
}

/// Hosts are the same whatever their letters' case (RFC 3986 §3.2.2).
fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

/// The query as its author wrote it, before the token was added.
fn without_token(query: Option<&str>) -> String {
    let pairs = query.unwrap_or_default().split('&');
    let others =
        pairs.filter(|pair| pair.split_once('=').map(|(name, _)| name) != Some(target::CAT));
    others.collect::<Vec<_>>().join("&")
}

/// 32 bytes. (Some libraries write hexadecimal text instead; that is refused.)
fn digest(value: Value) -> Result<Vec<u8>, Reason> {
    let digest = value.into_bytes().map_err(|_| Reason::Malformed)?;
    if digest.len() == 32 {
        Ok(digest)
    } else {
        Err(Reason::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCATION: Location<'static> = Location {
        scheme: "https",
        authority: "Edge.Example:8443",
        path: "/v/abc/v0/1.x.m4s",
        query: Some("CAT=secret&a=b"),
    };

    #[test]
    fn an_address_comes_apart_into_its_nine_parts() {
        let parts: Vec<String> = (0..9)
            .map(|label| Part::of(label).unwrap().of_location(&LOCATION).into_owned())
            .collect();
        let expected = [
            "https",
            "edge.example",
            "8443",
            "/v/abc/v0/1.x.m4s",
            "a=b",
            "/v/abc/v0",
            "1.x.m4s",
            "1.x",
            ".m4s",
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_port_that_is_not_said_is_the_scheme_s() {
        for (scheme, authority, port) in [
            ("https", "a", "443"),
            ("http", "a", "80"),
            ("https", "[::1]", "443"),
            ("https", "[::1]:1", "1"),
        ] {
            let location = Location {
                scheme,
                authority,
                path: "/a",
                query: None,
            };
            assert_eq!(Part::Port.of_location(&location), port);
            assert_eq!(Part::Extension.of_location(&location), "");
        }
    }

    #[test]
    fn a_name_and_its_digest_fit_and_nothing_else_does() {
        let digest = |bytes: &[u8]| Value::from(bytes.to_vec());
        let (name, long) = (Sha256::digest("abc"), Sha512_256::digest("abc"));
        for (label, value) in [
            (0, Value::from("abc")),
            (1, Value::from("ab")),
            (2, Value::from("bc")),
            (3, Value::from("b")),
            (-1, digest(&name)),
            (-2, digest(&long)),
        ] {
            let rule = Rule::of(label, value).unwrap();
            assert!(rule.fits("abc") && !rule.fits("xyz"), "{rule:?}");
        }
        for (label, value) in [
            (4, Value::from("a")),
            (5, Value::from("a")),
            (0, digest(b"abc")),
            (-1, digest(b"abc")),
            (-1, Value::from(hex::encode(name))),
        ] {
            assert_eq!(
                Rule::of(label, value).err(),
                Some(Reason::Malformed),
                "{label}"
            );
        }
    }
}
