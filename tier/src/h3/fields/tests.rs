//! The requests that are refused, one by one, and those that are not.

use proptest::prelude::*;

use super::*;

fn fields(pairs: &[(&str, &str)]) -> Vec<Field> {
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    pairs
        .iter()
        .map(|(name, value)| Field {
            name: copy(name),
            value: copy(value),
        })
        .collect()
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "a.example"),
    (":path", "/v/x?y=1"),
];

/// GET with more fields after it.
fn get_with(more: &[(&str, &str)]) -> Result<Request, Malformed> {
    request(fields(&[&GET, more].concat()))
}

/// GET with one pseudo-header changed.
fn get_but(name: &str, value: &str) -> Result<Request, Malformed> {
    request(fields(
        &GET.map(|pair| if pair.0 == name { (name, value) } else { pair }),
    ))
}

fn refusal(result: Result<Request, Malformed>) -> Malformed {
    result.expect_err("the request must be refused")
}

#[test]
fn a_get_becomes_a_header_with_host() {
    let request = get_with(&[("accept", "*/*"), ("te", "trailers")]).unwrap();
    let header = request.header;
    assert_eq!(header.method, Method::GET);
    assert_eq!(header.uri, "https://a.example/v/x?y=1");
    assert_eq!(header.raw_path(), b"/v/x?y=1");
    assert_eq!(header.version, Version::HTTP_2);
    assert_eq!(header.headers[header::HOST], "a.example");
    assert_eq!(request.content_length, None);
}

#[test]
fn pseudo_headers_are_known_single_first_and_present() {
    assert_eq!(
        refusal(get_with(&[(":status", "200")])),
        Malformed::PseudoUnknown
    );
    assert_eq!(
        refusal(get_with(&[(":protocol", "websocket")])),
        Malformed::PseudoUnknown
    );
    assert_eq!(refusal(get_with(&[(":", "x")])), Malformed::PseudoUnknown);
    assert_eq!(
        refusal(get_with(&[(":path", "/v/x?y=1")])),
        Malformed::PseudoTwice
    );
    let late = [("accept", "*/*"), (":path", "/")];
    assert_eq!(
        refusal(request(fields(&[&GET[..3], &late].concat()))),
        Malformed::PseudoLate
    );
    let late = [("cookie", "a=b"), (":path", "/")];
    assert_eq!(
        refusal(request(fields(&[&GET[..3], &late].concat()))),
        Malformed::PseudoLate
    );
    for missing in [0, 1, 3] {
        let mut pairs = GET.to_vec();
        pairs.remove(missing);
        assert_eq!(refusal(request(fields(&pairs))), Malformed::PseudoMissing);
    }
}

#[test]
fn methods_must_be_tokens_and_never_connect() {
    for bad in ["CONNECT", "", "GE T", "GET\r\n", "G\u{e9}T"] {
        assert_eq!(
            refusal(get_but(":method", bad)),
            Malformed::Method,
            "{bad:?}"
        );
    }
    assert_eq!(
        get_but(":method", "PURGE").unwrap().header.method.as_str(),
        "PURGE"
    );
}

#[test]
fn schemes_and_paths_are_checked() {
    for bad in ["", "ftp", "HTTPS", "https "] {
        assert_eq!(
            refusal(get_but(":scheme", bad)),
            Malformed::Scheme,
            "{bad:?}"
        );
    }
    for bad in [
        "",
        "x",
        "*",
        "/a b",
        "/a\tb",
        "/a\r\nb",
        "/a\0",
        "/a#b",
        "/\u{e9}",
        "/\u{7f}",
        "https://a/",
    ] {
        assert_eq!(refusal(get_but(":path", bad)), Malformed::Path, "{bad:?}");
    }
    let options = [(":method", "OPTIONS"), (":path", "*")];
    assert!(request(fields(&[&GET[1..3], &options].concat())).is_ok());
}

