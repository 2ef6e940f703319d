//! Purges and revocations in a file, so that they survive a restart.
//!
//! Each line is the CRC-32C of a JSON text in eight hexadecimal digits, a space, and that text. Lines are added at the
//! end; what they say is idempotent, so the file may say a thing twice. When most of it is outdated it is written anew
//! beside itself and put in place. Of a file that ends in the middle of a line, or is damaged, the lines before count.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contracts::feed::Scope;
use contracts::id::{FeedId, TenantId};
use contracts::revocation::Revocation;
use serde::{Deserialize, Serialize};

use crate::purge::{Marks, Purged};

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Line {
    /// All orders up to this one have been applied, and stand before.
    Through {
        /// Its number.
        seq: u64,
    },
    /// Which feed the numbers are of.
    Feed {
        /// Its id.
        id: FeedId,
    },
    /// The newest purges of a key.
    Purged {
        /// The key.
        #[serde(flatten)]
        scope: Scope,
        /// On whose behalf alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantId>,
        /// When.
        #[serde(flatten)]
        newest: Newest,
    },
    /// The newest purges of what bears no tenant's tag.
    Untagged(Newest),
    /// A revocation.
    Revoked(Revocation),
}

/// The newest purges of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// The newest hard one; zero: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    hard: u64,
    /// The newest soft one; zero: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    soft: u64,
    /// When that came, in seconds of Unix time.
    #[serde(default, skip_serializing_if = "is_zero")]
    soft_at: u64,
}

/// A file that is open, of which everything is known.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    file: File,
    /// Where the last whole line ends; what stands behind is written over.
    end: u64,
    lines: usize,
}

/// How much of a file could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All of it, but for a last line that was being written.
    Whole,
    /// The lines up to a damaged one.
    Damaged,
}

impl Line {
    /// What is known of a key.
    #[must_use]
    pub fn purged(purged: Purged) -> Self {
        Self::Purged {
            scope: purged.scope,
            tenant: purged.tenant,
            newest: purged.marks.into(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        write!(out, "{:08x} ", crc32c::crc32c(&json))?;
        out.extend_from_slice(&json);
        out.push(b'\n');
        Ok(())
    }
}

impl From<Marks> for Newest {
    fn from(marks: Marks) -> Self {
        Self {
            hard: marks.hard,
            soft: marks.soft,
            soft_at: unix_s(marks),
        }
    }
}

impl From<Newest> for Marks {
    fn from(newest: Newest) -> Self {
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(newest.soft_at));
        Self {
            hard: newest.hard,
            soft: newest.soft,
            soft_at: at.filter(|_| newest.soft > 0),
        }
    }
}

/// Reads one line, without what ends it; `None` when it is damaged.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Line> {
    let (sum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == crc32c::crc32c(json))
        .then(|| serde_json::from_slice(json).ok())
        .flatten()
}

impl State {
    /// Opens a file, or makes it, and tells what it says, line by line.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(path: &Path, mut each: impl FnMut(Line)) -> io::Result<(Self, Found)> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut state = Self {
            path: path.to_owned(),
            file,
            end: 0,
            lines: 0,
        };
        let found = state.read(&mut each)?;
        Ok((state, found))
    }

    fn read(&mut self, each: &mut impl FnMut(Line)) -> io::Result<Found> {
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
            let Some(text) = line.strip_suffix(b"\n") else {
                let whole = length == 0 || is_end(&mut reader)?;
                return Ok(if whole { Found::Whole } else { Found::Damaged });
            };
            let Some(read) = parse(text) else {
                let last = is_end(&mut reader)?;
                return Ok(if last { Found::Whole } else { Found::Damaged });
            };
            each(read);
            self.end += length as u64;
            self.lines += 1;
        }
    }

    /// Adds lines; they are on the disk when this returns.
    ///
    /// # Errors
    /// When they could not be written. The file then says what it said before.
    pub fn add(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            line.write(&mut text)?;
        }
        self.file.set_len(self.end)?;
        self.file.write_all_at(&text, self.end)?;
        self.file.sync_data()?;
        self.end += text.len() as u64;
        self.lines += lines.len();
        Ok(())
    }

    /// Whether the file is worth writing anew, when it need not say more than so many lines.
    #[must_use]
    pub const fn is_long(&self, needed: usize) -> bool {
        self.lines > needed.saturating_mul(2).saturating_add(1000)
    }

    /// Replaces what the file says.
    ///
    /// # Errors
    /// When that could not be done. The file then says what it said before.
    pub fn replace(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            line.write(&mut text)?;
        }
        let beside = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        let folder = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        self.file = file;
        (self.end, self.lines) = (text.len() as u64, lines.len());
        Ok(())
    }
}

