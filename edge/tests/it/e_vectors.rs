//! Every case of the token vectors, byte for byte over each protocol.

use contracts::time::UnixSeconds;
use serde_json::Value;
use tier::Protocol;

use crate::house::House;
use crate::origin::{Origin, Reply, path};
use crate::raw::{self, Outcome};

#[tokio::test]
async fn every_vector_agrees_over_every_protocol() {
    let vectors: Value = serde_json::from_str(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ))
    .unwrap();
    let origin = Origin::start(|_| Reply::ok("x").field("cache-control", "no-store")).await;
    let house = House::with(&origin, |config| {
        config.trusted_hops = vec!["127.0.0.0/8".to_owned()];
    })
    .await;
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        for protocol in Protocol::ALL {
            check(case, protocol, &house, &origin).await;
        }
    }
}

async fn check(case: &Value, protocol: Protocol, house: &House, origin: &Origin) {
    let text = |name: &str| case[name].as_str();
    let name = text("name").unwrap();
    let target = text("target").unwrap();
    house.clock.set(UnixSeconds(case["now"].as_u64().unwrap()));
    let mut fields = Vec::new();
    if let Some(ip) = text("client_ip") {
        fields.push(("millrace-client-ip", ip));
    }
    if let Some(country) = text("country") {
        fields.push(("millrace-client-country", country));
    }
    let before = origin.requests();
    let client = house.client(protocol);
    let outcome = match protocol {
        Protocol::H1 => raw::h1(&client, target, &fields).await,
        Protocol::H2 => raw::h2(&client, target, &fields).await,
        Protocol::H3 => raw::h3(&client, target, &fields).await,
    };
    if text("expect") == Some("accept") {
        assert_eq!(outcome, Outcome::Ok, "{name} over {protocol}");
        assert_eq!(origin.requests(), before + 1, "{name} over {protocol}");
        let asked = origin.heads().pop().unwrap();
        let expected = text("cache_key").or_else(|| text("path"));
        assert_eq!(Some(path(&asked)), expected, "{name} over {protocol}");
        assert!(!asked.contains("millrace-client"), "{asked}");
    } else {
        assert_eq!(outcome, Outcome::Refused, "{name} over {protocol}");
        assert_eq!(origin.requests(), before, "{name} over {protocol}");
    }
}
