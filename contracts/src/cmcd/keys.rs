//! The keys, and what kind of value each has.
//!
//! A list key of version 2 has a single value in version 1, and from players that never learnt otherwise: both are
//! taken for either version.

use super::read::Value;

/// What a key's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number.
    Number,
    /// Numbers, each with the type of object that it is of.
    Numbers,
    /// Said or not said.
    Flag,
    /// A text of at most so many bytes.
    Text(usize),
    /// Texts, each of at most so many bytes.
    Texts(usize),
    /// A word of a closed set, which may grow.
    Word,
    /// Of the players' own making: anything.
    Own,
}

impl Kind {
    /// The kind of a key; `None` for one that is neither known nor of the players' own making (those have a hyphen,
    /// CTA-5004-A §3.2).
    pub(super) fn of(key: &str) -> Option<Self> {
        // As bytes, for of those the compiler makes a tree of decisions.
        Some(match key.as_bytes() {
            b"ab" | b"bl" | b"br" | b"bsa" | b"bsd" | b"bsda" | b"lab" | b"lb" | b"mtp" | b"pb"
            | b"tab" | b"tb" | b"tbl" | b"tpb" => Self::Numbers,
            b"d" | b"dfa" | b"dl" | b"ltc" | b"msd" | b"pr" | b"pt" | b"rc" | b"rtp" | b"sn"
            | b"ts" | b"ttfb" | b"ttfbb" | b"ttlb" | b"v" => Self::Number,
            b"bg" | b"bs" | b"nr" | b"su" => Self::Flag,
            b"e" | b"ot" | b"sf" | b"st" | b"sta" => Self::Word,
            b"cen" | b"nrr" | b"sid" => Self::Text(64),
            b"cdn" | b"cid" | b"h" => Self::Text(128),
            b"cmsdd" | b"cmsds" | b"cs" | b"smrt" | b"url" => Self::Text(512),
            b"ec" => Self::Texts(64),
            b"nor" => Self::Texts(512),
            _ if is_own(key) => Self::Own,
            _ => return None,
        })
    }

    /// Whether there may be several values.
    pub(super) const fn has_list(self) -> bool {
        matches!(self, Self::Numbers | Self::Texts(_))
    }

    /// The value, if it is of this kind; what a player wrote in another's dress is put into its own.
    pub(super) fn take(self, value: Value<'_>) -> Option<Value<'_>> {
        let fits = match (self, value) {
            (Self::Flag, Value::Word("true")) => return Some(Value::Flag(true)),
            (Self::Flag, Value::Word("false")) => return Some(Value::Flag(false)),
            (Self::Text(most), Value::Text(text) | Value::Word(text)) => {
                return is_fit(text, most).then_some(Value::Text(text));
            }
            (Self::Word, Value::Text(word) | Value::Word(word)) => {
                return is_word(word).then_some(Value::Word(word));
            }
            (Self::Flag, Value::Flag(_)) => true,
            (Self::Number | Self::Numbers, Value::Number(_)) => true,
            (Self::Texts(most), Value::Text(text)) => is_fit(text, most),
            (Self::Own, Value::Text(text) | Value::Word(text)) => is_fit(text, MOST_OWN),
            (Self::Own, Value::Number(_) | Value::Flag(_)) => true,
            (Self::Numbers | Self::Texts(_) | Self::Own, Value::List(_)) => {
                let mut members = value.members();
                members.by_ref().take(MOST_MEMBERS).all(|member| {
                    member.is_some_and(|member| match member.value {
                        Value::List(_) => false,
                        value => self.take(value).is_some(),
                    })
                }) && members.next().is_none()
            }
            _ => false,
        };
        fits.then_some(value)
    }
}

fn is_own(key: &str) -> bool {
    key.len() <= MOST_OWN && key.contains('-')
}

fn is_word(text: &str) -> bool {
    text.len() <= MOST_WORD && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text is short enough, and cannot bear a token or a query, also when it is decoded once more.
fn is_fit(text: &str, most: usize) -> bool {
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let bears = match byte {
            b'~' | b'?' | b'#' => true,
            b'%' => matches!(
                after,
                [b'7', b'e' | b'E', ..] | [b'3', b'f' | b'F', ..] | [b'2', b'3' | b'5', ..]
            ),
            _ => false,
        };
        if bears {
            return false;
        }
        rest = after;
    }
    text.len() <= most
}

/// Members of a list.
const MOST_MEMBERS: usize = 16;
/// Bytes of a word; of the known ones none has more than three.
const MOST_WORD: usize = 8;
/// Bytes of a key, and of a text, of the players' own making: no token is that short.
const MOST_OWN: usize = 64;
