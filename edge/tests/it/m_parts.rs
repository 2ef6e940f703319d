//! Parts of what a site serves, and what is said of the way that an answer took.

use config::ByteSize;
use edge::config::{Config, Serve};

use crate::client::{Client, Got};
use crate::house::{House, PROTOCOLS};
use crate::origin::{Gate, HANG_UP, Origin, Reply, Step, field, path};

const TAG: &str = "\"a\"";

/// An origin with one thing of 4000 bytes, of which it also gives parts.
async fn origin() -> Origin {
    Origin::start(|head| {
        let whole: Vec<u8> = (0..4000_u32)
            .map(|n| b"0123456789"[n as usize % 10])
            .collect();
        let same = field(head, "if-range").is_none_or(|tag| tag == TAG);
        let range = field(head, "range").filter(|_| same && head.starts_with("GET"));
        let Some((first, last)) =
            range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        else {
            return Reply::ok(whole).field("etag", TAG);
        };
        let (from, to) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(from), Ok(to)) => (from, to.min(3999)),
            (Ok(from), Err(_)) => (from, 3999),
            (Err(_), last) => (4000 - last.unwrap(), 3999),
        };
        Reply::status(206, whole[from..=to].to_vec())
            .field("cache-control", "max-age=600")
            .field("content-range", format!("bytes {from}-{to}/4000"))
            .field("etag", TAG)
    })
    .await
}

/// Keeps nothing whole that has more than a thousand bytes.
fn narrow(config: &mut Config) {
    config.serve = Serve::Site;
    config.cache.max_object = ByteSize(1000);
}

async fn range(client: &Client, range: &str, fields: &[(&str, &str)]) -> Got {
    let fields = [fields, &[("range", range)]].concat();
    client.get("/", &fields).await
}

