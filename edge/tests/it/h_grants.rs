//! What a token alone does not say: countries, rates, revocations, and which keys a node may hold.

use std::path::{Path, PathBuf};

use contracts::id::SessionId;
use contracts::revocation::{Revocation, Revoked, Subtree};
use contracts::time::UnixSeconds;
use contracts::token::{Claims, Countries};
use edge::gate::{Holds, Limits};
use serde_json::Value;
use tier::Protocol;

use crate::house::{House, NOW, PROTOCOLS, minted, signed};
use crate::origin::{Origin, Reply};

const PATH: &str = "/v/a/720p/segment_1.m4s";
const DATABASE: &[u8] = include_bytes!("../data/geo_test.mmdb");

async fn origin() -> Origin {
    Origin::start(|_| Reply::ok("x").field("cache-control", "max-age=60")).await
}

fn claims() -> Claims {
    Claims::new("/v/", UnixSeconds(NOW + 3600))
}

fn in_session(session: &str) -> String {
    let mut claims = claims();
    claims.session = Some(SessionId::parse(session).unwrap());
    minted(&claims, PATH)
}

#[tokio::test]
async fn a_country_is_found_by_the_client_s_address() {
    let origin = origin().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("geo.mmdb");
    std::fs::write(&file, DATABASE).unwrap();
    let house = House::with(&origin, |config| {
        config.geo_file.clone_from(&file);
        config.trusted_hops = vec!["127.0.0.0/8".to_owned()];
    })
    .await;
    let for_countries = |rule| {
        let mut claims = claims();
        claims.countries = Some(rule);
        minted(&claims, PATH)
    };
    let german = for_countries(Countries::Only(vec!["DE".to_owned()]));
    let not_german = for_countries(Countries::Except(vec!["DE".to_owned()]));
    let nowhere = for_countries(Countries::Only(vec!["ZZ".to_owned()]));
    let look = async |round: &str| {
        for protocol in PROTOCOLS {
            let client = house.client(protocol);
            for (token, ip, said, status) in [
                (&german, "198.51.100.7", None, 200),
                (&german, "::ffff:198.51.100.7", None, 200),
                (&german, "2001:db8:1::9", None, 200),
                (&german, "203.0.113.255", None, 403),
                (&german, "198.51.101.1", None, 403),
                (&german, "203.0.113.255", Some("DE"), 200),
                (&not_german, "198.51.100.7", None, 403),
                (&not_german, "203.0.113.255", None, 200),
                (&nowhere, "198.51.101.1", None, 200),
            ] {
                let mut fields = vec![("millrace-client-ip", ip)];
                fields.extend(said.map(|country| ("millrace-client-country", country)));
                let got = client.get(token, &fields).await;
                assert_eq!(got.status, status, "{ip} {said:?} over {protocol}, {round}");
            }
        }
    };
    look("at first").await;
    std::fs::write(&file, &DATABASE[..DATABASE.len() / 2]).unwrap();
    assert!(house.edge.reload().is_err());
    look("with a broken file").await;
    std::fs::write(&file, DATABASE).unwrap();
    house.edge.reload().unwrap();
    look("with a new file").await;
}

#[tokio::test]
async fn without_a_file_and_a_hop_that_says_it_no_country_is_known() {
    let origin = origin().await;
    let house = House::with(&origin, |_| {}).await;
    let mut claims = claims();
    claims.countries = Some(Countries::Only(vec!["DE".to_owned()]));
    let forged = [
        ("millrace-client-country", "DE"),
        ("millrace-client-ip", "198.51.100.7"),
    ];
    for protocol in PROTOCOLS {
        let got = house
            .client(protocol)
            .get(&minted(&claims, PATH), &forged)
            .await;
        assert_eq!(got.status, 403, "{protocol}");
    }
}

