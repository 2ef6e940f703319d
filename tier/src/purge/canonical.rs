//! One address for all that a site's origin mostly takes for the same: a purge of one of them reaches the others.
//!
//! Objects are kept by the address as it was asked for, because the origin saw that one and may have answered it
//! otherwise. Purges go by what is left when spellings are evened out (RFC 3986 §6.2.2, §6.2.3): to take two addresses
//! for one purges too much, which is safe.

use std::borrow::Cow;

/// Evens out `//host/path?query`, and a film's `/path?query`, which is so already.
///
/// The host is in small letters, without a default port (of either scheme: purges name none) and without the dot of
/// the root (RFC 1034 §3.1). What need not be escaped is not, and escapes are in capitals. A path has neither dot
/// segments nor empty ones: servers merge slashes. An empty query is none.
pub(crate) fn canonical(address: &str) -> Cow<'_, str> {
    if is_even(address) {
        return Cow::Borrowed(address);
    }
    let address = unescaped(address);
    let (before, query) = match address.split_once('?') {
        Some((before, query)) => (before, Some(query).filter(|query| !query.is_empty())),
        None => (&*address, None),
    };
    let mut even = String::with_capacity(address.len());
    let path = match before.strip_prefix("//") {
        None => before,
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            even.push_str("//");
            even.push_str(&even_host(host));
            path
        }
    };
    push_path(&mut even, path);
    if let Some(query) = query {
        even.push('?');
        even.push_str(query);
    }
    Cow::Owned(even)
}

/// Whether nothing in it may need to be evened out; quick, because each request of a site asks.
fn is_even(address: &str) -> bool {
    let (host, path) = match address.strip_prefix("//") {
        None => ("", address),
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
    };
    let even_host = |byte: u8| !byte.is_ascii_uppercase() && byte != b':' && byte != b'%';
    let mut before = 0;
    let even_path = path.bytes().all(|byte| {
        let even = byte != b'%' && !(before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        even
    });
    even_path && before != b'?' && host.bytes().all(even_host) && !host.ends_with('.')
}

fn even_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let mut bare = host.as_str();
    while let Some(shorter) = [":80", ":443", ":"]
        .iter()
        .find_map(|port| bare.strip_suffix(port))
    {
        bare = shorter;
    }
    let port = match bare.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.len() + 1,
        _ => 0,
    };
    let (name, port) = bare.split_at(bare.len() - port);
    format!("{}{port}", name.trim_end_matches('.'))
}

/// RFC 3986 §6.2.2.2: letters, digits, `-`, `.`, `_` and `~` need no escape.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escaped = part.split_at_checked(2).and_then(|(digits, rest)| {
            let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
            Some((digits, byte, rest))
        });
        match escaped {
            Some((_, byte, rest))
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') =>
            {
                out.push(char::from(byte));
                out.push_str(rest);
            }
            Some((digits, _, rest)) => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
                out.push_str(rest);
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    Cow::Owned(out)
}

/// RFC 3986 §5.2.4, on a path of which empty segments were taken out.
fn push_path(out: &mut String, path: &str) {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        is_folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if is_folder {
        out.push('/');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_that_are_mostly_served_alike_become_one() {
        for (one, aliases) in [
            (
                "//h/a/b",
                &[
                    "//H/a/b",
                    "//h:80/a/b",
                    "//h:443/a/b",
                    "//h:/a/b",
                    "//h./a/b",
                    "//h.:443/a/b",
                    "//h/a/./b",
                    "//h/x/../a/b",
                    "//h/../a/b",
                    "//h//a///b",
                    "//h/%61/b",
                    "//h/x/%2e%2E/a/b",
                    "//%48/a/b",
                    "//h/a/b?",
                ][..],
            ),
            ("//h/", &["//h/.", "//h/a/..", "//h//"]),
            ("//h/~a", &["//h/%7Ea", "//h/%7ea"]),
            ("//h/%2F", &["//h/%2f"]),
            ("//h:8080/a", &["//H.:8080/a"]),
            ("//[::1]/a", &["//[::1]:80/a"]),
            ("//h/a?b=~/../c", &["//h/a?b=%7E/../c"]),
        ] {
            assert_eq!(canonical(one), one);
            for alias in aliases {
                assert_eq!(canonical(alias), one, "{alias}");
            }
        }
    }

    #[test]
    fn what_is_not_served_alike_stays_apart() {
        for address in [
            "//h:8443/a",
            "//h/A",
            "//h/a/",
            "//h/a%2Fb",
            "//h/a%25b",
            "//h/a%",
            "//h/a%zz",
            "//h/.well-known/x",
            "//h/...",
            "//h/a?b",
            "//h/a?B",
            "//",
            "//h",
            "///a",
            "/",
            "/v/film/master.m3u8?r=720p",
            "/v/film/@view/1.m4s",
            "*",
        ] {
            assert_eq!(canonical(address), address);
        }
    }

    proptest! {
        #[test]
        fn what_is_even_stays_so_and_is_no_longer(address in "/{1,3}[hH.:%2eE]{0,6}(/[a.%2eEfF7?]{0,4}){0,5}") {
            let even = canonical(&address).into_owned();
            prop_assert!(even.len() <= address.len());
            let again = canonical(&even).into_owned();
            prop_assert_eq!(again, even);
        }
    }
}
