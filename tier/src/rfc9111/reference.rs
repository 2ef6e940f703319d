//! References in a response to what else has changed (RFC 9111 §4.4, RFC 3986 §5).

/// The address that a reference in an answer about `base` stands for (RFC 3986 §5.2), when it is on the same host.
pub(crate) fn resolve(reference: &str, host: &str, base: &str) -> Option<String> {
    let reference = reference
        .split_once('#')
        .map_or(reference, |(before, _)| before);
    let after_scheme = ["http:", "https:"]
        .iter()
        .find_map(|scheme| reference.strip_prefix(scheme))
        .unwrap_or(reference);
    let path = match after_scheme.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            if !authority.eq_ignore_ascii_case(host) {
                return None;
            }
            path
        }
        None if after_scheme.len() < reference.len() => return None,
        None => reference,
    };
    let (base_path, _) = base.split_once('?').unwrap_or((base, ""));
    let joined = match path.as_bytes().first() {
        None if after_scheme.starts_with("//") => "/".to_owned(),
        None => base.to_owned(),
        Some(b'/') => path.to_owned(),
        Some(b'?') if after_scheme.starts_with("//") => format!("/{path}"),
        Some(b'?') => format!("{base_path}{path}"),
        Some(_) => {
            let folder = base_path.rfind('/').map_or("", |end| &base_path[..=end]);
            format!("{folder}{path}")
        }
    };
    Some(without_dots(&joined))
}

/// RFC 3986 §5.2.4.
fn without_dots(address: &str) -> String {
    let (path, query) = match address.find('?') {
        Some(at) => address.split_at(at),
        None => (address, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_where_they_are_written() {
        let base = "/a/b/c?q=1";
        for (reference, address) in [
            ("", "/a/b/c?q=1"),
            ("d", "/a/b/d"),
            ("/d/e?f", "/d/e?f"),
            ("?g", "/a/b/c?g"),
            ("../d/./e/..", "/a/d/"),
            ("../../../../d", "/d"),
            ("d#fragment", "/a/b/d"),
            ("http://Host:1/d", "/d"),
            ("//host:1", "/"),
            ("https://host:1?x", "/?x"),
        ] {
            assert_eq!(
                resolve(reference, "host:1", base).as_deref(),
                Some(address),
                "{reference}"
            );
        }
        for elsewhere in ["http://host/d", "//host:2/d", "http:d"] {
            assert_eq!(resolve(elsewhere, "host:1", base), None, "{elsewhere}");
        }
    }
}
