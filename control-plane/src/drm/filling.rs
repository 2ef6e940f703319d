//! A CPIX document that names keys and wants to know them: read and written in one go, so that what is not understood
//! stays as it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contracts::id::VideoId;
use contracts::keys::{ContentKey, KeyId, System};
use packager::protect::Scheme;
use packager::protect::signalling::Signals;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

use super::systems::{PLAYLISTS, SYSTEMS};

/// What is wrong with a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) &'static str);

impl From<quick_xml::Error> for Wrong {
    fn from(_: quick_xml::Error) -> Self {
        Self("is not XML")
    }
}

impl From<std::io::Error> for Wrong {
    fn from(_: std::io::Error) -> Self {
        Self("cannot be written")
    }
}

/// `contentId` of the document, which its version must allow.
pub(super) fn content_id(text: &str) -> Result<String, Wrong> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event()? {
            Event::Start(root) if root.local_name().as_ref() == "CPIX" => {
                if attribute(&root, "version")?.is_some_and(|version| version != "2.3") {
                    return Err(Wrong("is not of version 2.3"));
                }
                let id = attribute(&root, "contentId")?.ok_or(Wrong("has no contentId"))?;
                let usable = (1..=128).contains(&id.len())
                    && id
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && byte != b'&');
                return usable.then_some(id).ok_or(Wrong("has no usable contentId"));
            }
            Event::Decl(_) | Event::Comment(_) | Event::Text(_) => {}
            _ => return Err(Wrong("is no CPIX")),
        }
    }
}

/// The document on its way from one form into the other.
pub(super) struct Filling<'a> {
    reader: Reader<&'a [u8]>,
    writer: Writer<Vec<u8>>,
    draw: &'a dyn Fn(KeyId) -> ContentKey,
    /// The keys that were named, each with its scheme.
    keys: Vec<(ContentKey, Scheme)>,
    /// What the DRM system that is being read is told.
    signals: Option<Signals>,
    depth: usize,
}

impl<'a> Filling<'a> {
    pub(super) fn new(text: &'a str, draw: &'a dyn Fn(KeyId) -> ContentKey) -> Self {
        Self {
            reader: Reader::from_str(text),
            writer: Writer::new(Vec::new()),
            draw,
            keys: Vec::new(),
            signals: None,
            depth: 0,
        }
    }

    /// The document with all that it asks for.
    pub(super) fn fill(mut self) -> Result<Vec<u8>, Wrong> {
        loop {
            match self.reader.read_event()? {
                Event::Start(start) => self.start(start)?,
                Event::Empty(start) => {
                    let end = start.to_end().into_owned();
                    if !self.replaced(&start)? {
                        self.writer.write_event(Event::Start(start))?;
                        self.writer.write_event(Event::End(end))?;
                    }
                }
                Event::End(end) => {
                    if end.local_name().as_ref() == "DRMSystem" {
                        self.signals = None;
                    }
                    self.depth = self.depth.saturating_sub(1);
                    self.writer.write_event(Event::End(end))?;
                }
                Event::Eof if self.depth == 0 && !self.keys.is_empty() => {
                    return Ok(self.writer.into_inner());
                }
                Event::Eof => return Err(Wrong("ends too early, or names no key")),
                Event::DocType(_) => return Err(Wrong("declares a document type")),
                Event::GeneralRef(_) => return Err(Wrong("has references")),
                Event::Comment(_) | Event::PI(_) => {}
                other => self.writer.write_event(other)?,
            }
        }
    }

