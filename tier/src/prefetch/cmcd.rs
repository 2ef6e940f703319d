//! What a player says that it will ask for next: `nor` of Common Media Client Data (CTA-5004).

use http::HeaderMap;

/// The next object by `CMCD-Request`, or by the target's query, as a relative reference.
pub(crate) fn next_object(target: &str, headers: &HeaderMap) -> Option<String> {
    let field = headers
        .get("cmcd-request")
        .and_then(|field| field.to_str().ok());
    if let Some(said) = field.and_then(nor) {
        return Some(said);
    }
    let (_, query) = target.split_once('?')?;
    let data = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("CMCD="))?;
    nor(&decoded(data)?)
}

/// The value of the key `nor` among `key=value` pairs with commas between them. In version 2 it is a list; then its
/// first member.
fn nor(data: &str) -> Option<String> {
    let mut rest = data;
    loop {
        let pair = rest.trim_start();
        let end = end_of_pair(pair);
        let (this, after) = pair.split_at_checked(end)?;
        if let Some(value) = this.strip_prefix("nor=") {
            let value = value.strip_prefix('(').unwrap_or(value).trim_start();
            let (text, _) = value.strip_prefix('"')?.split_once('"')?;
            return decoded(text);
        }
        rest = after.strip_prefix(',')?;
    }
}

/// The first comma outside of quotes.
fn end_of_pair(data: &str) -> usize {
    let mut quoted = false;
    let end = data.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    end.unwrap_or(data.len())
}

/// Text without its percent-encoding; `None` when it is none, or not text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            u8::try_from(value).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn said(target: &str) -> Option<String> {
        next_object(target, &HeaderMap::new())
    }

    #[test]
    fn it_is_read_from_the_query_as_players_write_it() {
        for (query, expected) in [
            (
                "CMCD=bl%3D21300%2Cnor%3D%22segment_8.m4s%22%2Csid%3D%22a%22",
                Some("segment_8.m4s"),
            ),
            (
                "a=b&CMCD=nor%3D%22..%252F300kbps%252Fsegment35.m4v%22",
                Some("../300kbps/segment35.m4v"),
            ),
            ("CMCD=cid%3D%22x%2Cnor%3D%22%2Cnor%3D%22b%22", Some("b")),
            ("CMCD=nor%3D(%22a%22%20%22b%22)%2Cv%3D2", Some("a")),
            ("CMCD=nrr%3D%221-2%22", None),
            ("CMCD=nor%3Da", None),
            ("CMCD=nor%3D%22a", None),
            ("CMCD=%zz", None),
            ("CMCD=nor%3D%22%25ff%22", None),
            ("cmcd=nor%3D%22a%22", None),
        ] {
            assert_eq!(
                said(&format!("/v/a/b?{query}")).as_deref(),
                expected,
                "{query}"
            );
        }
        assert_eq!(said("/v/a/b"), None);
    }

    #[test]
    fn a_field_says_it_as_well() {
        let mut headers = HeaderMap::new();
        let value =
            HeaderValue::from_static("bl=21300,dl=18500,mtp=48100,nor=\"segment_8.m4s\",su");
        headers.insert("cmcd-request", value);
        assert_eq!(
            next_object("/v/a/b", &headers).as_deref(),
            Some("segment_8.m4s")
        );
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_read_or_passed_over(data: String) {
            let _ = said(&format!("/v?CMCD={data}"));
            let _ = nor(&data);
        }
    }
}