#[tokio::test]
async fn parts_are_cut_from_what_is_stored_and_from_what_is_on_its_way() {
    for protocol in PROTOCOLS {
        let gate = Gate::shut();
        let inner = gate.clone();
        let origin = Origin::start(move |_| {
            let steps = vec![
                Step::Send("0123456789".into()),
                Step::Wait(inner.clone()),
                Step::Send("abcdefghij".into()),
            ];
            Reply::steps(20, steps).field("etag", TAG)
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        let first = client.open("GET", "/", &[]).await;
        let early = range(&client, "bytes=2-5", &[]).await;
        assert_eq!(
            (early.status, &early.bytes()[..]),
            (206, &b"2345"[..]),
            "{protocol}"
        );
        let asked = [
            ("bytes=2-5", "", 206),
            ("bytes=8-11", "", 206),
            ("bytes=-3", "", 206),
            ("bytes=15-", TAG, 206),
            ("bytes=0-1,18-19", "", 206),
            ("bytes=0-0", "\"b\"", 200),
            ("bytes=20-", "", 416),
        ];
        for on_its_way in [true, false] {
            let mut answers = Vec::new();
            for (range, tag, status) in asked {
                let tagged = [("range", range), ("if-range", tag)];
                let fields = &tagged[..if tag.is_empty() { 1 } else { 2 }];
                let answer = client.open("GET", "/", fields).await;
                assert_eq!(answer.status, status, "{range} {on_its_way} {protocol}");
                answers.push(answer);
            }
            let head = client.open("HEAD", "/", &[("range", "bytes=0-1")]).await;
            assert_eq!(
                (head.status, head.headers["content-length"].as_bytes()),
                (200, &b"20"[..])
            );
            gate.open();
            let mut bodies = Vec::new();
            for answer in answers {
                bodies.push(String::from_utf8(answer.whole().await.bytes().to_vec()).unwrap());
            }
            assert_eq!(
                bodies[..4],
                ["2345", "89ab", "hij", "fghij"],
                "{on_its_way} {protocol}"
            );
            for part in ["bytes 0-1/20", "bytes 18-19/20", "\r\nij\r\n"] {
                assert!(bodies[4].contains(part), "{}", bodies[4]);
            }
            assert_eq!(bodies[5], "0123456789abcdefghij");
        }
        assert_eq!(&first.whole().await.bytes()[..], b"0123456789abcdefghij");
        assert_eq!(origin.requests(), 1, "{protocol}");
    }
}

#[tokio::test]
async fn a_part_of_what_is_too_large_is_fetched_alone_and_kept() {
    for protocol in PROTOCOLS {
        let origin = origin().await;
        let house = House::with(&origin, narrow).await;
        let client = house.client(protocol);
        for (asked, part, at) in [
            ("bytes=2001-2003", "123", "bytes 2001-2003/4000"),
            ("bytes=-2", "89", "bytes 3998-3999/4000"),
            ("bytes=3995-", "56789", "bytes 3995-3999/4000"),
        ] {
            let before = origin.requests();
            for state in ["miss; stored", "hit; "] {
                let got = range(&client, asked, &[]).await;
                assert_eq!(
                    (got.status, &got.bytes()[..]),
                    (206, part.as_bytes()),
                    "{protocol}"
                );
                assert_eq!(got.field("content-range"), at);
                assert!(got.field("cache-status").contains(state), "{asked} {got:?}");
            }
            assert_eq!(origin.requests() - before, 1, "{asked} {protocol}");
            assert_eq!(field(&origin.heads().pop().unwrap(), "range"), Some(asked));
        }
        let whole = client.get("/", &[]).await;
        assert_eq!(
            (whole.status, whole.bytes().len()),
            (200, 4000),
            "a part is not the whole"
        );
        let head = client.open("HEAD", "/", &[("range", "bytes=-2")]).await;
        assert_eq!(head.status, 200, "{protocol}");
        let other = range(&client, "bytes=-2", &[("if-range", "\"b\"")]).await;
        assert_eq!((other.status, other.bytes().len()), (200, 4000));
        let before = origin.requests();
        let same = range(&client, "bytes=-2", &[("if-range", TAG)]).await;
        assert_eq!((same.status, &same.bytes()[..]), (206, &b"89"[..]));
        assert_eq!(
            origin.requests() - before,
            1,
            "its answer holds for this client only"
        );
        client.open("DELETE", "/", &[]).await.whole().await;
        let before = origin.requests();
        range(&client, "bytes=-2", &[]).await;
        range(&client, "bytes=2001-2003", &[]).await;
        assert_eq!(
            origin.requests() - before,
            2,
            "parts are forgotten with the whole"
        );
    }
}

#[tokio::test]
async fn the_whole_takes_the_place_of_its_parts() {
    for protocol in PROTOCOLS {
        let origin = origin().await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        assert_eq!(range(&client, "bytes=-2", &[]).await.status, 206);
        assert_eq!(client.get("/", &[]).await.bytes().len(), 4000);
        for asked in ["bytes=-2", "bytes=5-6", "bytes=-30"] {
            assert_eq!(range(&client, asked, &[]).await.status, 206);
        }
        assert_eq!(origin.requests(), 2, "{protocol}");
    }
}

#[tokio::test]
async fn a_part_of_nothing_and_the_last_nothing_of_a_part_are_answered_whole() {
    for protocol in PROTOCOLS {
        let origin =
            Origin::start(|head| Reply::ok(if path(head) == "/empty" { "" } else { "abc" })).await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for (target, range, length) in [
            ("/empty", "bytes=-5", 0),
            ("/empty", "bytes=0-", 0),
            ("/some", "bytes=-0", 3),
        ] {
            for _ in 0..2 {
                let got = client.get(target, &[("range", range)]).await;
                assert_eq!(
                    (got.status, got.bytes().len()),
                    (200, length),
                    "{target} {range} {protocol}"
                );
            }
        }
        let head = client
            .open("HEAD", "/some", &[("range", "bytes=0-0")])
            .await;
        assert_eq!(head.status, 200, "{protocol}: RFC 9110 §14.2");
    }
}

#[tokio::test]
async fn the_answer_to_a_post_that_is_the_thing_itself_answers_those_who_get_it() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|head| {
            let reply = Reply::ok(if head.starts_with("POST") {
                "posted"
            } else {
                "got"
            });
            match path(head) {
                "/itself" => reply.field("content-location", "/itself"),
                _ => reply.field("content-location", "/other"),
            }
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for (place, text) in [("/itself", "posted"), ("/list", "got")] {
            client.get(place, &[]).await;
            for _ in 0..2 {
                let before = origin.requests();
                let posted = client
                    .send("POST", place, &[], "the body")
                    .await
                    .whole()
                    .await;
                assert_eq!(&posted.bytes()[..], b"posted", "{place} {protocol}");
                assert_eq!(posted.field("cache-status"), "edge-1; fwd=method");
                assert_eq!(
                    origin.requests() - before,
                    1,
                    "no POST is answered from the cache"
                );
            }
            assert_eq!(
                &client.get(place, &[]).await.bytes()[..],
                text.as_bytes(),
                "{protocol}"
            );
        }
        assert_eq!(origin.bodies(), ["the body"; 4]);
    }
}

#[tokio::test]
async fn a_negative_answer_is_kept_by_the_rules_for_all() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|head| match path(head) {
            "/kept" => Reply::status(404, "no").field("cache-control", "max-age=60"),
            "/gone" => {
                Reply::status(410, "no").field("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")
            }
            _ => Reply::status(404, "no"),
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for (place, asked) in [("/kept", 1), ("/gone", 1), ("/new", 2)] {
            let before = origin.requests();
            for _ in 0..2 {
                assert!(client.get(place, &[]).await.status >= 404);
            }
            assert_eq!(origin.requests() - before, asked, "{place} {protocol}");
        }
    }
}

