use super::head::{Head, read};

fn is_simple(text: &str) -> bool {
    matches!(read(text.as_bytes()), Head::Simple(simple) if simple.length == text.len())
}

#[test]
fn a_get_with_one_host_and_no_body_is_simple() {
    for text in [
        "GET /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /~m1.k1.a.b/v/a?CMCD=br%3D1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\nhost: x\n\n",
    ] {
        assert!(is_simple(text), "{text}");
        for cut in 1..text.len() {
            let part = read(text.as_bytes().get(..cut).unwrap());
            assert!(matches!(part, Head::Partial), "{text} {cut}");
        }
    }
}

#[test]
fn what_could_mean_more_is_left_to_pingora() {
    let long = "a".repeat(17_000);
    for text in [
        "HEAD /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "get /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "\r\nGET /v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET http://x/v/a HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v/a HTTP/1.0\r\nhost: x\r\n\r\n",
        "GET /v/a HTTP/1.1\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n",
        "GET /v/a HTTP/1.1\r\nhost: x\r\n x-a: b\r\n\r\n",
        "GET /v/\u{e9} HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v/a\r\n\r\n",
        &format!("GET /v/a HTTP/1.1\r\nhost: x\r\nx-a: {long}"),
        &format!(
            "GET /v/a HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "x-a: b\r\n".repeat(64)
        ),
    ] {
        assert!(matches!(read(text.as_bytes()), Head::Other), "{text}");
    }
}
