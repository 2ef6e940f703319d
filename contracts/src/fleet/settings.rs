//! What a node works by, as the control plane wishes it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::announce::Origin;
use super::limits::{list, text};

/// The longest settings as JSON, in bytes.
pub const MAX_SETTINGS: usize = 1 << 20;

/// What a node works by. `Debug` does not show the keyring.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The digest of the rest: what has the same version is the same.
    #[serde(deserialize_with = "text::<_, 64>")]
    pub version: String,
    /// The control plane's listener for nodes: what paths of [`crate::fleet`] are below.
    pub control: Origin,
    /// Its parents, in no order.
    #[serde(deserialize_with = "list::<_, _, MAX_BASES>")]
    pub parents: Vec<Origin>,
    /// The authorities, in PEM, of `https` parents' certificates; empty: the system's.
    #[serde(default, deserialize_with = "text::<_, MAX_TRUST>")]
    pub parents_trust: String,
    /// What is a part of every cache key.
    #[serde(deserialize_with = "text::<_, 64>")]
    pub zone: String,
    /// A keyring in JSON that holds no key with which one could mint.
    #[serde(deserialize_with = "text::<_, MAX_KEYRING>")]
    pub keyring: String,
    /// Edges where a viewer may go instead, the best first.
    #[serde(default, deserialize_with = "list::<_, _, MAX_BASES>")]
    pub fallbacks: Vec<Origin>,
    /// Whether films that are public may be fetched without a token.
    #[serde(default)]
    pub public_without_token: bool,
}

impl Settings {
    /// The same with the version that is its own.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.version.clear();
        let json = serde_json::to_vec(&self).unwrap_or_default();
        self.version = hex::encode(Sha256::digest(json));
        self
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("version", &self.version)
            .field("control", &self.control)
            .field("parents", &self.parents)
            .field("zone", &self.zone)
            .field("fallbacks", &self.fallbacks)
            .field("public_without_token", &self.public_without_token)
            .finish_non_exhaustive()
    }
}

const MAX_BASES: usize = 64;
const MAX_KEYRING: usize = 256 << 10;
const MAX_TRUST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            version: String::new(),
            control: Origin::parse("https://control.example:7300").unwrap(),
            parents: vec![Origin::parse("https://shield.example").unwrap()],
            parents_trust: String::new(),
            zone: "millrace".to_owned(),
            keyring: r#"{"keyring":[]}"#.to_owned(),
            fallbacks: Vec::new(),
            public_without_token: false,
        }
    }

    #[test]
    fn settings_have_the_version_of_what_they_say() {
        let one = settings().sealed();
        assert_eq!(one, one.clone().sealed());
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), one);
        let other = Settings {
            public_without_token: true,
            ..settings()
        };
        assert_ne!(other.sealed().version, one.version);
    }

    #[test]
    fn settings_without_end_are_refused() {
        let mut json = serde_json::to_value(settings()).unwrap();
        json["fallbacks"] = vec!["https://edge.example"; 65].into();
        assert!(serde_json::from_value::<Settings>(json).is_err());
    }
}
