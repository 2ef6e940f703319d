//! HTTP/1.1 over one kept connection, read into one buffer.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Answer, head};

/// A connection.
pub(crate) struct Lane<S> {
    stream: S,
    buffer: Box<[u8]>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lane<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER].into(),
        }
    }

    pub(super) async fn get(
        &mut self,
        request: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut filled = self.read(0).await?;
        let head = loop {
            if let Some(head) = head::parse(self.buffer.get(..filled).unwrap_or_default())? {
                break head;
            }
            ensure!(filled < BUFFER, "a head without end");
            filled += self.read(filled).await?;
        };
        let mut first = Instant::now();
        let begun = self.buffer.get(head.size..filled).unwrap_or_default();
        sink(begun);
        let mut left = head.body.checked_sub(begun.len());
        let mut waits = begun.is_empty();
        while let Some(rest @ 1..) = left {
            let read = self.read(0).await?;
            if std::mem::take(&mut waits) {
                first = Instant::now();
            }
            sink(self.buffer.get(..read).unwrap_or_default());
            left = rest.checked_sub(read);
        }
        ensure!(left.is_some(), "more came than was announced");
        Ok(Answer {
            status: head.status,
            bytes: head.body,
            first,
        })
    }

    /// Reads what is there behind the first `filled` bytes of the buffer.
    async fn read(&mut self, filled: usize) -> Result<usize> {
        let room = self.buffer.get_mut(filled..).unwrap_or_default();
        match self.stream.read(room).await? {
            0 => bail!("the connection ended within an answer"),
            read => Ok(read),
        }
    }
}

/// What one read takes at most.
const BUFFER: usize = 256 << 10;