fn unix_s(marks: Marks) -> u64 {
    let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
    marks.soft_at.map_or(0, |at| since(at).as_secs())
}

fn is_end(reader: &mut impl BufRead) -> io::Result<bool> {
    Ok(reader.fill_buf()?.is_empty())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The longest line: a key of 1024 bytes, each written as two, and what stands around it.
const MAX_LINE: u64 = 4096;

#[cfg(test)]
mod tests {
    use contracts::feed::Text;
    use contracts::id::SessionId;
    use contracts::revocation::Revoked;
    use contracts::time::UnixSeconds;
    use proptest::prelude::*;

    use super::*;

    fn tag(name: &str, seq: u64) -> Line {
        let marks = Marks {
            hard: seq,
            soft: seq + 1,
            soft_at: Some(UNIX_EPOCH + Duration::from_secs(5)),
        };
        Line::purged(Purged {
            scope: Scope::Tag(Text::parse(name).unwrap()),
            tenant: TenantId::parse("x").ok(),
            marks,
        })
    }

    fn session(name: &str) -> Line {
        Line::Revoked(Revocation {
            what: Revoked::Session(SessionId::parse(name).unwrap()),
            until: UnixSeconds(7),
        })
    }

    fn read(path: &Path) -> (Vec<Line>, Found) {
        let mut lines = Vec::new();
        let (_, found) = State::open(path, |line| lines.push(line)).unwrap();
        (lines, found)
    }

    fn sample() -> Vec<Line> {
        vec![
            tag("a:film", 3),
            Line::purged(Purged::everything(Marks::hard(4))),
            Line::Untagged(Newest {
                hard: 0,
                soft: 4,
                soft_at: 7,
            }),
            session("s1"),
            Line::Feed {
                id: FeedId::parse("f1").unwrap(),
            },
            Line::Through { seq: 4 },
        ]
    }

    #[test]
    fn a_file_says_after_a_restart_what_it_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut state, found) = State::open(&path, |_| panic!("empty")).unwrap();
        assert_eq!(found, Found::Whole);
        state.add(&sample()).unwrap();
        state.add(&[Line::Through { seq: 5 }]).unwrap();
        let mut told = sample();
        told.push(Line::Through { seq: 5 });
        assert_eq!(read(&path), (told, Found::Whole));
    }

    #[test]
    fn of_a_line_that_was_being_written_nothing_counts_and_the_next_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut whole = Vec::new();
        for line in sample() {
            line.write(&mut whole).unwrap();
        }
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(read(&path), (sample()[..lines].to_vec(), Found::Whole));
            let (mut state, _) = State::open(&path, |_| {}).unwrap();
            state.add(&[session("next")]).unwrap();
            let mut expected = sample()[..lines].to_vec();
            expected.push(session("next"));
            assert_eq!(read(&path), (expected, Found::Whole), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_line_ends_what_counts_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut whole = Vec::new();
        for line in sample() {
            line.write(&mut whole).unwrap();
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let (lines, found) = read(&path);
            let before = whole[..at].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(lines, sample()[..before], "flipped at {at}");
            let last = before + 1 == sample().len();
            // Without its end the last but one is part of the last.
            let joined = whole[at] == b'\n' && before + 2 == sample().len();
            assert_eq!(found == Found::Whole, last || joined, "flipped at {at}");
        }
        std::fs::write(&path, vec![b'x'; 3 * 4096]).unwrap();
        assert_eq!(read(&path), (Vec::new(), Found::Damaged));
    }

    #[test]
    fn a_file_written_anew_says_what_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (mut state, _) = State::open(&path, |_| {}).unwrap();
        let lines: Vec<Line> = (0..1002).map(|seq| Line::Through { seq }).collect();
        state.add(&lines).unwrap();
        assert!(!state.is_long(1) && state.is_long(0));
        state.replace(&sample()).unwrap();
        state.add(&[session("later")]).unwrap();
        let mut expected = sample();
        expected.push(session("later"));
        assert_eq!(read(&path), (expected, Found::Whole));
    }

    proptest! {
        #[test]
        fn whatever_a_line_holds_it_is_read_or_refused(line: Vec<u8>) {
            prop_assert!(parse(&line).is_none());
        }
    }
}
