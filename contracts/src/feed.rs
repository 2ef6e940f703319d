//! The feed: numbered orders to purge and to revoke, which every edge and shield follows.
//!
//! A node asks `GET {feed}?after={seq}&wait={seconds}`, says who it is ([`crate::fleet::Question`]), and shows its hop
//! credential. The answer is a [`Page`]: the orders after that number, oldest first, as many as the server likes; an
//! empty one may be held back for as long as the node is willing to wait. Orders are idempotent: one that comes again
//! changes nothing.
//!
//! What a server promises:
//! - Numbers rise, and need not follow one another. An order that was given once is given again, with its number, to
//!   whoever asks for what follows a lower one.
//! - It has an id. Where it cannot promise that any more, because it is new, or was restored from what may lack orders
//!   that it has given, it draws another id, and with it a beginning: the present Unix time in milliseconds, which is
//!   beyond every number that was given before. What it orders from then on is numbered above that.
//! - Who asks for what follows a number of which it has not all later orders, one below its beginning first of all,
//!   gets a [`Gap`] with all revocations that have not ended.
//! - [`Page::head`] is never less than the beginning.
//!
//! A node that sees another id than before takes everything for purged up to where the answer leads; one whose newest
//! order is beyond `head` takes the feed for lost, and one that finds an object with a number beyond its newest order
//! does not serve it.
//!
//! An order of an unknown kind is passed over, so that the feed may learn new ones before its nodes do; a purge whose
//! scope is unknown is taken for a purge of everything, because too much is purged safely and too little is not.

use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{FeedId, TenantId};
use crate::revocation::Revocation;

/// Orders of a feed after the number that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Which feed it is; none that does not say so is told from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedId>,
    /// The number of the feed's newest order; zero when it has none.
    pub head: u64,
    /// What the feed cannot tell one by one any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Orders by rising number, none above `head`.
    #[serde(default)]
    pub entries: Vec<Entry>,
}

/// All that was ordered up to a number, summed up. Which objects were purged is not known: everything was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last number that is summed up.
    pub through: u64,
    /// The revocations among them that have not ended.
    #[serde(default)]
    pub revocations: Vec<Revocation>,
}

/// One order with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// What is to be done.
    #[serde(flatten)]
    pub order: Order,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Order {
    /// Cached objects are to be forgotten.
    Purge(Purge),
    /// Something that was granted is taken back.
    Revoke(Revocation),
    /// A purge that this version cannot read.
    #[serde(skip)]
    UnknownPurge,
    /// An order that this version cannot read.
    #[serde(skip)]
    Unknown,
}

/// `{"purge":"tag","value":"a:film","mode":"hard"}`; `all` has no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Which objects.
    #[serde(flatten)]
    pub scope: Scope,
    /// What becomes of them.
    #[serde(default)]
    pub mode: Mode,
    /// On whose behalf. Who says so promises that no object which this concerns bears another tenant's tag: each bears
    /// `t:{tenant}`, or no tag that begins with `t:`. A node that runs short of memory then purges what is this
    /// tenant's, and not everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
}

/// Which objects a purge concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "purge", content = "value", rename_all = "lowercase")]
pub enum Scope {
    /// What is at a path, with any query; or, written with a query, with that one. In front of a site, `//host/path`.
    Url(Text),
    /// What is below a path that ends in `/`.
    Prefix(Folder),
    /// What bears a tag in `Surrogate-Key`.
    Tag(Text),
    /// Everything.
    All,
}

/// What becomes of purged objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are never served again.
    #[default]
    Hard,
    /// They are stale, and served as far as stale objects are.
    Soft,
}

/// 1 to [`MAX_TEXT`] bytes of printable ASCII without spaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

/// A [`Text`] that begins and ends with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Folder(String);

/// Why a purge's value or a page is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Not a [`Text`].
    #[error("must be 1 to 1024 printable ASCII characters without spaces")]
    Text,
    /// Not a [`Folder`].
    #[error("must begin and end with /")]
    Folder,
    /// Not a page.
    #[error("not a page of the feed")]
    Page,
    /// A page whose numbers contradict each other.
    #[error("the numbers of the page are out of order")]
    Order,
    /// More than [`MAX_ENTRIES`] orders.
    #[error("more orders than a page may hold")]
    Long,
}

/// The longest value of a purge, in bytes.
pub const MAX_TEXT: usize = 1024;

/// The most orders that a page holds, and the most revocations that sum up a gap.
pub const MAX_ENTRIES: usize = 10_000;

/// The longest page in bytes.
pub const MAX_PAGE: usize = 4 << 20;

impl Page {
    /// Reads a page that answers to `after`.
    ///
    /// # Errors
    /// When it is no page, too long, or out of order.
    pub fn parse(json: &[u8], after: u64) -> Result<Self, FeedError> {
        if json.len() > MAX_PAGE {
            return Err(FeedError::Long);
        }
        let page: Self = serde_json::from_slice(json).map_err(|_| FeedError::Page)?;
        let summed = page.gap.as_ref().map_or(0, |gap| gap.revocations.len());
        if page.entries.len().max(summed) > MAX_ENTRIES {
            return Err(FeedError::Long);
        }
        let mut last = page.gap.as_ref().map_or(after, |gap| gap.through);
        let begin = last;
        for entry in &page.entries {
            if entry.seq <= last {
                return Err(FeedError::Order);
            }
            last = entry.seq;
        }
        let fits = begin >= after && page.head <= MAX_SEQ;
        let within = last <= page.head || (page.entries.is_empty() && page.gap.is_none());
        (fits && within).then_some(page).ok_or(FeedError::Order)
    }

