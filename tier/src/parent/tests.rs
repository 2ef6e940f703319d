//! Choosing among parents.

use super::*;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    read: Duration::from_secs(1),
    idle: Duration::from_secs(1),
    cooldown: Duration::from_secs(5),
    fill_wait: Duration::from_secs(5),
};

fn parents(ports: &[u16]) -> Parents {
    let urls = ports.iter().map(|port| format!("http://127.0.0.1:{port}"));
    let addresses = urls.map(|url| Address::parse(&url).unwrap()).collect();
    Parents::new(addresses, TIMEOUTS)
}

#[test]
fn a_parent_is_a_scheme_a_host_and_a_port() {
    for good in [
        "http://127.0.0.1:9001",
        "https://shield.example:443",
        "http://[::1]:80/",
    ] {
        assert!(Address::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "127.0.0.1:9001",
        "http://127.0.0.1",
        "ftp://a:1",
        "http://a:1/x",
        "http://a:1?x",
        "http://u@a:1",
        "http://a:0",
    ] {
        assert_eq!(Address::parse(bad), Err(AddressError), "{bad}");
    }
}

#[test]
fn removing_one_parent_moves_only_its_keys() {
    let (three, two) = (parents(&[1, 2, 3]), parents(&[1, 2]));
    let mut moved = 0;
    for n in 0..3000_u32 {
        let key = n.to_be_bytes();
        let before = three.choose(&key, &[]).unwrap();
        let after = two.choose(&key, &[]).unwrap();
        if before == 2 {
            moved += 1;
        } else {
            assert_eq!(before, after);
        }
    }
    assert!((800..1200).contains(&moved), "{moved} of 3000");
}

#[test]
fn a_parent_that_stays_is_known_still_when_others_are_replaced() {
    let before = parents(&[1, 2]);
    before.failed(1);
    let addresses =
        ["http://127.0.0.1:3", "http://127.0.0.1:2"].map(|url| Address::parse(url).unwrap());
    let after = before.replaced(addresses.to_vec(), TIMEOUTS);
    let well: Vec<_> = after
        .states()
        .map(|state| (state.authority.to_owned(), state.well))
        .collect();
    assert_eq!(
        well,
        [
            ("127.0.0.1:3".to_owned(), true),
            ("127.0.0.1:2".to_owned(), false)
        ]
    );
}

#[test]
fn what_was_tried_comes_last() {
    let parents = parents(&[1, 2, 3]);
    let first = parents.choose(b"k", &[]).unwrap();
    let second = parents.choose(b"k", &[first]).unwrap();
    let third = parents.choose(b"k", &[first, second]).unwrap();
    let mut all = [first, second, third];
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
    assert_eq!(parents.choose(b"k", &[0, 1, 2]), Some(first));
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_failed_is_asked_last_for_a_while() {
    let parents = parents(&[1, 2]);
    let first = parents.choose(b"k", &[]).unwrap();
    parents.failed(first);
    assert_ne!(parents.choose(b"k", &[]), Some(first));
    tokio::time::advance(TIMEOUTS.cooldown).await;
    assert_eq!(parents.choose(b"k", &[]), Some(first));
}

#[tokio::test(start_paused = true)]
async fn one_request_tries_a_parent_that_has_cooled_down_and_the_others_wait_for_that() {
    let parents = parents(&[1, 2]);
    let first = parents.choose(b"k", &[]).unwrap();
    parents.failed(first);
    tokio::time::advance(TIMEOUTS.cooldown).await;
    let mut tried = Vec::new();
    parents.next(b"k", &mut tried).await.unwrap();
    assert_eq!(tried, [first]);
    assert_ne!(parents.choose(b"k", &[]), Some(first));
    parents.recovered(first);
    assert_eq!(parents.choose(b"k", &[]), Some(first));
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_says_time_and_again_that_it_cannot_is_avoided() {
    let parents = parents(&[1, 2]);
    let first = parents.choose(b"k", &[]).unwrap();
    for _ in 1..FAULTS {
        parents.faulted(first);
    }
    assert_eq!(
        parents.choose(b"k", &[]),
        Some(first),
        "it may be about one object"
    );
    parents.recovered(first);
    for _ in 1..FAULTS {
        parents.faulted(first);
    }
    assert_eq!(
        parents.choose(b"k", &[]),
        Some(first),
        "it answered in between"
    );
    parents.faulted(first);
    assert_ne!(parents.choose(b"k", &[]), Some(first));
    assert!(parents.states().any(|state| !state.well));
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_is_silent_to_everybody_is_avoided_at_once() {
    let parents = parents(&[1, 2]);
    let first = parents.choose(b"k", &[]).unwrap();
    let pass = |seconds| tokio::time::advance(Duration::from_secs(seconds));
    let asked_at = Instant::now();
    pass(1).await;
    parents.recovered(first);
    pass(29).await;
    parents.silent(first, asked_at);
    let chosen = parents.choose(b"k", &[]);
    assert_eq!(chosen, Some(first), "it answered somebody else meanwhile");
    parents.silent(first, Instant::now());
    assert_ne!(parents.choose(b"k", &[]), Some(first));
}

#[tokio::test]
async fn no_parent_has_much_more_to_do_than_its_share() {
    let parents = parents(&[1, 2, 3, 4]);
    let mut busy = Vec::new();
    for _ in 0..1000 {
        // Everybody wants the same.
        busy.push(parents.next(b"k", &mut Vec::new()).await.unwrap());
    }
    let mut loads: Vec<usize> = parents.states().map(|state| state.load).collect();
    loads.sort_unstable();
    assert!(loads[3] <= 313 && loads[0] < loads[3], "{loads:?}");
    busy.clear();
    assert!(parents.states().all(|state| state.load == 0));
}

#[tokio::test]
async fn a_parent_whose_name_does_not_resolve_is_passed_over_and_cools_down() {
    // Too long for a label, so that no resolver is asked (RFC 1035 §2.3.4).
    let nameless = format!("http://{}:1", "a".repeat(64));
    let urls = [nameless.as_str(), "http://127.0.0.1:2"];
    let addresses = urls.map(|url| Address::parse(url).unwrap()).to_vec();
    let parents = Parents::new(addresses, TIMEOUTS);
    let key = (0..u8::MAX)
        .map(|n| [n])
        .find(|key| parents.choose(key, &[]) == Some(0))
        .unwrap();
    let mut tried = Vec::new();
    let (peer, _busy) = parents.next(&key, &mut tried).await.unwrap();
    assert_eq!(peer._address.to_string(), "127.0.0.1:2");
    assert_eq!(tried, [0, 1]);
    assert_eq!(parents.choose(&key, &[]), Some(1), "the other is cooling");

    let alone = Parents::new(vec![Address::parse(&nameless).unwrap()], TIMEOUTS);
    assert!(alone.next(&key, &mut Vec::new()).await.is_err());
}

#[tokio::test]
async fn of_many_requests_one_in_ten_is_asked_twice() {
    let parents = parents(&[1, 2]);
    let asked_twice = async |requests: usize| {
        let mut count = 0;
        for _ in 0..requests {
            let mut tried = Vec::new();
            drop(parents.next(b"k", &mut tried).await.unwrap());
            count += usize::from(parents.spend(tried[0]));
        }
        count
    };
    assert_eq!(asked_twice(10).await, 10, "a few are always");
    let many = asked_twice(1000).await;
    assert!((100..=135).contains(&many), "{many}");
}
