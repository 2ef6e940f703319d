//! What sessions come to, and that it does not matter how what they tell arrives.

use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::record::Playback;

/// Ten minutes before an hour ends.
const STARTED: u64 = 1_800_000_000 + 3000;
const HOUR: u64 = 1_800_000_000;

fn record(source: Source, events: &[Event]) -> Record {
    let playback = Playback {
        session: SessionId::parse("s1").unwrap(),
        video: VideoId::parse("film").unwrap(),
        started: UnixSeconds(STARTED),
        expires: UnixSeconds(STARTED + 9000),
        isp: None,
    };
    Record::new(
        &playback,
        source,
        events.to_vec(),
        UnixSeconds(STARTED + 100),
    )
}

fn event(seq: u32, at_s: u64, kind: Kind) -> Event {
    Event {
        seq,
        at_ms: at_s * 1000,
        kind,
        bitrate_kbps: None,
        startup_ms: None,
        edge: None,
        code: None,
    }
}

/// Events in their order, numbered so.
fn told(events: &[(u64, Kind)]) -> Told {
    let numbered = events.iter().zip(0..);
    let events: Vec<Event> = numbered
        .map(|((at_s, kind), seq)| event(seq, *at_s, *kind))
        .collect();
    of(&[record(Source::Events, &events)])
}

fn of(records: &[Record]) -> Told {
    let mut told = Told::nothing(&records[0], Duration::from_secs(30));
    for record in records {
        told.add(record);
    }
    told
}

/// All that it comes to, wherever.
fn sum(told: &Told) -> Figures {
    let mut sum = Figures::default();
    for figures in count(told).values() {
        sum.add(figures, 1);
    }
    sum
}

const STALL: Kind = Kind::RebufferStart { seek: false };
const SEEK: Kind = Kind::RebufferStart { seek: true };
const LEFT: Kind = Kind::End { completed: false };
const COMPLETED: Kind = Kind::End { completed: true };
const FATAL: Kind = Kind::Error { fatal: true };

#[test]
fn a_film_that_runs_pauses_and_stands_still_is_measured() {
    let sum = sum(&told(&[
        (2, Kind::Start),
        (12, Kind::Pause),
        (60, Kind::Resume),
        (70, STALL),
        (73, Kind::RebufferEnd),
        (80, SEEK),
        (85, Kind::RebufferEnd),
        (95, LEFT),
        (500, Kind::Progress),
    ]));
    assert_eq!((sum.sessions, sum.starts, sum.views), (1, 1, 1));
    assert_eq!(sum.watch_ms, (10 + 10 + 7 + 10) * 1000);
    assert_eq!(
        (sum.rebuffers, sum.rebuffer_ms),
        (1, 3000),
        "who jumps waits willingly"
    );
    assert_eq!(sum.startup, BTreeMap::from([(startup::class(2000), 1)]));
    assert_eq!(
        (sum.failures, sum.start_failures, sum.exits_before_start),
        (0, 0, 0)
    );
}

#[test]
fn errors_are_counted_by_their_codes_and_a_session_has_so_many() {
    let failed = |seq, code: Option<&str>, fatal| Event {
        code: code.map(str::to_owned),
        ..event(seq, u64::from(seq), Kind::Error { fatal })
    };
    let events = [
        failed(0, Some("3016"), false),
        failed(1, Some("3016"), true),
        failed(2, None, true),
    ];
    let met = |codes: &[(&str, i64)]| -> BTreeMap<String, i64> {
        let codes = codes.iter();
        codes
            .map(|(code, count)| ((*code).to_owned(), *count))
            .collect()
    };
    let few = sum(&of(&[record(Source::Events, &events)]));
    assert_eq!((few.errors, few.start_failures), (3, 1));
    assert_eq!(few.codes, met(&[("3016", 2), (UNKNOWN, 1)]));
    let invented: Vec<Event> = (0..100)
        .map(|seq| failed(seq, Some(&format!("x{}", seq % 50)), false))
        .collect();
    let many = sum(&of(&[record(Source::Events, &invented)]));
    assert_eq!((many.errors, many.codes.len()), (100, MOST_CODES + 1));
    assert_eq!((many.codes["x0"], many.codes[OTHER]), (2, 84));
}

