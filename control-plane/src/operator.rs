//! The operator key: who may do what not everybody may.

use std::path::Path;

use axum::http::{HeaderMap, header};
use runtime::secret::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::Error;
use crate::problem::Problem;

/// The shortest key that is accepted, in characters.
const SHORTEST: usize = 16;

/// The key's digest, or nothing on a loopback address without one.
#[derive(Clone)]
pub(crate) struct Operator(Option<[u8; 32]>);

impl Operator {
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let key = Secret::read(path, SHORTEST)?;
        Ok(Self(Some(digest(key.as_str()))))
    }

    /// Refuses a request that does not show the key, when there is one.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, key)) = shown else {
            return Err(Problem::unauthorized());
        };
        // Digests are compared, in constant time: neither length nor content of the key shows.
        if digest(key.trim()).ct_eq(wanted).into() {
            Ok(())
        } else {
            Err(Problem::forbidden())
        }
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
