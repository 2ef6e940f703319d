//! `Cache-Control` (RFC 9111 §5.2), and `CDN-Cache-Control` in its place (RFC 9213).

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::members::{self, Value};

/// `CDN-Cache-Control` (RFC 9213 §3.1).
pub(crate) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// A number of seconds that a directive states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Seconds {
    /// The directive is not there.
    #[default]
    Absent,
    /// So many.
    Are(Duration),
    /// It states no number, or two different ones.
    Unclear,
}

/// Whether a directive holds, and for which fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is not there.
    #[default]
    None,
    /// It holds for these fields only.
    Fields(Vec<HeaderName>),
    /// It holds for the whole response.
    All,
}

/// What a response says of its own storage and reuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// There was anything to read.
    pub(crate) stated: bool,
    /// `CDN-Cache-Control` was read, and `Expires` does not count (RFC 9213 §2.1).
    pub(crate) targeted: bool,
    pub(crate) no_store: bool,
    pub(crate) no_cache: Reach,
    pub(crate) private: Reach,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    /// RFC 8246 §2.
    pub(crate) immutable: bool,
    pub(crate) max_age: Seconds,
    pub(crate) s_maxage: Seconds,
    /// RFC 5861 §3.
    pub(crate) stale_while_revalidate: Seconds,
    /// RFC 5861 §4.
    pub(crate) stale_if_error: Seconds,
}

/// What a request asks of a cache (RFC 9111 §5.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Seconds,
    pub(crate) min_fresh: Seconds,
    /// `Unclear` is "of any age": the directive may stand without a number.
    pub(crate) max_stale: Seconds,
}

impl Response {
    /// Reads a response's directives: those meant for CDNs if there are any, else those for everybody.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        targeted(headers).unwrap_or_else(|| Self::read(headers, &header::CACHE_CONTROL))
    }

    fn read(headers: &HeaderMap, name: &HeaderName) -> Self {
        let mut read = Self::default();
        for member in members::of(headers.get_all(name)) {
            read.stated = true;
            read.take(member.name, &member.value);
        }
        read
    }

    fn take(&mut self, name: &str, value: &Value<'_>) {
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache.add(value),
            "private" => self.private.add(value),
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand = true,
            "immutable" => self.immutable = true,
            "max-age" => self.max_age.add(value),
            "s-maxage" => self.s_maxage.add(value),
            "stale-while-revalidate" => self.stale_while_revalidate.add(value),
            "stale-if-error" => self.stale_if_error.add(value),
            _ => {}
        }
    }

    /// Whether a shared cache may not use the response once it is stale, whatever happens (RFC 9111 §4.2.4).
    pub(crate) fn forbids_stale(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage != Seconds::Absent
            || self.no_cache == Reach::All
    }

    /// Whether a response to a request with `Authorization` may be stored by a shared cache (RFC 9111 §3.5).
    pub(crate) fn admits_authorized(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage != Seconds::Absent
    }
}

impl Request {
    /// Reads a request's directives.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        for member in members::of(headers.get_all(header::CACHE_CONTROL)) {
            match member.name.to_ascii_lowercase().as_str() {
                "no-cache" => read.no_cache = true,
                "no-store" => read.no_store = true,
                "only-if-cached" => read.only_if_cached = true,
                "max-age" => read.max_age.add(&member.value),
                "min-fresh" => read.min_fresh.add(&member.value),
                "max-stale" => read.max_stale.add(&member.value),
                _ => {}
            }
        }
        read
    }
}

impl Seconds {
    fn add(&mut self, value: &Value<'_>) {
        let stated = match value {
            Value::Is(digits) => delta(digits).map_or(Self::Unclear, Self::Are),
            Value::None | Value::Unreadable => Self::Unclear,
        };
        *self = match *self {
            Self::Absent => stated,
            before if before == stated => before,
            _ => Self::Unclear,
        };
    }

    /// The number, where one is stated.
    pub(crate) const fn known(self) -> Option<Duration> {
        match self {
            Self::Are(seconds) => Some(seconds),
            Self::Absent | Self::Unclear => None,
        }
    }
}

impl Reach {
    fn add(&mut self, value: &Value<'_>) {
        let named = match value {
            Value::Is(names) => members::split(names)
                .map(|name| HeaderName::try_from(name).ok())
                .collect(),
            Value::None | Value::Unreadable => None,
        };
        *self = match (std::mem::take(self), named) {
            (Self::None, Some(names)) => Self::Fields(names),
            (Self::Fields(mut fields), Some(names)) => {
                fields.extend(names);
                Self::Fields(fields)
            }
            _ => Self::All,
        };
    }

    /// The fields that it is limited to.
    pub(crate) fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(fields) => fields,
            Self::None | Self::All => &[],
        }
    }
}

/// Reads `delta-seconds` (RFC 9111 §1.2.2): digits only; what is beyond 2^31 is 2^31.
pub(crate) fn delta(digits: &str) -> Option<Duration> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse().unwrap_or(FOREVER_S);
    Some(Duration::from_secs(u64::min(seconds, FOREVER_S)))
}

