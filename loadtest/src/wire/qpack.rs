//! As much of QPACK (RFC 9204) as a client needs that sends one kind of header and reads a status.

/// A header of a `GET`, by the static table and literals alone.
pub(super) fn request(authority: &str, path: &str) -> Vec<u8> {
    // No dynamic table; then `:method: GET` (17) and `:scheme: https` (23), indexed.
    let mut header = vec![0, 0, 0xc0 | 17, 0xc0 | 23];
    for (name, value) in [(AUTHORITY, authority), (PATH, path)] {
        header.push(0x50 | name);
        integer(&mut header, 7, value.len());
        header.extend_from_slice(value.as_bytes());
    }
    header
}

/// The status of a header's first field; none where it is written in another way than servers here do.
pub(super) fn status(header: &[u8]) -> Option<u16> {
    match *header {
        [0, 0, field, ..] if field & 0xc0 == 0xc0 && field & 0x3f < 0x3f => {
            let indexed = STATUSES.iter().find(|(at, _)| *at == field & 0x3f);
            indexed.map(|(_, status)| *status)
        }
        // An index that needs a second byte.
        [0, 0, 0xff, more, ..] => {
            let index = more.checked_add(0x3f)?;
            let indexed = STATUSES.iter().find(|(at, _)| *at == index);
            indexed.map(|(_, status)| *status)
        }
        // A literal whose name is in the static table, its value not packed.
        [0, 0, 0x5f, _, 3, a, b, c, ..] => std::str::from_utf8(&[a, b, c]).ok()?.parse().ok(),
        _ => None,
    }
}

/// An integer with a prefix of so many bits, whose other bits are 0 (RFC 9204 §4.1.1).
fn integer(out: &mut Vec<u8>, prefix: u32, value: usize) {
    let most = (1_usize << prefix) - 1;
    let mut rest = value.saturating_sub(most);
    let byte = |number: usize| u8::try_from(number & 0xff).unwrap_or_default();
    out.push(byte(value.min(most)));
    if value < most {
        return;
    }
    while rest >= 0x80 {
        out.push(byte(rest & 0x7f | 0x80));
        rest >>= 7;
    }
    out.push(byte(rest));
}

/// Places in the static table (RFC 9204, Appendix A).
const AUTHORITY: u8 = 0;
const PATH: u8 = 1;
const STATUSES: [(u8, u16); 14] = [
    (24, 103),
    (25, 200),
    (26, 304),
    (27, 404),
    (28, 503),
    (63, 100),
    (64, 204),
    (65, 206),
    (66, 302),
    (67, 400),
    (68, 403),
    (69, 421),
    (70, 425),
    (71, 500),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_with_lengths_of_any_size() {
        let short = request("a", "/b");
        assert_eq!(
            short,
            [0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0x51, 2, b'/', b'b']
        );
        let path = format!("/{}", "x".repeat(299));
        let long = request("a", &path);
        // RFC 9204 §4.1.1: 300 is 127 and 173, which is 45 with a flag, and 1.
        assert_eq!(long[7..11], [0x51, 127, 0x80 | 45, 1]);
        assert_eq!(&long[11..], path.as_bytes());
        let most = request("a", &"y".repeat(127));
        assert_eq!(most[7..10], [0x51, 127, 0]);
    }

    #[test]
    fn a_status_is_read_indexed_and_spelt_out() {
        assert_eq!(status(&[0, 0, 0xd9, 1]), Some(200));
        assert_eq!(status(&[0, 0, 0xff, 0]), Some(100));
        assert_eq!(status(&[0, 0, 0xff, 5]), Some(403));
        assert_eq!(status(&[0, 0, 0x5f, 9, 3, b'4', b'2', b'9']), Some(429));
        assert_eq!(status(&[0, 0, 0xc1]), None);
        assert_eq!(status(&[2, 0, 0x80]), None);
        assert_eq!(status(&[]), None);
    }
}
