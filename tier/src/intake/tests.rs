//! Who may ask a parent, and who is sent elsewhere.

use super::*;

fn terms(hours: &[&str], rate: u64, longest_wait: u64) -> Terms {
    let hours: Vec<String> = hours.iter().map(|&span| span.to_owned()).collect();
    Terms {
        hours: (!hours.is_empty()).then(|| Hours::parse(&hours, "UTC").unwrap()),
        rate: NonZeroU64::new(rate),
        longest_wait: Duration::from_millis(longest_wait),
        ..Terms::default()
    }
}

fn intake(terms: Terms) -> Intake {
    Intake::register(terms, &Registry::new()).unwrap()
}

/// So many hours into a day.
fn hour(hour: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(hour * 3600)
}

#[tokio::test]
async fn outside_its_hours_a_node_asks_nobody_and_says_when_it_will() {
    let intake = intake(terms(&["01:00-07:00"], 0, 250));
    assert!(intake.ask(hour(1)).is_ok());
    let withheld = intake.ask(hour(7)).unwrap_err();
    let expected = Withheld {
        reason: Reason::FillHours,
        retry_after: Some(Duration::from_secs(18 * 3600)),
    };
    assert_eq!(withheld, expected);
    assert!(intake.is_open(hour(6)) && !intake.is_open(hour(0)));
    let count = intake.withheld.with_label_values(&["fill_hours"]).get();
    assert_eq!(count, 1, "whoever only looks is not counted");
    intake.set(Terms::default());
    assert!(intake.ask(hour(7)).is_ok() && !intake.has_limits());
}

#[tokio::test(start_paused = true)]
async fn no_more_begin_than_get_their_piece_in_time() {
    // A piece takes a quarter of a second.
    let intake = intake(terms(&[], 4 * 65_536, 600));
    let mut begun: Vec<Permit> = (0..3).map(|_| intake.ask(hour(0)).unwrap()).collect();
    let refused = intake.ask(hour(0)).unwrap_err();
    assert_eq!(refused.reason, Reason::FillRate);
    assert_eq!(refused.retry_after, Some(AGAIN));
    begun.pop();
    assert!(intake.ask(hour(0)).is_ok(), "another has ended");
}

#[tokio::test(start_paused = true)]
async fn who_begins_waits_for_what_came_before() {
    let intake = intake(terms(&[], 4 * 65_536, 600));
    assert_eq!(intake.came(65_536), Some(Duration::from_millis(250)));
    assert_eq!(intake.came(65_536), Some(Duration::from_millis(500)));
    let first = intake.ask(hour(0)).unwrap();
    assert_eq!(first.wait, Duration::from_millis(500));
    assert_eq!(intake.came(65_536), Some(Duration::from_millis(750)));
    assert!(intake.ask(hour(0)).is_err(), "it would wait for too long");
    drop(first);
    let alone = intake.ask(hour(0)).unwrap();
    assert_eq!(
        alone.wait,
        Duration::from_millis(750),
        "however slow the line is"
    );
    assert_eq!(intake.state(hour(0)).bytes, 3 * 65_536);
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_bytes_are_counted_and_nobody_waits() {
    let intake = intake(Terms::default());
    for _ in 0..1000 {
        assert_eq!(intake.came(1 << 20), None);
    }
    let expected = State {
        open: true,
        cap: 0,
        bytes: 1000 << 20,
    };
    assert_eq!(intake.state(hour(0)), expected);
}

#[test]
fn whoever_is_sent_elsewhere_goes_to_the_first_with_what_they_asked_for() {
    let bases = ["https://b.example:8443/", "https://a.example"];
    let intake = intake(Terms {
        fallbacks: bases.map(|base| Fallback::parse(base).unwrap()).to_vec(),
        ..Terms::default()
    });
    for (target, and) in [
        ("/~token/v/1/a", '?'),
        ("/v/1/a?t=token", '&'),
        ("//other/v/1/a", '?'),
    ] {
        let there = format!("https://b.example:8443{target}{and}millrace-sent=1");
        assert_eq!(intake.elsewhere(target), Some(there));
    }
    for target in ["http://other/v/1/a", "*", ""] {
        assert_eq!(
            intake.elsewhere(target),
            None,
            "nobody can tell what its path is"
        );
    }
}

#[test]
fn a_fallback_is_a_scheme_and_a_host() {
    for bad in [
        "",
        "a.example",
        "ftp://a",
        "https://a/b",
        "https://u@a",
        "https://a?b",
        "https://",
        "/a",
    ] {
        assert_eq!(Fallback::parse(bad), Err(NoFallback), "{bad}");
    }
}
