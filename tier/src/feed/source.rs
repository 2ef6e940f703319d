//! Where orders come from: a server, or a file.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::feed::{Entry, FeedError, Gap, MAX_ENTRIES, MAX_PAGE, Order, Page};
use contracts::header::HOP;
use contracts::id::FeedId;
use http::HeaderValue;
use parking_lot::Mutex;

use crate::error::Error;

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
    credential: Option<HeaderValue>,
    client: reqwest::Client,
}

impl Server {
    /// A server at `url` that is shown a credential, by whose certificate authority it is known.
    ///
    /// # Errors
    /// When the authority's file cannot be used.
    pub fn new(
        url: String,
        credential: Option<HeaderValue>,
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
        if let Some(credential) = &self.credential {
            request = request.header(HOP, credential.clone());
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
///
/// A line `# feed ID` says which feed it is, and `# trimmed through N` that purges up to that number were taken out.
pub struct Lines {
    path: PathBuf,
    read: Arc<Mutex<Option<Read>>>,
}

/// How far a file was read, so that it is not read again from its beginning for what is added at its end.
#[derive(Debug)]
struct Read {
    file: (u64, u64),
    end: u64,
    /// The last line before that, by which the file is known again when it was written anew in its place.
    last: Vec<u8>,
    head: u64,
    feed: Option<FeedId>,
}

impl Lines {
    /// The orders in a file, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Arc::default(),
        }
    }
}

#[async_trait]
impl Source for Lines {
    async fn after(&self, seq: u64, _wait: Duration) -> Result<Page, Fault> {
        let (path, before) = (self.path.clone(), Arc::clone(&self.read));
        let read = tokio::task::spawn_blocking(move || {
            let mut before = before.lock();
            let known = before.take();
            let (page, read) = read_lines(&path, seq, known)?;
            *before = Some(read);
            Ok(page)
        })
        .await;
        read.map_err(|error| Fault::Unreachable(error.to_string()))?
    }
}

/// Reads a page of the orders after a number. A last line without an end is being written: it is left for later.
fn read_lines(path: &Path, after: u64, before: Option<Read>) -> Result<(Page, Read), Fault> {
    let unreachable = |error: std::io::Error| Fault::Unreachable(error.to_string());
    let file = std::fs::File::open(path).map_err(unreachable)?;
    let meta = file.metadata().map_err(unreachable)?;
    let id = (meta.dev(), meta.ino());
    let before = before.filter(|before| before.head <= after && before.is_of(&file, id));
    let mut read = before.unwrap_or_else(|| Read {
        file: id,
        end: 0,
        last: Vec::new(),
        head: 0,
        feed: None,
    });
    let mut reader = BufReader::new(file);
    let begin = SeekFrom::Start(read.end);
    reader.seek(begin).map_err(unreachable)?;
    let mut page = Page::default();
    let mut trimmed = 0;
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
        read.end += length as u64;
        read.last.clone_from(&line);
        match Said::parse(text).ok_or(Fault::Line(number))? {
            Said::Nothing => {}
            Said::Feed(id) => read.feed = Some(id),
            Said::Trimmed(through) => {
                (trimmed, read.head) = (through.max(trimmed), through.max(read.head));
            }
            Said::Order(entry) if entry.seq <= trimmed => gap(&mut page, trimmed, Some(entry)),
            Said::Order(entry) if entry.seq <= read.head => return Err(FeedError::Order.into()),
            Said::Order(entry) => {
                read.head = entry.seq;
                if entry.seq > after && page.entries.len() < MAX_ENTRIES {
                    page.entries.push(entry);
                }
            }
        }
    }
    if after < trimmed {
        gap(&mut page, trimmed, None);
    } else {
        page.gap = None;
    }
    (page.head, page.feed) = (read.head, read.feed.clone());
    Ok((page, read))
}

/// Notes that orders up to a number were taken out, all but this one.
fn gap(page: &mut Page, through: u64, left: Option<Entry>) {
    let gap = page.gap.get_or_insert_with(|| Gap {
        through,
        revocations: Vec::new(),
    });
    gap.through = through;
    match left.map(|entry| entry.order) {
        Some(Order::Revoke(revocation)) if gap.revocations.len() < MAX_ENTRIES => {
            gap.revocations.push(revocation);
        }
        // Everything is purged, whatever was.
        _ => {}
    }
}

