//! The receiving half of a request stream: frames in their order, the header, the body.

use bytes::Bytes;
use futures_util::FutureExt as _;
use quinn::{ReadError, RecvStream};

use super::account::Account;
use super::code::{Code, Fault};
use super::fields::{self, Request};
use super::frame::{self, Frame};
use super::qpack;
use super::settings::Settings;

/// Reads one request.
///
/// Dropping it tells the client that the rest is not needed (`H3_NO_ERROR`), unless the client has
/// already sent everything or [`Inbound::stop`] said something else.
pub(super) struct Inbound {
    stream: RecvStream,
    /// What has been read from the stream and not yet decoded.
    input: Bytes,
    decoder: frame::Decoder,
    account: Account,
    section: qpack::Limits,
    phase: Phase,
    /// A piece of body that looking ahead has found.
    ahead: Option<Bytes>,
    /// The length that the body must have.
    declared_bytes: Option<u64>,
    received_bytes: u64,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Header,
    Body,
    AfterTrailers,
    Ended,
}

/// What is known of a body without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// The request has ended.
    End,
    /// Some of its body is here.
    Data,
    /// Nothing more has arrived yet.
    Nothing,
}

impl Inbound {
    pub(super) fn new(stream: RecvStream, account: Account, settings: &Settings) -> Self {
        let limits = frame::Limits {
            headers_bytes: settings.max_header_bytes,
        };
        Self {
            stream,
            input: Bytes::new(),
            decoder: frame::Decoder::new(limits),
            account,
            section: qpack::Limits {
                section_bytes: settings.max_header_bytes,
                fields: settings.max_header_fields,
            },
            phase: Phase::Header,
            ahead: None,
            declared_bytes: None,
            received_bytes: 0,
            fault: None,
        }
    }

    /// Reads the header. To be called once, first.
    pub(super) async fn header(&mut self) -> Result<Request, Fault> {
        match self.frame().await? {
            Some(Frame::Headers(section)) => {
                let request = fields::request(self.decoded(section)?).map_err(|reason| {
                    tracing::debug!(%reason, "refused a malformed request: {reason}");
                    Fault::Stream(Code::MESSAGE_ERROR)
                })?;
                self.phase = Phase::Body;
                self.declared_bytes = request.content_length;
                Ok(request)
            }
            Some(_) => Err(Fault::Connection(Code::FRAME_UNEXPECTED)),
            None => Err(Fault::Stream(Code::REQUEST_INCOMPLETE)),
        }
    }

    /// The next piece of the body, or `None` at its end, when it had the declared length.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Fault> {
        if let Some(piece) = self.ahead.take() {
            return Ok(Some(piece));
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let result = self.next_data().await;
        self.fault = result.as_ref().err().copied();
        result
    }

    /// Takes in what has arrived, without waiting for more.
    pub(super) fn look_ahead(&mut self) -> Result<Ahead, Fault> {
        match self.data().now_or_never() {
            Some(Ok(Some(piece))) => {
                self.ahead = Some(piece);
                Ok(Ahead::Data)
            }
            Some(Ok(None)) => Ok(Ahead::End),
            Some(Err(fault)) => Err(fault),
            None => Ok(Ahead::Nothing),
        }
    }

    /// Whether the whole request has been read.
    pub(super) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended && self.ahead.is_none()
    }

    /// Tells the client to send no more, and why.
    pub(super) fn stop(&mut self, code: Code) {
        // an error says that the stream is closed already
        let _ = self.stream.stop(code.into());
        self.phase = Phase::Ended;
        self.ahead = None;
    }

    async fn next_data(&mut self) -> Result<Option<Bytes>, Fault> {
        while self.phase != Phase::Ended {
            match self.frame().await? {
                Some(Frame::Data(_)) if self.phase == Phase::AfterTrailers => {
                    return Err(Fault::Connection(Code::FRAME_UNEXPECTED));
                }
                Some(Frame::Data(piece)) => {
                    self.received_bytes += piece.len() as u64;
                    if self
                        .declared_bytes
                        .is_some_and(|declared| self.received_bytes > declared)
                    {
                        return Err(Fault::Stream(Code::MESSAGE_ERROR));
                    }
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                Some(Frame::Headers(section)) if self.phase == Phase::Body => {
                    // trailers are checked and dropped: no tier forwards them
                    fields::trailers(self.decoded(section)?)
                        .map_err(|_| Fault::Stream(Code::MESSAGE_ERROR))?;
                    self.phase = Phase::AfterTrailers;
                }
                Some(_) => return Err(Fault::Connection(Code::FRAME_UNEXPECTED)),
                None if self
                    .declared_bytes
                    .is_none_or(|declared| declared == self.received_bytes) =>
                {
                    self.phase = Phase::Ended;
                }
                None => return Err(Fault::Stream(Code::MESSAGE_ERROR)),
            }
        }
        Ok(None)
    }

    /// The next frame, or `None` at the stream's end.
    async fn frame(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            let frame = self.decoder.decode(&mut self.input)?;
            self.account.noise(self.decoder.take_idle())?;
            if frame.is_some() {
                return Ok(frame);
            }
            match self.stream.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => self.input = chunk.bytes,
                Ok(None) if self.decoder.at_boundary() => return Ok(None),
                Ok(None) => return Err(Fault::Connection(Code::FRAME_ERROR)),
                Err(ReadError::IllegalOrderedRead) => {
                    return Err(Fault::Stream(Code::INTERNAL_ERROR));
                }
                Err(_) => return Err(Fault::Gone),
            }
        }
    }

    fn decoded(&self, section: Bytes) -> Result<Vec<qpack::Field>, Fault> {
        qpack::decode(section, &self.section).map_err(|error| match error {
            qpack::Error::TooLarge => Fault::TooLarge,
            _ => Fault::Connection(Code::QPACK_DECOMPRESSION_FAILED),
        })
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if self.phase == Phase::Ended {
            return;
        }
        // quinn would stop the stream with code 0, which clients take for a reset. Often the end
        // of the stream is here and only unread: then nothing needs to be said.
        for _ in 0..DRAIN_READS {
            match self.stream.read_chunk(READ_BYTES, true).now_or_never() {
                Some(Ok(Some(_))) => {}
                Some(Ok(None) | Err(_)) => return,
                None => break,
            }
        }
        let _ = self.stream.stop(Code::NO_ERROR.into());
    }
}

/// The most bytes taken from the stream at a time.
const READ_BYTES: usize = 64 * 1024;

/// How often a dropped request is read in search of its end.
const DRAIN_READS: usize = 8;
