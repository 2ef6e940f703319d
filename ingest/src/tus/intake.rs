//! The bytes of one request, from the socket to the store: in pieces, each of which counts once it is durable.

use std::time::Duration;

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures_util::StreamExt as _;
use runtime::problem::Problem;
use store::{Key, Writer, layout};

use super::{
    places::Place,
    problem,
    words::{Check, Checksum},
};
use crate::{
    Error,
    api::App,
    upload::{
        Refused, State,
        streams::{Kind, Piece, Running, Stream},
    },
};

/// How the bytes of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As announced.
    Whole,
    /// The connection broke, or nothing more came.
    CutOff,
    /// Somebody else goes on with the upload.
    Overtaken,
}

/// Takes the bytes of one request into an upload, of which nobody else in this process is at.
pub(super) struct Intake<'a> {
    app: &'a App,
    stream: Stream,
    source: Source<'a>,
    /// What the body's digest is said to be: nothing counts before it holds.
    check: Option<Check>,
    running: Running,
    /// Where the next byte goes.
    at: u64,
    /// How many bytes count.
    counted: u64,
    /// The piece that counts last.
    last: Option<Piece>,
    /// Pieces that are in the store and do not count yet.
    waiting: Vec<Piece>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        app: &'a App,
        stream: Stream,
        claimed: Option<Checksum>,
        source: Source<'a>,
    ) -> Self {
        Self {
            app,
            source,
            check: claimed.map(Check::new),
            running: stream.running.clone().unwrap_or_default(),
            at: stream.arrived_bytes,
            counted: stream.arrived_bytes,
            stream,
            last: None,
            waiting: Vec::new(),
        }
    }

    /// Takes all that comes, and tells how much counts now.
    pub(super) async fn run(mut self) -> Result<(u64, End), Problem> {
        self.last = self.app.streams.last(&self.stream.upload.id).await?;
        let outcome = self.take().await;
        for piece in std::mem::take(&mut self.waiting) {
            self.remove(&piece.object).await;
        }
        outcome
    }

    async fn take(&mut self) -> Result<(u64, End), Problem> {
        let end = loop {
            match self.source.next().await {
                Next::Bytes(bytes) if bytes.is_empty() => {}
                Next::Bytes(bytes) => {
                    let end = self.piece(bytes).await?;
                    // So long, and no longer, somebody who comes later waits for whoever does not stop sending.
                    let wanted = self.check.is_none() && self.source.place.is_wanted();
                    if let Some(end) = end.or_else(|| wanted.then_some(End::Overtaken)) {
                        break end;
                    }
                }
                Next::Pause => {}
                Next::End(end) => break end,
            }
        };
        let Some(check) = self.check.take() else {
            return Ok((self.counted, end));
        };
        // Of a body that did not come whole nobody knows whether it is sound.
        if end == End::Whole {
            if !check.holds() {
                return Err(problem::wrong_checksum());
            }
            let pieces = std::mem::take(&mut self.waiting);
            self.count(pieces).await?;
        }
        Ok((self.counted, end))
    }

    /// Takes one piece, which begins with these bytes; it ends with the body, when it is long enough, or when nothing
    /// comes for a while.
    async fn piece(&mut self, first: Bytes) -> Result<Option<End>, Problem> {
        let (mut piece, mut writer) = self.open().await?;
        let mut next = Next::Bytes(first);
        let end = loop {
            match next {
                Next::Bytes(bytes) => {
                    let room = self.stream.upload.chunk_size_bytes - piece.size_bytes;
                    // There is always room but after the last byte.
                    let bytes = self.source.split(bytes, room.max(1));
                    piece.size_bytes += bytes.len() as u64;
                    self.see(&bytes)?;
                    writer.write(bytes).await.map_err(Error::from)?;
                    // The last one ends with the body, lest more is sent than was announced.
                    let whole = self.at == self.stream.upload.size_bytes;
                    if piece.size_bytes == self.stream.upload.chunk_size_bytes && !whole {
                        break None;
                    }
                }
                Next::Pause if self.check.is_none() => break None,
                Next::Pause => {}
                Next::End(end) => break Some(end),
            }
            next = self.source.next().await;
        };
        self.promised()?;
        writer.commit().await.map_err(Error::from)?;
        match self.check {
            Some(_) => self.waiting.push(piece),
            None => self.count(vec![piece]).await?,
        }
        Ok(end)
    }

    /// Begins a piece where the last one ends, or with the bytes of the last one, when they are few: so however often
    /// a client comes with a little, its pieces do not become many.
    async fn open(&mut self) -> Result<(Piece, Box<dyn Writer>), Problem> {
        let few = self.stream.upload.chunk_size_bytes / FEW;
        let short = self.last.clone().filter(|last| {
            self.waiting.is_empty() && last.size_bytes < few && last.end_bytes() == self.at
        });
        let start_bytes = short.as_ref().map_or(self.at, |last| last.start_bytes);
        let drawn = self.app.draw()?;
        let object = layout::piece_from(&self.stream.upload.id, start_bytes, drawn);
        let app = self.app;
        let store = &app.store;
        let mut writer = store.writer(&object).await.map_err(Error::from)?;
        let mut size_bytes = 0;
        while let Some(last) = short.as_ref().filter(|last| size_bytes < last.size_bytes) {
            let until = last.size_bytes.min(size_bytes + COPIED_AT_ONCE);
            let bytes = store.read_range(&last.object, size_bytes..until).await;
            let Some(bytes) = bytes.map_err(Error::from)? else {
                // Another process has put a longer one in its place.
                return Err(self.overtaken().await);
            };
            writer.write(bytes).await.map_err(Error::from)?;
            size_bytes = until;
        }
        let piece = Piece {
            start_bytes,
            size_bytes,
            object,
        };
        Ok((piece, writer))
    }

    fn see(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.at += bytes.len() as u64;
        let size_bytes = self.stream.upload.size_bytes;
        if self.at > size_bytes {
            return Err(problem::too_long(size_bytes));
        }
        self.running.add(bytes);
        if let Some(check) = &mut self.check {
            check.add(bytes);
        }
        Ok(())
    }

    /// Whether the whole, when it is, is the one that was promised: what is not cannot be mended by sending more.
    fn promised(&self) -> Result<(), Problem> {
        let promised = self.stream.upload.sha256;
        let whole = self.at == self.stream.upload.size_bytes && self.stream.kind == Kind::Whole;
        match promised.is_some_and(|promised| whole && promised != self.running.digest()) {
            true => Err(problem::wrong_whole()),
            false => Ok(()),
        }
    }

    /// Has pieces count that lie in the store, unless bytes of somebody else do.
    async fn count(&mut self, pieces: Vec<Piece>) -> Result<(), Problem> {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return Ok(());
        };
        let (id, now) = (&self.stream.upload.id, self.app.clock.now());
        let streams = &self.app.streams;
        let added = streams.append(id, self.counted, &pieces, &self.running, now);
        if !added.await? {
            for piece in &pieces {
                self.remove(&piece.object).await;
            }
            return Err(self.overtaken().await);
        }
        let same = |before: &Piece| before.start_bytes == first.start_bytes;
        let before = self.last.take().filter(same);
        if let Some(before) = before.filter(|before| before.object != first.object) {
            self.remove(&before.object).await;
        }
        let bytes = last.end_bytes() - self.counted;
        self.app.metrics.upload_bytes.inc_by(bytes);
        self.counted = last.end_bytes();
        self.last = Some(last.clone());
        Ok(())
    }

    /// Why bytes are not taken that might have been.
    async fn overtaken(&mut self) -> Problem {
        match self.app.streams.find(&self.stream.upload.id).await {
            Ok(None) => crate::api::problem::no_upload(),
            Ok(Some(now)) if now.upload.state == State::Complete => Refused::Complete.into(),
            Ok(Some(now)) => problem::wrong_offset(now.arrived_bytes),
            Err(error) => error.into(),
        }
    }

    /// Removes what does not count; what cannot be removed now goes with the upload.
    async fn remove(&mut self, object: &Key) {
        if let Err(error) = self.app.store.delete(object).await {
            let id = &self.stream.upload.id;
            tracing::warn!(upload.id = %id, %error, "cannot remove a piece of {id} that does not count");
        }
    }
}

