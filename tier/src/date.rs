//! The `Date` of answers over HTTP/1.1 (RFC 9110 §6.6.1).
//!
//! Pingora writes the present time over the date of every answer on HTTP/1.1, as if each had been made this moment:
//! then no cache behind us knows how old it is. The date that an answer has is therefore noted beside the connection,
//! and put back where its bytes leave.

use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use memchr::memmem::Finder;
use parking_lot::Mutex;

/// The date of the next answer on a connection.
#[derive(Clone, Default)]
pub(crate) struct Next(Arc<Mutex<Option<HeaderValue>>>);

impl Next {
    /// Notes the date of the answer that is about to be written.
    pub(crate) fn keep(&self, date: &HeaderValue) {
        *self.0.lock() = Some(date.clone());
    }

    /// Whether an answer is about to be written whose date was noted.
    pub(crate) fn is_noted(&self) -> bool {
        self.0.lock().is_some()
    }

    /// The bytes of a header with the date that was noted, when they are those of a final answer's header.
    pub(crate) fn put(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !bytes.starts_with(b"HTTP/1.") || bytes.get(9) == Some(&b'1') {
            return None;
        }
        let date = self.0.lock().take()?;
        let start = FIELD.find(bytes)? + FIELD.needle().len();
        if END.find(bytes)? < start {
            return None;
        }
        let mut changed = bytes.get(..bytes.len().min(LONGEST_COPY))?.to_vec();
        let written = changed.get_mut(start..start + date.len())?;
        // Dates in this form are all of one length, and this one must end where the other did.
        if bytes.get(start + date.len()..start + date.len() + 2) != Some(b"\r\n") {
            return None;
        }
        written.copy_from_slice(date.as_bytes());
        Some(changed)
    }
}

static FIELD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\nDate: "));
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// More than a header hardly comes in one write.
const LONGEST_COPY: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

    fn next(date: &'static str) -> Next {
        Next(Arc::new(Mutex::new(Some(HeaderValue::from_static(date)))))
    }

    #[test]
    fn an_answer_leaves_with_the_date_that_was_noted_for_it() {
        let head = |date| format!("HTTP/1.1 200 OK\r\nA: b\r\nDate: {date}\r\n\r\nbody");
        let noted = next(OLD);
        let put = noted.put(head(NEW).as_bytes()).unwrap();
        assert_eq!(String::from_utf8(put).unwrap(), head(OLD));
        assert!(noted.put(head(NEW).as_bytes()).is_none(), "once");
        let longer = next("Sunday, 06-Nov-94 08:49:37 GMT");
        assert!(longer.put(head(NEW).as_bytes()).is_none());
        assert!(
            next(OLD)
                .put(b"HTTP/1.1 200 OK\r\n\r\n\r\nDate: ")
                .is_none()
        );
        assert!(next(OLD).put(b"body").is_none());
        let interim = next(OLD);
        assert!(interim.put(b"HTTP/1.1 103 Early Hints\r\n\r\n").is_none());
        assert!(interim.put(head(NEW).as_bytes()).is_some());
    }
}
