//! The join token: what whoever sets a node up is handed, once.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::announce::Origin;

/// Where a node enrols, by whom it is met there, and the secret that it shows.
///
/// As text `mrj1.` and, in base64url without padding (RFC 4648 §5), the JSON
/// `{"u": "https://control.example:7300", "a": "<64 hexadecimal digits>", "s": "<43 characters>"}`; 1 KiB at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The control plane's listener for nodes; over TLS.
    pub url: Origin,
    /// The SHA-256 of the certificate, in DER, of the authority that the listener's certificate is of. The listener's
    /// chain carries it.
    pub authority: [u8; 32],
    /// The secret.
    pub secret: JoinSecret,
}

/// 32 random bytes that let one node enrol. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret([u8; 32]);

/// The text is no join token. What is wrong with it is not said further: it holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: mrj1. and what follows, as `millrace invite` wrote it")]
pub struct NoJoinToken;

#[derive(Serialize, Deserialize)]
struct Wire {
    u: Origin,
    a: String,
    s: JoinSecret,
}

impl JoinToken {
    /// Reads a token; white space around it does not count.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NoJoinToken> {
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or(NoJoinToken)?;
        if text.len() > MAX {
            return Err(NoJoinToken);
        }
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| NoJoinToken)?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| NoJoinToken)?;
        let mut authority = [0; 32];
        hex::decode_to_slice(&wire.a, &mut authority).map_err(|_| NoJoinToken)?;
        if !wire.u.is_secure() {
            return Err(NoJoinToken);
        }
        Ok(Self {
            url: wire.u,
            authority,
            secret: wire.s,
        })
    }

    /// The token as text.
    #[must_use]
    pub fn text(&self) -> String {
        let wire = Wire {
            u: self.url.clone(),
            a: hex::encode(self.authority),
            s: self.secret.clone(),
        };
        // Texts under names that are fixed: there is nothing that could fail.
        let json = serde_json::to_vec(&wire).unwrap_or_default();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl JoinSecret {
    /// The secret of random bytes.
    #[must_use]
    pub const fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads a secret: 43 characters of base64url.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NoJoinToken> {
        let mut bytes = [0; 32];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
        (read == Ok(32)).then_some(Self(bytes)).ok_or(NoJoinToken)
    }

    /// The secret as text.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret")
    }
}

impl Serialize for JoinSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for JoinSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

const PREFIX: &str = "mrj1.";
/// The longest text, in bytes.
const MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            url: Origin::parse("https://control.example:7300").unwrap(),
            authority: [7; 32],
            secret: JoinSecret::from_random([9; 32]),
        }
    }

    fn text(json: &str) -> String {
        format!("mrj1.{}", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn a_token_reads_back_from_its_own_text_with_blanks_around_it() {
        let text = token().text();
        assert!(text.len() < 300, "{}", text.len());
        assert_eq!(JoinToken::parse(&format!(" {text}\n")), Ok(token()));
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_secret() {
        let secret = token().secret.text();
        assert!(!format!("{:?}", token()).contains(&secret));
        let broken = token().text().replace("mrj1", "mrj2");
        let said = JoinToken::parse(&broken).unwrap_err().to_string();
        assert!(!said.contains(&broken[5..]), "{said}");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let (a, s) = ("07".repeat(32), token().secret.text());
        let whole =
            |u: &str, a: &str, s: &str| text(&format!(r#"{{"u":"{u}","a":"{a}","s":"{s}"}}"#));
        assert!(JoinToken::parse(&whole("https://c", &a, &s)).is_ok());
        for bad in [
            String::new(),
            "mrj1.".to_owned(),
            "mrj1.!".to_owned(),
            text("{}"),
            whole("http://c", &a, &s),
            whole("https://c/path", &a, &s),
            whole("https://c", &a[2..], &s),
            whole("https://c", &a, &s[1..]),
            whole("https://c", &a, &format!("{s}AA")),
            format!("mrj1.{}", "A".repeat(1024)),
        ] {
            assert_eq!(JoinToken::parse(&bad), Err(NoJoinToken), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(json: String) {
            for text in [json.clone(), text(&json)] {
                if let Ok(token) = JoinToken::parse(&text) {
                    prop_assert_eq!(JoinToken::parse(&token.text()), Ok(token));
                }
            }
        }
    }
}
