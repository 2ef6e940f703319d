//! Widevine: a `SignedMessage` that holds a `LicenseRequest`, whose content is named by the data of its `pssh` boxes.

use contracts::keys::KeyId;

use super::{Challenge, Unreadable, add, named};

/// Reads a challenge.
///
/// # Errors
/// [`Unreadable`] when it is no request for a licence that names its keys by `pssh` data.
pub fn widevine(body: &[u8]) -> Result<Challenge, Unreadable> {
    let mut kind = None;
    let mut message = None;
    for field in Fields(body) {
        match field? {
            (1, Value::Number(number)) => once(&mut kind, number)?,
            (2, Value::Bytes(bytes)) => once(&mut message, bytes)?,
            (1 | 2, _) => return Err(Unreadable("has a field of another type")),
            _ => {}
        }
    }
    match (kind, message) {
        (Some(LICENSE_REQUEST), Some(request)) => {
            Ok(Challenge::Keys(named(request_keys(request)?)?))
        }
        (Some(CERTIFICATE_REQUEST), None | Some([])) => Ok(Challenge::Certificate),
        _ => Err(Unreadable("is no request for a licence")),
    }
}

/// `LicenseRequest`: `content_id` (2).
fn request_keys(request: &[u8]) -> Result<Vec<KeyId>, Unreadable> {
    let content = only(request, 2)?.ok_or(Unreadable("has no content"))?;
    // `ContentIdentification`: `widevine_pssh_data` (1); others name content in ways that tell no keys.
    for field in Fields(content) {
        if let (2..=4, _) = field? {
            return Err(Unreadable("names its content in another way"));
        }
    }
    let boxes = only(content, 1)?.ok_or(Unreadable("names its content in another way"))?;
    let mut keys = Vec::new();
    for field in Fields(boxes) {
        match field? {
            (1, Value::Bytes(data)) => pssh_keys(data, &mut keys)?,
            (1, _) => return Err(Unreadable("has a field of another type")),
            _ => {}
        }
    }
    Ok(keys)
}

/// `WidevinePsshData`: `key_ids` (2).
fn pssh_keys(data: &[u8], keys: &mut Vec<KeyId>) -> Result<(), Unreadable> {
    for field in Fields(data) {
        match field? {
            (2, Value::Bytes(id)) => {
                let id = id.try_into();
                let id = id.map_err(|_| Unreadable("has a key's name that is not 16 bytes"))?;
                add(keys, KeyId(id))?;
            }
            (2, _) => return Err(Unreadable("has a field of another type")),
            _ => {}
        }
    }
    Ok(())
}

/// The message in a field that is there once at most.
fn only(message: &[u8], number: u64) -> Result<Option<&[u8]>, Unreadable> {
    let mut found = None;
    for field in Fields(message) {
        match field? {
            (have, Value::Bytes(bytes)) if have == number => once(&mut found, bytes)?,
            (have, _) if have == number => return Err(Unreadable("has a field of another type")),
            _ => {}
        }
    }
    Ok(found)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Unreadable> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Unreadable("says something twice")),
    }
}

/// The fields of a message of protocol buffers, in their order.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed length.
    Other,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Unreadable("is no protocol buffer")))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let number = Some(tag >> 3).filter(|number| *number > 0)?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        Some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            let low = u64::from(byte & 0x7f);
            let shifted = low.checked_shl(u32::try_from(at * 7).ok()?)?;
            // Bits beyond 64 would be read by some and lost by others.
            if shifted >> (at * 7) != low {
                return None;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                self.0 = self.0.get(at + 1..)?;
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<Value<'a>> {
        self.take(length).map(|_| Value::Other)
    }
}

