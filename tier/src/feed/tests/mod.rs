//! Orders: what is in force, and what survives.

mod follower;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use contracts::feed::{Entry, Gap, Order, Page, Purge, Scope, Text};
use contracts::id::{FeedId, SessionId};
use contracts::revocation::{Revocation, Revoked};
use contracts::time::UnixSeconds;
use parking_lot::Mutex;

use super::state::{Line, State};
use super::*;
use crate::purge::{self, Purges, Subject, Verdict};

#[derive(Default)]
struct Gate {
    room: Mutex<usize>,
    known: Mutex<Vec<String>>,
}

impl Revokes for Gate {
    fn revoke(&self, revocation: Revocation) -> Result<(), String> {
        let Revoked::Session(session) = revocation.what else {
            return Ok(());
        };
        let (mut known, session) = (self.known.lock(), session.to_string());
        if !known.contains(&session) {
            if known.len() >= *self.room.lock() {
                return Err("no room".to_owned());
            }
            known.push(session);
        }
        Ok(())
    }
}

struct House {
    purges: Arc<Purges>,
    orders: Arc<Orders>,
    gate: Arc<Gate>,
}

fn house(follows: bool, file: Option<&Path>) -> House {
    let purges = Arc::new(Purges::new(&purge::Settings {
        memory: 1 << 20,
        follows,
        lease: Duration::from_secs(60),
        lease_immutable: Duration::from_secs(60),
        when_lost: WhenLost::Revalidate,
    }));
    let gate = Arc::new(Gate::default());
    *gate.room.lock() = 10;
    let revokes = Some(Arc::clone(&gate) as Arc<dyn Revokes>);
    let orders = Orders::open(Arc::clone(&purges), revokes, file, at(0)).unwrap();
    House {
        purges,
        orders: Arc::new(orders),
        gate,
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1000 + seconds)
}

fn tag(seq: u64, tag: &str) -> Entry {
    let scope = Scope::Tag(Text::parse(tag).unwrap());
    let mode = contracts::feed::Mode::Hard;
    Entry {
        seq,
        order: Order::Purge(Purge {
            scope,
            mode,
            tenant: None,
        }),
    }
}

fn session(name: &str) -> Revocation {
    Revocation {
        what: Revoked::Session(SessionId::parse(name).unwrap()),
        until: UnixSeconds(2000),
    }
}

fn revoke(seq: u64, name: &str) -> Entry {
    Entry {
        seq,
        order: Order::Revoke(session(name)),
    }
}

fn page(head: u64, entries: Vec<Entry>) -> Page {
    Page {
        feed: None,
        head,
        entries,
        gap: None,
    }
}

impl House {
    fn judge(&self, tags: &str, fill_seq: u64) -> Verdict {
        let subject = Subject {
            address: "/v/x",
            tags,
        };
        self.purges.judge(subject, fill_seq).verdict
    }
}

#[test]
fn orders_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = house(true, Some(&path));
    let entries = vec![tag(5, "a"), revoke(6, "s1"), tag(8, "b")];
    assert_eq!(
        first.orders.take(page(9, entries), at(0)),
        Shortfall::default()
    );
    drop(first);
    let again = house(true, Some(&path));
    assert_eq!(again.orders.through(), 8);
    assert_eq!(again.judge("b", 7), Verdict::Gone);
    assert_eq!(again.judge("b", 8), Verdict::Usable);
    assert_eq!(again.judge("c", 0), Verdict::Usable);
    assert_eq!(*again.gate.known.lock(), ["s1"]);
}

#[test]
fn what_was_forgotten_by_the_feed_was_all_purged_and_its_revocations_are_in_force() {
    let house = house(true, None);
    let gap = Gap {
        through: 7,
        revocations: vec![session("s1")],
    };
    let page = Page {
        feed: None,
        head: 8,
        gap: Some(gap),
        entries: vec![tag(8, "a")],
    };
    house.orders.take(page, at(0));
    assert_eq!(house.judge("", 6), Verdict::Gone);
    assert_eq!(house.judge("", 7), Verdict::Usable);
    assert_eq!(house.judge("a", 7), Verdict::Gone);
    assert_eq!(*house.gate.known.lock(), ["s1"]);
    assert_eq!(house.orders.through(), 8);
}

