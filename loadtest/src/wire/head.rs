//! The head of an answer over HTTP/1.1.

use anyhow::{Context as _, Result, bail};

/// The head of an answer, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Length of the head itself, with the empty line.
    pub(crate) size: usize,
    pub(crate) body: usize,
}

/// Reads a head, if it is whole (RFC 9112 §4, §5). The servers here always announce a length.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .context("no answer of HTTP/1.1")?;
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = match length {
        Some((_, length)) => length.trim().parse()?,
        // There is none (RFC 9110 §15.3.5).
        None if status == 204 => 0,
        None => bail!("an answer without content-length"),
    };
    Ok(Some(Head {
        status,
        size: end + 4,
        body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nx: y\r\n\r\nbo";
        let head = Head {
            status: 200,
            size: whole.len() - 2,
            body: 12,
        };
        assert_eq!(parse(whole).unwrap(), Some(head));
        assert_eq!(parse(&whole[..40]).unwrap(), None);
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        let none = parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!(none.map(|head| head.body), Some(0));
        assert!(parse(b"ICY 200 OK\r\ncontent-length: 1\r\n\r\n").is_err());
    }
}