/// Reads the targeted field. It is a dictionary of structured fields (RFC 8941 §3.2), and one that is none, or is
/// empty, is to be ignored as a whole (RFC 9213 §2.1): numbers are bare, a name alone means true.
fn targeted(headers: &HeaderMap) -> Option<Response> {
    let mut read = Response {
        targeted: true,
        ..Response::default()
    };
    for line in headers.get_all(&CDN_CACHE_CONTROL) {
        for text in members::split(line.to_str().ok()?) {
            let (name, value) = structured(text)?;
            read.stated = true;
            // A member that comes twice has its last value (RFC 8941 §3.2).
            match name {
                "max-age" => read.max_age = Seconds::Absent,
                "s-maxage" => read.s_maxage = Seconds::Absent,
                "stale-while-revalidate" => read.stale_while_revalidate = Seconds::Absent,
                "stale-if-error" => read.stale_if_error = Seconds::Absent,
                _ => {}
            }
            match value {
                Item::False => {}
                Item::True => read.take(name, &Value::None),
                Item::Integer(digits) => read.take(name, &Value::Is(digits.into())),
                Item::Other => read.take(name, &Value::Unreadable),
            }
        }
    }
    read.stated.then_some(read)
}

/// A value in a dictionary, as far as directives have a use for it.
enum Item<'a> {
    True,
    False,
    Integer(&'a str),
    Other,
}

/// Reads `key`, or `key=item`, with parameters, which are passed over.
fn structured(text: &str) -> Option<(&str, Item<'_>)> {
    let end = text.find(|letter: char| {
        !(letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-.*".contains(letter))
    });
    let (key, rest) = text.split_at(end.unwrap_or(text.len()));
    if !key.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '*') {
        return None;
    }
    let Some(value) = rest.strip_prefix('=') else {
        return (rest.is_empty() || rest.starts_with(';')).then_some((key, Item::True));
    };
    let quoted = value.starts_with('"');
    let bare = match value.split_once(';') {
        Some((bare, _)) if !quoted => bare.trim_end_matches(' '),
        _ => value,
    };
    let item = match bare {
        "?1" => Item::True,
        "?0" => Item::False,
        _ if quoted => (bare.len() > 1 && bare.ends_with('"')).then_some(Item::Other)?,
        _ if is_integer(bare) => Item::Integer(bare),
        _ => bare
            .chars()
            .all(|letter| members::is_token(letter) || ":/()\" ".contains(letter))
            .then_some(Item::Other)
            .filter(|_| !bare.is_empty())?,
    };
    Some((key, item))
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

const FOREVER_S: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn response(control: &'static str) -> Response {
        Response::of(&fields(&[("cache-control", control)]))
    }

    fn seconds(seconds: u64) -> Seconds {
        Seconds::Are(Duration::from_secs(seconds))
    }

    #[test]
    fn lifetimes_are_read_whatever_their_case_and_quotes() {
        for text in [
            "MaX-AgE=3600",
            "max-age=\"3600\"",
            "max-age=003600",
            "x, max-age=3600, y=\"z\"",
        ] {
            assert_eq!(response(text).max_age, seconds(3600), "{text}");
        }
        assert_eq!(
            response("max-age=99999999999999999999").max_age,
            seconds(1 << 31)
        );
    }

    #[test]
    fn a_lifetime_that_is_no_number_is_unclear_and_so_are_two() {
        for text in [
            "max-age=-1",
            "max-age='3600'",
            "max-age=3600.0",
            "max-age=a",
            "max-age",
            "max-age =3600",
            "max-age= 3600",
            "max-age=1, max-age=2",
        ] {
            assert_eq!(response(text).max_age, Seconds::Unclear, "{text}");
        }
        assert_eq!(response("max-age=1, max-age=1").max_age, seconds(1));
    }

    #[test]
    fn a_directive_within_quotes_is_none() {
        let read = response("extension=\"max-age=3600, no-store\", max-age=1");
        assert_eq!((read.max_age, read.no_store), (seconds(1), false));
    }

    #[test]
    fn fields_may_be_named_that_only_may_not_be_kept() {
        let read = response("no-cache=\"a, b\", private=c");
        assert_eq!(read.no_cache.fields(), ["a", "b"]);
        assert_eq!(read.private.fields(), ["c"]);
        assert_eq!(response("no-cache=\"a\", No-Cache").no_cache, Reach::All);
        assert_eq!(
            response("private=\"a b\"").private,
            Reach::All,
            "no field name"
        );
    }

    #[test]
    fn what_is_meant_for_cdns_goes_before_what_is_meant_for_all() {
        let of = |cdn| {
            Response::of(&fields(&[
                ("cdn-cache-control", cdn),
                ("cache-control", "max-age=1"),
            ]))
        };
        let read = of("max-age=600, s-maxage=60;x=1, no-store=?0");
        assert_eq!((read.max_age, read.s_maxage), (seconds(600), seconds(60)));
        assert!(read.targeted && !read.no_store);
        assert!(of("no-store").no_store);
        assert_eq!(of("max-age=1, max-age=2").max_age, seconds(2));
        assert_eq!(
            of("max-age=\"600\"").max_age,
            Seconds::Unclear,
            "a string is no number"
        );
        for broken in [
            "",
            "max-age=",
            "max-age =600",
            "MAX-AGE=600",
            "&",
            "max-age=600, ,=",
            "a=\"",
        ] {
            assert!(!of(broken).targeted, "{broken}");
        }
    }

    #[test]
    fn a_request_may_ask_for_less_or_more_than_what_is_fresh() {
        let of = |text| Request::of(&fields(&[("cache-control", text)]));
        let read = of("max-age=5, min-fresh=\"6\", max-stale, no-cache");
        assert_eq!((read.max_age, read.min_fresh), (seconds(5), seconds(6)));
        assert_eq!((read.max_stale, read.no_cache), (Seconds::Unclear, true));
        assert_eq!(of("nothing-to-see-here"), Request::default());
        assert!(of("only-if-cached").only_if_cached && of("no-store").no_store);
    }
}
