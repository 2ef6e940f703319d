//! What was purged, as numbers: of each key the newest order that concerns it.

mod fold;

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::SystemTime;

use contracts::feed::{Folder, Mode, Purge, Scope, Text};
use contracts::id::TenantId;

use super::canonical;

/// Every purge that a node knows, in bounded memory.
///
/// An object with the number `fill_seq` was fetched after all orders up to that one; it is usable while none of its
/// keys bears a later one. Keys that do not fit any more are folded into wider ones: those of a folder or a tenant
/// into one that stands for it, and where that is not enough, the oldest into the one that stands for everything. Too
/// much is purged then, and never too little.
///
/// Nothing leaves by its age: an object that only waits to be validated may be stored for longer than any lifetime, and
/// a parent that is behind may give what is older still.
#[derive(Debug)]
pub struct Table {
    urls: Keys,
    prefixes: Keys,
    tags: Keys,
    all: Marks,
    /// Of objects that bear no tenant's tag.
    untagged: Marks,
    newest: u64,
    used: usize,
    limit: usize,
    folds: u64,
    merges: u64,
}

type Keys = HashMap<Box<str>, Held>;

/// What is known of a key.
#[derive(Clone, Debug)]
struct Held {
    marks: Marks,
    /// On whose behalf alone it was purged.
    tenant: Option<TenantId>,
}

/// What was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Which objects.
    pub scope: Scope,
    /// On whose behalf alone.
    pub tenant: Option<TenantId>,
    /// By which orders.
    pub marks: Marks,
}

/// The newest orders that concern a key; zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The newest hard one.
    pub hard: u64,
    /// The newest soft one.
    pub soft: u64,
    /// When the soft one came.
    pub soft_at: Option<SystemTime>,
}

/// What purges make of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None concerns it.
    Usable,
    /// It is stale since then.
    Stale(Option<SystemTime>),
    /// It is not served any more.
    Gone,
}

/// What purges go by.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The path with its query; in front of a site `//host/path?query`, evened out as purges are.
    pub address: &'a str,
    /// Tags, separated by spaces.
    pub tags: &'a str,
}

impl Table {
    /// A table that takes at most `limit` bytes, as it reckons them.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            urls: HashMap::new(),
            prefixes: HashMap::new(),
            tags: HashMap::new(),
            all: Marks::default(),
            untagged: Marks::default(),
            newest: 0,
            used: 0,
            limit,
            folds: 0,
            merges: 0,
        }
    }

    /// Takes note of a purge. One that is known changes nothing.
    pub fn note(&mut self, purged: &Purged) {
        self.newest = self.newest.max(purged.marks.newest());
        if purged.scope == Scope::All {
            self.all.raise(purged.marks);
            self.forget_what_all_covers();
            return;
        }
        self.hold(&purged.scope, purged.tenant.as_ref(), purged.marks);
        if self.used > self.limit {
            self.fold();
        }
    }

    /// Takes note of what concerns all objects that bear no tenant's tag.
    pub fn note_untagged(&mut self, marks: Marks) {
        self.newest = self.newest.max(marks.newest());
        self.untagged.raise(marks);
    }

    fn hold(&mut self, scope: &Scope, tenant: Option<&TenantId>, marks: Marks) {
        let (of_kind, key) = match scope {
            Scope::Url(url) => (&mut self.urls, url.as_str()),
            Scope::Prefix(folder) => (&mut self.prefixes, folder.as_str()),
            Scope::Tag(tag) => (&mut self.tags, tag.as_str()),
            Scope::All => return self.all.raise(marks),
        };
        // Tags are not addresses.
        let key = match scope {
            Scope::Tag(_) => Cow::Borrowed(key),
            _ => canonical(key),
        };
        let key = &*key;
        let tenant = tenant.cloned();
        let held = Held { marks, tenant };
        if let Some(known) = of_kind.get_mut(key) {
            return known.join(&held);
        }
        of_kind.insert(key.into(), held);
        self.used += cost(key);
    }

    /// What purges make of an object that was fetched after all orders up to `fill_seq`.
    #[must_use]
    pub fn judge(&self, subject: Subject<'_>, fill_seq: u64) -> Verdict {
        if self.newest <= fill_seq {
            return Verdict::Usable;
        }
        let marks = self.marks(subject);
        if marks.hard > fill_seq {
            Verdict::Gone
        } else if marks.soft > fill_seq {
            Verdict::Stale(marks.soft_at)
        } else {
            Verdict::Usable
        }
    }

    /// The newest orders that concern an object.
    #[must_use]
    pub fn marks(&self, subject: Subject<'_>) -> Marks {
        let mut marks = self.all;
        let mut look = |of_kind: &Keys, key: &str| {
            #[cfg(test)]
            tests::LOOKS.set(tests::LOOKS.get() + 1);
            if let Some(found) = of_kind.get(key) {
                marks.raise(found.marks);
            }
        };
        let address = subject.address;
        let path = address.split_once('?').map_or(address, |(path, _)| path);
        if !self.urls.is_empty() {
            look(&self.urls, address);
            look(&self.urls, path);
        }
        if !self.prefixes.is_empty() {
            let slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
            for folder in slashes.filter_map(|(at, _)| path.get(..=at)) {
                look(&self.prefixes, folder);
            }
        }
        if !self.tags.is_empty() {
            for tag in subject.tags.split_ascii_whitespace() {
                look(&self.tags, tag);
            }
        }
        if !self.untagged.is_none() {
            let mut tags = subject.tags.split_ascii_whitespace();
            if !tags.any(|tag| tag.starts_with(TENANT)) {
                marks.raise(self.untagged);
            }
        }
        marks
    }

    /// Everything that the table holds, but for [`Self::untagged`].
    pub fn entries(&self) -> impl Iterator<Item = Purged> {
        let all = Purged::everything(self.all);
        let all = (!self.all.is_none()).then_some(all);
        let keys = self.keys().filter_map(|(kind, key, held)| {
            Some(Purged {
                scope: kind.scope(key)?,
                tenant: held.tenant.clone(),
                marks: held.marks,
            })
        });
        all.into_iter().chain(keys)
    }

    /// What concerns all objects that bear no tenant's tag.
    #[must_use]
    pub fn untagged(&self) -> Option<Marks> {
        (!self.untagged.is_none()).then_some(self.untagged)
    }

    fn keys(&self) -> impl Iterator<Item = (Kind, &str, &Held)> {
        let kinds = [
            (Kind::Url, &self.urls),
            (Kind::Prefix, &self.prefixes),
            (Kind::Tag, &self.tags),
        ];
        kinds.into_iter().flat_map(|(kind, of_kind)| {
            let held = of_kind.iter();
            held.map(move |(key, held)| (kind, &**key, held))
        })
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.urls.len() + self.prefixes.len() + self.tags.len()
    }

    /// Whether it holds no key; everything may have been purged all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often keys were folded into everything because they did not fit.
    #[must_use]
    pub const fn folds(&self) -> u64 {
        self.folds
    }

    /// How often keys were folded into their folder or their tenant.
    #[must_use]
    pub const fn merges(&self) -> u64 {
        self.merges
    }
}