#[test]
fn everything_is_purged_when_another_feed_is_followed_and_by_a_restart_it_is_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let of = |feed: &str, head, entries| Page {
        feed: FeedId::parse(feed).ok(),
        ..page(head, entries)
    };
    let first = house(true, Some(&path));
    first.orders.take(of("f1", 5, vec![tag(5, "a")]), at(0));
    assert_eq!(first.judge("", 4), Verdict::Usable);
    drop(first);
    let again = house(true, Some(&path));
    again.orders.take(of("f1", 6, vec![tag(6, "a")]), at(0));
    assert_eq!(again.judge("", 5), Verdict::Usable);
    assert!(again.orders.is_of_another(&of("f2", 9, vec![])));
    again.orders.take(of("f2", 9, vec![tag(9, "b")]), at(0));
    assert_eq!(
        again.judge("", 6),
        Verdict::Gone,
        "what f2 has purged is not known"
    );
    assert_eq!(again.judge("", 9), Verdict::Usable);
    drop(again);
    let third = house(true, Some(&path));
    assert!(!third.orders.is_of_another(&of("f2", 9, vec![])));
    assert_eq!(
        (third.judge("", 6), third.judge("", 9)),
        (Verdict::Gone, Verdict::Usable)
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_made_stale_while_a_node_was_away_has_been_so_for_long() {
    let house = house(true, None);
    let soft = |seq| {
        let Order::Purge(purge) = tag(seq, "a").order else {
            panic!()
        };
        let mode = contracts::feed::Mode::Soft;
        let order = Order::Purge(Purge { mode, ..purge });
        page(seq, vec![Entry { seq, order }])
    };
    house.orders.take(soft(1), at(0));
    assert_eq!(house.judge("a", 0), Verdict::Stale(Some(UNIX_EPOCH)));
    house.purges.lease.renew(Instant::now());
    house.orders.take(soft(2), at(7));
    assert_eq!(house.judge("a", 0), Verdict::Stale(Some(at(7))));
}

#[test]
fn a_purge_that_cannot_be_read_purges_everything_and_another_order_nothing() {
    let house = house(true, None);
    let unknown = |seq, order| Entry { seq, order };
    house
        .orders
        .take(page(3, vec![unknown(3, Order::Unknown)]), at(0));
    assert_eq!(
        (house.orders.through(), house.judge("", 0)),
        (3, Verdict::Usable)
    );
    house
        .orders
        .take(page(4, vec![unknown(4, Order::UnknownPurge)]), at(0));
    assert_eq!(
        (house.orders.through(), house.judge("", 3)),
        (4, Verdict::Gone)
    );
}

#[test]
fn revocations_that_do_not_fit_are_told_and_tried_again() {
    let house = house(true, None);
    *house.gate.room.lock() = 1;
    let entries = vec![revoke(1, "s1"), revoke(2, "s2")];
    let short = house.orders.take(page(2, entries), at(0));
    assert_eq!(short.unrevoked, Some((1, "no room".to_owned())));
    assert_eq!(
        house
            .orders
            .take(page(2, vec![]), at(0))
            .unrevoked
            .unwrap()
            .0,
        1
    );
    *house.gate.room.lock() = 2;
    assert_eq!(
        house.orders.take(page(2, vec![]), at(0)),
        Shortfall::default()
    );
    assert_eq!(house.gate.known.lock().len(), 2);
}

#[test]
fn by_hand_numbers_rise_with_time_and_whatever_the_clock_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let by_hand = |house: &House, now| {
        let Order::Purge(purge) = tag(0, "a").order else {
            panic!()
        };
        house.orders.by_hand(purge, now).unwrap()
    };
    let first = house(false, Some(&path));
    assert_eq!(by_hand(&first, at(2)), 1_002_000);
    assert_eq!(by_hand(&first, at(5)), 1_005_000);
    assert_eq!(by_hand(&first, at(1)), 1_005_001);
    assert_eq!(first.judge("a", 1_005_000), Verdict::Gone);
    drop(first);
    let again = house(false, Some(&path));
    assert_eq!(again.judge("a", 1_005_000), Verdict::Gone);
    drop(again);

    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let damaged = house(false, Some(&path));
    let seq = damaged.orders.through();
    assert_eq!(
        damaged.judge("", seq - 1),
        Verdict::Gone,
        "nobody can tell what was lost"
    );
    drop(damaged);
    assert_eq!(house(false, Some(&path)).judge("", seq - 1), Verdict::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_by_an_hour_brings_nothing_back_and_renews_no_lease() {
    let hour = 3600;
    for jump in [0, 2 * hour] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let house = house(true, Some(&path));
        house.purges.lease.renew(Instant::now());
        house.orders.take(page(1, vec![tag(1, "a")]), at(hour));
        house.orders.take(page(2, vec![tag(2, "b")]), at(jump));
        // What was ordered first is gone, whatever the clock said since.
        for (tag, newest) in [("a", 1), ("b", 2)] {
            assert_eq!(house.judge(tag, newest - 1), Verdict::Gone, "{tag} {jump}");
            assert_eq!(house.judge(tag, newest), Verdict::Usable, "{tag} {jump}");
        }
        let subject = Subject {
            address: "/v/x",
            tags: "a",
        };
        tokio::time::advance(Duration::from_secs(50)).await;
        let from_before = Some(Duration::from_secs(51));
        assert!(house.purges.may_be_older(subject, from_before), "{jump}");
        assert_eq!(house.purges.lost(), None);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(
            house.purges.lost().is_some(),
            "61 s, by the clock that nobody sets"
        );
        drop(house);
        let again = self::house(true, Some(&path));
        assert_eq!(
            (again.orders.through(), again.judge("a", 0)),
            (2, Verdict::Gone)
        );
    }
}

#[test]
fn what_another_process_purged_while_it_had_the_file_stays_purged_when_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let purge = |name| match tag(0, name).order {
        Order::Purge(purge) => purge,
        _ => panic!(),
    };
    let elder = house(false, Some(&path));
    elder.orders.by_hand(purge("a"), at(1)).unwrap();
    elder.orders.lend();
    let heir = house(false, Some(&path));
    let cached = elder.orders.through();
    let seq = heir.orders.by_hand(purge("b"), at(2)).unwrap();
    heir.orders.take(page(0, vec![revoke(0, "s-1")]), at(2));
    drop(heir);
    assert_eq!(elder.judge("b", cached), Verdict::Usable);
    assert_eq!(elder.gate.known.lock().len(), 0);
    elder.orders.reclaim(Some(&path), at(3)).unwrap();
    let again = house(false, Some(&path));
    for house in [&elder, &again] {
        assert_eq!(house.judge("b", cached), Verdict::Gone);
        assert_eq!(house.orders.through(), seq);
        assert_eq!(*house.gate.known.lock(), ["s-1"]);
    }
}

