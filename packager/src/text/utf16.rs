//! Files in UTF-16, as programs on Windows write them: with a byte order mark that says so.

/// The file in UTF-8, where it begins with a mark of UTF-16. What is no character becomes the one that says so.
pub(super) fn decode(file: &[u8]) -> Option<String> {
    let (unit, file): (fn([u8; 2]) -> u16, _) = match file {
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        _ => return None,
    };
    let (pairs, odd) = file.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let characters = char::decode_utf16(units);
    let characters = characters.map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER));
    let rest = odd.first().map(|_| char::REPLACEMENT_CHARACTER);
    Some(characters.chain(rest).collect())
}