/// What a line of a file says.
enum Said {
    Nothing,
    Feed(FeedId),
    Trimmed(u64),
    Order(Entry),
}

impl Said {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Some(Self::Nothing);
        }
        let Some(said) = line.strip_prefix(b"#") else {
            return serde_json::from_slice(line).ok().map(Self::Order);
        };
        let said = std::str::from_utf8(said).ok()?;
        let words: Vec<&str> = said.split_ascii_whitespace().collect();
        match words[..] {
            ["feed", id] => FeedId::parse(id).ok().map(Self::Feed),
            ["trimmed", "through", seq] => seq.parse().ok().map(Self::Trimmed),
            _ => None,
        }
    }
}

impl Read {
    /// Whether a file is the one that was read.
    fn is_of(&self, file: &std::fs::File, id: (u64, u64)) -> bool {
        let mut last = vec![0; self.last.len()];
        let at = self.end - self.last.len() as u64;
        self.file == id && file.read_exact_at(&mut last, at).is_ok() && last == self.last
    }
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
    #[tokio::test]
    async fn of_a_file_that_was_trimmed_what_was_taken_out_is_a_gap_for_those_who_had_not_seen_it()
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed");
        let lines = Lines::new(path.clone());
        let after = async |seq| lines.after(seq, Duration::ZERO).await;
        let text = concat!(
            "# feed f1\n# trimmed through 7\n",
            r#"{"seq":3,"revoke":"session","value":"s1","until":1800003600}"#,
            "\n",
            r#"{"seq":9,"purge":"all"}"#,
            "\n"
        );
        std::fs::write(&path, text).unwrap();
        for seq in [0, 6] {
            let page = after(seq).await.unwrap();
            let gap = page.gap.as_ref().unwrap();
            assert_eq!((gap.through, gap.revocations.len()), (7, 1));
            assert_eq!(
                (page.head, page.entries.len(), page.through(seq)),
                (9, 1, 9)
            );
            assert_eq!(page.feed, FeedId::parse("f1").ok());
        }
        for (seq, entries) in [(7, 1), (9, 0)] {
            let page = after(seq).await.unwrap();
            assert_eq!((page.gap, page.entries.len()), (None, entries));
        }
        std::fs::write(&path, "# trimmed through 7\n").unwrap();
        let page = after(0).await.unwrap();
        assert_eq!((page.head, page.through(0)), (7, 7));
        for odd in ["# trimmed", "# trimmed through x", "#", "# feed a b"] {
            std::fs::write(&path, format!("{odd}\n")).unwrap();
            assert!(matches!(after(0).await, Err(Fault::Line(1))), "{odd}");
        }
    }

    #[tokio::test]
    async fn what_is_added_to_a_file_is_read_and_the_rest_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed");
        let lines = Lines::new(path.clone());
        let after = async |seq| lines.after(seq, Duration::ZERO).await.unwrap();
        let read = || lines.read.lock().as_ref().unwrap().end;
        let purges = |range: std::ops::RangeInclusive<u64>| -> String {
            range
                .map(|seq| format!("{{\"seq\":{seq},\"purge\":\"all\"}}\n"))
                .collect()
        };
        let text = format!("# feed f1\n{}", purges(1..=5));
        std::fs::write(&path, &text).unwrap();
        assert_eq!(after(0).await.entries.len(), 5);
        // What was read is not looked at again: nothing would come of a line that is no order.
        let odd = text.replacen("{\"seq\":2", "?\"seq\":2", 1);
        std::fs::write(&path, odd + &purges(6..=6)).unwrap();
        let page = after(5).await;
        assert_eq!(
            (page.entries.len(), page.head, page.feed),
            (1, 6, FeedId::parse("f1").ok())
        );
        // Another one in its place is read from its beginning.
        std::fs::write(&path, format!("# feed f2\n{}", purges(7..=30))).unwrap();
        let page = after(6).await;
        assert_eq!(
            (page.entries.len(), page.feed),
            (24, FeedId::parse("f2").ok())
        );
        // So is it for who has less than what was read.
        assert_eq!(after(8).await.entries.len(), 22);
        assert_eq!(read(), std::fs::metadata(&path).unwrap().len());
    }
}
