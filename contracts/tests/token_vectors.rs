//! The published token vectors: every case agrees.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail the test where they stand"
)]

use contracts::time::UnixSeconds;
use contracts::token::{Claims, KeyRing, Request, verify};

const VECTORS: &str = include_str!("data/native_token.json");

fn ring() -> KeyRing {
    KeyRing::from_json(VECTORS).expect("the vectors hold a keyring")
}

#[test]
fn every_published_case_agrees() {
    let file: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let ring = ring();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 61);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let verdict = verify(
            &ring,
            &Request {
                client_ip: case["client_ip"].as_str().map(|ip| ip.parse().unwrap()),
                country: case["country"].as_str(),
                ..ask(
                    case["target"].as_str().unwrap(),
                    case["now"].as_u64().unwrap(),
                )
            },
        );
        match (case["expect"].as_str().unwrap(), verdict) {
            ("accept", Ok(accepted)) => {
                assert_eq!(
                    Some(accepted.path.as_str()),
                    case["path"].as_str(),
                    "{name}"
                );
                if let Some(key) = case["cache_key"].as_str() {
                    assert_eq!(accepted.cache_key, key, "{name}");
                }
            }
            ("reject", Err(reason)) => {
                assert_eq!(Some(reason.code()), case["reason"].as_str(), "{name}");
            }
            (expected, got) => panic!("{name}: expected {expected}, got {got:?}"),
        }
    }
}

fn ask<'a>(target: &'a str, now: u64) -> Request<'a> {
    Request::new(target, UnixSeconds(now))
}

#[test]
fn what_is_minted_is_admitted_and_any_changed_byte_is_not() {
    let ring = ring();
    let key = ring
        .signer(
            "/v/abc/",
            UnixSeconds(1_800_000_000),
            UnixSeconds(1_800_000_100),
        )
        .unwrap();
    let token = key
        .mint(&Claims::new("/v/abc/", UnixSeconds(1_800_000_100)))
        .unwrap();
    let good = format!("/~{token}/v/abc/master.m3u8");
    assert!(verify(&ring, &ask(&good, 1_800_000_000)).is_ok());
    for index in 2..2 + token.len() {
        for replacement in [b'A', b'b', b'0', b'_', b'.'] {
            let mut bytes = good.clone().into_bytes();
            if bytes[index] == replacement {
                continue;
            }
            bytes[index] = replacement;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(
                verify(&ring, &ask(&changed, 1_800_000_000)).is_err(),
                "{changed}"
            );
        }
    }
}

#[test]
fn the_plain_form_opens_one_exact_path_until_it_expires() {
    let ring = ring();
    let path = "/v/abc/720p/segment_1.m4s";
    let key = ring
        .signer(path, UnixSeconds(1_800_000_000), UnixSeconds(1_800_000_100))
        .unwrap();
    let query = key.sign_path(path, UnixSeconds(1_800_000_100)).unwrap();
    let code = |target: String, now| {
        verify(&ring, &ask(&target, now))
            .map(|accepted| accepted.cache_key)
            .map_err(|r| r.code())
    };
    assert_eq!(
        code(format!("{path}?{query}"), 1_800_000_000),
        Ok(path.to_owned())
    );
    assert_eq!(
        code(format!("{path}?{query}"), 1_800_000_100),
        Err("expired")
    );
    assert_eq!(
        code(format!("/v/abc/720p/segment_2.m4s?{query}"), 1_800_000_000),
        Err("mac")
    );
    assert_eq!(
        code(format!("{path}?{query}&kid=k1"), 1_800_000_000),
        Err("malformed")
    );
    assert_eq!(
        code(
            format!("{path}?{}", query.replace("kid=k", "kid=x")),
            1_800_000_000
        ),
        Err("kid")
    );
    assert_eq!(
        code(format!("{path}?exp=1800000100"), 1_800_000_000),
        Err("malformed")
    );
    assert_eq!(code(path.to_owned(), 1_800_000_000), Err("missing"));
}

