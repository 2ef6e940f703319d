//! Where a bucket is, as `s3://bucket/prefix?…` says it.

use std::path::PathBuf;

use crate::Key;

/// What stands in a bucket's address: `bucket`, or `bucket/prefix`, and after a `?`, joined by `&`:
///
/// - `credentials=/absolute/path`, which must be there: a file of one line that holds the access key's id, its secret,
///   and, for temporary ones, a token, with blanks between;
/// - `endpoint=https://s3.example:9000`, where the server is; without it, Amazon's for the region;
/// - `public=https://media.example`, how clients reach the same server to which addresses are handed out; without it,
///   as `endpoint`;
/// - `region=eu-central-1`; without it `us-east-1`, which most other servers take too;
/// - `style=host` has the bucket in the host's name, `style=path` in the path; without it, in the path where there
///   is an `endpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) bucket: String,
    pub(super) prefix: Option<Key>,
    pub(super) credentials: PathBuf,
    pub(super) endpoint: Option<String>,
    pub(super) public: Option<String>,
    pub(super) region: String,
    pub(super) style: Style,
}

/// Where requests name the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Path,
    Host,
}

impl Address {
    /// Reads what follows `s3://`.
    ///
    /// # Errors
    /// What is wrong, or missing.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (place, options) = text.split_once('?').unwrap_or((text, ""));
        let (bucket, prefix) = match place.split_once('/') {
            Some((bucket, "")) => (bucket, None),
            Some((bucket, prefix)) => (bucket, Some(prefix)),
            None => (place, None),
        };
        if !is_bucket(bucket) {
            return Err("a bucket's name is 3 to 63 of a-z 0-9 . -, and nothing stands before it");
        }
        let prefix = prefix.map(|prefix| Key::parse(prefix.trim_end_matches('/')));
        let prefix = prefix.transpose();
        let prefix = prefix.map_err(|_| "a prefix is made of A-Z a-z 0-9 . _ - and /")?;
        let mut options = Options::parse(options)?;
        let endpoint = options.server("endpoint")?;
        let style = match options.take("style").as_deref() {
            None if endpoint.is_some() => Style::Path,
            None | Some("host") => Style::Host,
            Some("path") => Style::Path,
            Some(_) => return Err("style is path or host"),
        };
        let credentials = options.take("credentials").map(PathBuf::from);
        let credentials = credentials.filter(|path| path.is_absolute());
        let region = options.take("region");
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        if region.is_empty() || !region.bytes().all(is_of_name) {
            return Err("a region is made of a-z 0-9 -");
        }
        let address = Self {
            bucket: bucket.to_owned(),
            prefix,
            credentials: credentials
                .ok_or("credentials=/absolute/path must name the file of an access key")?,
            public: options.server("public")?,
            endpoint,
            region,
            style,
        };
        options.none_left()?;
        Ok(address)
    }
}

/// What follows the `?`: each name once.
struct Options(Vec<(String, String)>);

impl Options {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut options: Vec<(String, String)> = Vec::new();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option
                .split_once('=')
                .ok_or("what follows ? is name=value")?;
            if options.iter().any(|(there, _)| there == name) {
                return Err("each name after ? stands there once");
            }
            options.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(options))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(there, _)| there == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn server(&mut self, name: &str) -> Result<Option<String>, &'static str> {
        let Some(given) = self.take(name) else {
            return Ok(None);
        };
        let given = given.trim_end_matches('/');
        let rest = given.strip_prefix("https://");
        let rest = rest.or_else(|| given.strip_prefix("http://"));
        let is_host = |rest: &str| {
            let plain = |byte: u8| is_of_name(byte) || matches!(byte, b'.' | b':' | b'[' | b']');
            !rest.is_empty() && rest.bytes().all(plain)
        };
        if !rest.is_some_and(is_host) {
            return Err("endpoint and public are like https://s3.example:9000");
        }
        Ok(Some(given.to_owned()))
    }

    const fn none_left(&self) -> Result<(), &'static str> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err("after ? may stand credentials, endpoint, public, region and style")
    }
}

fn is_bucket(name: &str) -> bool {
    let plain = |byte: u8| is_of_name(byte) || byte == b'.';
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (3..=63).contains(&name.len())
        && name.bytes().all(plain)
        && ends(bytes.first())
        && ends(bytes.last())
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_all_that_it_may_have() {
        let least = Address::parse("films?credentials=/etc/s3").unwrap();
        assert_eq!(
            (least.bucket.as_str(), least.prefix.as_ref()),
            ("films", None)
        );
        assert_eq!(
            (least.region.as_str(), least.style),
            ("us-east-1", Style::Host)
        );
        let most = "my-films/a/b/?endpoint=http://127.0.0.1:9000/&region=eu-1&credentials=/etc/s3&public=https://m.example";
        let most = Address::parse(most).unwrap();
        assert_eq!(most.prefix.unwrap().as_str(), "a/b");
        assert_eq!(most.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(most.public.as_deref(), Some("https://m.example"));
        assert_eq!((most.region.as_str(), most.style), ("eu-1", Style::Path));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for fault in [
            "",
            "films",
            "films/x",
            "fi?credentials=/x",
            "-films?credentials=/x",
            "Films?credentials=/x",
            "films/../x?credentials=/x",
            "films?credentials=relative",
            "films?credentials=/x&credentials=/y",
            "films?credentials=/x&secret=y",
            "films?credentials=/x&endpoint=s3.example",
            "films?credentials=/x&endpoint=http://user@s3.example",
            "films?credentials=/x&endpoint=http://",
            "films?credentials=/x&style=vhost",
            "films?credentials=/x&region=",
            "films?credentials",
            "key:secret@films?credentials=/x",
        ] {
            assert!(Address::parse(fault).is_err(), "{fault}");
        }
    }
}
