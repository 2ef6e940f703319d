//! Who is let in, and what nobody gets to see.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tier::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::h1;
use crate::house::{House, NOW, PROTOCOLS, signed, signed_for};
use crate::origin::{Gate, HANG_UP, Origin, Reply, field, path};

const PATH: &str = "/v/a/720p/segment_1.m4s";

/// An origin with a public film `p`, a private film `s`, and nothing else.
async fn films() -> Origin {
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
async fn without_a_token_only_what_says_it_is_public_is_given() {
    for protocol in PROTOCOLS {
        let origin = films().await;
        let house = House::open(&origin).await;
        let client = house.client(protocol);
        for _cold_then_warm in 0..2 {
            for (target, status) in [
                ("/v/p/x", 200),
                ("/v/s/x", 403),
                ("/v/bare/x", 403),
                ("/v/none/x", 403),
                ("/elsewhere", 403),
            ] {
                let got = client.get(target, &[]).await;
                assert_eq!(got.status, status, "{target} over {protocol}");
                assert!(!got.headers.contains_key("millrace-access"));
                let part = client.get(target, &[("range", "bytes=0-1")]).await;
                assert_eq!(
                    part.status,
                    if status == 200 { 206 } else { 403 },
                    "{target}"
                );
            }
        }
        let beyond = client.get("/v/p/x", &[("range", "bytes=99-")]).await;
        assert_eq!(beyond.status, 416);
        for (path, status) in [("/v/p/x", 200), ("/v/s/x", 200), ("/v/none/x", 404)] {
            assert_eq!(
                client.get(&signed(path), &[]).await.status,
                status,
                "{path} signed"
            );
        }
        let asked: Vec<String> = origin
            .heads()
            .iter()
            .map(|head| path(head).to_owned())
            .collect();
        assert_eq!(
            asked,
            ["/v/p/x", "/v/s/x", "/v/bare/x", "/v/none/x", "/elsewhere"]
        );
    }
}

#[tokio::test]
async fn public_films_need_a_token_unless_the_operator_says_otherwise() {
    let origin = films().await;
    let house = House::with(&origin, |_| {}).await;
    house.client(Protocol::H3).get(&signed("/v/p/x"), &[]).await;
    assert_eq!(
        house.client(Protocol::H3).get("/v/p/x", &[]).await.status,
        403
    );
}

#[tokio::test]
async fn one_who_may_not_see_does_not_spoil_the_fill_for_one_who_may() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |_| {
        Reply::ok("secret")
            .field("millrace-access", "token")
            .held(&inner)
    })
    .await;
    let house = House::open(&origin).await;
    let (stranger, viewer) = (house.client(Protocol::H2), house.client(Protocol::H1));
    let stranger = tokio::spawn(async move { stranger.get("/v/s/x", &[]).await });
    origin.until(1).await;
    let viewer = tokio::spawn(async move { viewer.get(&signed("/v/s/x"), &[]).await });
    gate.open();
    assert_eq!(stranger.await.unwrap().status, 403);
    assert_eq!(&viewer.await.unwrap().bytes()[..], b"secret");
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_parent_that_is_at_fault_does_not_say_that_a_film_is_not_public() {
    let origin = Origin::start(|_| Reply::status(503, "not now")).await;
    let house = House::open(&origin).await;
    for protocol in PROTOCOLS {
        let got = house.client(protocol).get("/v/p/x", &[]).await;
        assert_eq!((got.status, got.field("retry-after")), (503, "1"));
    }
}

