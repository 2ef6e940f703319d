//! The grammar of request targets: accepted as they are or refused, never normalised.
//!
//! ```text
//! target  = [ "/~" token ] path [ "?" query ]
//! path    = 1*( "/" segment ), at most 1024 bytes, the first segment not beginning with "~"
//! segment = 1*( ALPHA / DIGIT / "." / "_" / "~" / "=" / "," / ":" / "@" / "+" / "-" ), not "." or ".."
//! query   = printable ASCII, at most 4096 bytes
//! ```
//! Browsers resolve `%2e%2e` and `\` before they send, so no player is hurt; whatever else sends
//! them wants to be read in two ways by two readers.

use crate::{address::Address, id::RenditionId, reason::Reason};

/// The longest path without its token, in bytes.
pub const MAX_PATH: usize = 1024;
/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 1500;
/// The longest query, in bytes.
pub const MAX_QUERY: usize = 4096;

/// The query parameter that carries a Common Access Token.
pub const CAT: &str = "CAT";

/// The pair in the query of a target that an edge sent its viewer elsewhere with.
const SENT_ON: &str = "millrace-sent=1";

/// A request target in its parts, borrowed from the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// What stands after `/~` in the first segment.
    pub token: Option<&'a str>,
    /// The path without the token: what caches and parents see.
    pub path: &'a str,
    /// What stands after `?`, if anything does.
    pub query: Option<&'a str>,
}

/// Takes a target apart.
///
/// # Errors
/// [`Reason::Target`] outside the grammar, [`Reason::Malformed`] when a token is announced and
/// is empty or too long.
pub fn parse(target: &str) -> Result<Target<'_>, Reason> {
    let (full, query) = match target.split_once('?') {
        Some((full, query)) => (full, Some(query)),
        None => (target, None),
    };
    if query.is_some_and(|query| !is_query(query)) {
        return Err(Reason::Target);
    }
    let (token, path) = match full.strip_prefix("/~") {
        Some(rest) => {
            let end = rest.find('/').ok_or(Reason::Target)?;
            let (token, path) = rest.split_at(end);
            (Some(token), path)
        }
        None => (None, full),
    };
    if !is_path(path) || path.starts_with("/~") {
        return Err(Reason::Target);
    }
    if token.is_some_and(|token| token.is_empty() || token.len() > MAX_TOKEN) {
        return Err(Reason::Malformed);
    }
    Ok(Target { token, path, query })
}

/// Whether a text is a path of the grammar, naming an object (no `/` at the end).
#[must_use]
pub fn is_path(path: &str) -> bool {
    path.len() <= MAX_PATH
        && path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_segment))
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_path_byte)
}

const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'.' | b'_' | b'~' | b'=' | b',' | b':' | b'@' | b'+' | b'-'
        )
}

fn is_query(query: &str) -> bool {
    query.len() <= MAX_QUERY
        && query
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\')
}

/// The query that reaches the cache key and the parent: LL-HLS delivery directives, sorted
/// (RFC 8216bis §6.2.5). All else (CMCD, for one) is dropped. They belong to playlists: [`of_viewer`] drops them
/// elsewhere, so that nobody makes many objects of one.
///
/// # Errors
/// [`Reason::Target`] when a directive is repeated or its value is none that the standard knows.
pub fn delivery_directives(query: Option<&str>) -> Result<Option<String>, Reason> {
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for (name, value) in pairs(query) {
        let known = match name {
            "_HLS_msn" | "_HLS_part" => is_count(value),
            "_HLS_skip" => matches!(value, "YES" | "v2"),
            _ => continue,
        };
        if !known || kept.iter().any(|(other, _)| *other == name) {
            return Err(Reason::Target);
        }
        kept.push((name, value));
    }
    kept.sort_unstable();
    let joined: Vec<String> = kept
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok((!joined.is_empty()).then(|| joined.join("&")))
}

