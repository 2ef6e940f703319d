//! The operator key: who may do what not everybody may.

use std::net::IpAddr;
use std::path::Path;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    problem::Problem,
    secret::{Secret, Unusable},
};

/// What is asked of who would act as the operator: a key, of which the digest is known; or nothing,
/// where only this machine can ask.
#[derive(Clone)]
pub struct Operator(Wanted);

#[derive(Clone)]
enum Wanted {
    Nothing,
    Key([u8; 32]),
    /// Something else than a key: who is the operator is found out in another way.
    Another,
}

impl Operator {
    /// Everybody is the operator.
    #[must_use]
    pub const fn anybody() -> Self {
        Self(Wanted::Nothing)
    }

    /// Nobody is, by a key.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(Wanted::Another)
    }

    /// Whether everybody is the operator.
    #[must_use]
    pub const fn is_anybody(&self) -> bool {
        matches!(self.0, Wanted::Nothing)
    }

    /// Whether nobody is the operator by a key.
    #[must_use]
    pub const fn is_nobody(&self) -> bool {
        matches!(self.0, Wanted::Another)
    }

    /// Whether this is the operator key. Where there is none, nothing is.
    #[must_use]
    pub fn is_key(&self, shown: &str) -> bool {
        // Digests are compared, in constant time: neither length nor content of the key shows.
        matches!(&self.0, Wanted::Key(wanted) if bool::from(digest(shown).ct_eq(wanted)))
    }

    /// Whoever shows the key in this file is the operator; without one, everybody.
    ///
    /// # Errors
    /// [`Unusable`] when the file holds no such key.
    pub fn read(file: Option<&Path>) -> Result<Self, Unusable> {
        file.map_or_else(
            || Ok(Self::anybody()),
            |file| {
                let key = Secret::credential(file)?;
                Ok(Self(Wanted::Key(digest(key.as_str()))))
            },
        )
    }

    /// Refuses a request that does not show the key in `Authorization: Bearer` (RFC 6750 §2.1), when
    /// there is one; when there is none, what a page that is of neither this machine nor these origins has a browser ask.
    ///
    /// # Errors
    /// [`Problem::unauthorized`] without a key, [`Problem::forbidden`] with another.
    pub fn admit(&self, headers: &HeaderMap, pages: &[String]) -> Result<(), Problem> {
        if self.is_anybody() && is_asked_at_home(headers, pages) {
            return Ok(());
        }
        let key = bearer(headers).ok_or_else(Problem::unauthorized)?;
        if self.is_key(key) {
            Ok(())
        } else {
            Err(Problem::forbidden())
        }
    }
}

/// What is shown in `Authorization: Bearer` (RFC 6750 §2.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Whether a request is to this machine by a name of its own, and no page but those of this machine and of these origins
/// had a browser send it. Where everybody here is the operator, the pages that somebody here looks at are not: neither
/// those that send something across (`Origin`, RFC 6454 §7), nor those whose own name was made to lead here (`Host`).
/// What is no browser may leave both out.
#[must_use]
pub fn is_asked_at_home(headers: &HeaderMap, pages: &[String]) -> bool {
    let said = |name| {
        let said = headers.get(name)?;
        Some(said.to_str().unwrap_or_default())
    };
    let origin = said(header::ORIGIN).is_none_or(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(is_home) || pages.iter().any(|page| page == origin)
    });
    origin && said(header::HOST).is_none_or(is_home)
}

/// Whether an authority is this machine and no other.
fn is_home(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const KEY: &str = "an-operator-key-of-some-length";

    fn asked(operator: &Operator, shown: Option<&str>) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        if let Some(shown) = shown {
            headers.insert("authorization", HeaderValue::from_str(shown).unwrap());
        }
        let outcome = operator.admit(&headers, &[]);
        outcome.map_err(|problem| problem.kind().to_owned())
    }

    fn of(file: &str) -> Result<Operator, Unusable> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.key");
        std::fs::write(&path, file).unwrap();
        Operator::read(Some(&path))
    }

    #[test]
    fn whoever_shows_the_key_is_the_operator_and_nobody_else() {
        let operator = of(&format!("{KEY}\n")).unwrap();
        for scheme in ["Bearer", "bearer"] {
            assert_eq!(asked(&operator, Some(&format!("{scheme} {KEY}"))), Ok(()));
        }
        let none = Err("unauthorized".to_owned());
        for shown in [
            None,
            Some(KEY),
            Some("Basic an-operator-key-of-some-length"),
        ] {
            assert_eq!(asked(&operator, shown), none, "{shown:?}");
        }
        let other = Err("forbidden".to_owned());
        for shown in [
            "Bearer ",
            "Bearer an-operator-key-of-some-lengtH",
            "Bearer a",
        ] {
            assert_eq!(asked(&operator, Some(shown)), other, "{shown}");
        }
        assert_eq!(asked(&Operator::read(None).unwrap(), None), Ok(()));
    }

    #[test]
    fn a_key_that_can_be_guessed_is_none() {
        assert!(of(" 123456789012345 \n").is_err());
        assert!(of("1234567890123456").is_ok());
    }

    #[test]
    fn where_everybody_here_is_the_operator_no_page_of_elsewhere_is() {
        let pages = ["https://site.example".to_owned()];
        let asked = |said: &[(&'static str, &'static str)]| {
            let said = said.iter().map(|(name, value)| {
                let name = header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            is_asked_at_home(&said.collect(), &pages)
        };
        for home in ["127.0.0.1:8080", "localhost", "LocalHost:1", "[::1]:8080"] {
            assert!(asked(&[("host", home)]), "{home}");
        }
        for away in [
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.0.2.1:8080",
            "me@evil.example",
            "",
            "a b",
        ] {
            assert!(!asked(&[("host", away)]), "{away}");
        }
        let page = |origin| asked(&[("host", "127.0.0.1:8080"), ("origin", origin)]);
        for home in [
            "http://127.0.0.1:8080",
            "http://localhost:5173",
            "https://site.example",
        ] {
            assert!(page(home), "{home}");
        }
        for away in [
            "https://evil.example",
            "https://site.example:1",
            "null",
            "",
            "file://",
        ] {
            assert!(!page(away), "{away}");
        }
        assert!(asked(&[]), "no browser");
        let mut crossing = HeaderMap::new();
        crossing.insert("origin", HeaderValue::from_static("https://evil.example"));
        let refused = Operator::anybody().admit(&crossing, &[]).unwrap_err();
        assert_eq!(refused.kind(), "unauthorized");
    }
}