    /// The number that a node has applied once it has done what the page says.
    #[must_use]
    pub fn through(&self, after: u64) -> u64 {
        let summed = self.gap.as_ref().map_or(after, |gap| gap.through);
        self.entries.last().map_or(summed, |entry| entry.seq)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            seq: u64,
            #[serde(flatten)]
            rest: serde_json::Map<String, serde_json::Value>,
        }
        let Wire { seq, rest } = Wire::deserialize(deserializer)?;
        let is_purge = rest.contains_key("purge");
        let rest = serde_json::Value::Object(rest);
        let order = if is_purge {
            serde_json::from_value(rest).map_or(Order::UnknownPurge, Order::Purge)
        } else {
            serde_json::from_value(rest).map_or(Order::Unknown, Order::Revoke)
        };
        Ok(Self { seq, order })
    }
}

impl Text {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is empty, too long or holds anything but printable ASCII.
    pub fn parse(text: &str) -> Result<Self, FeedError> {
        let fits = (1..=MAX_TEXT).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .then(|| Self(text.to_owned()))
            .ok_or(FeedError::Text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Folder {
    /// Reads a folder.
    ///
    /// # Errors
    /// When it is no [`Text`], or does not begin and end with `/`.
    pub fn parse(text: &str) -> Result<Self, FeedError> {
        Text::parse(text)?;
        let is_folder = text.starts_with('/') && text.ends_with('/');
        is_folder
            .then(|| Self(text.to_owned()))
            .ok_or(FeedError::Folder)
    }

    /// The folder.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Text {
    type Error = FeedError;

    fn try_from(text: String) -> Result<Self, FeedError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Folder {
    type Error = FeedError;

    fn try_from(text: String) -> Result<Self, FeedError> {
        Self::parse(&text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<Folder> for String {
    fn from(folder: Folder) -> Self {
        folder.0
    }
}

/// The largest number that every reader of JSON can hold.
pub const MAX_SEQ: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str, after: u64) -> Result<Page, FeedError> {
        Page::parse(text.as_bytes(), after)
    }

    #[test]
    fn a_page_reads_back_from_its_own_text() {
        let text = concat!(
            r#"{"feed":"f1","head":9,"gap":{"through":4,"revocations":[{"revoke":"key","value":"k1","until":7}]},"#,
            r#""entries":[{"seq":5,"purge":"url","value":"/v/a/x","mode":"soft"},"#,
            r#"{"seq":6,"purge":"prefix","value":"/v/a/","mode":"hard"},"#,
            r#"{"seq":7,"purge":"tag","value":"a:a","mode":"hard","tenant":"x"},"#,
            r#"{"seq":8,"purge":"all","mode":"hard"},"#,
            r#"{"seq":9,"revoke":"session","value":"s1","until":1800003600}]}"#
        );
        let read = page(text, 2).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(read.through(2), 9);
    }

    #[test]
    fn a_purge_without_a_mode_is_hard() {
        let read = page(r#"{"head":1,"entries":[{"seq":1,"purge":"all"}]}"#, 0).unwrap();
        let purge = Purge {
            scope: Scope::All,
            mode: Mode::Hard,
            tenant: None,
        };
        assert_eq!(read.entries[0].order, Order::Purge(purge));
    }

    #[test]
    fn an_unknown_order_is_told_from_a_purge_that_cannot_be_read() {
        let text = r#"{"head":4,"news":1,"entries":[{"seq":1,"warm":"/v/"},
            {"seq":2,"purge":"country","value":"XX"},{"seq":3,"purge":"prefix","value":"no-folder"},
            {"seq":4,"purge":"tag","value":"a:a","tenant":"no id"}]}"#;
        let read = page(text, 0).unwrap();
        let orders: Vec<Order> = read.entries.into_iter().map(|entry| entry.order).collect();
        assert_eq!(
            orders,
            [
                Order::Unknown,
                Order::UnknownPurge,
                Order::UnknownPurge,
                Order::UnknownPurge
            ]
        );
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        for (text, after) in [
            (r#"{"head":5,"entries":[{"seq":3,"purge":"all"}]}"#, 3),
            (r#"{"head":2,"entries":[{"seq":3,"purge":"all"}]}"#, 0),
            (r#"{"head":5,"gap":{"through":2}}"#, 3),
            (r#"{"head":5,"gap":{"through":6}}"#, 3),
            (r#"{"head":9007199254740992}"#, 0),
            (
                r#"{"head":5,"entries":[{"seq":3,"purge":"all"},{"seq":3,"purge":"all"}]}"#,
                0,
            ),
        ] {
            assert_eq!(page(text, after), Err(FeedError::Order), "{text}");
        }
        // Whether a head behind the node is a fault is the node's to say.
        assert_eq!(page(r#"{"head":2}"#, 3).unwrap().through(3), 3);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"head":-1}"#,
            r#"{"head":1,"entries":[{}]}"#,
            r#"{"feed":"no id","head":1}"#,
        ] {
            assert_eq!(page(text, 0), Err(FeedError::Page), "{text}");
        }
        let long = vec![b' '; MAX_PAGE + 1];
        assert_eq!(Page::parse(&long, 0), Err(FeedError::Long));
    }

    #[test]
    fn a_value_is_short_and_plain() {
        for bad in ["", "a b", "a\n", "\u{e9}", &"x".repeat(MAX_TEXT + 1)] {
            assert_eq!(Text::parse(bad), Err(FeedError::Text), "{bad}");
        }
        for bad in ["/v/a", "v/"] {
            assert_eq!(Folder::parse(bad), Err(FeedError::Folder), "{bad}");
        }
    }
}