/// The bytes of a request, as long as nobody else wants the upload.
pub(super) struct Source<'a> {
    body: &'a mut BodyDataStream,
    place: &'a mut Place,
    /// How many bytes are still to come, where that was announced.
    left: Option<u64>,
    /// What came with bytes that were asked for.
    rest: Bytes,
    silent: Duration,
}

enum Next {
    Bytes(Bytes),
    /// Nothing came for a while.
    Pause,
    End(End),
}

impl<'a> Source<'a> {
    pub(super) fn new(
        body: &'a mut BodyDataStream,
        place: &'a mut Place,
        length: Option<u64>,
    ) -> Self {
        Self {
            body,
            place,
            left: length,
            rest: Bytes::new(),
            silent: Duration::ZERO,
        }
    }

    async fn next(&mut self) -> Next {
        if !self.rest.is_empty() {
            return Next::Bytes(std::mem::take(&mut self.rest));
        }
        let frame = tokio::select! {
            // What is here already is taken, also of a connection that was given up.
            biased;
            frame = tokio::time::timeout(PAUSE, self.body.next()) => frame,
            () = self.place.wanted() => return Next::End(End::Overtaken),
        };
        match frame {
            Ok(Some(Ok(bytes))) => {
                self.silent = Duration::ZERO;
                self.left = self
                    .left
                    .map(|left| left.saturating_sub(bytes.len() as u64));
                Next::Bytes(bytes)
            }
            // A connection that is given up here ends its bodies without a word.
            Ok(None) if self.left.is_none_or(|left| left == 0) => Next::End(End::Whole),
            Ok(None | Some(Err(_))) => Next::End(End::CutOff),
            Err(_) if self.silent + PAUSE >= STALL => Next::End(End::CutOff),
            Err(_) => {
                self.silent += PAUSE;
                Next::Pause
            }
        }
    }

    /// As much of these bytes as there is room for; the rest comes next.
    fn split(&mut self, mut bytes: Bytes, room: u64) -> Bytes {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if bytes.len() > room {
            self.rest = bytes.split_off(room);
        }
        bytes
    }
}

/// A piece is short, and the next one begins with its bytes, below this part of a whole one.
const FEW: u64 = 4;
const COPIED_AT_ONCE: u64 = 1 << 20;
/// After so long a silence what has come is made to count.
const PAUSE: Duration = Duration::from_secs(5);
/// Who sends nothing for so long has gone.
const STALL: Duration = Duration::from_secs(60);
