//! Any lines as the fields of a request: a request that HTTP/1.1 reads the same way, or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tier::h3::fields::{request, trailers};
use tier::h3::qpack::Field;

/// Lines of name and value, the first `=` between them.
fn fields(data: &[u8]) -> Vec<Field> {
    let lines = data.split(|byte| *byte == 0xfe);
    let field = |line: &[u8]| {
        let at = line
            .iter()
            .position(|byte| *byte == b'=')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        Field {
            name: name.to_vec().into(),
            value: value.to_vec().into(),
        }
    };
    lines.map(field).collect()
}

fuzz_target!(|data: &[u8]| {
    let fields = fields(data);
    let _ = trailers(fields.clone());
    check(fields.clone());
    // and once with what every request needs, so that the rest is reached at once
    let pseudo = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.example"),
        (":path", "/"),
    ];
    let pseudo = pseudo.map(|(name, value)| Field {
        name: name.into(),
        value: value.into(),
    });
    check(pseudo.into_iter().chain(fields).collect());
});

fn check(fields: Vec<Field>) {
    let Ok(request) = request(fields) else { return };
    let header = request.header;
    assert_ne!(header.method, "CONNECT");
    assert!(
        header
            .raw_path()
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    );
    let hosts: Vec<_> = header.headers.get_all("host").iter().collect();
    let authority = header.uri.authority().expect("every request has one");
    assert_eq!(hosts.len(), 1);
    assert!(
        hosts
            .iter()
            .all(|host| host.as_bytes() == authority.as_str().as_bytes())
    );
    assert!(!authority.as_str().contains('@'));
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(!header.headers.contains_key(name));
    }
    for (name, value) in &header.headers {
        assert!(!name.as_str().bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(
            !value
                .as_bytes()
                .iter()
                .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
        );
    }
    let lengths: Vec<_> = header.headers.get_all("content-length").iter().collect();
    assert!(lengths.len() <= 1 && lengths.len() == usize::from(request.content_length.is_some()));
}
