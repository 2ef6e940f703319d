//! Where a catalogue is: an address whose secrets stay out of sight.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The address of a catalogue as configured: `sqlite:///absolute/path` or
/// `postgres://user@host/database`. It may hold a password, hence what is shown of it does not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// The address as configured, secrets included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Address {
    fn from(address: String) -> Self {
        Self(address)
    }
}

impl From<&str> for Address {
    fn from(address: &str) -> Self {
        Self(address.to_owned())
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Without what may be a secret: what stands before `@`, up to the user's name, and after `?`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", shown(&self.0))
    }
}

/// What may be shown of an address, however wrong it is.
pub(crate) fn shown(address: &str) -> String {
    // A password may hold any character, `/` and `?` by mistake too: the last `@` ends it.
    let Some((before, after)) = address.rsplit_once('@') else {
        return match address.split_once('?') {
            Some((kept, _)) => format!("{kept}?…"),
            None => address.to_owned(),
        };
    };
    let (scheme, user) = before.split_once("://").unwrap_or(("", before));
    let user = user.split(':').next().unwrap_or_default();
    let rest = after.split('?').next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{user}:…@{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_neither_its_password_nor_its_options() {
        for (address, expected) in [
            (
                "sqlite:///var/lib/catalog.db",
                "sqlite:///var/lib/catalog.db",
            ),
            ("postgres://db/millrace", "postgres://db/millrace"),
            (
                "postgres://me:s3cret@db:5432/millrace?sslkey=s3cret",
                "postgres://me:…@db:5432/millrace",
            ),
            ("postgres://me:s3cret@s3cret/?@db/x", "postgres://me:…@db/x"),
            (
                "postgres://db/millrace?password=s3cret",
                "postgres://db/millrace?…",
            ),
            ("me:s3cret@db", "me:…@db"),
        ] {
            let address = Address::from(address);
            assert_eq!(address.to_string(), expected);
            assert_eq!(format!("{address:?}"), format!("{expected:?}"));
        }
    }
}