    /// An element with content: what stands in it goes when it is filled in.
    fn start(&mut self, start: BytesStart<'a>) -> Result<(), Wrong> {
        let end = start.to_end().into_owned();
        if self.replaced(&start)? {
            self.reader.read_to_end(end.name())?;
            return Ok(());
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Wrong("is nested too deeply"));
        }
        if start.local_name().as_ref() == "DRMSystem" {
            self.signals = Some(self.signals_of(&start)?);
        }
        Ok(self.writer.write_event(Event::Start(start))?)
    }

    /// Writes an element anew, with what it is asked for; `false` for those that stay as they are.
    fn replaced(&mut self, start: &BytesStart<'_>) -> Result<bool, Wrong> {
        match start.local_name().as_ref() {
            "ContentKey" => self.content_key(start)?,
            "DeliveryDataList" => return Err(Wrong("wants keys encrypted, which is not offered")),
            name => match self.told(name, start)? {
                Some(text) => self.element(start.borrow(), &text)?,
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    /// What stands in an element of a DRM system; none for other elements, and for what the system has not.
    fn told(&self, name: &str, start: &BytesStart<'_>) -> Result<Option<String>, Wrong> {
        let Some(signals) = &self.signals else {
            return Ok(None);
        };
        Ok(match name {
            "PSSH" => signals.pssh.as_ref().map(|pssh| STANDARD.encode(pssh)),
            "ContentProtectionData" => {
                let inside = signals.content_protection.as_ref();
                inside.map(|inside| STANDARD.encode(inside))
            }
            "HLSSignalingData" => {
                let playlist = attribute(start, "playlist")?.unwrap_or_else(|| "media".to_owned());
                let tag = PLAYLISTS.iter().find(|(name, _)| *name == playlist);
                let (_, tag) = tag.ok_or(Wrong("wants signalling for an unknown playlist"))?;
                Some(STANDARD.encode(format!("{tag}:{}", signals.hls)))
            }
            "SmoothStreamingProtectionHeaderData" => signals.smooth.clone(),
            _ => None,
        })
    }

    fn content_key(&mut self, start: &BytesStart<'_>) -> Result<(), Wrong> {
        if self.keys.len() >= MOST_KEYS {
            return Err(Wrong("names more than 64 keys"));
        }
        let kid = attribute(start, "kid")?.as_deref().and_then(kid);
        let key = (self.draw)(kid.ok_or(Wrong("has a key without a kid"))?);
        let scheme = match attribute(start, "commonEncryptionScheme")?.as_deref() {
            None | Some("cenc") => Scheme::Cenc,
            Some("cbcs") => Scheme::Cbcs,
            Some(_) => return Err(Wrong("wants another scheme than cenc or cbcs")),
        };
        let mut start = start.to_owned();
        let iv = key.iv.filter(|_| scheme == Scheme::Cbcs);
        if let (Some(iv), None) = (iv, attribute(&start, "explicitIV")?) {
            let iv = STANDARD.encode(iv.0);
            start.push_attribute(("explicitIV", iv.as_str()));
        }
        let name = start.name().as_ref().to_owned();
        let data = name.replace("ContentKey", "Data");
        let value = STANDARD.encode(key.key.0);
        self.writer.write_event(Event::Start(start))?;
        self.writer
            .write_event(Event::Start(BytesStart::new(data.as_str())))?;
        let secret = BytesStart::new("pskc:Secret").with_attributes([("xmlns:pskc", PSKC)]);
        self.writer.write_event(Event::Start(secret))?;
        self.element(BytesStart::new("pskc:PlainValue"), &value)?;
        for name in ["pskc:Secret", &data, &name] {
            self.writer.write_event(Event::End(BytesEnd::new(name)))?;
        }
        self.keys.push((key, scheme));
        Ok(())
    }

    fn element(&mut self, start: BytesStart<'_>, text: &str) -> Result<(), Wrong> {
        let end = start.to_end().into_owned();
        self.writer.write_event(Event::Start(start))?;
        self.writer
            .write_event(Event::Text(BytesText::from_escaped(text)))?;
        Ok(self.writer.write_event(Event::End(end))?)
    }

    fn signals_of(&self, start: &BytesStart<'_>) -> Result<Signals, Wrong> {
        let id = attribute(start, "systemId")?
            .unwrap_or_default()
            .to_ascii_lowercase();
        let system = SYSTEMS.iter().find(|(_, known)| *known == id);
        let (system, _) = system.ok_or(Wrong("names a DRM system that is not known"))?;
        let kid = attribute(start, "kid")?.as_deref().and_then(kid);
        let key = self.keys.iter().find(|(key, _)| Some(key.kid) == kid);
        let (key, scheme) = key.ok_or(Wrong(
            "has a DRM system for a key that it does not name before",
        ))?;
        if *system == System::FairPlay && *scheme != Scheme::Cbcs {
            return Err(Wrong("wants FairPlay with another scheme than cbcs"));
        }
        // No signalling tells the film's id.
        let film = VideoId::from_random([0; 16]);
        Signals::of(&film, key, *system, *scheme).map_err(|_| Wrong("cannot be signalled"))
    }
}

/// An attribute's text, which is plain here: no references.
fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, Wrong> {
    let found = start.try_get_attribute(name);
    let found = found.map_err(|_| Wrong("is not XML"))?;
    Ok(found.map(|attribute| attribute.value.into_owned()))
}

/// The name of a key in the text form of RFC 9562 §4.
fn kid(text: &str) -> Option<KeyId> {
    let dashes = [8, 13, 18, 23];
    let is_dash = |at: usize| text.as_bytes().get(at) == Some(&b'-');
    if text.len() != 36 || !dashes.into_iter().all(is_dash) {
        return None;
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(text.replace('-', ""), &mut bytes).ok()?;
    Some(KeyId(bytes))
}

const PSKC: &str = "urn:ietf:params:xml:ns:keyprov:pskc";
const MOST_KEYS: usize = 64;
const DEEPEST: usize = 16;

#[cfg(test)]
mod tests {
    use contracts::keys::{Iv, KeyValue};

    use super::*;

    /// A document that other tools made.
    const WHOLE: &str = include_str!("../../tests/data/cpix.xml");

    fn bytes(digits: &str) -> [u8; 16] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    fn draw(kid: KeyId) -> ContentKey {
        ContentKey {
            kid,
            key: KeyValue(bytes("69eaa802a6763af979e8d1940fb88392")),
            iv: Some(Iv([1; 16])),
            tracks: Vec::new(),
        }
    }

    fn fill(text: &str) -> Result<String, Wrong> {
        content_id(text)?;
        let filled = Filling::new(text, &draw).fill()?;
        Ok(String::from_utf8(filled).unwrap())
    }

    /// The document without what a key server fills in.
    fn asked() -> String {
        let mut text = WHOLE.to_owned();
        for (from, to) in [
            ("<Data>", "</Data>"),
            ("<PSSH>", "</PSSH>"),
            ("<PSSH>A", "</PSSH>"),
        ] {
            if let Some(at) = text.find(from) {
                let end = text[at..].find(to).unwrap() + at + to.len();
                let instead = if from == "<Data>" {
                    ""
                } else {
                    "<PSSH></PSSH>"
                };
                text.replace_range(at..end, instead);
            }
        }
        text
    }

    #[test]
    fn a_document_goes_back_as_other_tools_have_it() {
        let text = asked();
        assert!(
            !text.contains("PlainValue") && !text.contains("<PSSH>A"),
            "{text}"
        );
        let filled = fill(&text).unwrap();
        let value = "<pskc:PlainValue>aeqoAqZ2Ovl56NGUD7iDkg==</pskc:PlainValue>";
        assert!(WHOLE.contains(value) && filled.contains(value), "{filled}");
        let boxes = |text: &str| -> Vec<String> {
            let parts = text.split("<PSSH>").skip(1);
            parts
                .map(|part| part.split("</PSSH>").next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(boxes(&filled), boxes(WHOLE));
        assert_eq!(boxes(WHOLE).len(), 2);
        // What the packager decided stays: its vector, and which tracks the key is for.
        for kept in [
            "explicitIV=\"ABEiM0RVZneImaq7zN3u/w==\"",
            "intendedTrackType=\"SD\"",
            "maxPixels=\"589824\"",
        ] {
            assert!(filled.contains(kept), "{filled}");
        }
    }

    const CBCS: &str = r#"<cpix:CPIX contentId="abc" version="2.3" xmlns:cpix="urn:dashif:org:cpix"><cpix:ContentKeyList><cpix:ContentKey kid="abba271e-8bcf-552b-bd2e-86a434a9a5d9" commonEncryptionScheme="cbcs"/></cpix:ContentKeyList><cpix:DRMSystemList>SYSTEMS</cpix:DRMSystemList></cpix:CPIX>"#;

    fn with(systems: &str) -> String {
        CBCS.replace("SYSTEMS", systems)
    }

    fn system(id: &str, inside: &str) -> String {
        format!(
            r#"<cpix:DRMSystem kid="abba271e-8bcf-552b-bd2e-86a434a9a5d9" systemId="{id}">{inside}</cpix:DRMSystem>"#
        )
    }

    #[test]
    fn prefixes_stay_and_only_what_is_asked_for_is_told() {
        let fairplay = system(
            "94CE86FB-07FF-4F43-ADB8-93D2FA968CA2",
            r#"<cpix:HLSSignalingData playlist="media"></cpix:HLSSignalingData><cpix:HLSSignalingData playlist="master"/>"#,
        );
        let filled = fill(&with(&fairplay)).unwrap();
        assert!(
            filled.contains("<cpix:Data><pskc:Secret xmlns:pskc="),
            "{filled}"
        );
        assert!(
            filled.contains("explicitIV=\"AQEBAQEBAQEBAQEBAQEBAQ==\""),
            "{filled}"
        );
        assert!(!filled.contains("PSSH") && !filled.contains("ContentProtectionData"));
        for tag in ["#EXT-X-KEY", "#EXT-X-SESSION-KEY"] {
            let tag = format!(
                "{tag}:METHOD=SAMPLE-AES,URI=\"skd://abba271e8bcf552bbd2e86a434a9a5d9\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\""
            );
            assert!(filled.contains(&STANDARD.encode(tag)), "{filled}");
        }
        let mut reader = Reader::from_str(&filled);
        while reader.read_event().unwrap() != Event::Eof {}
    }

    #[test]
    fn a_document_with_any_letter_changed_goes_back_as_xml_or_is_refused() {
        let good = with(&system(SYSTEMS[1].1, "<cpix:PSSH>x</cpix:PSSH>"));
        let (mut back, mut refused) = (0, 0);
        for at in 0..good.len() {
            for letter in ["<", ">", "&", "/", "\"", "\0", "x", ""] {
                let text = format!("{}{letter}{}", &good[..at], &good[at + 1..]);
                let Ok(filled) = fill(&text) else {
                    refused += 1;
                    continue;
                };
                back += 1;
                let mut reader = Reader::from_str(&filled);
                while reader.read_event().unwrap() != Event::Eof {}
            }
        }
        assert!(back > 100 && refused > 100, "{back} {refused}");
    }

    #[test]
    fn what_the_fuzzer_found_goes_back_as_xml_or_is_refused() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/speke");
        let mut back = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let text = std::fs::read(entry.unwrap().path()).unwrap();
            let Ok(filled) = fill(&String::from_utf8_lossy(&text)) else {
                continue;
            };
            back += 1;
            let mut reader = Reader::from_str(&filled);
            while reader.read_event().unwrap() != Event::Eof {}
        }
        assert!(back > 0);
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        let good = with("");
        assert!(fill(&good).is_ok());
        for (why, text) in [
            ("nothing", String::new()),
            ("no CPIX", "<a/>".to_owned()),
            ("another version", good.replace("2.3", "2.0")),
            ("no contentId", good.replace("contentId", "id")),
            ("a kid that is none", good.replace("abba271e-", "abba271e")),
            ("no kid", good.replace("kid=", "name=")),
            ("another scheme", good.replace("cbcs", "cens")),
            ("cut short", good[..good.len() - 4].to_owned()),
            (
                "an entity",
                format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{good}"),
            ),
            ("a reference", with("&amp;")),
            ("keys encrypted", with("<DeliveryDataList/>")),
            (
                "another system",
                with(&system("00000000-0000-0000-0000-000000000000", "")),
            ),
            (
                "a system of another key",
                with(&system(SYSTEMS[0].1, "").replace("abba", "baba")),
            ),
            (
                "an unknown playlist",
                with(&system(SYSTEMS[0].1, r#"<HLSSignalingData playlist="x"/>"#)),
            ),
            (
                "FairPlay in cenc",
                with(&system(SYSTEMS[2].1, "")).replace("cbcs", "cenc"),
            ),
            (
                "too deep",
                with(&format!("{}{}", "<a>".repeat(17), "</a>".repeat(17))),
            ),
        ] {
            assert!(fill(&text).is_err(), "{why}");
        }
        let many = r#"<ContentKey kid="abba271e-8bcf-552b-bd2e-86a434a9a5d9"/>"#.repeat(64);
        assert_eq!(fill(&with(&many)), Err(Wrong("names more than 64 keys")));
    }
}
