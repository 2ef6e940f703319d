//! Where orders come from: a server, or a file.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use contracts::feed::{Entry, FeedError, MAX_ENTRIES, MAX_PAGE, Page};
use contracts::header::HOP;

use crate::error::Error;
use crate::parent::Credential;

/// Where orders come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The orders after a number. With none, the answer may be held back for as long as `wait`.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn after(&self, seq: u64, wait: Duration) -> Result<Page, Fault>;
}

/// Why a feed gives no orders.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It could not be asked, or its answer broke off.
    #[error("the feed cannot be reached: {0}")]
    Unreachable(String),
    /// It answers with another status than 200.
    #[error("the feed answers with status {0}")]
    Status(u16),
    /// Its answer is no page.
    #[error("the feed's answer is refused: {0}")]
    Page(#[from] FeedError),
    /// A line of a file is no order.
    #[error("line {0} of the feed is no order")]
    Line(usize),
    /// Its newest order is older than one that was applied here.
    #[error("the feed ends at order {head}, and {applied} was applied here")]
    Behind {
        /// Its newest order.
        head: u64,
        /// The newest one here.
        applied: u64,
    },
}

/// Where a feed is, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An `http` or `https` URL without a query.
    Server(String),
    /// A file with an [`Entry`] a line.
    File(PathBuf),
}

/// The text names no feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://…, https://… or file:/path")]
pub struct NoPlace;

impl Place {
    /// Reads where a feed is.
    ///
    /// # Errors
    /// When the text names no feed.
    pub fn parse(text: &str) -> Result<Self, NoPlace> {
        if let Some(path) = text.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let absolute = path.starts_with('/') && path.len() > 1;
            return absolute.then(|| Self::File(path.into())).ok_or(NoPlace);
        }
        let uri: http::Uri = text.parse().map_err(|_| NoPlace)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = uri.host().is_some() && !text.contains(['@', '?', '#']);
        (known && bare)
            .then(|| Self::Server(text.to_owned()))
            .ok_or(NoPlace)
    }
}

/// A server of the feed.
pub struct Server {
    url: String,
    credential: Credential,
    client: reqwest::Client,
}

impl Server {
    /// A server at `url` that is shown a credential, by whose certificate authority it is known.
    ///
    /// # Errors
    /// When the authority's file cannot be used.
    pub fn new(
        url: String,
        credential: Credential,
        authority: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut builder = runtime::http::client().pool_max_idle_per_host(1);
        if let Some(path) = authority {
            let pem = std::fs::read(path).map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })?;
            let refused = |_| Error::Certificate {
                path: path.to_owned(),
                rule: "must hold certificates in PEM",
            };
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(refused)?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder
            .build()
            .map_err(|error| Error::Client(error.to_string()))?;
        Ok(Self {
            url,
            credential,
            client,
        })
    }
}

#[async_trait]
impl Source for Server {
    async fn after(&self, seq: u64, wait: Duration) -> Result<Page, Fault> {
        let url = format!("{}?after={seq}&wait={}", self.url, wait.as_secs());
        let mut request = self.client.get(url).timeout(wait + PATIENCE);
        if let Some(credential) = self.credential.now() {
            request = request.header(HOP, credential);
        }
        let unreachable = |error: reqwest::Error| Fault::Unreachable(causes(&error.without_url()));
        let mut answer = request.send().await.map_err(unreachable)?;
        if answer.status() != 200 {
            return Err(Fault::Status(answer.status().as_u16()));
        }
        let mut json = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            if json.len() + piece.len() > MAX_PAGE {
                return Err(FeedError::Long.into());
            }
            json.extend_from_slice(&piece);
        }
        Ok(Page::parse(&json, seq)?)
    }
}

/// An error with what led to it: the last cause is the one that helps.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// A file to which somebody adds a line for each order.
pub struct Lines {
    path: PathBuf,
}

impl Lines {
    /// The orders in a file, which need not be there yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl Source for Lines {
    async fn after(&self, seq: u64, _wait: Duration) -> Result<Page, Fault> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read_lines(&path, seq)).await;
        read.map_err(|error| Fault::Unreachable(error.to_string()))?
    }
}

/// Reads a page of the orders after a number. A last line without an end is being written: it is left for later.
fn read_lines(path: &Path, after: u64) -> Result<Page, Fault> {
    let unreachable = |error: std::io::Error| Fault::Unreachable(error.to_string());
    let mut reader = BufReader::new(std::fs::File::open(path).map_err(unreachable)?);
    let mut page = Page::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut limited = (&mut reader).take(MAX_LINE);
        let length = limited.read_until(b'\n', &mut line).map_err(unreachable)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            if length as u64 == MAX_LINE {
                return Err(Fault::Line(number));
            }
            break;
        };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let entry: Entry = serde_json::from_slice(text).map_err(|_| Fault::Line(number))?;
        if entry.seq <= page.head {
            return Err(FeedError::Order.into());
        }
        page.head = entry.seq;
        if entry.seq > after && page.entries.len() < MAX_ENTRIES {
            page.entries.push(entry);
        }
    }
    Ok(page)
}

/// How much longer than it was asked to wait a server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest line: a value of 1024 bytes, each written as six, and what stands around it.
const MAX_LINE: u64 = 8192;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_feed_is_a_url_or_a_file() {
        let server = |url: &str| Place::Server(url.to_owned());
        for (text, place) in [
            (
                "http://a:1/v1/fleet/feed",
                server("http://a:1/v1/fleet/feed"),
            ),
            ("https://a/feed", server("https://a/feed")),
            ("file:/a/b", Place::File("/a/b".into())),
            ("file:///a/b", Place::File("/a/b".into())),
        ] {
            assert_eq!(Place::parse(text), Ok(place), "{text}");
        }
        for text in [
            "",
            "a",
            "/a",
            "file:a",
            "file:/",
            "ftp://a/b",
            "http://u:p@a/b",
            "http://a/b?c",
        ] {
            assert_eq!(Place::parse(text), Err(NoPlace), "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_tells_what_stands_after_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed");
        let lines = Lines::new(path.clone());
        let after = async |seq| lines.after(seq, Duration::ZERO).await;
        assert!(matches!(after(0).await, Err(Fault::Unreachable(_))));
        let mut file = std::fs::File::create(&path).unwrap();
        assert_eq!(after(0).await.unwrap(), Page::default());
        file.write_all(b"{\"seq\":1,\"purge\":\"all\"}\n\n{\"seq\":5,\"purge\":\"tag\",\"value\":\"a\"}\n{\"seq\":6,")
            .unwrap();
        let page = after(0).await.unwrap();
        assert_eq!((page.head, page.entries.len(), page.through(0)), (5, 2, 5));
        let page = after(5).await.unwrap();
        assert_eq!((page.head, page.entries.len(), page.through(5)), (5, 0, 5));
        file.write_all(b"\"warm\":1}\n").unwrap();
        assert_eq!(after(5).await.unwrap().through(5), 6);
        file.write_all(b"{\"seq\":6,\"purge\":\"all\"}\n").unwrap();
        assert!(matches!(after(0).await, Err(Fault::Page(FeedError::Order))));
        file.set_len(0).unwrap();
        std::fs::write(&path, vec![b'x'; 9000]).unwrap();
        assert!(matches!(after(0).await, Err(Fault::Line(1))));
    }
}