#[tokio::test]
async fn what_is_said_of_the_way_is_well_formed() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|head| match path(head) {
            "/dead" => Reply::status(HANG_UP, ""),
            "/mine" => Reply::ok("a").field("cache-control", "private"),
            "/old" => Reply::ok("a").field("cache-control", "max-age=0, stale-while-revalidate=60"),
            _ => Reply::ok("a").field("cache-status", "parent; hit; ttl=5"),
        })
        .await;
        let house = House::site(&origin).await;
        let client = house.client(protocol);
        for (place, status) in [
            ("/", "parent; hit; ttl=5, edge-1; fwd=miss; stored"),
            ("/", "edge-1; hit; ttl="),
            ("/mine", "edge-1; fwd=miss"),
            ("/old", "edge-1; fwd=miss; stored"),
            ("/old", "edge-1; hit; ttl=-"),
        ] {
            let got = client.get(place, &[("cdn-loop", "one; a=b,, two")]).await;
            let said = got.field("cache-status");
            assert!(said.starts_with(status), "{said} {protocol}");
            assert!(said.split(", ").all(is_member), "{said}");
            assert!(!got.headers.contains_key("proxy-status"));
        }
        let dead = client.get("/dead", &[]).await;
        let said = dead.field("proxy-status");
        assert_eq!(dead.status, 502);
        assert!(
            is_member(said) && said.starts_with("edge-1; error="),
            "{said}"
        );
        let head = origin.heads().remove(0);
        let members: Vec<&str> = field(&head, "cdn-loop")
            .unwrap()
            .split(',')
            .map(str::trim)
            .collect();
        assert_eq!(members[..1], ["one; a=b"], "{head}");
        assert!(members.last().unwrap().starts_with("edge-1"), "{head}");
    }
}

/// `token *( "; " key [ "=" ( token / integer ) ] )` (RFC 9651 §3.1).
fn is_member(text: &str) -> bool {
    let is_key = |text: &str| {
        let mut letters = text.chars();
        letters
            .next()
            .is_some_and(|letter| letter.is_ascii_lowercase())
            && letters.all(|letter| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter)
            })
    };
    let mut parts = text.split("; ");
    parts.next().is_some_and(is_key)
        && parts.all(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, "x"));
            let value = value.strip_prefix('-').unwrap_or(value);
            is_key(key) && (is_key(value) || value.parse::<u64>().is_ok())
        })
}
