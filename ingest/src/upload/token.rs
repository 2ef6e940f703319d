//! The token of an upload: what is handed to whoever sends one film, and may do nothing else.

use std::fmt;

use store::Digest;

/// The secret that opens one upload. Only its digest is kept. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// The token of random bits.
    pub(crate) fn from_random(bits: [u8; 32]) -> Self {
        Self(format!("{MARK}{}", hex::encode(bits)))
    }

    /// Reads what was shown; `None` for credentials of other kinds.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(MARK)?;
        let drawn = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        drawn.then(|| Self(text.to_owned()))
    }

    /// What is kept of it: of 256 random bits, it need not be compared in constant time.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What tells it from other credentials.
const MARK: &str = "mup_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_drawn_and_is_not_shown_by_oversight() {
        let token = Token::from_random([0xa5; 32]);
        assert_eq!(Token::parse(token.as_str()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "Token");
        let other = Token::from_random([0xa4; 32]);
        assert_ne!(token.digest(), other.digest());
        let long = format!("{}0", token.as_str());
        let key = token.as_str().replace("mup_", "mk_");
        for none in ["", "mup_", &token.as_str()[..67], &long, &key] {
            assert_eq!(Token::parse(none), None, "{none}");
        }
    }
}
