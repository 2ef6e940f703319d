//! From the address of the keys to the keys: the one table of schemes.

use std::{path::PathBuf, time::Duration};

use super::{Keys, file::Folder, http::Service};

/// Where keys come from, as `keys` is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `file:///absolute/path`: a folder with a document `{video}.json` a film.
    Folder(PathBuf),
    /// `http://…` or `https://…`: a service that answers `GET {url}/{video}`.
    Service(String),
}

impl Source {
    /// Reads an address; none when its scheme is unknown or it has what such an address has not.
    #[must_use]
    pub fn parse(address: &str) -> Option<Self> {
        if let Some(path) = address.strip_prefix("file://") {
            return path
                .starts_with('/')
                .then(|| Self::Folder(PathBuf::from(path)));
        }
        let (scheme, rest) = address.split_once("://")?;
        let uri: http::Uri = address.parse().ok()?;
        let plain = matches!(scheme, "http" | "https")
            && uri.host().is_some_and(|host| !host.is_empty())
            && !rest.contains(['@', '?', '#']);
        plain.then(|| Self::Service(address.trim_end_matches('/').to_owned()))
    }
}

/// Makes the adapter. `hop` is what a service is shown, `wait` how long an answer may take.
///
/// # Errors
/// When the HTTP client cannot be made.
pub(crate) fn open(
    source: &Source,
    hop: Option<&[u8]>,
    wait: Duration,
) -> Result<Box<dyn Keys>, reqwest::Error> {
    Ok(match source {
        Source::Folder(path) => Box::new(Folder::new(path.clone(), wait)),
        Source::Service(url) => Box::new(Service::new(url.clone(), hop, wait)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_services_are_told_by_their_scheme() {
        let folder = Source::Folder(PathBuf::from("/etc/keys"));
        assert_eq!(Source::parse("file:///etc/keys"), Some(folder));
        for url in ["http://127.0.0.1:7020/v1/keys", "https://keys.example/v1"] {
            let service = Some(Source::Service(url.to_owned()));
            assert_eq!(Source::parse(url), service);
            assert_eq!(Source::parse(&format!("{url}/")), service);
        }
    }

    #[test]
    fn other_addresses_are_none() {
        for address in [
            "file://keys",
            "/etc/keys",
            "ftp://keys.example/",
            "http://",
            "http:///v1",
            "http://user:word@keys.example/v1",
            "https://keys.example/v1?a=b",
            "https://keys.example/v1#a",
        ] {
            assert_eq!(Source::parse(address), None, "{address}");
        }
    }
}