#[test]
fn the_plain_form_agrees_with_a_value_made_by_another_tool() {
    // printf 'millrace/q1\nk1\n1800003600\n/t/abc/default.jpg' | openssl dgst -sha256 -mac HMAC \
    //   -macopt hexkey:000102…1f -binary | basenc --base64url | tr -d =
    let ring = KeyRing::from_json(
        r#"{"keyring":[{"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/t/"],"nbf":0,"exp":4102444800}]}"#,
    )
    .unwrap();
    let target =
        "/t/abc/default.jpg?exp=1800003600&kid=k1&sig=v_g8PIwpN5su2y3aYsDC1IfPyVwsQGz9P32gUTqhumY";
    assert!(verify(&ring, &ask(target, 1_800_000_000)).is_ok());
}

#[test]
fn a_keyring_error_never_shows_a_key() {
    for text in [
        r#"{"keyring":[{"kid":"k1","ver":"m1","key_hex":"zz5ec2e7","scope":["/v/"],"nbf":0,"exp":1}]}"#,
        r#"{"keyring":[{"kid":"k1","ver":"m1","key_hex":"5ec2e7","scope":["/v/"],"nbf":0,"exp":1}]}"#,
        r#"{"keyring":[{"kid":"k1","ver":"m1","key_hex":"5ec2e7","scope":["/v/"],"nbf":0,"exp":-1}]}"#,
        r#"{"keyring":["5ec2e7"]}"#,
        r#"{"keyring":[{"kid":"5ec2e75ec2e75ec2e75ec2e7","ver":"m1","key_hex":"k1","scope":["/v/"],"nbf":0,"exp":1}]}"#,
    ] {
        let error = KeyRing::from_json(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("5ec2e7"), "{error}");
    }
    assert!(!format!("{:?}", ring()).contains("0001020304"));
}