/// What a viewer's target names, as keys and parents see it: the path, the delivery directives, and for a list of
/// renditions the ones that the viewer's token is for. `r` in the viewer's own query counts for nothing.
///
/// # Errors
/// As [`delivery_directives`].
pub fn of_viewer(target: Target<'_>, renditions: &[RenditionId]) -> Result<String, Reason> {
    joined(target, filter(target.path, renditions))
}

/// What a tier's target names: as [`of_viewer`], with `r` as the edge wrote it.
///
/// # Errors
/// As [`delivery_directives`] and [`renditions`].
pub fn of_tier(target: Target<'_>) -> Result<String, Reason> {
    joined(target, filter(target.path, &renditions(target)?))
}

/// The renditions to which a tier's target narrows a master playlist or a DASH manifest; empty: all.
///
/// # Errors
/// [`Reason::Target`] when they are not sorted or not unique, or the path is another: each set has one
/// spelling.
pub fn renditions(target: Target<'_>) -> Result<Vec<RenditionId>, Reason> {
    let mut values = pairs(target.query).filter_map(|(name, value)| (name == "r").then_some(value));
    let Some(value) = values.next() else {
        return Ok(Vec::new());
    };
    let parsed = value.split(',').map(RenditionId::parse);
    let renditions: Vec<_> = parsed
        .collect::<Result<_, _>>()
        .map_err(|_| Reason::Target)?;
    let canonical = filter(target.path, &renditions).is_some_and(|filter| filter == value);
    if canonical && values.next().is_none() {
        Ok(renditions)
    } else {
        Err(Reason::Target)
    }
}

/// The value of `r` for a path and the renditions of a token; none where it changes nothing.
fn filter(path: &str, renditions: &[RenditionId]) -> Option<String> {
    if renditions.is_empty() {
        return None;
    }
    let lists = Address::parse(path).is_ok_and(|address| address.item.lists_renditions());
    if !lists {
        return None;
    }
    let mut names: Vec<&str> = renditions.iter().map(RenditionId::as_str).collect();
    names.sort_unstable();
    names.dedup();
    Some(names.join(","))
}

fn joined(target: Target<'_>, filter: Option<String>) -> Result<String, Reason> {
    let path = target.path;
    let filter = filter.map(|renditions| format!("r={renditions}"));
    let directives = delivery_directives(target.query)?.filter(|_| path.ends_with(".m3u8"));
    Ok(
        match directives.into_iter().chain(filter).collect::<Vec<_>>() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{}", query.join("&")),
        },
    )
}

/// The target with which a viewer is sent to another edge. That edge sends it no further: edges that send to each other
/// would never end.
#[must_use]
pub fn sent_on(target: &str) -> String {
    let and = if target.contains('?') { '&' } else { '?' };
    format!("{target}{and}{SENT_ON}")
}

/// A target as it was before an edge sent its viewer elsewhere with it; `None` where none has. What admits a request,
/// and by what its object is known, is judged without the mark.
#[must_use]
pub fn before_sent_on(target: &str) -> Option<String> {
    let (full, query) = target.split_once('?')?;
    if !query.split('&').any(|pair| pair == SENT_ON) {
        return None;
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| *pair != SENT_ON).collect();
    match rest.join("&") {
        rest if rest.is_empty() => Some(full.to_owned()),
        rest => Some(format!("{full}?{rest}")),
    }
}