/// What a key of the table names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Url,
    Prefix,
    Tag,
}

impl Kind {
    /// What a key stands for; it was a scope's value before, or the beginning of one, so it is one.
    fn scope(self, key: &str) -> Option<Scope> {
        Some(match self {
            Self::Url => Scope::Url(Text::parse(key).ok()?),
            Self::Prefix => Scope::Prefix(Folder::parse(key).ok()?),
            Self::Tag => Scope::Tag(Text::parse(key).ok()?),
        })
    }
}

impl Held {
    /// Takes note of more that is known of the key.
    fn join(&mut self, more: &Self) {
        self.marks.raise(more.marks);
        if self.tenant != more.tenant {
            self.tenant = None;
        }
    }
}

impl Purged {
    /// What an order says.
    #[must_use]
    pub fn by(purge: Purge, seq: u64, at: SystemTime) -> Self {
        let mut marks = Marks::default();
        match purge.mode {
            Mode::Hard => marks.hard = seq,
            Mode::Soft => (marks.soft, marks.soft_at) = (seq, Some(at)),
        }
        Self {
            scope: purge.scope,
            tenant: purge.tenant,
            marks,
        }
    }

    /// Everything was purged.
    #[must_use]
    pub const fn everything(marks: Marks) -> Self {
        Self {
            scope: Scope::All,
            tenant: None,
            marks,
        }
    }
}

impl Marks {
    /// A hard purge.
    #[must_use]
    pub const fn hard(seq: u64) -> Self {
        Self {
            hard: seq,
            soft: 0,
            soft_at: None,
        }
    }

    /// The newest of them.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.hard.max(self.soft)
    }

    fn is_none(&self) -> bool {
        self.newest() == 0
    }

    fn raise(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        if other.soft > self.soft {
            (self.soft, self.soft_at) = (other.soft, other.soft_at);
        }
    }
}

/// What a key costs: its text, what is known of it with a tenant's name, and its place in the map.
const fn cost(key: &str) -> usize {
    key.len() + 136
}

/// How a tenant's tag begins.
const TENANT: &str = "t:";

#[cfg(test)]
mod tests;
