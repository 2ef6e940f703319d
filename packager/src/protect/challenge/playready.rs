//! PlayReady: a SOAP message that holds the header which the film was signalled with.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use contracts::keys::KeyId;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use super::{Unreadable, add, named};
use crate::protect::signalling::guid;

/// Reads a challenge: the keys of every `WRMHEADER` in it, of versions 4.0 to 4.3.
///
/// # Errors
/// [`Unreadable`] when it is not XML in UTF-8, declares a document type, or has no such header.
pub fn playready(body: &[u8]) -> Result<Vec<KeyId>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable("is not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let mut path = Path::default();
    let mut keys = Vec::new();
    loop {
        match reader.read_event().map_err(|_| Unreadable("is not XML"))? {
            Event::Start(start) => {
                path.begin(&start)?;
                if path.in_key() {
                    path.text.clear();
                    value(&start, &mut keys)?;
                }
            }
            Event::Empty(start) => {
                let inside = path.header.is_some();
                if inside && start.local_name().as_ref() == KID {
                    value(&start, &mut keys)?;
                }
            }
            Event::Text(text) if path.in_key() => path.push(&text)?,
            Event::CData(text) if path.in_key() => path.push(&text)?,
            Event::GeneralRef(_) if path.in_key() => {
                return Err(Unreadable("writes a key's name with references"));
            }
            Event::End(_) => {
                if path.in_key() && !path.text.trim_ascii().is_empty() {
                    add(&mut keys, key(path.text.trim_ascii())?)?;
                }
                path.end();
            }
            Event::DocType(_) => return Err(Unreadable("declares a document type")),
            Event::Eof if path.depth == 0 => return named(keys),
            Event::Eof => return Err(Unreadable("ends too early")),
            _ => {}
        }
    }
}

/// Where the reader is.
#[derive(Default)]
struct Path {
    depth: usize,
    /// The depth of the header that it is in.
    header: Option<usize>,
    /// The depth of the key's element that it is in.
    key: Option<usize>,
    /// What stands in that element.
    text: String,
}

impl Path {
    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), Unreadable> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Unreadable("is nested too deeply"));
        }
        if self.key.is_some() {
            return Err(Unreadable("has elements in a key's name"));
        }
        match (start.local_name().as_ref(), self.header) {
            (HEADER, None) => self.header = Some(self.depth),
            (KID, Some(_)) => self.key = Some(self.depth),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        for place in [&mut self.header, &mut self.key] {
            if *place == Some(self.depth) {
                *place = None;
            }
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn in_key(&self) -> bool {
        self.key.is_some()
    }

    fn push(&mut self, text: &str) -> Result<(), Unreadable> {
        self.text.push_str(text);
        let fits = self.text.len() <= LONGEST;
        fits.then_some(())
            .ok_or(Unreadable("has a key's name that is too long"))
    }
}

/// The name in the attribute `VALUE`, where versions after 4.0 have it.
fn value(start: &BytesStart<'_>, keys: &mut Vec<KeyId>) -> Result<(), Unreadable> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| Unreadable("is not XML"))?;
        if attribute.key.local_name().as_ref() == "VALUE" {
            add(keys, key(&attribute.value)?)?;
        }
    }
    Ok(())
}

/// A key's name as PlayReady writes it: base64 of a GUID.
fn key(text: &str) -> Result<KeyId, Unreadable> {
    let bytes = STANDARD.decode(text).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or(Unreadable(
        "has a key's name that is not 16 bytes in base64",
    ))?;
    // What turns one order into the other turns it back.
    Ok(KeyId(guid(KeyId(bytes))))
}

const HEADER: &str = "WRMHEADER";
const KID: &str = "KID";
const DEEPEST: usize = 64;
/// The longest text of a key's element, in bytes.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Hie6q8+LK1W9LoakNKml2Q==";

    fn id() -> KeyId {
        let bytes = hex::decode("abba271e8bcf552bbd2e86a434a9a5d9").unwrap();
        KeyId(bytes.try_into().unwrap())
    }

    fn soap(header: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>\
             <AcquireLicense xmlns=\"http://schemas.microsoft.com/DRM/2007/03/protocols\"><challenge><Challenge xmlns=\"http://schemas.microsoft.com/DRM/2007/03/protocols/messages\">\
             <LA xmlns=\"http://schemas.microsoft.com/DRM/2007/03/protocols\" Id=\"SignedData\"><Version>1</Version><ContentHeader>{header}</ContentHeader></LA>\
             </Challenge></challenge></AcquireLicense></soap:Body></soap:Envelope>"
        )
    }

    fn old(kid: &str) -> String {
        soap(&format!(
            "<WRMHEADER xmlns=\"http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader\" version=\"4.0.0.0\"><DATA><PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO>{kid}</DATA></WRMHEADER>"
        ))
    }

    #[test]
    fn headers_of_both_kinds_name_the_key_that_they_were_made_of() {
        let read = playready(
            old(&format!(
                "<KID>{KEY}</KID><CHECKSUM>BB31ycMlSig=</CHECKSUM>"
            ))
            .as_bytes(),
        );
        assert_eq!(read, Ok(vec![id()]));
        let new = format!(
            "<WRMHEADER xmlns=\"http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader\" version=\"4.3.0.0\"><DATA><PROTECTINFO><KIDS><KID ALGID=\"AESCBC\" VALUE=\"{KEY}\"></KID><KID VALUE='{}'/></KIDS></PROTECTINFO></DATA></WRMHEADER>",
            STANDARD.encode([0; 16])
        );
        let read = playready(soap(&new).as_bytes());
        assert_eq!(read, Ok(vec![KeyId([0; 16]), id()]));
    }

    #[test]
    fn a_name_is_read_however_it_is_written_or_the_challenge_is_refused() {
        for text in [
            format!(" {KEY}\n"),
            format!("<![CDATA[{KEY}]]>"),
            format!("{}<!-- -->{}", &KEY[..5], &KEY[5..]),
        ] {
            let read = playready(old(&format!("<KID>{text}</KID>")).as_bytes());
            assert_eq!(read, Ok(vec![id()]), "{text}");
        }
        let spelt = KEY.replace('8', "&#56;");
        for text in [
            "",
            "AAAA",
            "no base64",
            &spelt,
            &format!("<a>{KEY}</a>"),
            &"A".repeat(300),
        ] {
            let read = playready(old(&format!("<KID>{text}</KID>")).as_bytes());
            assert!(read.is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        let good = old(&format!("<KID>{KEY}</KID>"));
        let typed = format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{good}");
        let cut = &good[..good.len() - 3];
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        let outside = format!("<a><KID>{KEY}</KID></a>");
        for body in ["", "x", &typed, cut, &deep, &outside, "<a></b>"] {
            assert!(playready(body.as_bytes()).is_err(), "{body}");
        }
        assert!(playready(&[0xff, 0xfe, b'<', 0]).is_err());
    }
}