fn is_count(value: &str) -> bool {
    matches!(value.len(), 1..=10) && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// The name-value pairs of a query; a name without `=` has the empty value.
pub(crate) fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_comes_apart_into_token_path_and_query() {
        let target = parse("/~t.o.k/v/a/b.m4s?x=1").unwrap();
        assert_eq!(target.token, Some("t.o.k"));
        assert_eq!((target.path, target.query), ("/v/a/b.m4s", Some("x=1")));
        assert_eq!(parse("/v/a").unwrap().token, None);
    }

    #[test]
    fn what_two_readers_might_read_in_two_ways_is_refused() {
        for bad in [
            "",
            "/",
            "v/a",
            "//v/a",
            "/v//a",
            "/v/./a",
            "/v/../a",
            "/v/a/",
            "/v/%61",
            "/v/a;b",
            "/v/a\\b",
            "/v/a#b",
            "/v/é",
            "/v/a b",
            "/v/a?b c",
            "/v/a?b\\",
            "http://h/v/a",
            "*",
            "/~t",
            "/~t/",
            "/~t/~u/v/a",
            "/v/a?x#y",
        ] {
            assert_eq!(parse(bad).err(), Some(Reason::Target), "{bad:?}");
        }
        assert_eq!(
            parse(&format!("/v/{}", "a".repeat(1022))).err(),
            Some(Reason::Target)
        );
        assert_eq!(parse("/~/v/a").err(), Some(Reason::Malformed));
    }

    #[test]
    fn a_token_for_some_renditions_names_a_list_of_its_own() {
        let ids = ["audio-en", "720p", "audio-en"].map(|id| RenditionId::parse(id).unwrap());
        let name = |target| of_viewer(parse(target).unwrap(), &ids);
        let list = "/v/a/master.m3u8?r=720p,audio-en";
        assert_eq!(name("/v/a/master.m3u8?r=2160p&x").as_deref(), Ok(list));
        assert_eq!(
            name("/v/a/@2s/manifest.mpd?_HLS_msn=1").as_deref(),
            Ok("/v/a/@2s/manifest.mpd?r=720p,audio-en")
        );
        assert_eq!(
            name("/v/a/720p/segment_1.m4s?_HLS_msn=1").as_deref(),
            Ok("/v/a/720p/segment_1.m4s")
        );
        let playlist = "/v/a/720p/playlist.m3u8";
        assert_eq!(name(playlist).as_deref(), Ok(playlist));
        let all = of_viewer(parse("/v/a/master.m3u8?r=720p").unwrap(), &[]);
        assert_eq!(all.as_deref(), Ok("/v/a/master.m3u8"));
        assert_eq!(of_tier(parse(list).unwrap()).as_deref(), Ok(list));
    }

    #[test]
    fn a_set_of_renditions_has_one_spelling_between_tiers() {
        for query in ["r=", "r=b,a", "r=a,a", "r=a,", "r=A", "r=a&r=b", "r=a&r=a"] {
            let target = format!("/v/f/master.m3u8?{query}");
            let refused = of_tier(parse(&target).unwrap());
            assert_eq!(refused, Err(Reason::Target), "{query}");
        }
        let segment = parse("/v/f/a/segment_1.ts?r=a").unwrap();
        assert_eq!(of_tier(segment), Err(Reason::Target));
    }

    #[test]
    fn who_is_sent_on_asks_for_the_same_and_is_known_by_it() {
        for target in [
            "/~t.o.k/v/a",
            "/v/a?CAT=x",
            "/v/a?x&&y=",
            "/v/a?millrace-sent=2",
        ] {
            assert_eq!(before_sent_on(target), None, "{target}");
            let sent = sent_on(target);
            assert!(parse(&sent).is_ok(), "{sent}");
            assert_eq!(before_sent_on(&sent).as_deref(), Some(target));
            // A player adds to its query.
            let more = format!("{sent}&_HLS_msn=1");
            let and = if target.contains('?') { '&' } else { '?' };
            let wanted = format!("{target}{and}_HLS_msn=1");
            assert_eq!(before_sent_on(&more), Some(wanted));
        }
        assert_eq!(before_sent_on("/v/a"), None);
        let twice = sent_on(&sent_on("/v/a"));
        assert_eq!(before_sent_on(&twice).as_deref(), Some("/v/a"));
    }

    #[test]
    fn only_delivery_directives_survive_and_in_one_order() {
        let kept = |query| delivery_directives(Some(query));
        assert_eq!(
            kept("CMCD=x&_HLS_part=1&_HLS_msn=12"),
            Ok(Some("_HLS_msn=12&_HLS_part=1".to_owned()))
        );
        assert_eq!(kept("CMCD=x&a&&=b"), Ok(None));
        assert_eq!(kept("_HLS_msn=1&_HLS_msn=2"), Err(Reason::Target));
        assert_eq!(kept("_HLS_msn=-1"), Err(Reason::Target));
    }
}
