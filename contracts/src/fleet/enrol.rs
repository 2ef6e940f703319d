//! How a node gets its certificate, the first time with a join's secret, later with the one that it has.

use serde::{Deserialize, Serialize};

use super::announce::Announce;
use super::join::JoinSecret;
use super::limits::text;
use super::settings::Settings;
use crate::id::NodeId;

/// The longest request for a certificate, in bytes of PEM.
pub const MAX_CSR: usize = 8 << 10;

/// What a node asks at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// The secret of its join token.
    pub secret: JoinSecret,
    /// A request for a certificate (PKCS #10, RFC 2986) in PEM, for a key of ECDSA on P-256 or Ed25519. Its subject and
    /// what it asks for do not count: the join says who the node is.
    #[serde(deserialize_with = "text::<_, MAX_CSR>")]
    pub csr: String,
    /// What it announces.
    pub announce: Announce,
}

/// What it is answered, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Its name from now on.
    pub name: NodeId,
    /// Its certificate in PEM, the authority's after it.
    #[serde(deserialize_with = "text::<_, MAX_PEM>")]
    pub certificate: String,
    /// The authority's certificate in PEM.
    #[serde(deserialize_with = "text::<_, MAX_PEM>")]
    pub authority: String,
    /// What it works by.
    pub settings: Settings,
}

/// What it asks before its certificate ends, with that certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    /// A request as in [`Enrol`], for the key of the certificate that it shows.
    #[serde(deserialize_with = "text::<_, MAX_CSR>")]
    pub csr: String,
}

/// Its next certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// As in [`Enrolled`].
    #[serde(deserialize_with = "text::<_, MAX_PEM>")]
    pub certificate: String,
}

const MAX_PEM: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_asks_with_its_secret_which_debug_does_not_show() {
        let secret = JoinSecret::from_random([1; 32]);
        let json = serde_json::json!({
            "secret": secret.text(),
            "csr": "-----BEGIN CERTIFICATE REQUEST-----",
            "announce": {"base": "https://edge.isp.example", "later": 1},
            "later": {},
        });
        let enrol: Enrol = serde_json::from_value(json).unwrap();
        assert_eq!(enrol.announce.prefixes, []);
        assert!(!format!("{enrol:?}").contains(&secret.text()));
        let long = serde_json::json!({"csr": "x".repeat(MAX_CSR + 1)});
        assert!(serde_json::from_value::<Renew>(long).is_err());
    }
}
