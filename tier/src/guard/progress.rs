//! Where a request header of HTTP/1.1 ends.

/// How much of the empty line that ends a header has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Between two requests: nothing has come yet.
    Idle,
    /// Within a line.
    Line,
    /// At the beginning of a line; `\r` may have come already.
    LineStart,
}

impl Progress {
    /// Where these bytes lead. Whatever was before, any byte but those of a line's end is within a line.
    pub(super) fn after(self, bytes: &[u8]) -> Self {
        let last = bytes
            .iter()
            .rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let (from, rest) = match last {
            Some(last) => (Self::Line, bytes.get(last + 1..).unwrap_or_default()),
            None => (self, bytes),
        };
        rest.iter()
            .fold(from, |progress, byte| progress.next(*byte))
    }

    pub(super) const fn next(self, byte: u8) -> Self {
        match (self, byte) {
            // Empty lines before a request are allowed (RFC 9112 §2.2), but they are a beginning.
            (Self::Idle, b'\r' | b'\n') => Self::Line,
            (Self::LineStart, b'\n') => Self::Idle,
            (Self::LineStart, b'\r') | (_, b'\n') => Self::LineStart,
            _ => Self::Line,
        }
    }
}
