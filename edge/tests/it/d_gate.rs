//! Who is let in, and what nobody gets to see.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tier::Protocol;

use crate::client::h1;
use crate::house::{House, NOW, PROTOCOLS, signed, signed_for};
use crate::origin::{HANG_UP, Origin, Reply, field, path};

const PATH: &str = "/v/a/720p/segment_1.m4s";

/// An origin with a public film `p`, a private film `s`, and nothing else.
pub async fn films() -> Origin {
    Origin::start(|head| match path(head).split('/').nth(2) {
        Some("p") => Reply::ok("public").field("millrace-access", "public"),
        Some("s") => Reply::ok("secret").field("millrace-access", "token"),
        Some("bare") => Reply::ok("undeclared"),
        Some("gone") => Reply::status(HANG_UP, ""),
        _ => Reply::status(404, "none").field("cache-control", "max-age=60"),
    })
    .await
}

#[tokio::test]
async fn every_refusal_has_the_same_bytes() {
    let origin = films().await;
    let house = House::with(&origin, |_| {}).await;
    let expired = contracts::token::Claims::new("/v/", contracts::time::UnixSeconds(NOW - 1));
    let ring = contracts::token::KeyRing::from_json(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ));
    let expired = ring.unwrap().find("k1").unwrap().mint(&expired).unwrap();
    let valid = signed("");
    let bad = [
        "/v/p/x".to_owned(),
        "/v/nothing/x".to_owned(),
        "/elsewhere".to_owned(),
        format!("/~{expired}/v/p/x"),
        format!("{valid}x/v/p/x"),
        format!("{valid}/t/p/default.jpg"),
        "/~m1.k1.x/v/p/x".to_owned(),
    ];
    let mut bodies = Vec::new();
    for protocol in PROTOCOLS {
        for target in &bad {
            let got = house.client(protocol).get(target, &[]).await;
            assert_eq!(got.status, 403, "{target}");
            assert_eq!(got.field("access-control-allow-origin"), "*");
            assert_eq!(got.field("cache-control"), "no-store");
            bodies.push(got.bytes().clone());
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(origin.requests(), 0);
    assert_eq!(
        house
            .metric("millrace_tier_refusals_total{reason=\"expired\"}")
            .await,
        3
    );
    assert_eq!(
        house
            .metric("millrace_tier_refusals_total{reason=\"missing\"}")
            .await,
        9
    );
}

#[tokio::test]
async fn the_plain_query_form_admits_one_exact_url() {
    let origin = films().await;
    let house = House::with(&origin, |_| {}).await;
    let ring = contracts::token::KeyRing::from_json(include_str!(
        "../../../contracts/tests/data/native_token.json"
    ));
    let (ring, until) = (ring.unwrap(), contracts::time::UnixSeconds(NOW + 60));
    let query = ring.find("k1").unwrap().sign_path("/v/s/x", until).unwrap();
    let query = query
        .split_once('?')
        .map_or(query.as_str(), |(_, query)| query);
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        assert_eq!(
            client.get(&format!("/v/s/x?{query}"), &[]).await.status,
            200
        );
        assert_eq!(
            client.get(&format!("/v/s/y?{query}"), &[]).await.status,
            403
        );
    }
    assert_eq!(path(&origin.heads()[0]), "/v/s/x");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_parent_sees_nothing_of_the_viewer() {
    let origin = films().await;
    let files = tempfile::tempdir().unwrap();
    let secret = files.path().join("hop");
    std::fs::write(&secret, "the-credential-of-this-hop\n").unwrap();
    let house = House::with(&origin, |config| config.upstream.hop_secret_file = secret).await;
    let fields = [
        ("cookie", "who=me"),
        ("authorization", "Bearer me"),
        ("millrace-hop", "forged"),
        ("millrace-access", "public"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cdn-loop", "another"),
    ];
    for (n, protocol) in PROTOCOLS.into_iter().enumerate() {
        let target = signed(&format!("/v/p/{n}"));
        let target = format!("{target}?CMCD=bl%3D1&utm=x");
        assert_eq!(
            house.client(protocol).get(&target, &fields).await.status,
            200
        );
        let head = origin.heads().pop().unwrap();
        assert_eq!(path(&head), format!("/v/p/{n}"));
        for word in [
            "~",
            "who=me",
            "Bearer",
            "forged",
            "192.0.2.1",
            "CMCD",
            "utm",
            "localhost",
        ] {
            assert!(!head.contains(word), "{word} in {head}");
        }
        assert_eq!(
            field(&head, "millrace-hop"),
            Some("the-credential-of-this-hop")
        );
        let chain: Vec<&str> = head
            .lines()
            .filter(|line| line.to_lowercase().starts_with("cdn-loop"))
            .collect();
        assert!(
            chain.join(",").contains("another") && chain.join(",").contains("edge-1-"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn private_fields_do_not_reach_the_viewer() {
    let origin = Origin::start(|_| {
        Reply::ok("x")
            .field("millrace-access", "public")
            .field("millrace-seq", "7")
            .field("surrogate-key", "a:p")
    })
    .await;
    let house = House::with(&origin, |_| {}).await;
    for protocol in PROTOCOLS {
        let got = house.client(protocol).get(&signed("/v/p/x"), &[]).await;
        let private = |name: &http::HeaderName| name.as_str().starts_with("millrace");
        assert!(!got.headers.keys().any(private), "{got:?}");
        assert!(!got.headers.contains_key("surrogate-key"));
        assert_eq!(got.field("timing-allow-origin"), "*");
        assert!(
            got.field("access-control-expose-headers")
                .contains("cache-status")
        );
        let offered = format!("h3=\":{}\"; ma=86400", house.edge.https.port());
        let expected = if protocol == Protocol::H3 {
            ""
        } else {
            &offered
        };
        assert_eq!(got.field("alt-svc"), expected);
    }
}

#[tokio::test]
async fn methods_bodies_and_preflights() {
    let origin = films().await;
    let house = House::open(&origin).await;
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        for method in ["POST", "PUT", "DELETE", "PURGE"] {
            let got = client.open(method, "/v/p/x", &[]).await.whole().await;
            assert_eq!(got.status, 405, "{method} over {protocol}");
            assert_eq!(got.field("allow"), "GET, HEAD, OPTIONS");
        }
        let fields = [
            ("origin", "https://a.example"),
            ("access-control-request-method", "GET"),
        ];
        let got = client
            .open("OPTIONS", "/v/p/x", &fields)
            .await
            .whole()
            .await;
        assert_eq!((got.status, got.bytes().len()), (204, 0), "{protocol}");
        assert_eq!(got.field("access-control-allow-origin"), "*");
        assert!(got.field("access-control-allow-headers").contains("range"));
    }
    let stream = house.client(Protocol::H1).tls("http/1.1").await;
    let with_body = b"GET /v/p/x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(h1(stream, with_body, false).await.status, 400);
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_changed_keyring_is_taken() {
    let origin = films().await;
    let house = House::with(&origin, |_| {}).await;
    let client = house.client(Protocol::H2);
    assert_eq!(client.get(&signed(PATH), &[]).await.status, 404);
    let path = house.files.path().join("keys.json");
    std::fs::write(&path, "nonsense").unwrap();
    assert!(house.edge.reload().is_err());
    assert_eq!(
        client.get(&signed(PATH), &[]).await.status,
        404,
        "the old keys stay"
    );
    std::fs::write(&path, r#"{"keyring":[]}"#).unwrap();
    house.edge.reload().unwrap();
    assert_eq!(client.get(&signed(PATH), &[]).await.status, 403);
}

#[tokio::test]
async fn a_changed_certificate_is_taken_by_every_protocol() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(
        house.files.path().join("key.pem"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    assert!(
        house.edge.reload().is_err(),
        "a key that does not fit is refused"
    );
    std::fs::write(house.files.path().join("chain.pem"), made.cert.pem()).unwrap();
    house.edge.reload().unwrap();
    for protocol in PROTOCOLS {
        let client = crate::client::Client::new(house.edge.https, protocol, made.cert.der());
        assert_eq!(client.get("/v/p/x", &[]).await.status, 200);
    }
}

/// Keeps everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_token_for_some_renditions_gets_a_list_of_its_own_also_when_it_is_refreshed() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|head| {
            Reply::ok(path(head).to_owned())
                .field("cache-control", "max-age=0, stale-while-revalidate=600")
        })
        .await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        let all = "/v/a/master.m3u8";
        let some = "/v/a/master.m3u8?r=720p,audio-en";
        let target = signed_for(&["audio-en", "720p"], all);
        for list in [
            format!("{target}?r=2160p"),
            signed(some),
            target.clone(),
            signed_for(&["720p", "audio-en"], "/v/a/@2s/manifest.mpd"),
        ] {
            let got = client.get(&list, &[]).await;
            let expected = match list.as_str() {
                list if list.ends_with(".mpd") => "/v/a/@2s/manifest.mpd?r=720p,audio-en",
                list if list.starts_with(&target) => some,
                _ => all,
            };
            assert_eq!(got.bytes(), expected, "{list} over {protocol}");
        }
        // The third one was stale, and was asked for again.
        origin.until(4).await;
        let heads = origin.heads();
        let mut asked: Vec<&str> = heads.iter().map(|head| path(head)).collect();
        asked.sort_unstable();
        let manifest = "/v/a/@2s/manifest.mpd?r=720p,audio-en";
        assert_eq!(asked, [manifest, all, some, some], "over {protocol}");
        let other = signed_for(&["720p"], "/v/a/@2s/1080p/segment_1.m4s");
        assert_eq!(client.get(&other, &[]).await.status, 403);
        let own = signed_for(&["720p"], "/v/a/@2s/720p/segment_1.m4s");
        assert_eq!(client.get(&own, &[]).await.status, 200);
    }
}

#[tokio::test]
async fn a_token_never_reaches_the_log() {
    let log = Log::default();
    let writer = log.clone();
    // The filter of the processes, asked for everything; it takes in the `log` crate's records.
    tracing_subscriber::fmt()
        .with_env_filter(runtime::log::filter("trace"))
        .with_writer(move || writer.clone())
        .init();
    let origin = films().await;
    let (_files, keys) = crate::g_cat::keyring();
    let house = House::with(&origin, |config| config.keyring_file = keys).await;
    let cat = crate::g_cat::token();
    let cookie = format!("CTA-Common-Access-Token={cat}");
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        for path in ["/v/p/x", "/v/none/x"] {
            client.get(&signed(path), &[]).await;
            client.get(&format!("/~cat.{cat}{path}"), &[]).await;
            client.get(&format!("{path}?CAT={cat}"), &[]).await;
            for field in [("cta-common-access-token", &cat), ("cookie", &cookie)] {
                client.get(path, &[(field.0, field.1.as_str())]).await;
            }
        }
        client.get(&format!("{}%", signed("/v/p/x")), &[]).await;
        client.get(&format!("{}/../x", signed("/v/p")), &[]).await;
    }
    let gone = house
        .client(Protocol::H1)
        .get(&signed("/v/gone/x"), &[])
        .await;
    assert_eq!(gone.status, 502);
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    let token = signed("");
    let token = token.trim_start_matches("/~");
    assert!(
        text.contains("/v/gone/x") && text.contains("unreachable"),
        "{text}"
    );
    for part in token.split('.').skip(2).chain([cat.as_str()]) {
        assert!(!text.contains(part), "{text}");
    }
}
