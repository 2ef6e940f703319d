//! The markup that is found in SubRip, as WebVTT cue text and settings.

/// Converts a cue's text; returns it with the settings that place it.
///
/// `<i>`, `<b>` and `<u>` stay and are closed where their authors forgot to; other tags of HTML that are seen in
/// the wild go, their content stays. `{\an8}` and its like, borrowed from Advanced SubStation Alpha, place the
/// cue, the first winning; other overrides in braces go. All else is text, and what WebVTT would take for markup is escaped.
pub(super) fn convert(text: &str) -> (String, &'static str) {
    let mut out = Output::default();
    let mut settings = None;
    let mut rest = text;
    while let Some(at) = rest.find(['<', '{', '&', '>']) {
        let (plain, marked) = rest.split_at(at);
        out.text.push_str(plain);
        rest = if let Some((tag, after)) = Tag::read(marked) {
            out.tag(tag);
            after
        } else if let Some((overrides, after)) = overrides(marked) {
            settings = settings.or_else(|| alignment(overrides));
            after
        } else {
            let (mark, after) = marked.split_at(1);
            out.text.push_str(escaped(mark));
            after
        };
    }
    out.text.push_str(rest);
    (out.finish(), settings.unwrap_or_default())
}

/// A tag of HTML.
#[derive(Clone, Copy)]
enum Tag {
    Open(&'static str),
    Close(&'static str),
    /// One that WebVTT has no word for.
    Dropped,
}

impl Tag {
    /// Reads a tag that is known at the text's beginning, and returns what follows it.
    fn read(text: &str) -> Option<(Self, &str)> {
        let (inside, after) = enclosed(text, "<", b'>')?;
        let (name, closes) = match inside.strip_prefix('/') {
            Some(name) => (name, true),
            None => (inside, false),
        };
        let name = name.split_ascii_whitespace().next()?.to_ascii_lowercase();
        if let Some(kept) = KEPT.into_iter().find(|kept| *kept == name) {
            let tag = if closes { Self::Close } else { Self::Open };
            return Some((tag(kept), after));
        }
        DROPPED
            .contains(&name.as_str())
            .then_some((Self::Dropped, after))
    }
}

/// Cue text while it is written.
#[derive(Default)]
struct Output {
    text: String,
    /// The tags that are open, from the outermost; each once, for italics in italics are italics.
    open: Vec<&'static str>,
}

impl Output {
    fn tag(&mut self, tag: Tag) {
        match tag {
            Tag::Open(name) if !self.open.contains(&name) => {
                self.open.push(name);
                self.text.extend(["<", name, ">"]);
            }
            Tag::Close(name) => {
                if let Some(depth) = self.open.iter().position(|open| *open == name) {
                    self.close_to(depth);
                }
            }
            Tag::Open(_) | Tag::Dropped => {}
        }
    }

    /// Closes the innermost tags until so many are left: WebVTT nests them properly (W3C WebVTT §4.2.2).
    fn close_to(&mut self, depth: usize) {
        for name in self.open.drain(depth..).rev() {
            self.text.extend(["</", name, ">"]);
        }
    }

    /// Closes what is open and leaves out lines with nothing on them: a blank one would end the cue.
    fn finish(mut self) -> String {
        let shown = self.text.trim_end().len();
        self.text.truncate(shown);
        self.close_to(0);
        let lines = self.text.split('\n').map(str::trim);
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        lines.join("\n")
    }
}

/// The overrides at the text's beginning, `{\…}`, and what follows them. Braces without a backslash are text.
fn overrides(text: &str) -> Option<(&str, &str)> {
    enclosed(text, "{\\", b'}')
}

/// Where `\an1` to `\an9` place a cue: as the keys of a number pad lie, 2 being where WebVTT puts it anyhow.
fn alignment(overrides: &str) -> Option<&'static str> {
    let codes = overrides.split('\\');
    let digits = codes.filter_map(|code| code.trim_end().strip_prefix("an"));
    let mut place = digits.filter_map(|digits| match digits {
        "1" => Some("align:left"),
        "2" => Some(""),
        "3" => Some("align:right"),
        "4" => Some("line:50% align:left"),
        "5" => Some("line:50%"),
        "6" => Some("line:50% align:right"),
        "7" => Some("line:0 align:left"),
        "8" => Some("line:0"),
        "9" => Some("line:0 align:right"),
        _ => None,
    });
    place.next()
}

/// What stands between `open` at the text's beginning and `close` on the same line, and what follows.
fn enclosed<'a>(text: &'a str, open: &str, close: u8) -> Option<(&'a str, &'a str)> {
    let inside = text.strip_prefix(open)?;
    // Bounded, or a text of nothing but openings would be read through once for each.
    let end = inside
        .bytes()
        .take(MAX_TAG_BYTES)
        .position(|byte| byte == close)?;
    let (inside, after) = (inside.get(..end)?, inside.get(end + 1..)?);
    (!inside.contains('\n')).then_some((inside, after))
}

/// A character of text that WebVTT would read as markup, or as part of an arrow (W3C WebVTT §4.2.2).
fn escaped(mark: &str) -> &str {
    match mark {
        "&" => "&amp;",
        "<" => "&lt;",
        ">" => "&gt;",
        other => other,
    }
}

const KEPT: [&str; 3] = ["i", "b", "u"];
const DROPPED: [&str; 4] = ["font", "s", "strike", "span"];
const MAX_TAG_BYTES: usize = 256;