/// Asks until it is told to wait, which must happen long before so many requests.
async fn until_told_to_wait(house: &House, protocol: Protocol, target: &str) {
    let mut left = 500;
    let told = loop {
        let got = house.client(protocol).get(target, &[]).await;
        left -= 1;
        if got.status != 200 || left == 0 {
            break got;
        }
    };
    assert_eq!(told.status, 429, "over {protocol}");
    assert_eq!(told.field("retry-after"), "1");
    assert_eq!(told.field("cache-control"), "no-store");
    assert_eq!(told.field("access-control-allow-origin"), "*");
    let exposed = told.field("access-control-expose-headers");
    assert!(exposed.contains("retry-after"), "{exposed}");
}

#[tokio::test]
async fn a_session_that_asks_too_much_waits_and_the_others_do_not() {
    let origin = origin().await;
    let house = House::with(&origin, |config| config.rates.session_requests = 1).await;
    for protocol in PROTOCOLS {
        until_told_to_wait(&house, protocol, &in_session(&format!("s-{protocol}"))).await;
        let other = house
            .client(protocol)
            .get(&in_session(&format!("t-{protocol}")), &[])
            .await;
        assert_eq!(other.status, 200);
        assert_eq!(
            house.client(protocol).get(&signed(PATH), &[]).await.status,
            200
        );
    }
    assert_eq!(
        house
            .metric("millrace_tier_refusals_total{reason=\"too_many\"}")
            .await,
        3
    );
}

#[tokio::test]
async fn a_client_that_asks_too_much_waits_whatever_it_shows() {
    let origin = origin().await;
    let house = House::with(&origin, |config| {
        config.rates.client_requests = 1;
        config.rates.burst = config::Span::seconds(5);
        config.trusted_hops = vec!["127.0.0.0/8".to_owned()];
    })
    .await;
    for (n, protocol) in PROTOCOLS.into_iter().enumerate() {
        let client = house.client(protocol);
        let (one, other) = (format!("2001:db8:{n}::1"), format!("2001:db8:{n}:1::1"));
        let mut refused = 0;
        for _ in 0..500 {
            let got = client.get("/v/a/x", &[("millrace-client-ip", &one)]).await;
            match got.status {
                403 => {}
                429 => {
                    refused += 1;
                    break;
                }
                status => panic!("{status}"),
            }
        }
        assert_eq!(refused, 1, "{protocol}");
        let neighbour = client
            .get(&signed(PATH), &[("millrace-client-ip", &other)])
            .await;
        assert_eq!(neighbour.status, 200, "another /64 over {protocol}");
    }
    let unlimited = Limits {
        client_requests: 0,
        client_bytes: 0,
        session_requests: 0,
        session_bytes: 0,
        burst: std::time::Duration::from_secs(1),
        ipv4_prefix: 32,
        ipv6_prefix: 64,
        entries: 8,
    };
    house.edge.gate().limit(unlimited);
    for _ in 0..20 {
        let got = house
            .client(Protocol::H1)
            .get("/v/a/x", &[("millrace-client-ip", "2001:db8::1")])
            .await;
        assert_eq!(got.status, 403);
    }
}

#[tokio::test]
async fn bytes_that_were_sent_count_on_every_protocol() {
    let origin =
        Origin::start(|_| Reply::ok(vec![0; 100_000]).field("cache-control", "max-age=60")).await;
    let house = House::with(&origin, |config| {
        config.rates.session_bytes = config::ByteSize(1000);
    })
    .await;
    for protocol in PROTOCOLS {
        let (client, target) = (house.client(protocol), in_session(&format!("s-{protocol}")));
        assert_eq!(client.get(&target, &[]).await.bytes().len(), 100_000);
        // The last byte may be here before the edge has written it down.
        let mut waits = String::new();
        for _ in 0..500 {
            let got = client.get(&target, &[("range", "bytes=0-0")]).await;
            if got.status == 429 {
                got.field("retry-after").clone_into(&mut waits);
                break;
            }
        }
        let waits: u64 = waits.parse().unwrap();
        assert!((30..=60).contains(&waits), "{waits} s over {protocol}");
    }
}

