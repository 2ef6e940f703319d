//! Which requests a stored response answers (RFC 9111 §4.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::members;

/// What a response says it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// On these fields of the request, in alphabetical order; often none.
    Fields(Vec<HeaderName>),
    /// On more than the request's fields: it answers this one request.
    Anything,
}

impl Vary {
    /// Reads `Vary`. What is no field's name is taken for `*`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut names = Vec::new();
        for line in headers.get_all(header::VARY) {
            for name in members::split(line.to_str().unwrap_or("*")) {
                match HeaderName::try_from(name) {
                    Ok(name) if name != "*" => names.push(name),
                    _ => return Self::Anything,
                }
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self::Fields(names)
    }
}

/// Writes down what a request says in these fields, so that two requests for which the origin would choose alike
/// are written alike: lines are joined, and what is no part of the meaning is left out.
pub(crate) fn selection(names: &[HeaderName], request: &HeaderMap) -> Vec<u8> {
    let mut written = Vec::new();
    for name in names {
        let value = normal(name, request.get_all(name));
        // Absent differs from empty, and each part bears its length, so that no two selections look alike.
        for part in [Some(name.as_str().as_bytes()), value.as_deref()] {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            written.extend_from_slice(&length.to_be_bytes());
            written.extend_from_slice(part.unwrap_or_default());
        }
    }
    written
}

fn normal<'a>(
    name: &HeaderName,
    lines: impl IntoIterator<Item = &'a HeaderValue>,
) -> Option<Vec<u8>> {
    let mut lines = lines.into_iter().peekable();
    lines.peek()?;
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        match line.to_str() {
            Ok(text) => parts.extend(members::split(text).map(|part| part.as_bytes().to_vec())),
            Err(_) => parts.push(line.as_bytes().to_vec()),
        }
    }
    if *name == header::ACCEPT_LANGUAGE {
        // Tags have no case, and their order says nothing that weights do not (RFC 9110 §12.5.4).
        for part in &mut parts {
            part.retain(|byte| !byte.is_ascii_whitespace());
            part.make_ascii_lowercase();
        }
        parts.sort_unstable();
    }
    Some(parts.join(&b","[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn vary(lines: &[&'static str]) -> Vary {
        let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        Vary::of(&fields(&lines))
    }

    #[test]
    fn a_star_anywhere_means_that_no_other_request_is_answered() {
        for lines in [
            &["*"][..],
            &["*, *"],
            &["*", "*"],
            &[", *"],
            &["", "*"],
            &["*, foo"],
            &["foo, *"],
            &["a b"],
        ] {
            assert_eq!(vary(lines), Vary::Anything, "{lines:?}");
        }
        let two = Vary::Fields(vec![
            HeaderName::from_static("bar"),
            HeaderName::from_static("foo"),
        ]);
        assert_eq!(vary(&["Foo, bar", "foo"]), two);
        assert_eq!(vary(&[]), Vary::Fields(Vec::new()));
    }

    #[test]
    fn requests_that_mean_the_same_select_the_same() {
        let select = |lines: &[_]| {
            let names = [
                HeaderName::from_static("accept-language"),
                HeaderName::from_static("foo"),
            ];
            selection(&names, &fields(lines))
        };
        assert_eq!(
            select(&[("foo", "1, 2")]),
            select(&[("foo", "1"), ("foo", "2"), ("bar", "3")])
        );
        assert_eq!(select(&[("foo", "1,2")]), select(&[("foo", " 1 , 2")]));
        assert_eq!(
            select(&[("accept-language", "en; q=0.5, De")]),
            select(&[("accept-language", "de,en;q=0.5")])
        );
        let different = [
            select(&[]),
            select(&[("foo", "")]),
            select(&[("foo", "1")]),
            select(&[("foo", "2, 1")]),
            select(&[("foo", "1, 2")]),
            select(&[("foo", "\"1, 2\"")]),
            select(&[("foo", "\"1,2\"")]),
            select(&[("accept-language", "1")]),
        ];
        for (at, one) in different.iter().enumerate() {
            assert!(
                different.iter().skip(at + 1).all(|other| one != other),
                "{at}"
            );
        }
    }
}