#[test]
fn authority_and_host_must_agree() {
    for bad in [
        "",
        "user@a.example",
        "a b",
        "a.example:port",
        "a.example:",
        "a.example:70000",
        ":80",
        "a/b",
        "a?b",
        "a.example\r\n",
    ] {
        assert_eq!(
            refusal(get_but(":authority", bad)),
            Malformed::Authority,
            "{bad:?}"
        );
    }
    for good in ["a.example:443", "[::1]:443", "127.0.0.1"] {
        let header = get_but(":authority", good).unwrap().header;
        assert_eq!(header.headers[header::HOST], good);
    }
    assert!(get_with(&[("host", "A.example")]).is_ok());
    assert_eq!(
        refusal(get_with(&[("host", "b.example")])),
        Malformed::Authority
    );
    assert_eq!(refusal(get_with(&[("host", "")])), Malformed::Authority);
    let twice = [("host", "a.example"), ("host", "a.example")];
    assert_eq!(refusal(get_with(&twice)), Malformed::Authority);
    let pseudo = [GET[0], GET[1], GET[3]];
    assert_eq!(refusal(request(fields(&pseudo))), Malformed::Authority);
    let header = request(fields(&[&pseudo[..], &[("host", "b.example")]].concat()))
        .unwrap()
        .header;
    assert_eq!(header.uri.host(), Some("b.example"));
}

#[test]
fn names_are_lower_case_tokens_and_values_have_no_control_bytes() {
    for bad in ["", "Accept", "a b", "a\0", "a:b", "a\"b", "\u{e9}", "a\r\n"] {
        assert_eq!(refusal(get_with(&[(bad, "x")])), Malformed::Name, "{bad:?}");
    }
    for bad in ["a\0", "a\r", "a\nb", "a\u{7f}", " a", "a ", "\ta"] {
        assert_eq!(
            refusal(get_with(&[("x-a", bad)])),
            Malformed::Value,
            "{bad:?}"
        );
    }
    assert!(get_with(&[("x-a", ""), ("x-b", "a\tb c \u{e9}")]).is_ok());
}

#[test]
fn connection_specific_fields_are_refused() {
    for name in CONNECTION_SPECIFIC {
        assert_eq!(
            refusal(get_with(&[(name, "x")])),
            Malformed::ConnectionSpecific
        );
    }
    for te in ["gzip", "trailers, gzip", ""] {
        assert_eq!(
            refusal(get_with(&[("te", te)])),
            Malformed::ConnectionSpecific
        );
    }
}

#[test]
fn content_length_is_one_number() {
    for bad in ["", "+5", "-1", "5,5", "0x5", "18446744073709551616", "5 5"] {
        assert_eq!(
            refusal(get_with(&[("content-length", bad)])),
            Malformed::ContentLength
        );
    }
    let twice = [("content-length", "5"), ("content-length", "5")];
    assert_eq!(refusal(get_with(&twice)), Malformed::ContentLength);
    assert_eq!(
        get_with(&[("content-length", "5")]).unwrap().content_length,
        Some(5)
    );
}

#[test]
fn cookies_are_joined() {
    let cookies = [("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2")];
    let header = get_with(&cookies).unwrap().header;
    assert_eq!(header.headers[header::COOKIE], "a=1; c=2");
    assert_eq!(header.headers.get_all(header::COOKIE).iter().count(), 1);
}

#[test]
fn trailers_have_no_pseudo_headers() {
    assert_eq!(trailers(fields(&[("x-a", "b")])), Ok(()));
    assert_eq!(
        trailers(fields(&[(":path", "/")])),
        Err(Malformed::PseudoLate)
    );
    assert_eq!(
        trailers(fields(&[("connection", "close")])),
        Err(Malformed::ConnectionSpecific)
    );
}

proptest! {
    #[test]
    fn no_fields_panic_and_no_accepted_request_is_ambiguous(
        method in "[A-Z]{0,5}", path in "/?.{0,20}", authority in ".{0,20}",
        more in proptest::collection::vec(("[a-zA-Z:\\-]{0,8}|te|host|content-length|.{3}", ".{0,12}"), 0..6),
    ) {
        let pseudo = [(":method", &method[..]), (":scheme", "https"), (":authority", &authority), (":path", &path)];
        let more: Vec<(&str, &str)> = more.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        if let Ok(request) = request(fields(&[&pseudo, &more[..]].concat())) {
            let header = request.header;
            prop_assert!(header.raw_path().iter().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(header.headers.get_all(header::HOST).iter().count(), 1);
            prop_assert_eq!(header.headers[header::HOST].as_bytes(), header.uri.authority().unwrap().as_str().as_bytes());
            for (name, value) in &header.headers {
                prop_assert!(!name.as_str().bytes().any(|b| b.is_ascii_uppercase()));
                prop_assert!(!value.as_bytes().iter().any(|b| matches!(b, 0..=8 | 10..=31 | 127)));
            }
        }
    }
}
