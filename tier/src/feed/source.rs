//! Where orders come from: a server, or a file (see [`super::Lines`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use contracts::feed::{FeedError, MAX_PAGE, Page};
use contracts::fleet::{Kind, Question};
use contracts::header::HOP;
use contracts::id::{FeedId, NodeId};

use crate::error::Error;
use crate::parent::Credential;

/// Where orders come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The orders after a number, which is of `feed`. With none, the answer may be held back for as long as `wait`.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn after(&self, seq: u64, feed: Option<FeedId>, wait: Duration) -> Result<Page, Fault>;
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
    /// It is another one, and gives nothing by which what is cached could be told from what it has purged.
    #[error("it is another feed, with no order beyond {applied}, which was applied here")]
    Another {
        /// The newest one here.
        applied: u64,
    },
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
    /// A file with an order a line.
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

/// Who asks, so that the server can tell how far each node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The node's name.
    pub name: Option<NodeId>,
    /// What it is.
    pub kind: Kind,
    /// In how many seconds without news it stops serving what it does not know to be purged; `None`: never.
    pub stops_s: Option<u64>,
}

/// A server of the feed.
pub struct Server {
    url: String,
    who: Who,
    credential: Credential,
    client: ArcSwap<reqwest::Client>,
}

impl Server {
    /// A server at `url` that is asked by a client and told who asks, and shown a credential.
    #[must_use]
    pub fn new(url: String, who: Who, credential: Credential, client: reqwest::Client) -> Self {
        Self {
            url,
            who,
            credential,
            client: ArcSwap::from_pointee(client),
        }
    }

    /// Asks by another client from the next question on.
    pub fn ask_by(&self, client: reqwest::Client) {
        self.client.store(Arc::new(client));
    }
}

/// A client that knows a server by its certificate authority, and shows it a certificate with its key; both are PEM
/// files.
///
/// # Errors
/// When a file cannot be used.
pub fn client(
    authority: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<reqwest::Client, Error> {
    let mut builder = runtime::http::client().pool_max_idle_per_host(1);
    let refused = |path: &Path, rule| Error::Certificate {
        path: path.to_owned(),
        rule,
    };
    if let Some(path) = authority {
        let certificates = reqwest::Certificate::from_pem_bundle(&read(path)?);
        let certificates =
            certificates.map_err(|_| refused(path, "must hold certificates in PEM"))?;
        builder = builder.tls_certs_only(certificates);
    }
    if let Some((chain, key)) = identity {
        let pem = [read(chain)?, b"\n".to_vec(), read(key)?].concat();
        let identity = reqwest::Identity::from_pem(&pem);
        builder = builder.identity(
            identity.map_err(|_| refused(chain, "must be a certificate chain with its key"))?,
        );
    }
    builder
        .build()
        .map_err(|error| Error::Client(error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

#[async_trait]
impl Source for Server {
    async fn after(&self, seq: u64, feed: Option<FeedId>, wait: Duration) -> Result<Page, Fault> {
        let question = Question {
            after: seq,
            wait: wait.as_secs(),
            feed,
            node: self.who.name.clone(),
            kind: Some(self.who.kind),
            stops_s: self.who.stops_s,
        };
        let url = format!("{}?{}", self.url, question.query());
        let client = self.client.load_full();
        let mut request = client.get(url).timeout(wait + PATIENCE);
        if let Some(credential) = self.credential.now() {
            request = request.header(HOP, credential);
        }
        let unreachable = |error: reqwest::Error| {
            let why = runtime::http::causes(&error.without_url());
            Fault::Unreachable(why)
        };
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

/// How much longer than it was asked to wait a server may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
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
}
