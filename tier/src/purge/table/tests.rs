//! What purges make of objects, and what a table does that is full.

use std::cell::Cell;
use std::time::UNIX_EPOCH;

use contracts::feed::{Folder, Text};
use proptest::prelude::*;

use super::*;

thread_local! {
    /// Keys that were looked up on this thread.
    pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) };
}

fn purged(kind: &str, value: &str, mode: Mode, seq: u64) -> Purged {
    let scope = match kind {
        "url" => Scope::Url(Text::parse(value).unwrap()),
        "prefix" => Scope::Prefix(Folder::parse(value).unwrap()),
        "tag" => Scope::Tag(Text::parse(value).unwrap()),
        _ => Scope::All,
    };
    let tenant = None;
    let purge = Purge {
        scope,
        mode,
        tenant,
    };
    Purged::by(purge, seq, UNIX_EPOCH)
}

fn of(tenant: &str, purged: Purged) -> Purged {
    Purged {
        tenant: TenantId::parse(tenant).ok(),
        ..purged
    }
}

fn table(orders: &[(&str, &str, Mode, u64)]) -> Table {
    let mut table = Table::new(1 << 20);
    for (kind, value, mode, seq) in orders {
        table.note(&purged(kind, value, *mode, *seq));
    }
    table
}

fn film<'a>(address: &'a str) -> Subject<'a> {
    Subject {
        address,
        tags: "a:film r:film/720p  k:manifest",
    }
}

fn tagged(tags: &str) -> Subject<'_> {
    Subject {
        address: "/o",
        tags,
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
    let mut table = Table::new(100 * cost("x:000"));
    for n in 1..=100_u64 {
        table.note(&purged("tag", &format!("x:{n:03}"), HARD, n));
    }
    assert_eq!((table.folds(), table.len()), (0, 100));
    assert_eq!(table.judge(tagged(""), 0), Verdict::Usable);
    table.note(&purged("tag", "x:101", HARD, 101));
    assert_eq!((table.folds(), table.len()), (1, 50));
    assert_eq!(
        table.judge(tagged(""), 50),
        Verdict::Gone,
        "more than was asked for"
    );
    assert_eq!(table.judge(tagged(""), 51), Verdict::Usable);
    assert_eq!(table.judge(tagged("x:101"), 100), Verdict::Gone);
}

#[test]
fn a_tenant_with_many_purges_has_its_own_folded_and_nobody_elses() {
    for kind in ["tag", "url"] {
        let mut table = Table::new(1000 * cost("/v/00000/x"));
        let others = [
            of("b", purged("tag", "a:b-1", HARD, 1)),
            of("b", purged("tag", "a:b-2", HARD, 2)),
            purged("url", "/v/c/x", HARD, 3),
            purged("url", "/v/c/y", HARD, 4),
        ];
        others.iter().for_each(|purged| table.note(purged));
        for n in 0..100_000 {
            let value = format!("/v/{n:05}/x");
            table.note(&of("a", purged(kind, &value, HARD, 10 + n)));
        }
        assert_eq!(table.folds(), 0, "{kind}");
        assert!(table.merges() > 0 && table.used <= table.limit);
        assert_eq!(table.judge(tagged("t:a"), 9), Verdict::Gone);
        for (tags, spared) in [("t:b", 0), ("t:b a:b-1", 1), ("t:b a:b-2", 2)] {
            assert_eq!(table.judge(tagged(tags), spared), Verdict::Usable, "{tags}");
        }
        let other = Subject {
            address: "/v/c/z",
            tags: "t:c",
        };
        assert_eq!(table.judge(other, 0), Verdict::Usable);
    }
}

#[test]
fn what_bears_no_tenants_tag_is_purged_with_any_tenant() {
    let mut table = Table::new(100 * cost("/v/000/x"));
    for n in 0..1000 {
        let value = format!("/v/{n:03}/x");
        table.note(&of("a", purged("url", &value, HARD, 1 + n)));
    }
    // A 404 of this tenant's, say.
    let bare = Subject {
        address: "/v/000/x",
        tags: "",
    };
    assert_eq!(table.judge(bare, 0), Verdict::Gone);
    let others = Subject {
        tags: "t:b",
        ..bare
    };
    assert_eq!(table.judge(others, 0), Verdict::Usable);
    // Nothing of it is lost where it is written down.
    let mut again = Table::new(1 << 20);
    table.entries().for_each(|purged| again.note(&purged));
    table
        .untagged()
        .into_iter()
        .for_each(|marks| again.note_untagged(marks));
    assert_eq!(again.judge(bare, 0), table.judge(bare, 0));
    assert_eq!(again.judge(tagged("t:a"), 0), Verdict::Gone);
}

