//! A feed that is a file, with an [`Entry`] a line.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::feed::{Entry, FeedError, Gap, MAX_ENTRIES, Order, Page};
use contracts::id::FeedId;
use parking_lot::Mutex;

use super::source::{Fault, Source};

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
    async fn after(&self, seq: u64, _feed: Option<FeedId>, _wait: Duration) -> Result<Page, Fault> {
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

/// The longest line: a value of 1024 bytes, each written as six, and what stands around it.
const MAX_LINE: u64 = 8192;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_file_tells_what_stands_after_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed");
        let lines = Lines::new(path.clone());
        let after = async |seq| lines.after(seq, None, Duration::ZERO).await;
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
        let after = async |seq| lines.after(seq, None, Duration::ZERO).await;
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
        let after = async |seq| lines.after(seq, None, Duration::ZERO).await.unwrap();
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
