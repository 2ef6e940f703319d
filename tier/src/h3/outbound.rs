//! The sending half of a request stream: queued frames, written without copying.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{SendStream, WriteError};

use super::account::Taking;
use super::code::Code;
use super::frame;
use super::metrics::Metrics;
use crate::pace::TooSlow;
use crate::priority::{Priority, Wish};
use crate::spoken::Open;

/// Writes one response.
///
/// Dropping it before the end was written resets the stream: quinn would finish it, and a response
/// cut short would look whole to the client.
pub(super) struct Outbound {
    stream: SendStream,
    /// Frame heads and payloads in their order; never an empty one.
    queue: VecDeque<Bytes>,
    /// Bytes that were queued when the stream was reset.
    dropped: usize,
    phase: Phase,
    /// What the client took of it, kept while writes come and go.
    taking: Taking,
    /// What the client wishes of its priority, what the response says, and what holds now.
    wish: Open<Wish>,
    priority: Priority,
    rank: i32,
    ended: Arc<AtomicBool>,
    metrics: Metrics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// More may be queued.
    Open,
    /// The end follows what is queued.
    Ending,
    /// The end was written.
    Ended,
    /// The stream was reset.
    Aborted,
}

/// Why nothing more can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The client does not want the response any more, or is gone.
    #[error("the client gave up")]
    Gone,
    /// The client took nothing for too long.
    #[error("the client stalled")]
    Stalled,
    /// The response was given up before.
    #[error("the response was given up")]
    Aborted,
}

impl Outbound {
    pub(super) fn new(
        stream: SendStream,
        taking: Taking,
        wish: Open<Wish>,
        metrics: Metrics,
    ) -> Self {
        Self {
            stream,
            queue: VecDeque::new(),
            dropped: 0,
            phase: Phase::Open,
            taking,
            wish,
            priority: Priority::default(),
            rank: 0,
            ended: Arc::default(),
            metrics,
        }
    }

    /// Queues a frame. Nothing is queued behind the end.
    pub(super) fn push(&mut self, kind: u64, payload: Bytes) {
        if self.phase != Phase::Open {
            return;
        }
        let mut head = BytesMut::with_capacity(9);
        frame::head(kind, payload.len() as u64, &mut head);
        self.queue.push_back(head.freeze());
        if !payload.is_empty() {
            self.queue.push_back(payload);
        }
    }

    /// Lets the stream's end follow what is queued.
    pub(super) fn end(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ending;
        }
    }

    /// Resets the stream. What is not yet acknowledged is dropped.
    pub(super) fn abort(&mut self, code: Code) {
        if matches!(self.phase, Phase::Open | Phase::Ending) {
            self.phase = Phase::Aborted;
            self.dropped = self.unwritten_bytes();
            self.queue.clear();
            self.metrics.resets.inc();
            // an error says that the stream is closed already
            let _ = self.stream.reset(code.into());
        }
    }

    /// Whether frames or the end wait to be written.
    pub(super) fn is_pending(&self) -> bool {
        !self.queue.is_empty() || self.phase == Phase::Ending
    }

    /// Whether nothing can be queued any more.
    pub(super) fn is_closed(&self) -> bool {
        self.phase != Phase::Open
    }

    /// Whether the end was written.
    pub(super) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// How many bytes that were queued are not written, or never will be.
    pub(super) fn unwritten_bytes(&self) -> usize {
        self.dropped + self.queue.iter().map(Bytes::len).sum::<usize>()
    }

    /// What the client wishes.
    pub(super) fn wish(&self) -> &Wish {
        &self.wish
    }

    /// What the response itself says of its priority.
    pub(super) const fn prefer(&mut self, priority: Priority) {
        self.priority = priority;
    }

    /// Takes the priority that holds now; it counts from the next packet on.
    fn rank(&mut self) {
        let priority = self.priority.or(self.wish.get());
        let rank = priority.rank(self.wish.number());
        if rank != self.rank {
            self.rank = rank;
            // an error says that the stream is closed already
            let _ = self.stream.set_priority(rank);
        }
    }

    /// How slowly it may be taken.
    pub(super) const fn taking(&mut self) -> &mut Taking {
        &mut self.taking
    }

    /// How long the client may take nothing of it.
    pub(super) const fn grace(&self) -> Duration {
        self.taking.grace()
    }

    /// Writes all that is queued, and the end if it is due, as long as the client takes it at a
    /// bearable pace, over all calls together.
    ///
    /// # Cancel safety
    ///
    /// What was not written stays queued.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if self.phase == Phase::Aborted {
            return Err(Error::Aborted);
        }
        while !self.queue.is_empty() {
            self.rank();
            let write = self.stream.write_chunks(self.queue.make_contiguous());
            let written = match self.taking.bound(write).await {
                Ok(Ok(written)) => written,
                Ok(Err(WriteError::Stopped(_))) => {
                    return Err(self.fail(Code::REQUEST_CANCELLED, Error::Gone));
                }
                Ok(Err(_)) => return Err(self.fail(Code::INTERNAL_ERROR, Error::Gone)),
                Err(TooSlow) => return Err(self.fail(Code::REQUEST_CANCELLED, Error::Stalled)),
            };
            self.taking.moved(written.bytes);
            self.queue.drain(..written.chunks);
        }
        if self.phase == Phase::Ending {
            self.phase = Phase::Ended;
            self.ended.store(true, Ordering::Release);
            // an error says that the client has stopped the stream: nobody waits for the end
            let _ = self.stream.finish();
        }
        Ok(())
    }

    /// Waits until the client does not want the response any more. Never returns once the
    /// response was delivered.
    ///
    /// # Cancel safety
    ///
    /// Holds no state.
    pub(super) async fn given_up(&self) {
        if let Ok(None) = self.stream.stopped().await {
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether the response was written to its end, once the client has acknowledged it
    /// or is gone. May be awaited after the response was dropped.
    pub(super) fn delivered(&self) -> impl Future<Output = bool> + Send + use<> {
        let (stopped, ended) = (self.stream.stopped(), Arc::clone(&self.ended));
        async move {
            // a stream that was reset never reports that it is closed
            let ended = ended.load(Ordering::Acquire);
            ended && matches!(stopped.await, Ok(None))
        }
    }

    fn fail(&mut self, code: Code, error: Error) -> Error {
        self.abort(code);
        error
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.abort(Code::INTERNAL_ERROR);
    }
}
