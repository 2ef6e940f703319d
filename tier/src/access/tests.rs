//! A request becomes a line, and the line says neither more nor less than it may.

use std::time::{Duration, Instant, UNIX_EPOCH};

use contracts::reason::Reason;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value as Json, json};

use super::line::Scratch;
use super::*;
use crate::admission::{Country, Visitor};
use crate::metrics::CacheUse;
use crate::protocol::Protocol;

fn served(fields: &HeaderMap) -> Served<'_> {
    Served {
        protocol: Protocol::H3,
        method: "GET",
        host: None,
        address: "/v/a/720p/segment_1.m4s",
        session: None,
        visitor: Visitor::default(),
        fields,
        cmcd: None,
        status: 200,
        bytes: 1_048_576,
        complete: true,
        cache_use: CacheUse::Hit,
        parent: None,
        reason: None,
        arrived: UNIX_EPOCH + Duration::from_millis(1_795_285_867_045),
        until_header: None,
        took: Duration::from_micros(1234),
    }
}

fn line(client: ClientAddress, served: &Served<'_>) -> Json {
    let mut scratch = Scratch::default();
    let line = scratch.line("edge-1", client, served);
    let (end, json) = line.split_last().unwrap();
    assert_eq!(*end, b'\n');
    assert!(json.iter().all(|byte| matches!(byte, b' '..=b'~')));
    serde_json::from_slice(json).unwrap()
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
    let fields = fields
        .iter()
        .map(|(name, text)| (name.parse().unwrap(), value(text)));
    fields.collect()
}

#[test]
fn a_request_becomes_a_line() {
    let none = HeaderMap::new();
    let least = json!({
        "time": "2026-11-21T18:31:07.045Z", "node": "edge-1", "protocol": "h3", "method": "GET",
        "address": "/v/a/720p/segment_1.m4s", "status": 200, "bytes": 1_048_576, "complete": true, "cache": "hit",
        "duration_us": 1234,
    });
    assert_eq!(line(ClientAddress::Full, &served(&none)), least);
    let all = fields(&[
        ("range", "bytes=0-99"),
        ("user-agent", "A \"player\"\\ \u{202e}"),
        ("referer", "https://site/?secret"),
        ("cookie", "secret"),
        ("cmcd-object", "br=(5000;v),ot=v"),
        ("cmcd-status", "bs,zz"),
    ]);
    let told = Served {
        host: Some("site.example:8443"),
        session: Some("s-1"),
        visitor: Visitor {
            client: Some([192, 0, 2, 77].into()),
            country: Country::parse("AT"),
        },
        cmcd: Some("br=1,sid=\"x\""),
        status: 502,
        complete: false,
        parent: Some("127.0.0.1:9001"),
        reason: Some(Reason::Unreachable),
        until_header: Some(Duration::from_micros(999)),
        ..served(&all)
    };
    let mut most = least;
    let more = json!({
        "host": "site.example:8443", "session": "s-1", "client": "192.0.2.0/24", "country": "AT", "status": 502,
        "complete": false, "parent": "127.0.0.1:9001", "reason": "unreachable", "first_byte_us": 999,
        "range": "bytes=0-99", "user_agent": "A \"player\"\\ \u{202e}",
        "cmcd": {"br": [{"value": 1}], "ot": "v", "bs": true, "sid": "x"}, "cmcd_dropped": 1,
    });
    most.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    assert_eq!(line(ClientAddress::Network, &told), most);
}

#[test]
fn of_a_clients_address_stands_there_what_the_operator_wants() {
    let none = HeaderMap::new();
    for (client, network, full) in [
        ("192.0.2.177", "192.0.2.0/24", "192.0.2.177"),
        ("::ffff:192.0.2.177", "192.0.2.0/24", "192.0.2.177"),
        (
            "2001:db8:1:2:3:4:5:6",
            "2001:db8:1::/48",
            "2001:db8:1:2:3:4:5:6",
        ),
    ] {
        let told = Served {
            visitor: Visitor {
                client: Some(client.parse().unwrap()),
                country: None,
            },
            ..served(&none)
        };
        assert_eq!(line(ClientAddress::Network, &told)["client"], network);
        assert_eq!(line(ClientAddress::Full, &told)["client"], full);
        assert_eq!(line(ClientAddress::None, &told)["client"], Json::Null);
    }
}

#[test]
fn whatever_a_client_sends_the_line_is_bounded() {
    let long = "\u{1}".repeat(9000);
    let letters = "a".repeat(60_000);
    let data = format!(
        "com.example-a=\"{}\",{}",
        "b".repeat(64),
        "x-y,".repeat(5000)
    );
    let all = fields(&[
        ("range", &letters),
        ("user-agent", &letters),
        ("cmcd-object", &data),
        ("cmcd-request", &data),
        ("cmcd-session", &data),
        ("cmcd-status", &data),
    ]);
    let told = Served {
        method: &letters,
        host: Some(&long),
        address: &long,
        session: Some(&long),
        cmcd: Some(&data),
        ..served(&all)
    };
    let mut scratch = Scratch::default();
    let length = scratch.line("edge-1", ClientAddress::Full, &told).len();
    assert!(length < 16 << 10, "{length}");
}