#[tokio::test]
async fn what_is_revoked_is_refused_from_the_next_request_on() {
    let origin = origin().await;
    let house = House::with(&origin, |config| config.public_without_token = true).await;
    let revoke = |what| {
        let until = UnixSeconds(NOW + 60);
        house
            .edge
            .gate()
            .revoke(Revocation { what, until })
            .unwrap();
    };
    let status =
        async |protocol, target: &str| house.client(protocol).get(target, &[]).await.status;
    for protocol in PROTOCOLS {
        assert_eq!(status(protocol, &in_session("s1")).await, 200);
    }
    revoke(Revoked::Session(SessionId::parse("s1").unwrap()));
    for protocol in PROTOCOLS {
        assert_eq!(status(protocol, &in_session("s1")).await, 403, "{protocol}");
        assert_eq!(status(protocol, &in_session("s2")).await, 200, "{protocol}");
    }
    revoke(Revoked::Path(Subtree::parse("/v/a/").unwrap()));
    for protocol in PROTOCOLS {
        assert_eq!(status(protocol, &in_session("s2")).await, 403, "{protocol}");
        assert_eq!(status(protocol, PATH).await, 403, "{protocol}");
        assert_eq!(status(protocol, &signed("/v/b/x")).await, 200, "{protocol}");
    }
    revoke(Revoked::Key("k1".to_owned()));
    for protocol in PROTOCOLS {
        assert_eq!(status(protocol, &signed("/v/b/x")).await, 403, "{protocol}");
    }
    // Three sessions, three with a token and three without, three by the key.
    assert_eq!(
        house
            .metric("millrace_tier_refusals_total{reason=\"revoked\"}")
            .await,
        12
    );
    house.clock.advance(60);
    for protocol in PROTOCOLS {
        assert_eq!(status(protocol, &in_session("s1")).await, 200, "{protocol}");
    }
}

/// The keys of the vectors that have `ver`.
fn keys_of(files: &Path, ver: &str) -> PathBuf {
    let mut keys: Value = serde_json::from_str(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ))
    .unwrap();
    let ring = keys["keyring"].as_array_mut().unwrap();
    ring.retain(|key| key["ver"] == ver);
    assert!(!ring.is_empty());
    let file = files.join("ring.json");
    std::fs::write(&file, keys.to_string()).unwrap();
    file
}

#[tokio::test]
async fn a_partner_s_edge_does_not_start_with_keys_that_can_mint_nor_take_them_later() {
    let (origin, files) = (origin().await, tempfile::tempdir().unwrap());
    let partner = async |file: PathBuf| {
        House::try_with(&origin, |config| {
            config.keyring_file = file;
            config.keys = Holds::PublicOnly;
        })
        .await
    };
    let Err(refused) = partner(keys_of(files.path(), "m1")).await else {
        panic!("it started");
    };
    let refused = refused.to_string();
    assert!(
        refused.contains("can mint") && !refused.contains("000102"),
        "{refused}"
    );
    let house = partner(keys_of(files.path(), "m2")).await.unwrap();
    let vectors: Value = serde_json::from_str(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ))
    .unwrap();
    let good = vectors["cases"].as_array().unwrap().iter().find(|case| {
        case["expect"] == "accept" && case["target"].as_str().unwrap().starts_with("/~m2.")
    });
    let good = good.unwrap()["target"].as_str().unwrap();
    for _then_with_the_wrong_file in 0..2 {
        for protocol in PROTOCOLS {
            assert_eq!(house.client(protocol).get(good, &[]).await.status, 200);
            assert_eq!(
                house.client(protocol).get(&signed(PATH), &[]).await.status,
                403
            );
        }
        keys_of(files.path(), "m1");
        assert!(house.edge.reload().is_err());
    }
}
