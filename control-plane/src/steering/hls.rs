//! A multivariant playlist with a pathway for each edge, made of the one that all viewers share
//! (draft-pantos-hls-rfc8216bis §4.4.6.6, §7).
//!
//! What a player chooses among is written again for each pathway, with addresses and groups of its own.

use std::fmt::Write as _;

use crate::steering::Way;

/// What a line is about.
enum Line<'a> {
    /// A choice: `EXT-X-MEDIA`, or an I-frame playlist, which names its address itself.
    Choice(&'a str, &'a str),
    /// A variant, and the address on the line after it.
    Variant(&'a str, &'a str),
    /// Said once: the tag's attributes may name an address.
    Once(&'a str, &'a str),
    /// Said once, as it is.
    Plain(&'a str),
}

/// The playlist with these pathways, the first of which is to be begun with; none when the template is no
/// multivariant playlist.
pub(crate) fn fill(template: &str, steering: &str, ways: &[Way<'_>]) -> Option<String> {
    let first = ways.first()?;
    let mut lines = template.lines();
    if lines.next()? != "#EXTM3U" {
        return None;
    }
    let lines = read(lines)?;
    let mut out = String::with_capacity(template.len() * (ways.len() + 1));
    out.push_str("#EXTM3U\n");
    let mut told = false;
    for line in &lines {
        // Behind the version, which players look for at the top.
        if !told && !matches!(line, Line::Plain(text) if text.starts_with("#EXT-X-VERSION")) {
            let _ = writeln!(
                out,
                "#EXT-X-CONTENT-STEERING:SERVER-URI=\"{steering}\",PATHWAY-ID=\"{}\"",
                first.id
            );
            told = true;
        }
        match line {
            Line::Plain(text) => {
                let _ = writeln!(out, "{text}");
            }
            Line::Once(name, attributes) => first.tag(&mut out, name, attributes),
            Line::Choice(..) | Line::Variant(..) => {}
        }
    }
    for way in ways {
        for line in &lines {
            way.line(&mut out, line);
        }
    }
    Some(out)
}

fn read<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Vec<Line<'a>>> {
    let mut read = Vec::new();
    while let Some(text) = lines.next() {
        let (name, attributes) = text.split_once(':').unwrap_or((text, ""));
        read.push(match name {
            "#EXT-X-STREAM-INF" => Line::Variant(attributes, lines.next()?),
            "#EXT-X-MEDIA" | "#EXT-X-I-FRAME-STREAM-INF" => Line::Choice(name, attributes),
            "#EXT-X-SESSION-KEY" | "#EXT-X-SESSION-DATA" | "#EXT-X-IMAGE-STREAM-INF" => {
                Line::Once(name, attributes)
            }
            _ => Line::Plain(text),
        });
    }
    Some(read)
}

impl Way<'_> {
    fn line(&self, out: &mut String, line: &Line<'_>) {
        match line {
            Line::Choice(name @ "#EXT-X-MEDIA", attributes) => self.tag(out, name, attributes),
            Line::Choice(name, attributes) => {
                self.attributes(out, name, attributes);
                self.ends(out);
            }
            Line::Variant(attributes, url) => {
                self.attributes(out, "#EXT-X-STREAM-INF", attributes);
                self.ends(out);
                let _ = writeln!(out, "{}", self.absolute(url));
            }
            Line::Once(..) | Line::Plain(_) => {}
        }
    }

    fn tag(&self, out: &mut String, name: &str, attributes: &str) {
        self.attributes(out, name, attributes);
        out.push('\n');
    }

    fn ends(&self, out: &mut String) {
        let _ = writeln!(out, ",PATHWAY-ID=\"{}\"", self.id);
    }

    /// The tag with the addresses and the groups of this pathway.
    fn attributes(&self, out: &mut String, name: &str, attributes: &str) {
        out.push_str(name);
        let mut separator = ':';
        for (name, value) in split(attributes) {
            let text = value
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            let _ = match (name, text) {
                ("URI", Some(url)) => write!(out, "{separator}URI=\"{}\"", self.absolute(url)),
                ("GROUP-ID" | "AUDIO" | "SUBTITLES" | "VIDEO" | "CLOSED-CAPTIONS", Some(group)) => {
                    write!(out, "{separator}{name}=\"{group}-{}\"", self.id)
                }
                _ => write!(out, "{separator}{name}={value}"),
            };
            separator = ',';
        }
    }

    /// The address at this edge of what the shared playlist names relative to itself.
    fn absolute(&self, url: &str) -> String {
        // A scheme ends before any slash (RFC 3986 §4.2).
        let scheme = url
            .split('/')
            .next()
            .is_some_and(|first| first.contains(':'));
        if scheme {
            url.to_owned()
        } else {
            format!("{}{url}", self.base)
        }
    }
}