#[test]
fn every_second_has_its_name() {
    let none = HeaderMap::new();
    let mut scratch = Scratch::default();
    for (unix_ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (951_782_399_007, "2000-02-28T23:59:59.007Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_010, "2000-03-01T00:00:00.010Z"),
        (1_704_067_199_100, "2023-12-31T23:59:59.100Z"),
        (1_735_603_200_000, "2024-12-31T00:00:00.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (13_574_563_200_000, "2400-02-29T00:00:00.000Z"),
    ] {
        let told = Served {
            arrived: UNIX_EPOCH + Duration::from_millis(unix_ms),
            ..served(&none)
        };
        let line = scratch.line("n", ClientAddress::None, &told);
        let json: Json = serde_json::from_slice(line).unwrap();
        assert_eq!(json["time"], text);
    }
}

fn settings(to: To) -> Settings {
    Settings {
        to,
        queue_bytes: 64 << 10,
        client_address: ClientAddress::Network,
    }
}

fn counted(registry: &Registry, outcome: &str) -> f64 {
    let family = registry.gather().into_iter();
    let family = { family }.find(|family| family.name() == "millrace_tier_access_log_lines_total");
    let family = family.unwrap();
    let metric = family.get_metric().iter();
    let metric = { metric }.find(|metric| metric.get_label()[0].value() == outcome);
    metric.unwrap().get_counter().get_value()
}

#[tokio::test]
async fn on_a_stop_what_was_noted_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let registry = Registry::new();
    let log = Log::new(&settings(To::File(path.clone())), "edge-1", &registry).unwrap();
    let (health, none) = (Health::new(), HeaderMap::new());
    log.begin(&health);
    for _ in 0..100 {
        log.served(&served(&none));
    }
    log.close().await;
    log.served(&served(&none));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 100);
    assert!(text.ends_with("}\n"));
    assert_eq!(
        (counted(&registry, "written"), counted(&registry, "dropped")),
        (100.0, 1.0)
    );
    assert_eq!(health.report().1, "ok\n");
}

#[tokio::test]
async fn what_cannot_be_written_is_said_and_dropped_and_nobody_waits() {
    let registry = Registry::new();
    let log = Log::new(&settings(To::File("/dev/full".into())), "edge-1", &registry).unwrap();
    let (health, none) = (Health::new(), HeaderMap::new());
    log.begin(&health);
    for _ in 0..1000 {
        log.served(&served(&none));
    }
    log.close().await;
    let said = health.report();
    assert!(
        said.0
            && said
                .1
                .contains("degraded: access log: not written to: No space left"),
        "{}",
        said.1
    );
    assert_eq!(
        (counted(&registry, "written"), counted(&registry, "dropped")),
        (0.0, 1000.0)
    );
}

/// `cargo test --release -p tier --lib access -- --ignored --nocapture` tells what a line costs.
#[test]
#[ignore = "a measurement, of use in a release build"]
fn what_a_line_costs() {
    let plain = fields(&[(
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36",
    )]);
    let mut player = plain.clone();
    player.extend(fields(&[
        ("cmcd-object", "br=3200,d=4004,ot=v,tb=6000"),
        (
            "cmcd-request",
            "bl=21300,dl=21300,mtp=25400,nor=\"..%2F300kbps%2Ftrack.m4v\"",
        ),
        (
            "cmcd-session",
            "cid=\"asset1\",sf=d,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\",st=v",
        ),
        ("cmcd-status", "rtp=15000"),
    ]));
    let query = "/v/a/b?CMCD=bl%3D8000%2Cbr%3D369%2Ccid%3D%22asset1%22%2Cd%3D2005%2Cdl%3D8000%2Cmtp%3D25000%2Cnor%3D%22..%252F..%252Fnone%252Fv%252F8.m4s%22%2Cot%3Da%2Crtp%3D1800%2Csf%3Dh%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv";
    let log = Log::new(&settings(To::Stdout), "edge-1", &Registry::new()).unwrap();
    let mut batch = queue::Batch::default();
    const LINES: u32 = 64;
    let mut measure = |name: &str, told: &dyn Fn() -> Option<Box<str>>, fields: &HeaderMap| {
        let (mut best, mut bytes) = (Duration::MAX, 0);
        // Short stretches, the best of which no other process has disturbed.
        for _ in 0..5000 {
            let begun = Instant::now();
            for _ in 0..LINES {
                let said = told();
                log.served(&Served {
                    session: Some("6e2fb550-c457-11e9-bb97-0800200c9a66"),
                    visitor: Visitor {
                        client: Some([192, 0, 2, 77].into()),
                        country: Country::parse("AT"),
                    },
                    cmcd: said.as_deref(),
                    until_header: Some(Duration::from_micros(100)),
                    ..served(fields)
                });
            }
            best = best.min(begun.elapsed() / LINES);
            log.queue.take(&mut batch, Duration::ZERO);
            bytes = batch.bytes.len() / LINES as usize;
            batch.bytes.clear();
        }
        println!("{name}: {best:?} a line of {bytes} bytes");
    };
    measure("without CMCD", &|| None, &plain);
    measure("CMCD in fields", &|| None, &player);
    measure(
        "CMCD in the query",
        &|| contracts::cmcd::of_query(query),
        &plain,
    );
}