#[test]
fn many_addresses_of_one_film_become_its_folder() {
    for (folder, other) in [("/v/film/", "/v/other/x"), ("//host/", "//other/x")] {
        let mut table = Table::new(100 * cost("/v/film/000/seg"));
        table.note(&purged("tag", "a:other", HARD, 1));
        for n in 0..1000 {
            let value = format!("{folder}{n:03}/seg?q");
            table.note(&purged("url", &value, SOFT, 2 + n));
        }
        assert_eq!(table.folds(), 0);
        let judged = |address: &str, tags: &str, seq| table.judge(Subject { address, tags }, seq);
        let first = format!("{folder}000/seg?q");
        assert!(matches!(judged(&first, "", 1), Verdict::Stale(Some(_))));
        assert_eq!(judged(other, "", 0), Verdict::Usable);
        assert_eq!(judged(other, "a:other", 0), Verdict::Gone);
    }
}

#[test]
fn a_hit_looks_up_as_many_keys_with_a_hundred_thousand_purges_as_with_one() {
    let looks = |table: &Table| {
        LOOKS.set(0);
        assert_eq!(table.judge(film("/v/film/x?r=720p"), 0), Verdict::Usable);
        LOOKS.get()
    };
    let fill = |count: u64| {
        let mut table = Table::new(1 << 30);
        for n in 1..=count {
            table.note(&purged("url", &format!("/v/{n}/x"), HARD, n));
            table.note(&purged("prefix", &format!("/v/{n}/"), HARD, n));
            table.note(&purged("tag", &format!("a:{n}"), SOFT, n));
        }
        table
    };
    let (few, many) = (looks(&fill(1)), looks(&fill(100_000)));
    // The address with and without its query, three folders and three tags.
    assert_eq!((few, many), (8, 8));
}

#[test]
fn a_purge_of_everything_makes_older_keys_needless() {
    let mut table = table(&[
        ("tag", "a", HARD, 1),
        ("tag", "b", SOFT, 9),
        ("url", "/c", HARD, 9),
    ]);
    table.note(&purged("all", "", SOFT, 8));
    assert_eq!(table.len(), 3, "a soft one takes no hard one's place");
    table.note(&purged("all", "", HARD, 8));
    assert_eq!(table.len(), 2);
    table.note(&purged("all", "", HARD, 9));
    assert_eq!((table.len(), table.used), (0, 0));
}

proptest! {
    /// A small table may purge too much, never too little. Each object is one tenant's, or bears no tenant's tag.
    #[test]
    fn a_small_table_is_at_least_as_strict_as_a_large_one(
        orders in proptest::collection::vec((0..3_u8, 0..40_u8, any::<bool>(), any::<bool>()), 1..200),
        fill_seq in 0..200_u64,
        is_tagged: bool,
    ) {
        let (mut small, mut large) = (Table::new(10 * cost("/v/00/00")), Table::new(1 << 20));
        for (at, (kind, key, soft, is_told)) in orders.iter().enumerate() {
            let kind = ["url", "prefix", "tag"][usize::from(*kind)];
            let mode = if *soft { SOFT } else { HARD };
            let slash = if kind == "prefix" { "/" } else { "" };
            let value = format!("/v/{}/{key}{slash}", key / 4);
            let mut order = purged(kind, &value, mode, at as u64 + 1);
            if *is_told {
                order = of(&format!("{}", key / 8), order);
            }
            for table in [&mut small, &mut large] {
                table.note(&order);
            }
            prop_assert!(small.used <= small.limit);
        }
        let rank = |verdict| match verdict {
            Verdict::Usable => 0,
            Verdict::Stale(_) => 1,
            Verdict::Gone => 2,
        };
        for key in 0..40 {
            let address = format!("/v/{}/{key}", key / 4);
            let tenant = if is_tagged { format!("t:{}", key / 8) } else { String::new() };
            let tags = format!("{address} {tenant}");
            for address in [&address, &format!("{address}/x?q")] {
                let subject = Subject { address, tags: &tags };
                prop_assert!(rank(small.judge(subject, fill_seq)) >= rank(large.judge(subject, fill_seq)));
            }
        }
    }
}