#[test]
fn a_view_is_thirty_seconds_or_the_end() {
    let views = |events: &[(u64, Kind)]| sum(&told(events)).views;
    assert_eq!(views(&[(1, Kind::Start), (30, LEFT)]), 0);
    assert_eq!(views(&[(1, Kind::Start), (31, LEFT)]), 1);
    assert_eq!(views(&[(1, Kind::Start), (5, COMPLETED)]), 1);
    assert_eq!(
        views(&[
            (1, Kind::Start),
            (90, COMPLETED),
            (91, Kind::Start),
            (200, COMPLETED)
        ]),
        1
    );
    assert_eq!(views(&[(1, Kind::Start), (2, Kind::Pause), (90, LEFT)]), 0);
    assert_eq!(views(&[(90, COMPLETED)]), 0, "nothing was shown");
    assert_eq!(views(&[(0, Kind::Progress), (90, Kind::Progress)]), 0);
}

#[test]
fn what_never_began_failed_or_was_left() {
    let outcome = |events: &[(u64, Kind)]| {
        let sum = sum(&told(events));
        let before = (sum.start_failures, sum.exits_before_start);
        (sum.starts, before, sum.failures, sum.rebuffers)
    };
    assert_eq!(outcome(&[(3, FATAL), (4, LEFT)]), (0, (1, 0), 0, 0));
    assert_eq!(
        outcome(&[(3, Kind::Error { fatal: false }), (4, LEFT)]),
        (0, (0, 1), 0, 0)
    );
    assert_eq!(
        outcome(&[(1, STALL), (4, Kind::Progress)]),
        (0, (0, 0), 0, 0)
    );
    assert_eq!(
        outcome(&[(3, FATAL), (5, Kind::Start)]),
        (1, (0, 0), 0, 0),
        "it tried again"
    );
    assert_eq!(
        outcome(&[(3, Kind::Start), (5, FATAL), (6, FATAL)]),
        (1, (0, 0), 1, 0)
    );
}

#[test]
fn the_bitrate_weighs_by_how_long_it_was_shown() {
    let mut events = vec![
        event(0, 0, Kind::Start),
        event(1, 10, Kind::QualityChange),
        event(2, 20, Kind::QualityChange),
        event(3, 50, LEFT),
    ];
    events[1].bitrate_kbps = Some(1000);
    events[2].bitrate_kbps = Some(4000);
    let sum = sum(&of(&[record(Source::Events, &events)]));
    assert_eq!((sum.watch_ms, sum.known_ms), (50_000, 40_000));
    assert_eq!(sum.known_kbit, 10 * 1000 + 30 * 4000);
    assert_eq!(sum.switches, 1);
}

#[test]
fn each_hour_and_each_edge_has_its_own() {
    let mut events = vec![
        event(0, 0, Kind::Start),
        event(1, 500, Kind::Progress),
        event(2, 600 + 3600 + 60, LEFT),
    ];
    events[0].edge = Some("edge-1".into());
    events[1].edge = Some("edge-2".into());
    let mut all = record(Source::Events, &events);
    all.isp = Some("AS64500".into());
    let counted = count(&of(&[all]));
    let watched: Vec<(u64, &str, i64, i64)> = counted
        .iter()
        .map(|(slot, figures)| {
            assert_eq!(slot.isp, "AS64500");
            (
                slot.hour_unix_s - HOUR,
                slot.edge.as_str(),
                figures.watch_ms / 1000,
                figures.views,
            )
        })
        .collect();
    let expected = [
        (0, "edge-1", 500, 1),
        (0, "edge-2", 100, 0),
        (3600, "edge-2", 3600, 0),
        (7200, "edge-2", 60, 0),
    ];
    assert_eq!(watched, expected);
}

