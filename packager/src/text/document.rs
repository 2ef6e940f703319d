//! What a file of subtitles says, whatever format it came in.

use std::time::Duration;

use super::{Error, MAX_BLOCK_BYTES, MAX_CUES};

/// The subtitles of a film in one language: cues in the order of their starts, and how to show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    encoding: Encoding,
    head: Vec<Block>,
    cues: Vec<Cue>,
    /// For each cue the latest end of it and all before it, so that cues of a moment are found by bisection.
    reach: Vec<Duration>,
}

/// Text and when it is shown. Only parsers make one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cue {
    /// Its name within the file, for scripts and styles.
    pub id: Option<String>,
    /// When it appears, in whole milliseconds from the film's beginning.
    pub start: Duration,
    /// When it disappears; always after `start`.
    pub end: Duration,
    /// Where it is shown: WebVTT cue settings (W3C WebVTT §4.4) as they were written, often empty.
    pub settings: String,
    /// WebVTT cue text: lines without a blank one among them, with markup.
    pub text: String,
}

/// What stands before the cues and holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Block {
    /// A style sheet (W3C WebVTT §4.3): CSS as it was written.
    Style(String),
    /// A region (W3C WebVTT §4.3): its settings as they were written.
    Region(String),
}

/// How a file's bytes were read as characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8, which proves itself.
    #[default]
    Utf8,
    /// UTF-16, as the file's byte order mark says.
    Utf16,
    /// Windows-1252, a guess: the bytes are not UTF-8, and files without a word about it are mostly this.
    Windows1252,
}

impl Document {
    /// Styles and regions, in the file's order.
    #[must_use]
    pub fn head(&self) -> &[Block] {
        &self.head
    }

    /// All cues; none starts before the one ahead of it.
    #[must_use]
    pub fn cues(&self) -> &[Cue] {
        &self.cues
    }

    /// How the file's bytes were read. Whoever published it should be told of a guess.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The same, which was in this encoding before it was parsed.
    pub(super) fn read_from(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// The cues that are on screen at some time from `start` until just before `end`.
    pub fn cues_within(&self, start: Duration, end: Duration) -> impl Iterator<Item = &Cue> {
        // Before `first` all have gone by `start`; from `last` on, none has come by `end`.
        let first = self.reach.partition_point(|&reach| reach <= start);
        let last = self.cues.partition_point(|cue| cue.start < end);
        let near = self.cues.get(first..last).unwrap_or_default();
        near.iter().filter(move |cue| cue.end > start)
    }
}

impl Block {
    /// What the block says, without the line that says what it is.
    #[must_use]
    pub fn body(&self) -> &str {
        match self {
            Self::Style(body) | Self::Region(body) => body,
        }
    }
}

/// A document while it is read: holds the bounds that are the same for every format.
#[derive(Default)]
pub(super) struct Draft {
    head: Vec<Block>,
    head_bytes: usize,
    cues: Vec<Cue>,
}

impl Draft {
    /// Takes a cue, unless it ends before it starts and is never seen.
    pub(super) fn cue(&mut self, cue: Cue) -> Result<(), Error> {
        if cue.end <= cue.start {
            return Ok(());
        }
        if self.cues.len() >= MAX_CUES {
            return Err(Error::TooManyCues);
        }
        let id = cue.id.as_ref().map_or(0, String::len);
        self.check_size(id + cue.settings.len() + cue.text.len())?;
        self.cues.push(cue);
        Ok(())
    }

    /// Whether the next cue may hold so many bytes.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), Error> {
        if bytes > MAX_BLOCK_BYTES {
            let cue = self.cues.len() + 1;
            return Err(Error::CueTooLarge { cue });
        }
        Ok(())
    }

    /// Takes a style or region.
    pub(super) fn block(&mut self, block: Block) -> Result<(), Error> {
        self.head_bytes += block.body().len() + 1; // a block that says nothing must count too
        if self.head_bytes > MAX_BLOCK_BYTES {
            return Err(Error::HeadTooLarge);
        }
        self.head.push(block);
        Ok(())
    }

    pub(super) fn finish(self, encoding: Encoding) -> Document {
        let Self { head, mut cues, .. } = self;
        cues.sort_by_key(|cue| cue.start); // stable: of two that start together the file's first is drawn first
        let mut latest = Duration::ZERO;
        let reach = cues
            .iter()
            .map(|cue| {
                latest = latest.max(cue.end);
                latest
            })
            .collect();
        Document {
            encoding,
            head,
            cues,
            reach,
        }
    }
}
