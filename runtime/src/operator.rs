//! The operator key: who may do what not everybody may.

use std::path::Path;

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
    /// there is one.
    ///
    /// # Errors
    /// [`Problem::unauthorized`] without a key, [`Problem::forbidden`] with another.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.is_anybody() {
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
        let outcome = operator.admit(&headers);
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
}