#[test]
fn by_hand_no_two_have_one_number() {
    let house = house(false, None);
    let by_hand = || {
        let Order::Purge(purge) = tag(0, "a").order else {
            panic!()
        };
        house.orders.by_hand(purge, at(0)).unwrap()
    };
    let start = std::sync::Barrier::new(4);
    let mut numbers = std::thread::scope(|scope| {
        let each = || {
            start.wait();
            (0..5_000).map(|_| by_hand()).collect::<Vec<_>>()
        };
        let threads = [(); 4].map(|()| scope.spawn(each));
        threads.map(|thread| thread.join().unwrap()).concat()
    });
    numbers.sort_unstable();
    let expected: Vec<u64> = (1_000_000..1_020_000).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn the_largest_number_that_a_file_says_was_applied_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut state, _) = State::open(&path, |_| {}).unwrap();
    let lines = [7, 6].map(|seq| Line::Through { seq });
    state.add(&lines).unwrap();
    drop(state);
    assert_eq!(house(false, Some(&path)).orders.through(), 7);
}

#[test]
fn without_its_file_a_node_trusts_nothing_that_it_stored_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = house(false, Some(&path));
    let stored = first.orders.through();
    assert_eq!(first.judge("", stored), Verdict::Usable);
    drop(first);
    let again = house(false, Some(&path));
    assert_eq!(again.judge("", stored), Verdict::Usable, "it has its file");
    drop(again);
    for lost in [std::fs::remove_file, |path: &Path| std::fs::write(path, "")] {
        lost(&path).unwrap();
        let again = house(false, Some(&path));
        assert_eq!(again.judge("", stored - 1), Verdict::Gone);
    }
    // Whoever follows a feed is told all of it again.
    std::fs::remove_file(&path).unwrap();
    let follows = house(true, Some(&path));
    assert_eq!(
        (follows.orders.through(), follows.judge("", 0)),
        (0, Verdict::Usable)
    );
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_written_whole_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below").join("state");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let house_ = house(true, Some(&path));
    // Writing anew needs the folder.
    house_.orders.take(page(1, vec![tag(1, "a")]), at(0));
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let many: Vec<Entry> = (2..=1200).map(|seq| tag(seq, "b")).collect();
    house_.orders.take(page(1200, many), at(0));
    let short = house_.orders.take(page(1201, vec![tag(1201, "c")]), at(0));
    assert!(short.unsaved.is_some());
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(
        house_.orders.take(page(1201, vec![]), at(0)),
        Shortfall::default()
    );
    drop(house_);
    let again = house(true, Some(&path));
    assert_eq!(again.orders.through(), 1201);
    for (tag, seq) in [("a", 1), ("b", 1200), ("c", 1201)] {
        assert_eq!(again.judge(tag, seq - 1), Verdict::Gone, "{tag}");
    }
}
