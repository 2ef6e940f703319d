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

use crate::reason::Reason;

/// The longest path without its token, in bytes.
pub const MAX_PATH: usize = 1024;
/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 1500;
/// The longest query, in bytes.
pub const MAX_QUERY: usize = 4096;

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
/// (RFC 8216bis §6.2.5). All else (CMCD, for one) is dropped.
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