#[tokio::test]
async fn a_film_that_becomes_private_is_not_given_from_then_on() {
    let origin = {
        let count = std::sync::atomic::AtomicUsize::new(0);
        Origin::start(move |_| {
            let access = match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => "public",
                _ => "token",
            };
            Reply::ok("x")
                .field("cache-control", "max-age=0")
                .field("millrace-access", access)
        })
        .await
    };
    for protocol in PROTOCOLS {
        let house = House::open(&origin).await;
        let client = house.client(protocol);
        let first = client.get("/v/p/x", &[]).await.status;
        assert!(matches!(first, 200 | 403), "{first}");
        for _ in 0..2 {
            let got = client.get("/v/p/x", &[]).await;
            assert_eq!((got.status, got.body.is_ok()), (403, true), "{protocol}");
        }
    }
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
async fn a_dripped_header_is_cut_off() {
    let origin = films().await;
    let house = House::with(&origin, |config| {
        config.clients.header_timeout = config::Span::millis(300);
    })
    .await;
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    stream
        .write_all(b"GET /v/p/x HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let drip = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut byte = [0; 1];
        loop {
            tokio::select! {
                _ = pace.tick() => if stream.write_all(b"a").await.is_err() { return },
                read = stream.read(&mut byte) => {
                    assert!(matches!(read, Ok(0) | Err(_)), "an answer to half a header");
                    return;
                }
            }
        }
    };
    let cut = tokio::time::timeout(Duration::from_secs(10), drip).await;
    assert!(cut.is_ok(), "still open");
}

#[tokio::test]
async fn an_http2_client_that_stays_silent_is_cut_off() {
    let origin = films().await;
    let house = House::with(&origin, |config| {
        config.clients.header_timeout = config::Span::millis(200);
    })
    .await;
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = house.client(Protocol::H2).tls("h2").await;
        stream.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        let closed = tokio::time::timeout(Duration::from_secs(20), closed).await;
        assert!(closed.is_ok(), "{said:?} holds a connection for ever");
    }
}

#[tokio::test]
async fn those_who_show_no_token_cause_few_requests_to_a_parent() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let origin = Origin::start(move |head| match path(head).split('/').nth(2) {
        Some("p") => Reply::ok("public")
            .field("millrace-access", "public")
            .held(&inner),
        _ => Reply::status(404, "none"),
    })
    .await;
    let house = House::open(&origin).await;
    for _ in 0..3 {
        let got = house.client(Protocol::H1).get("/v/none/x", &[]).await;
        assert_eq!(got.status, 403);
    }
    assert_eq!(origin.requests(), 1, "a no is remembered");
    let ask = |target: String| {
        let client = house.client(Protocol::H1);
        tokio::spawn(async move { client.get(&target, &[]).await.status })
    };
    let crowd: Vec<_> = (0..80).map(|_| ask("/v/p/0".to_owned())).collect();
    let others: Vec<_> = (1..16).map(|n| ask(format!("/v/p/{n}"))).collect();
    origin.until(1 + 16).await;
    let busy = house.client(Protocol::H1).get("/v/p/64", &[]).await;
    assert_eq!((busy.status, busy.field("retry-after")), (503, "1"));
    assert_eq!(origin.requests(), 1 + 16, "they are enough of one network");
    gate.open();
    for answer in crowd.into_iter().chain(others) {
        assert_eq!(answer.await.unwrap(), 200);
    }
    let later = house.client(Protocol::H1).get("/v/p/64", &[]).await;
    assert_eq!(later.status, 200, "it was no no");
}

#[tokio::test]
async fn an_idle_connection_is_kept_and_used_again() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let (sender, _driver) = house.client(Protocol::H2).h2().await;
    for _ in 0..3 {
        let got = crate::client::h2_send(sender.clone(), "GET", "/v/p/x", &[])
            .await
            .whole()
            .await;
        assert_eq!(got.status, 200);
    }
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    for target in ["/v/p/x", "/v/s/x", "/v/p/x"] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        let end: &[u8] = if target == "/v/s/x" { b"}" } else { b"public" };
        while !seen.ends_with(end) {
            assert_ne!(
                stream.read_buf(&mut seen).await.unwrap(),
                0,
                "closed after {target}"
            );
        }
    }
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