#[test]
fn what_partners_check_is_signed_with_keys_that_they_need_not_hold() {
    let ours = r#"{"kid":"ours","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f","scope":["/v/"],"nbf":0,"exp":9000}"#;
    let theirs = r#"{"kid":"theirs","ver":"m2","seed_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/"],"nbf":0,"exp":5000}"#;
    let ring = |keys: &[&str]| {
        let text = format!(r#"{{"keyring":[{}]}}"#, keys.join(","));
        KeyRing::from_json(&text).unwrap()
    };
    let (now, until) = (UnixSeconds(1000), UnixSeconds(2000));
    assert!(ring(&[ours]).partner_signer("/v/a/", now, until).is_none());
    let both = ring(&[ours, theirs]);
    let signer = |path, now| both.partner_signer(path, now, until).map(|key| key.id());
    assert_eq!(signer("/v/a/", now), Some("theirs"));
    assert_eq!(signer("/t/a/", now), None, "beyond its scope");
    assert_eq!(signer("/v/a/", UnixSeconds(5000)), None, "it has ended");
}

#[test]
fn a_key_that_outlives_the_token_is_preferred_to_a_younger_one_that_does_not() {
    let key = |kid: &str, nbf: u64, exp: u64| {
        format!(
            r#"{{"kid":"{kid}","ver":"m1","key_hex":"{:032}","scope":["/v/"],"nbf":{nbf},"exp":{exp}}}"#,
            nbf
        )
    };
    let keys = [
        key("old", 1, 5000),
        key("young", 2, 1500),
        key("ahead", 3000, 9000),
    ];
    let ring = KeyRing::from_json(&format!(r#"{{"keyring":[{}]}}"#, keys.join(","))).unwrap();
    let signer = |until| {
        ring.signer("/v/a/", UnixSeconds(1000), UnixSeconds(until))
            .unwrap()
            .id()
    };
    assert_eq!(signer(1400), "young", "both outlive it");
    assert_eq!(signer(2000), "old");
    assert_eq!(
        signer(8000),
        "old",
        "nothing outlives it; this lasts longest"
    );
}

/// A backend's ring with both halves of an `m2` key, and a partner's with the public one.
fn pair() -> (KeyRing, KeyRing) {
    let seed = [9; 32];
    let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
    let ring = |half: &str, value: &[u8]| {
        let value = hex::encode(value);
        KeyRing::from_json(&format!(
            r#"{{"keyring":[{{"kid":"p1","ver":"m2","{half}":"{value}","scope":["/v/"],"nbf":0,"exp":4102444800}}]}}"#
        ))
        .unwrap()
    };
    (ring("seed_hex", &seed), ring("pub_hex", public.as_bytes()))
}

#[test]
fn a_backend_mints_what_a_partner_can_only_verify() {
    let (backend, partner) = pair();
    let until = UnixSeconds(1_800_000_100);
    let claims = Claims::new("/v/abc/", until);
    let key = backend.signer("/v/abc/", UnixSeconds(1_800_000_000), until);
    let token = key.unwrap().mint(&claims).unwrap();
    assert!(token.starts_with("m2.p1."));
    let target = format!("/~{token}/v/abc/master.m3u8");
    for ring in [&backend, &partner] {
        let accepted = verify(ring, &ask(&target, 1_800_000_000)).unwrap();
        assert_eq!(accepted.kid.as_deref(), Some("p1"));
    }
    let verifier = partner.find("p1").unwrap();
    assert!(verifier.mint(&claims).is_err() && partner.secret().is_none());
    assert!(
        partner
            .signer("/v/abc/", UnixSeconds(1_800_000_000), until)
            .is_none()
    );
    assert!(
        key.unwrap().sign_path("/v/abc/x", until).is_err(),
        "the plain form is HMAC"
    );
    assert_eq!(backend.secret().map(contracts::token::Key::id), Some("p1"));
}

#[test]
fn a_remembered_token_is_refused_for_whatever_else_it_does_not_grant() {
    let (backend, partner) = pair();
    let partner = partner.remembering(16);
    let mut claims = Claims::new("/v/abc/", UnixSeconds(1_800_000_100));
    claims.networks = vec!["192.0.2.0/24".parse().unwrap()];
    let token = backend.find("p1").unwrap().mint(&claims).unwrap();
    let code = |path: &str, ip: &str, now| {
        let target = format!("/~{token}{path}");
        let request = Request {
            client_ip: ip.parse().ok(),
            ..ask(&target, now)
        };
        verify(&partner, &request)
            .map_err(|reason| reason.code())
            .err()
    };
    for _cold_then_warm in 0..2 {
        assert_eq!(code("/v/abc/x", "192.0.2.1", 1_800_000_000), None);
        assert_eq!(code("/v/abd/x", "192.0.2.1", 1_800_000_000), Some("path"));
        assert_eq!(code("/v/abc/x", "192.0.3.1", 1_800_000_000), Some("ip"));
        assert_eq!(
            code("/v/abc/x", "192.0.2.1", 1_800_000_100),
            Some("expired")
        );
        assert_eq!(code("/v/abc/x", "192.0.2.1", 4_102_444_800), Some("kid"));
    }
}

#[test]
fn keys_of_two_tenants_live_side_by_side_and_open_their_own_paths_only() {
    let key = |kid: &str, byte: u8, scope: &str| {
        let secret = hex::encode([byte; 32]);
        format!(
            r#"{{"kid":"{kid}","ver":"m1","key_hex":"{secret}","scope":["{scope}"],"nbf":0,"exp":4102444800}}"#
        )
    };
    let keys = [
        key("a1", 1, "/v/a/"),
        key("a2", 2, "/v/a/"),
        key("b1", 3, "/v/b/"),
    ];
    let ring = KeyRing::from_json(&format!(r#"{{"keyring":[{}]}}"#, keys.join(","))).unwrap();
    let until = UnixSeconds(1_800_000_100);
    let mint = |kid, path: &str| ring.find(kid).unwrap().mint(&Claims::new(path, until));
    for (kid, path) in [("a1", "/v/a/"), ("a2", "/v/a/"), ("b1", "/v/b/")] {
        let target = format!("/~{}{path}x", mint(kid, path).unwrap());
        assert!(verify(&ring, &ask(&target, 1_800_000_000)).is_ok(), "{kid}");
    }
    assert!(mint("a1", "/v/b/").is_err());
    // Minted elsewhere, with a key whose scope there is wider.
    let wide = key("a1", 1, "/");
    let wide = KeyRing::from_json(&format!(r#"{{"keyring":[{wide}]}}"#)).unwrap();
    let token = wide
        .find("a1")
        .unwrap()
        .mint(&Claims::new("/v/b/", until))
        .unwrap();
    let verdict = verify(&ring, &ask(&format!("/~{token}/v/b/x"), 1_800_000_000));
    assert_eq!(verdict.unwrap_err().code(), "scope");
}