/// The attributes of a list (RFC 8216 §4.2); a quoted value keeps its quotes and may have commas.
fn split(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (name, value) = rest.split_once('=')?;
        let quoted = value.strip_prefix('"').and_then(|inner| inner.find('"'));
        let end = match quoted {
            Some(length) => length + 2,
            None => value.find(',').unwrap_or(value.len()),
        };
        let (value, after) = value.split_at_checked(end)?;
        rest = after.strip_prefix(',').unwrap_or(after);
        Some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://a,b\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"A, B\",DEFAULT=YES,URI=\"audio-en/playlist.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"aac\"\n240p/playlist.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI=\"240p/iframes.m3u8\"\n\
        #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=10,URI=\"thumbs/playlist.m3u8\"\n";

    fn way<'a>(id: &'a str, base: &str) -> Way<'a> {
        Way {
            id,
            base: base.to_owned(),
        }
    }

    #[test]
    fn each_pathway_has_every_choice_at_its_own_edge() {
        let ways = [
            way("e1", "https://one/~t/v/f/"),
            way("e2", "https://two/~u/v/f/"),
        ];
        let filled = fill(SHARED, "https://api/v1/steering/s", &ways).unwrap();
        assert_eq!(
            filled,
            "#EXTM3U\n#EXT-X-VERSION:4\n\
            #EXT-X-CONTENT-STEERING:SERVER-URI=\"https://api/v1/steering/s\",PATHWAY-ID=\"e1\"\n\
            #EXT-X-INDEPENDENT-SEGMENTS\n\
            #EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://a,b\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n\
            #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=10,URI=\"https://one/~t/v/f/thumbs/playlist.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac-e1\",NAME=\"A, B\",DEFAULT=YES,URI=\"https://one/~t/v/f/audio-en/playlist.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"aac-e1\",PATHWAY-ID=\"e1\"\n\
            https://one/~t/v/f/240p/playlist.m3u8\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI=\"https://one/~t/v/f/240p/iframes.m3u8\",PATHWAY-ID=\"e1\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac-e2\",NAME=\"A, B\",DEFAULT=YES,URI=\"https://two/~u/v/f/audio-en/playlist.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"aac-e2\",PATHWAY-ID=\"e2\"\n\
            https://two/~u/v/f/240p/playlist.m3u8\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI=\"https://two/~u/v/f/240p/iframes.m3u8\",PATHWAY-ID=\"e2\"\n"
        );
    }

    #[test]
    fn what_is_no_multivariant_playlist_is_not_filled() {
        let ways = [way("e1", "https://one/")];
        for text in ["", "<MPD/>", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1"] {
            assert_eq!(fill(text, "https://api", &ways), None, "{text}");
        }
        assert_eq!(fill(SHARED, "https://api", &[]), None);
    }

    #[test]
    fn an_attribute_list_of_any_shape_is_read_to_its_end() {
        let all: Vec<_> = split("A=1,B=\"x,y=z\",C=\"\",D=\"open").collect();
        assert_eq!(
            all,
            [
                ("A", "1"),
                ("B", "\"x,y=z\""),
                ("C", "\"\""),
                ("D", "\"open")
            ]
        );
        assert_eq!(split("no equals sign").count(), 0);
    }
}
