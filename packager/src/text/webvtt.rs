//! WebVTT (W3C WebVTT: The Web Video Text Tracks Format), read as its §6.1 has browsers read it, and written.
//!
//! A file is its signature, a header that says nothing today, and blocks with blank lines between them. A block is
//! a cue if its first or second line has an arrow; else it may be a style or a region, but only ahead of all cues;
//! else it is a comment (`NOTE`) or noise, and both are skipped.

use super::{
    Error, MAX_FILE_BYTES,
    document::{Block, Cue, Document, Draft, Encoding},
    lines::{Lines, normalise},
    time::{self, ARROW, Notation, SPACE},
};

/// Whether a file begins as WebVTT must: with the word, and then nothing, a blank or the end of the line.
#[must_use]
pub fn is_webvtt(file: &[u8]) -> bool {
    let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    match file.strip_prefix(SIGNATURE.as_bytes()) {
        Some(rest) => matches!(rest.first(), None | Some(b' ' | b'\t' | b'\n' | b'\r')),
        None => false,
    }
}

/// Parses a file.
///
/// Comments are dropped, and cues that are broken or never seen; the rest is kept as it is written.
///
/// # Errors
/// When the file is not WebVTT, not UTF-8, or exceeds a bound.
pub fn parse(file: &[u8]) -> Result<Document, Error> {
    if file.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge);
    }
    if !is_webvtt(file) {
        return Err(Error::NotSubtitles);
    }
    let text = std::str::from_utf8(file).map_err(|error| Error::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let text = normalise(text);
    let mut lines = Lines::of(&text);
    lines.next(); // the signature
    lines.take_while(is_body); // the header
    let mut draft = Draft::default();
    let mut ahead_of_cues = true;
    while let Some(first) = lines.next() {
        match block(first, &mut lines) {
            Some(Found::Cue(cue)) => {
                ahead_of_cues = false;
                draft.cue(cue)?;
            }
            Some(Found::Head(block)) if ahead_of_cues => draft.block(block)?,
            Some(Found::Head(_)) | None => {}
        }
    }
    Ok(draft.finish(Encoding::Utf8))
}

/// A block that means something.
enum Found {
    Cue(Cue),
    Head(Block),
}

/// Reads the block that begins with `first`, which may be blank (W3C WebVTT §6.1, "collect a WebVTT block").
fn block(first: &str, lines: &mut Lines<'_>) -> Option<Found> {
    if has_arrow(first) {
        return cue(None, first, lines).map(Found::Cue);
    }
    if first.is_empty() {
        return None;
    }
    if let Some(timings) = lines.next_if(has_arrow) {
        return cue(Some(first), timings, lines).map(Found::Cue);
    }
    let body = lines.take_while(is_body);
    if body.is_empty() {
        return None;
    }
    match first.trim_end_matches(SPACE) {
        "STYLE" => Some(Found::Head(Block::Style(body.to_owned()))),
        "REGION" => Some(Found::Head(Block::Region(body.to_owned()))),
        _ => None,
    }
}

/// Reads the text of a cue; none if its timings are broken, but then the text is skipped too.
fn cue(id: Option<&str>, timings: &str, lines: &mut Lines<'_>) -> Option<Cue> {
    let text = lines.take_while(is_body);
    let (start, end, settings) = time::read_line(timings, &NOTATION)?;
    Some(Cue {
        id: id.map(str::to_owned),
        start,
        end,
        settings: settings.trim_matches(SPACE).to_owned(),
        text: text.to_owned(),
    })
}

/// A blank line ends a block, and so does a line with an arrow: somebody forgot the blank one ahead of a cue.
fn is_body(line: &str) -> bool {
    !line.is_empty() && !has_arrow(line)
}

fn has_arrow(line: &str) -> bool {
    line.contains(ARROW)
}

/// Writes a document in canonical form: UTF-8, LF, cues by their starts, every moment with its hours.
///
/// What it writes parses to the same document.
#[must_use]
pub fn write(document: &Document) -> String {
    let mut out = String::new();
    write_head(&mut out, None, document.head());
    for cue in document.cues() {
        write_cue(&mut out, cue);
    }
    out
}

/// Writes what stands ahead of the cues; `header` is a line of metadata under the signature.
pub(super) fn write_head(out: &mut String, header: Option<&str>, blocks: &[Block]) {
    for line in [Some(SIGNATURE), header].into_iter().flatten() {
        out.push_str(line);
        out.push('\n');
    }
    for block in blocks {
        let name = match block {
            Block::Style(_) => "STYLE",
            Block::Region(_) => "REGION",
        };
        for part in ["\n", name, "\n", block.body(), "\n"] {
            out.push_str(part);
        }
    }
}

/// Writes a cue and the blank line ahead of it.
pub(super) fn write_cue(out: &mut String, cue: &Cue) {
    out.push('\n');
    if let Some(id) = &cue.id {
        out.push_str(id);
        out.push('\n');
    }
    time::write_line(out, cue.start, cue.end);
    if !cue.settings.is_empty() {
        out.push(' ');
        out.push_str(&cue.settings);
    }
    out.push('\n');
    if !cue.text.is_empty() {
        out.push_str(&cue.text);
        out.push('\n');
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const SIGNATURE: &str = "WEBVTT";
const NOTATION: Notation = Notation {
    points: &['.'],
    padded: true,
};
