//! Names of things: videos, uploads, sessions, renditions, generations.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

/// A string is not an id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} id: {rule}")]
pub struct IdError {
    kind: &'static str,
    rule: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses the id.
            ///
            /// # Errors
            /// When the text is empty, too long, or holds a character outside the id's alphabet.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() || text.len() > $max || !text.bytes().all(allowed) {
                    return Err(IdError { kind: $kind, rule: $rule });
                }
                Ok(Self(text.to_owned()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

const fn url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

const fn lower_url_safe(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
}

id!(
    /// A film, as it appears in every public URL.
    VideoId, "video", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);
id!(
    /// One upload in progress.
    UploadId, "upload", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);
id!(
    /// One playback session. What stands in its tokens, as the claim `s`, is another id: its [mark](SessionId::mark).
    SessionId, "session", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);
id!(
    /// One rendition of a film: `144p` … `2160p`, `audio-{lang}`, `text-{lang}`.
    RenditionId, "rendition", 16, "1 to 16 of a-z 0-9 _ -", lower_url_safe
);

id!(
    /// One of those who share a house; each has its films. In `Surrogate-Key` the tag `t:{id}`.
    TenantId, "tenant", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

id!(
    /// An edge or a shield, as it calls itself.
    NodeId, "node", 32, "1 to 32 of a-z 0-9 -", |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
);

id!(
    /// A feed of orders. One that begins anew has another.
    FeedId, "feed", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

id!(
    /// Somebody with an account, or somebody whom an outside issuer vouches for.
    UserId, "user", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

id!(
    /// A channel: films that belong together.
    ChannelId, "channel", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

id!(
    /// One login of a user, from the password to the logout.
    LoginId, "login", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

id!(
    /// A key by which a backend calls the API; its name, not its secret.
    ApiKeyId, "API key", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

id!(
    /// One grant: that somebody may watch something for a time.
    GrantId, "grant", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

id!(
    /// A join: that one node may enrol.
    JoinId, "join", 64, "1 to 64 of A-Z a-z 0-9 _ -", url_safe
);

macro_rules! drawn {
    ($($name:ident),+) => {$(
        impl $name {
            /// The id of 128 random bits: always 22 letters and digits, so that it survives a double
            /// click, a command line and a file name.
            #[must_use]
            pub fn from_random(bits: [u8; 16]) -> Self {
                Self(base62(bits))
            }
        }
    )+};
}

drawn!(
    VideoId, UploadId, SessionId, UserId, ChannelId, LoginId, ApiKeyId, GrantId, FeedId, JoinId
);

impl SessionId {
    /// What is told of a session to whom it does not belong: in the tokens of its addresses, in orders to edges, to
    /// vendors, in logs. Whoever knows the id acts for the player; from this it is not found.
    #[must_use]
    pub fn mark(&self) -> Self {
        Self(marked(&self.0))
    }
}

/// Whether a text looks as ids do that are drawn here.
pub(crate) fn is_drawn(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The mark of a text that may be the id of a session.
pub(crate) fn marked(text: &str) -> String {
    let digest = Sha256::digest(format!("millrace session\n{text}"));
    let mut half = [0; 16];
    half.iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    base62(half)
}

/// How many digits 128 bits have in base 62.
const DIGITS: usize = 22;

fn base62(bits: [u8; 16]) -> String {
    let mut rest = u128::from_be_bytes(bits);
    (0..DIGITS)
        .map(|_| {
            let digit = u8::try_from(rest % 62).unwrap_or_default();
            rest /= 62;
            char::from(match digit {
                0..=9 => b'0' + digit,
                10..=35 => b'a' + digit - 10,
                _ => b'A' + digit - 36,
            })
        })
        .collect()
}

/// Which encode of a film: a re-encode is a new generation, so that no cache mixes the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_url_safe_and_bounded() {
        assert!(VideoId::parse("aZ0_-").is_ok());
        for bad in ["", ".", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(VideoId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RenditionId::parse("audio-und").is_ok());
        assert!(RenditionId::parse("1080P").is_err());
    }

    #[test]
    fn drawn_ids_keep_every_bit_and_parse() {
        let low = VideoId::from_random([0; 16]);
        let high = VideoId::from_random([0xff; 16]);
        assert_eq!(low.as_str(), "0".repeat(22));
        assert_eq!(
            high.as_str(),
            "7N42dgm5tFLK9N8MT7fHC7".chars().rev().collect::<String>()
        );
        for bit in 0..128_u32 {
            let drawn = SessionId::from_random((1_u128 << bit).to_be_bytes());
            assert_eq!(SessionId::parse(drawn.as_str()).as_ref(), Ok(&drawn));
            assert_ne!(drawn.as_str(), low.as_str());
        }
    }

    #[test]
    fn the_mark_of_a_session_is_always_the_same_and_tells_nothing_of_it() {
        let of = |id: &str| SessionId::parse(id).unwrap().mark();
        assert_eq!(of("s1"), of("s1"));
        assert_ne!(of("s1"), of("s2"));
        // `printf 'millrace session\ns1' | sha256sum`, the first half of it in base 62, last digit first.
        assert_eq!(of("s1").as_str(), "Vp0TNattx2YM2dC7p9pOf1");
        assert_ne!(of("s1").mark(), of("s1"));
    }

    #[test]
    fn an_id_in_json_is_parsed_not_trusted() {
        assert!(serde_json::from_str::<VideoId>("\"../x\"").is_err());
        assert_eq!(
            serde_json::from_str::<VideoId>("\"v1\"").ok(),
            VideoId::parse("v1").ok()
        );
    }
}