#[test]
fn states_that_a_player_reports_are_the_same_as_changes() {
    let events: Vec<Event> = [
        (0, 0, Kind::Progress),
        (1, 2, Kind::Playing),
        (2, 20, Kind::RebufferStart { seek: false }),
        (3, 25, Kind::Playing),
        (4, 40, Kind::Pause),
        (5, 50, Kind::Playing),
        (6, 60, COMPLETED),
    ]
    .map(|(seq, at_s, kind)| event(seq, at_s, kind))
    .to_vec();
    let reported = record(Source::Cmcd, &events);
    let figures = sum(&of(std::slice::from_ref(&reported)));
    assert_eq!(
        (figures.starts, figures.views, figures.rebuffers),
        (1, 1, 1)
    );
    assert_eq!((figures.watch_ms, figures.rebuffer_ms), (43_000, 5000));
    // Who tells it both ways tells it once.
    let own = record(
        Source::Events,
        &[event(0, 1, Kind::Start), event(1, 8, LEFT)],
    );
    let both = sum(&of(&[reported, own.clone()]));
    assert_eq!(both, sum(&of(&[own])));
}

fn any_event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(Kind::Start),
        Just(Kind::Pause),
        Just(Kind::Resume),
        Just(STALL),
        Just(SEEK),
        Just(Kind::RebufferEnd),
        Just(Kind::QualityChange),
        Just(FATAL),
        Just(LEFT),
        Just(COMPLETED),
        Just(Kind::Progress),
        Just(Kind::Playing),
    ];
    let edge = prop_oneof![
        Just(None),
        Just(Some("edge-1".to_owned())),
        Just(Some("edge-2".to_owned()))
    ];
    let said = (0..30_u32, 0..9_000_000_u64, kind);
    (said, any::<Option<u16>>(), any::<Option<u16>>(), edge).prop_map(
        |((seq, at_ms, kind), kbps, startup, edge)| Event {
            seq,
            at_ms,
            kind,
            bitrate_kbps: kbps.map(u32::from),
            startup_ms: startup.map(u32::from),
            edge,
            code: seq.is_multiple_of(3).then(|| format!("c{seq}")),
        },
    )
}

/// Records of parts of some events, one of them perhaps without any.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let events = prop::collection::vec(any_event(), 0..8);
    let isp = prop_oneof![
        Just(None),
        Just(Some("AS1".to_owned())),
        Just(Some("AS2".to_owned()))
    ];
    let record = (events, isp, any::<bool>()).prop_map(|(events, isp, cmcd)| {
        let source = if cmcd { Source::Cmcd } else { Source::Events };
        Record {
            isp,
            ..record(source, &events)
        }
    });
    prop::collection::vec(record, 1..8)
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter(
        records in records(),
        order in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let expected = of(&records);
        // All of them in another order, some of them several times.
        let mut mixed: Vec<Record> = order.iter().map(|at| at.get(&records).clone()).collect();
        mixed.extend(records.iter().rev().cloned());
        let found = of(&mixed);
        prop_assert_eq!(count(&found), count(&expected));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_it_comes_to_is_whole_and_within_the_time_that_passed(records in records()) {
        let told = of(&records);
        let figures = sum(&told);
        let some = !told.events.is_empty() || !told.cmcd.is_empty();
        prop_assert_eq!(figures.sessions, i64::from(some));
        let began = figures.starts + figures.start_failures + figures.exits_before_start;
        prop_assert!(began <= 1 && figures.views <= figures.starts);
        prop_assert!(figures.failures <= figures.starts);
        prop_assert!(figures.watch_ms + figures.rebuffer_ms <= 9_000_000);
        prop_assert!(figures.known_ms <= figures.watch_ms);
        prop_assert_eq!(figures.startup.values().sum::<i64>(), figures.starts);
        for (slot, figures) in count(&told) {
            prop_assert!(figures.watch_ms + figures.rebuffer_ms <= 3_600_000);
            prop_assert_eq!(slot.hour_unix_s % 3600, 0);
        }
    }
}
