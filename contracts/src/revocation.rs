//! What is taken back before it expires: a session, a signing key, a path and what lies below it, or a node.

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, SessionId};
use crate::target::is_path;
use crate::time::UnixSeconds;

/// One revocation. It is idempotent: of two for the same thing, the one that lasts longer counts.
///
/// `{"revoke":"session","value":"s1","until":1800003600}`, or `"key"` with a key id, or `"path"` with a path: one
/// that ends in `/` stands for all below it; or `"node"` with a node's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What is revoked.
    #[serde(flatten)]
    pub what: Revoked,
    /// The first second at which it need not be remembered any more: when the last token that it concerns has
    /// expired.
    pub until: UnixSeconds,
}

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "revoke", content = "value", rename_all = "lowercase")]
pub enum Revoked {
    /// Every token of a playback session; of a Common Access Token its id, base64url.
    Session(SessionId),
    /// Every token that a key signed, by the key's id.
    Key(String),
    /// A path, or all below one, whatever the token.
    Path(Subtree),
    /// Every certificate of a node that was dismissed, by its name. It concerns parents, not viewers.
    Node(NodeId),
}

/// A path, or with `/` at the end everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subtree(String);

/// The text is no path of the target grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path of the target grammar, nor one with / at its end")]
pub struct NoSubtree;

impl Subtree {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is outside the target grammar; the root is refused as well, since nobody means it.
    pub fn parse(text: &str) -> Result<Self, NoSubtree> {
        if is_path(text.strip_suffix('/').unwrap_or(text)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoSubtree)
        }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Subtree {
    type Error = NoSubtree;

    fn try_from(text: String) -> Result<Self, NoSubtree> {
        Self::parse(&text)
    }
}

impl From<Subtree> for String {
    fn from(subtree: Subtree) -> Self {
        subtree.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_reads_back_from_its_own_text() {
        for text in [
            r#"{"revoke":"session","value":"s1","until":1800003600}"#,
            r#"{"revoke":"key","value":"k1","until":1800003600}"#,
            r#"{"revoke":"path","value":"/v/abc/","until":1800003600}"#,
            r#"{"revoke":"node","value":"isp-1","until":1800003600}"#,
        ] {
            let revocation: Revocation = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&revocation).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_path_is_not_revoked() {
        for bad in ["", "/", "v", "/v//", "/v/../a", "/v/%61"] {
            assert!(Subtree::parse(bad).is_err(), "{bad}");
        }
        let root = r#"{"revoke":"path","value":"/","until":1}"#;
        assert!(serde_json::from_str::<Revocation>(root).is_err());
    }
}
