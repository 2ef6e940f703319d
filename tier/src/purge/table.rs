//! What was purged, as numbers: of each key the newest order that concerns it.

use std::collections::HashMap;
use std::time::SystemTime;

use contracts::feed::{Mode, Purge, Scope};

/// Every purge that a node knows, in bounded memory.
///
/// An object with the number `fill_seq` was fetched after all orders up to that one; it is usable while none of its
/// keys bears a later one. Keys that do not fit any more, the oldest first, are folded into the one that stands for
/// everything: too much is purged then, and never too little.
#[derive(Debug)]
pub struct Table {
    urls: HashMap<Box<str>, Marks>,
    prefixes: HashMap<Box<str>, Marks>,
    tags: HashMap<Box<str>, Marks>,
    all: Marks,
    newest: u64,
    used: usize,
    limit: usize,
    folds: u64,
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
    /// The path with its query; in front of a site `//host/path?query`.
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
            newest: 0,
            used: 0,
            limit,
            folds: 0,
        }
    }

    /// Takes note of a purge. One that is known changes nothing.
    pub fn note(&mut self, purge: &Purge, seq: u64, at: SystemTime) {
        let mut marks = Marks::default();
        match purge.mode {
            Mode::Hard => marks.hard = seq,
            Mode::Soft => (marks.soft, marks.soft_at) = (seq, Some(at)),
        }
        self.mark(&purge.scope, marks);
    }

    /// Takes note of marks for a key.
    pub fn mark(&mut self, scope: &Scope, marks: Marks) {
        self.newest = self.newest.max(marks.newest());
        let (of_kind, key) = match scope {
            Scope::Url(url) => (&mut self.urls, url.as_str()),
            Scope::Prefix(folder) => (&mut self.prefixes, folder.as_str()),
            Scope::Tag(tag) => (&mut self.tags, tag.as_str()),
            Scope::All => {
                self.all.raise(marks);
                self.forget_what_all_covers();
                return;
            }
        };
        if let Some(known) = of_kind.get_mut(key) {
            known.raise(marks);
            return;
        }
        of_kind.insert(key.into(), marks);
        self.used += cost(key);
        if self.used > self.limit {
            self.fold();
        }
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
        let mut look = |of_kind: &HashMap<Box<str>, Marks>, key: &str| {
            if let Some(found) = of_kind.get(key) {
                marks.raise(*found);
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
        marks
    }

    /// Everything that the table holds.
    pub fn entries(&self) -> impl Iterator<Item = (Kind, &str, Marks)> {
        let all =
            std::iter::once((Kind::All, "", self.all)).filter(|(_, _, marks)| !marks.is_none());
        let kinds = [
            (Kind::Url, &self.urls),
            (Kind::Prefix, &self.prefixes),
            (Kind::Tag, &self.tags),
        ];
        let each = kinds.into_iter().flat_map(|(kind, of_kind)| {
            let entries = of_kind.iter();
            entries.map(move |(key, marks)| (kind, &**key, *marks))
        });
        all.chain(each)
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

    /// How often keys were folded because they did not fit.
    #[must_use]
    pub const fn folds(&self) -> u64 {
        self.folds
    }

    /// Folds the older half, so that the next fold is far away.
    fn fold(&mut self) {
        let mut ages: Vec<(u64, usize)> = Vec::with_capacity(self.len());
        ages.extend(
            self.entries()
                .filter(|(kind, ..)| *kind != Kind::All)
                .map(|(_, key, marks)| (marks.newest(), cost(key))),
        );
        ages.sort_unstable_by_key(|(newest, _)| *newest);
        let mut left = self.used;
        let mut through = 0;
        for (newest, cost) in ages {
            if left <= self.limit / 2 {
                break;
            }
            left -= cost;
            through = newest;
        }
        let mut folded = Marks::default();
        for of_kind in [&mut self.urls, &mut self.prefixes, &mut self.tags] {
            of_kind.retain(|_, marks| {
                let keep = marks.newest() > through;
                if !keep {
                    folded.raise(*marks);
                }
                keep
            });
        }
        self.all.raise(folded);
        self.folds += 1;
        self.forget_what_all_covers();
    }

    /// A key whose orders are all older than what concerns everything says nothing more.
    fn forget_what_all_covers(&mut self) {
        let all = self.all;
        let mut used = 0;
        for of_kind in [&mut self.urls, &mut self.prefixes, &mut self.tags] {
            of_kind.retain(|key, marks| {
                let keep = marks.hard > all.hard || marks.soft > all.soft.max(all.hard);
                if keep {
                    used += cost(key);
                }
                keep
            });
        }
        self.used = used;
    }
}

/// What a key of the table names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Scope::Url`]
    Url,
    /// [`Scope::Prefix`]
    Prefix,
    /// [`Scope::Tag`]
    Tag,
    /// [`Scope::All`]
    All,
}

impl Marks {
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

/// What a key costs: its text, its marks and its place in the map.
const fn cost(key: &str) -> usize {
    key.len() + 96
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use contracts::feed::{Folder, Text};
    use proptest::prelude::*;

    use super::*;

    fn purge(kind: &str, value: &str, mode: Mode) -> Purge {
        let scope = match kind {
            "url" => Scope::Url(Text::parse(value).unwrap()),
            "prefix" => Scope::Prefix(Folder::parse(value).unwrap()),
            "tag" => Scope::Tag(Text::parse(value).unwrap()),
            _ => Scope::All,
        };
        Purge { scope, mode }
    }

    fn table(orders: &[(&str, &str, Mode, u64)]) -> Table {
        let mut table = Table::new(1 << 20);
        for (kind, value, mode, seq) in orders {
            table.note(&purge(kind, value, *mode), *seq, UNIX_EPOCH);
        }
        table
    }

    fn film<'a>(address: &'a str) -> Subject<'a> {
        Subject {
            address,
            tags: "a:film r:film/720p  k:manifest",
        }
    }

    const HARD: Mode = Mode::Hard;
    const SOFT: Mode = Mode::Soft;

    #[test]
    fn an_object_is_gone_when_one_of_its_keys_was_purged_after_its_fetch() {
        for (kind, value, concerned) in [
            ("url", "/v/film/x", true),
            ("url", "/v/film/x?r=720p", true),
            ("url", "/v/film/x?r=480p", false),
            ("url", "/v/film", false),
            ("prefix", "/v/film/", true),
            ("prefix", "/v/", true),
            ("prefix", "/", true),
            ("prefix", "/v/film/x/", false),
            ("prefix", "/film/", false),
            ("tag", "r:film/720p", true),
            ("tag", "a:fil", false),
            ("all", "", true),
        ] {
            let table = table(&[(kind, value, HARD, 7)]);
            let judged = |fill_seq| table.judge(film("/v/film/x?r=720p"), fill_seq);
            let expected = if concerned {
                Verdict::Gone
            } else {
                Verdict::Usable
            };
            assert_eq!(judged(6), expected, "{kind} {value}");
            assert_eq!(judged(7), Verdict::Usable, "{kind} {value}");
        }
    }

    #[test]
    fn in_front_of_a_site_the_host_is_part_of_what_is_purged() {
        let table = table(&[("prefix", "//a/x/", HARD, 1), ("url", "//b/y", HARD, 1)]);
        let judged = |address| table.judge(Subject { address, tags: "" }, 0);
        assert_eq!(judged("//a/x/1"), Verdict::Gone);
        assert_eq!(judged("//b/x/1"), Verdict::Usable);
        assert_eq!(judged("//b/y?q"), Verdict::Gone);
        assert_eq!(judged("/y"), Verdict::Usable);
    }

    #[test]
    fn a_soft_purge_makes_stale_and_a_hard_one_outdoes_it_whichever_comes_first() {
        for orders in [[(HARD, 5), (SOFT, 8)], [(SOFT, 8), (HARD, 5)]] {
            let orders = orders.map(|(mode, seq)| ("tag", "a:film", mode, seq));
            let table = table(&orders);
            let judged = |fill_seq| table.judge(film("/v/film/x"), fill_seq);
            assert_eq!(judged(4), Verdict::Gone);
            assert_eq!(judged(5), Verdict::Stale(Some(UNIX_EPOCH)));
            assert_eq!(judged(8), Verdict::Usable);
        }
    }

    #[test]
    fn what_does_not_fit_is_purged_with_everything_and_the_newest_keys_are_kept() {
        let mut table = Table::new(100 * cost("t:000"));
        for n in 1..=100_u64 {
            table.note(&purge("tag", &format!("t:{n:03}"), HARD), n, UNIX_EPOCH);
        }
        let other = Subject {
            address: "/o",
            tags: "",
        };
        assert_eq!((table.folds(), table.len()), (0, 100));
        assert_eq!(table.judge(other, 0), Verdict::Usable);
        table.note(&purge("tag", "t:101", HARD), 101, UNIX_EPOCH);
        assert_eq!((table.folds(), table.len()), (1, 50));
        assert_eq!(
            table.judge(other, 50),
            Verdict::Gone,
            "more than was asked for"
        );
        assert_eq!(table.judge(other, 51), Verdict::Usable);
        let newest = Subject {
            address: "/o",
            tags: "t:101",
        };
        assert_eq!(table.judge(newest, 100), Verdict::Gone);
    }

    #[test]
    fn a_purge_of_everything_makes_older_keys_needless() {
        let mut table = table(&[
            ("tag", "a", HARD, 1),
            ("tag", "b", SOFT, 9),
            ("url", "/c", HARD, 9),
        ]);
        table.note(&purge("all", "", SOFT), 8, UNIX_EPOCH);
        assert_eq!(table.len(), 3, "a soft one takes no hard one's place");
        table.note(&purge("all", "", HARD), 8, UNIX_EPOCH);
        assert_eq!(table.len(), 2);
        table.note(&purge("all", "", HARD), 9, UNIX_EPOCH);
        assert_eq!((table.len(), table.used), (0, 0));
    }

    proptest! {
        /// A small table may purge too much, never too little.
        #[test]
        fn a_small_table_is_at_least_as_strict_as_a_large_one(
            orders in proptest::collection::vec((0..3_u8, 0..40_u8, any::<bool>()), 1..200),
            fill_seq in 0..200_u64,
        ) {
            let (mut small, mut large) = (Table::new(10 * cost("/00/")), Table::new(1 << 20));
            for (at, (kind, key, soft)) in orders.iter().enumerate() {
                let kind = ["url", "prefix", "tag"][usize::from(*kind)];
                let mode = if *soft { SOFT } else { HARD };
                let order = purge(kind, &format!("/{key:02}/"), mode);
                for table in [&mut small, &mut large] {
                    table.note(&order, at as u64 + 1, UNIX_EPOCH);
                }
                prop_assert!(small.used <= small.limit);
            }
            let rank = |verdict| match verdict {
                Verdict::Usable => 0,
                Verdict::Stale(_) => 1,
                Verdict::Gone => 2,
            };
            for key in 0..40 {
                let text = format!("/{key:02}/");
                let subject = Subject { address: &text, tags: &text };
                prop_assert!(rank(small.judge(subject, fill_seq)) >= rank(large.judge(subject, fill_seq)));
            }
        }
    }
}
