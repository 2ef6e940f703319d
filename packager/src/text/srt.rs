//! SubRip, which nobody specified: read as widely as its files are written, and turned into WebVTT.
//!
//! A cue is a counter, a line of times and lines of text, then a blank line. Any of these may be missing or doubled
//! but the times, so the times lead: a line of times begins a cue, wherever it stands.

use std::{borrow::Cow, time::Duration};

use super::{
    Error, MAX_FILE_BYTES,
    document::{Cue, Document, Draft, Encoding},
    lines::{Lines, normalise},
    markup,
    time::{self, ARROW, Notation},
};

/// Parses a file and converts its markup.
///
/// Bytes that are not UTF-8 are read as Windows-1252, and [`Document::encoding`] says so. A broken cue is dropped.
/// Counters and coordinates (`X1:… Y2:…`) are ignored.
///
/// # Errors
/// When not one line of the file is a line of times, or the file exceeds a bound.
pub fn parse(file: &[u8]) -> Result<Document, Error> {
    if file.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge);
    }
    let (text, encoding) = match std::str::from_utf8(file) {
        Ok(text) => (Cow::Borrowed(text), Encoding::Utf8),
        Err(_) => (Cow::Owned(windows_1252(file)), Encoding::Windows1252),
    };
    let text = normalise(&text);
    let mut lines = Lines::of(&text);
    let mut reader = Reader::default();
    while lines.peek().is_some() {
        lines.take_while(is_blank);
        reader.block(lines.take_while(|line| !is_blank(line)))?;
    }
    reader.finish_cue()?;
    if !reader.found {
        return Err(Error::NotSubtitles);
    }
    Ok(reader.draft.finish(encoding))
}

/// A file on its way.
#[derive(Default)]
struct Reader {
    draft: Draft,
    /// The cue whose text is being read.
    cue: Option<Raw>,
    /// Whether a line of times was seen.
    found: bool,
}

/// A cue with its text as it was written, each line with its LF.
struct Raw {
    start: Duration,
    end: Duration,
    text: String,
}

impl Reader {
    /// Reads lines that no blank one separates: a cue, several whose blank lines were forgotten, or more text of
    /// the cue before them, whose author left a blank line in it.
    fn block(&mut self, block: &str) -> Result<(), Error> {
        if is_number(block) {
            return Ok(()); // a counter with a blank line behind it
        }
        if is_broken(block) {
            self.finish_cue()?; // what follows is nobody's text
        }
        let mut lines = Lines::of(block);
        while let Some(line) = lines.next() {
            let next_has_times = || lines.peek().is_some_and(|next| times(next).is_some());
            if let Some((start, end)) = times(line) {
                self.finish_cue()?;
                let text = String::new();
                self.cue = Some(Raw { start, end, text });
                self.found = true;
            } else if let Some(cue) = &mut self.cue
                && !(is_number(line) && next_has_times())
            {
                cue.text.push_str(line);
                cue.text.push('\n');
            }
        }
        Ok(())
    }

    /// Converts the cue whose text is complete.
    fn finish_cue(&mut self) -> Result<(), Error> {
        let Some(Raw { start, end, text }) = self.cue.take() else {
            return Ok(());
        };
        self.draft.check_size(text.len())?;
        let (text, settings) = markup::convert(&text);
        if text.is_empty() {
            return Ok(());
        }
        self.draft.cue(Cue {
            id: None,
            start,
            end,
            settings: settings.to_owned(),
            text,
        })
    }
}

/// Whether a block begins like a cue, but its times cannot be read.
fn is_broken(block: &str) -> bool {
    let head = || block.split('\n').take(2);
    head().any(|line| line.contains(ARROW)) && !head().any(|line| times(line).is_some())
}

/// When a cue starts and ends, if the line says so; what follows are coordinates of bitmaps long gone.
fn times(line: &str) -> Option<(Duration, Duration)> {
    let (start, end, _) = time::read_line(line, &NOTATION)?;
    Some((start, end))
}

fn is_number(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// Reads Windows-1252 as browsers do (WHATWG Encoding §9): Latin-1, but for 32 codes.
fn windows_1252(bytes: &[u8]) -> String {
    let character = |byte: &u8| {
        let special = byte.checked_sub(0x80).map(usize::from);
        let special = special.and_then(|at| WINDOWS_1252_80_TO_9F.get(at));
        special.copied().unwrap_or_else(|| char::from(*byte))
    };
    bytes.iter().map(character).collect()
}

/// The five codes that mean nothing stay the control characters that they are in Latin-1.
const WINDOWS_1252_80_TO_9F: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
const NOTATION: Notation = Notation {
    points: &[',', '.'],
    padded: false,
};
