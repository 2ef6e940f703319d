//! JSON (RFC 8259) written straight into a buffer, in ASCII whatever was said: what the network sends neither ends a
//! string nor moves a terminal's cursor.

/// A string of what may be no text; a byte that belongs to none is shown as U+FFFD.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    content(out, bytes);
    out.push(b'"');
}

/// As [`string`], at most `most` bytes of it; an ellipsis says that there was more.
pub fn bounded(out: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let Some((part, _)) = bytes
        .split_at_checked(most)
        .filter(|(_, rest)| !rest.is_empty())
    else {
        return string(out, bytes);
    };
    out.push(b'"');
    content(out, part);
    out.extend_from_slice(b"\\u2026\"");
}

/// A whole number.
pub fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// What stands between the quotes of a string.
fn content(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        let (plain, odd) = rest.split_at(at);
        out.extend_from_slice(plain);
        // No byte of a character beyond ASCII is plain.
        let end = odd.iter().position(|byte| is_plain(*byte));
        let (odd, after) = odd.split_at(end.unwrap_or(odd.len()));
        for chunk in odd.utf8_chunks() {
            let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            let chars = chunk.valid().chars().chain(invalid);
            chars.for_each(|c| escape(out, c));
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn escape(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for byte in unit.to_be_bytes() {
                    out.extend([byte >> 4, byte & 15].map(digit));
                }
            }
        }
    }
}

const fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        assert!(out.iter().all(|byte| matches!(byte, b' '..=b'~')));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_longer_than_it_may_be_says_so() {
        assert_eq!(written(|out| bounded(out, b"abc", 3)), r#""abc""#);
        assert_eq!(written(|out| bounded(out, b"abcd", 3)), r#""abc\u2026""#);
        let cut_through = written(|out| bounded(out, "ab\u{e9}".as_bytes(), 3));
        assert_eq!(cut_through, r#""ab\ufffd\u2026""#);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_a_reader(text: String) {
            let json = written(|out| string(out, text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_bytes_make_a_string(bytes: Vec<u8>) {
            let json = written(|out| string(out, &bytes));
            let read = serde_json::from_str::<String>(&json).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn any_number_comes_back(sought: u64) {
            prop_assert_eq!(written(|out| number(out, sought)), sought.to_string());
        }
    }
}