const LICENSE_REQUEST: u64 = 1;
const CERTIFICATE_REQUEST: u64 = 4;

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;
    use crate::protect::{Scheme, signalling::widevine};

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let [low, high] = u16::try_from(bytes.len() * 2).unwrap().to_le_bytes();
        // The length in two bytes of seven bits, the first of which says that another follows.
        let mut out = vec![number << 3 | 2, low >> 1 | 0x80, high];
        out.extend(bytes);
        out
    }

    /// A challenge for content of these boxes' data.
    fn challenge(boxes: &[&[u8]]) -> Vec<u8> {
        let boxes: Vec<u8> = boxes.iter().flat_map(|data| field(1, data)).collect();
        let request = field(2, &field(1, &boxes));
        [vec![0x08, 0x01], field(2, &request)].concat()
    }

    fn key_ids(ids: &[u8]) -> Vec<u8> {
        ids.iter().flat_map(|id| field(2, &[*id; 16])).collect()
    }

    #[test]
    fn the_keys_of_a_challenge_are_those_of_the_box_that_a_film_was_signalled_with() {
        let vectors = include_str!("../../../tests/data/challenges/widevine.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let body = |text: &serde_json::Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
        let mut licences = 0;
        for case in vectors["cases"].as_array().unwrap() {
            let read = widevine(&body(&case["body_b64"])).unwrap();
            let Some(kids) = case["want_kids"].as_array() else {
                assert_eq!(read, Challenge::Certificate);
                continue;
            };
            let Challenge::Keys(keys) = read else {
                panic!("{case}")
            };
            let keys: Vec<String> = keys.iter().map(KeyId::to_string).collect();
            assert_eq!(serde_json::json!(keys), serde_json::json!(kids));
            licences += 1;
        }
        assert_eq!(licences, 2);
        for bad in vectors["must_reject"].as_array().unwrap() {
            assert!(widevine(&body(bad)).is_err(), "{bad}");
        }
        let own = widevine::pssh(KeyId([7; 16]), Scheme::Cbcs);
        let read = widevine(&challenge(&[&own[32..]]));
        assert_eq!(read, Ok(Challenge::Keys(vec![KeyId([7; 16])])));
    }

    #[test]
    fn all_boxes_count_and_each_key_once() {
        let read = widevine(&challenge(&[&key_ids(&[2, 1]), &key_ids(&[2, 3])]));
        let wanted = [1, 2, 3].map(|id| KeyId([id; 16]));
        assert_eq!(read, Ok(Challenge::Keys(wanted.to_vec())));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let good = challenge(&[&key_ids(&[1])]);
        let request = field(2, &field(1, &field(1, &key_ids(&[1]))));
        let renewal = field(3, &field(1, b"licence"));
        for (why, body) in [
            ("two messages", [good.clone(), field(2, &request)].concat()),
            ("two kinds", [good.clone(), vec![0x08, 0x01]].concat()),
            (
                "two contents",
                [
                    vec![0x08, 1],
                    field(2, &[request.clone(), request.clone()].concat()),
                ]
                .concat(),
            ),
            (
                "a renewal",
                [vec![0x08, 1], field(2, &field(2, &renewal))].concat(),
            ),
            ("a short name", challenge(&[&field(2, &[1; 15])])),
            ("no key", challenge(&[b""])),
            (
                "too many keys",
                challenge(&[&key_ids(&(0..65).collect::<Vec<u8>>())]),
            ),
            ("a name as a number", challenge(&[&[0x10, 0x01]])),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("a group", [good.clone(), vec![0x0b]].concat()),
            ("field 0", [good.clone(), vec![0x00, 0x00]].concat()),
            (
                "a certificate with a licence",
                [vec![0x08, 4], field(2, &request)].concat(),
            ),
        ] {
            assert!(widevine(&body).is_err(), "{why}");
        }
        assert!(widevine(&good).is_ok());
        // Ten bytes of a number whose last has more than the bit that is left.
        let long = [vec![0x18], vec![0xff; 9], vec![0x02]].concat();
        assert!(widevine(&[good.clone(), long].concat()).is_err());
        let most = [vec![0x18], vec![0xff; 9], vec![0x01]].concat();
        assert!(widevine(&[good, most].concat()).is_ok());
    }
}
