//! One answer checked as an HTTP message: status, length, type, and what the edge says of its cache.

use http::{HeaderMap, StatusCode, header};

use crate::play::Protocol;
use crate::play::client::Answer;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Playlist,
    Mpd,
    Init,
    Key,
    Fmp4,
    Ts,
    Text,
}

impl What {
    /// The noun that sentences begin with.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Playlist => "The playlist",
            Self::Mpd => "The MPD",
            Self::Init => "The init segment",
            Self::Key => "The key",
            Self::Fmp4 | Self::Ts | Self::Text => "The segment",
        }
    }

    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Playlist => &[
                "application/vnd.apple.mpegurl",
                "application/x-mpegurl",
                "audio/mpegurl",
                "audio/x-mpegurl",
            ],
            Self::Mpd => &["application/dash+xml"],
            Self::Init | Self::Fmp4 => &[
                "video/mp4",
                "audio/mp4",
                "application/mp4",
                "video/iso.segment",
                "audio/iso.segment",
            ],
            Self::Key => &["application/octet-stream"],
            Self::Ts => &["video/mp2t"],
            Self::Text => &["text/vtt", "application/ttml+xml", "application/mp4"],
        }
    }
}

/// Whether the body is worth looking into; `faults` takes predicates about the answer.
pub(crate) fn check(
    answer: &Answer,
    what: What,
    wanted: Option<Protocol>,
    faults: &mut Vec<String>,
) -> bool {
    if let Some(wanted) = wanted.filter(|wanted| *wanted != answer.protocol) {
        faults.push(format!(
            "came over {} though {wanted} was asked for: see which protocols the listener offers",
            answer.protocol
        ));
    }
    if answer.status != StatusCode::OK {
        faults.push(format!(
            "was answered with status {}{}",
            answer.status,
            advice(answer.status)
        ));
        return false;
    }
    let length = text(&answer.headers, header::CONTENT_LENGTH);
    if let Some(length) = length.filter(|length| length.parse() != Ok(answer.body.len())) {
        faults.push(format!(
            "has a Content-Length of {length} and a body of {} bytes",
            answer.body.len()
        ));
    }
    let mime = text(&answer.headers, header::CONTENT_TYPE).unwrap_or_default();
    let bare = mime.split(';').next().unwrap_or_default().trim();
    if !what
        .types()
        .iter()
        .any(|one| one.eq_ignore_ascii_case(bare))
    {
        let usual = what.types().first().copied().unwrap_or_default();
        faults.push(format!(
            "has the Content-Type \"{mime}\" where {usual} belongs"
        ));
    }
    if answer.body.is_empty() {
        faults.push("is empty".to_owned());
    }
    !answer.body.is_empty()
}

/// What the edge, which is the last member of `Cache-Status`, says: hit, miss or nothing (RFC 9211).
pub(crate) fn cache(headers: &HeaderMap) -> Option<bool> {
    let line = headers.get_all("cache-status").iter().next_back()?;
    let member = split_outside_quotes(line.to_str().ok()?, ',').pop()?;
    let parameters = split_outside_quotes(member, ';');
    let mut parameters = parameters.iter().skip(1).map(|one| one.trim());
    Some(parameters.any(|one| one == "hit" || one == "hit=?1"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|letter: char| {
        let ends = letter == separator && !quoted;
        if letter == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && letter == '\\' && !escaped;
        ends
    })
    .collect()
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => {
            ": its token has expired or does not cover this address; ask for a new one (`millrace sign`, or POST /v1/playback/start)"
        }
        404 | 410 => {
            ": see whether the video is published (`millrace status`) and whether the manifest names it rightly"
        }
        400 => ": the address is outside the grammar of targets",
        429 => ": the edge limits this client; try again later",
        500..=599 => ": see the log of the edge and of the tiers behind it",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use reqwest::Url;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let pairs = headers.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static(value),
            )
        });
        Answer {
            url: Url::parse("http://edge.example/v/a/segment_1.ts").unwrap(),
            status: StatusCode::from_u16(status).unwrap(),
            protocol: Protocol::H1,
            headers: pairs.collect(),
            body: Bytes::from_static(b"four"),
            took: Duration::ZERO,
        }
    }

    fn faults(answer: &Answer, wanted: Option<Protocol>) -> Vec<String> {
        let mut faults = Vec::new();
        check(answer, What::Ts, wanted, &mut faults);
        faults
    }

    #[test]
    fn a_right_answer_has_no_fault() {
        let right = answer(
            200,
            &[("content-type", "video/mp2t"), ("content-length", "4")],
        );
        assert_eq!(faults(&right, Some(Protocol::H1)), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_length_type_status_and_protocol_are_seen() {
        let long = answer(
            200,
            &[("content-type", "video/mp2t"), ("content-length", "5")],
        );
        assert!(faults(&long, None).concat().contains("Content-Length of 5"));
        let text = answer(200, &[("content-type", "text/html; charset=utf-8")]);
        assert!(faults(&text, None).concat().contains("video/mp2t belongs"));
        let gone = answer(404, &[("content-type", "video/mp2t")]);
        assert!(faults(&gone, None).concat().contains("status 404"));
        let plain = answer(200, &[("content-type", "video/mp2t")]);
        assert!(
            faults(&plain, Some(Protocol::H3))
                .concat()
                .contains("over h1 though h3")
        );
    }

    #[test]
    fn the_edge_is_the_last_member_of_cache_status() {
        let said = |text: &'static str| cache(&answer(200, &[("cache-status", text)]).headers);
        assert_eq!(said("shield; hit, edge-1; fwd=miss; stored"), Some(false));
        assert_eq!(said("shield; fwd=miss, edge-1; hit; ttl=30"), Some(true));
        assert_eq!(said(r#"edge; hit; detail="a, b; c""#), Some(true));
        assert_eq!(said("edge; hit=?0"), Some(false));
        assert_eq!(cache(&answer(200, &[]).headers), None);
    }
}
