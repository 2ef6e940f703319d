//! HTTP/3 frames: RFC 9114 §7. An incremental decoder with bounded memory, and the few encoders
//! that a server needs.

use bytes::{Buf, Bytes, BytesMut};

use crate::h3::code::{Code, Fault};
use crate::h3::varint;
use crate::priority::Priority;

/// What a decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A piece of a DATA payload as it arrived; empty only for an empty DATA frame.
    Data(Bytes),
    /// A whole HEADERS payload: an encoded field section.
    Headers(Bytes),
    /// A SETTINGS frame whose content is admissible.
    Settings,
    /// GOAWAY with its push id.
    GoAway(u64),
    /// MAX_PUSH_ID with its id.
    MaxPushId(u64),
    /// CANCEL_PUSH with its id.
    CancelPush(u64),
    /// PRIORITY_UPDATE for a request, with its stream: RFC 9218 §7.2.
    PriorityUpdate(u64, Priority),
    /// The head of a PUSH_PROMISE frame, which no client may send.
    PushPromise,
}

/// Cuts the bytes of one stream into frames. Unknown frame types are skipped.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    limits: Limits,
    /// Frames without use to anybody: unknown types and empty DATA.
    idle: u64,
    skipped: bool,
}

/// The bounds of a [`Decoder`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest HEADERS payload, in bytes.
    pub headers_bytes: usize,
}

#[derive(Debug)]
enum State {
    /// Between frames, or inside a frame's type and length.
    Head(Head),
    /// Inside a payload that is delivered whole.
    Whole {
        kind: u64,
        missing: usize,
        payload: BytesMut,
    },
    /// Inside a DATA payload.
    Data { missing: u64 },
    /// Inside a payload that nobody reads.
    Skip { missing: u64 },
}

/// The bytes of a frame's type and length that have arrived: at most two integers.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; 16],
    length: usize,
}

impl Decoder {
    /// Makes a decoder that stands at the stream's first frame.
    pub fn new(limits: Limits) -> Self {
        Self {
            state: State::Head(Head::default()),
            limits,
            idle: 0,
            skipped: false,
        }
    }

    /// Takes bytes from the head of `input` up to the end of the next frame, or piece of DATA.
    /// `None` means that `input` is used up and more is needed.
    ///
    /// # Errors
    ///
    /// [`Fault::TooLarge`] for a HEADERS frame above the limit; otherwise a connection error.
    /// After an error the decoder must not be used again.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Frame>, Fault> {
        loop {
            let frame = match &mut self.state {
                State::Head(head) => {
                    let Some((kind, length)) = head.take(input) else {
                        return Ok(None);
                    };
                    self.enter(kind, length)?
                }
                State::Data { .. } | State::Skip { .. } | State::Whole { .. }
                    if input.is_empty() =>
                {
                    return Ok(None);
                }
                State::Data { missing } => {
                    let piece = input.split_to(shorter(*missing, input.len()));
                    *missing -= piece.len() as u64;
                    if *missing == 0 {
                        self.state = State::Head(Head::default());
                    }
                    Some(Frame::Data(piece))
                }
                State::Skip { missing } => {
                    let piece = shorter(*missing, input.len());
                    input.advance(piece);
                    *missing -= piece as u64;
                    if *missing == 0 {
                        self.state = State::Head(Head::default());
                    }
                    None
                }
                State::Whole {
                    kind,
                    missing,
                    payload,
                } => {
                    let piece = input.split_to((*missing).min(input.len()));
                    *missing -= piece.len();
                    if *missing > 0 {
                        payload.extend_from_slice(&piece);
                        return Ok(None);
                    }
                    let (kind, whole) = (*kind, join(payload, piece));
                    self.state = State::Head(Head::default());
                    Some(complete(kind, whole)?)
                }
            };
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    /// Whether the stream may end here: not inside a frame.
    pub fn at_boundary(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.length == 0)
    }

    /// Whether a frame of unknown type has been skipped.
    pub fn has_skipped(&self) -> bool {
        self.skipped
    }

    /// How many frames of unknown type or without content came since it was last asked.
    pub fn take_idle(&mut self) -> u64 {
        std::mem::take(&mut self.idle)
    }

    /// Decides what to do with a payload from its frame's type and length.
    fn enter(&mut self, kind: u64, length: u64) -> Result<Option<Frame>, Fault> {
        let limit = match kind {
            DATA if length > 0 => {
                self.state = State::Data { missing: length };
                return Ok(None);
            }
            DATA => {
                self.idle += 1;
                self.state = State::Head(Head::default());
                return Ok(Some(Frame::Data(Bytes::new())));
            }
            HEADERS => self.limits.headers_bytes,
            SETTINGS => SETTINGS_BYTES,
            CANCEL_PUSH | GOAWAY | MAX_PUSH_ID => 8,
            PRIORITY_UPDATE => PRIORITY_BYTES,
            PUSH_PROMISE => return Ok(Some(Frame::PushPromise)),
            // HTTP/2's PRIORITY, PING, WINDOW_UPDATE and CONTINUATION: RFC 9114 §7.2.8
            0x02 | 0x06 | 0x08 | 0x09 => return Err(Fault::Connection(Code::FRAME_UNEXPECTED)),
            _ => {
                self.idle += 1;
                self.skipped = true;
                self.state = match length {
                    0 => State::Head(Head::default()),
                    missing => State::Skip { missing },
                };
                return Ok(None);
            }
        };
        let missing = usize::try_from(length)
            .ok()
            .filter(|length| *length <= limit);
        match (missing, kind) {
            (Some(0), _) => {
                self.state = State::Head(Head::default());
                complete(kind, Bytes::new()).map(Some)
            }
            (Some(missing), _) => {
                self.state = State::Whole {
                    kind,
                    missing,
                    payload: BytesMut::new(),
                };
                Ok(None)
            }
            (None, HEADERS) => Err(Fault::TooLarge),
            (None, SETTINGS | PRIORITY_UPDATE) => Err(Fault::Connection(Code::EXCESSIVE_LOAD)),
            (None, _) => Err(Fault::Connection(Code::FRAME_ERROR)),
        }
    }
}

impl Head {
    /// Takes bytes until type and length are complete.
    fn take(&mut self, input: &mut Bytes) -> Option<(u64, u64)> {
        while let Some(byte) = input.first().copied() {
            input.advance(1);
            *self.bytes.get_mut(self.length)? = byte;
            self.length += 1;
            let bytes = self.bytes.get(..self.length)?;
            if let Some((kind, taken)) = varint::decode(bytes)
                && let Some((length, _)) = varint::decode(bytes.get(taken..)?)
            {
                return Some((kind, length));
            }
        }
        None
    }
}

/// Writes the head of a frame; `length` bytes of payload are to follow.
pub fn head(kind: u64, length: u64, out: &mut BytesMut) {
    varint::encode(kind, out);
    varint::encode(length, out);
}

/// Writes our SETTINGS: no dynamic table, no blocked streams, and the largest field section.
pub fn settings(max_field_section_bytes: u64, out: &mut BytesMut) {
    let mut payload = BytesMut::new();
    for (id, value) in [
        (QPACK_MAX_TABLE_CAPACITY, 0),
        (MAX_FIELD_SECTION_SIZE, max_field_section_bytes),
        (QPACK_BLOCKED_STREAMS, 0),
    ] {
        varint::encode(id, &mut payload);
        varint::encode(value, &mut payload);
    }
    head(SETTINGS, payload.len() as u64, out);
    out.extend_from_slice(&payload);
}

/// Writes GOAWAY with the first request stream that will not be processed.
pub fn go_away(stream: u64, out: &mut BytesMut) {
    let mut payload = BytesMut::new();
    varint::encode(stream, &mut payload);
    head(GOAWAY, payload.len() as u64, out);
    out.extend_from_slice(&payload);
}

/// DATA: RFC 9114 §7.2.1.
pub const DATA: u64 = 0x00;
/// HEADERS: RFC 9114 §7.2.2.
pub const HEADERS: u64 = 0x01;

fn complete(kind: u64, payload: Bytes) -> Result<Frame, Fault> {
    match kind {
        HEADERS => Ok(Frame::Headers(payload)),
        SETTINGS => check_settings(&payload).map(|()| Frame::Settings),
        GOAWAY => only_integer(&payload).map(Frame::GoAway),
        PRIORITY_UPDATE => {
            let (stream, taken) =
                varint::decode(&payload).ok_or(Fault::Connection(Code::FRAME_ERROR))?;
            let value = payload.get(taken..).unwrap_or_default();
            Ok(Frame::PriorityUpdate(stream, Priority::parse(value)))
        }
        MAX_PUSH_ID => only_integer(&payload).map(Frame::MaxPushId),
        _ => only_integer(&payload).map(Frame::CancelPush),
    }
}

/// A payload that is one integer and nothing else.
fn only_integer(payload: &[u8]) -> Result<u64, Fault> {
    match varint::decode(payload) {
        Some((value, taken)) if taken == payload.len() => Ok(value),
        _ => Err(Fault::Connection(Code::FRAME_ERROR)),
    }
}

/// RFC 9114 §7.2.4: whole pairs, no identifier twice, none that HTTP/2 used up.
fn check_settings(mut payload: &[u8]) -> Result<(), Fault> {
    let mut seen = std::collections::HashSet::new();
    while !payload.is_empty() {
        let mut integer = || {
            let (value, taken) =
                varint::decode(payload).ok_or(Fault::Connection(Code::FRAME_ERROR))?;
            payload = payload.get(taken..).unwrap_or_default();
            Ok(value)
        };
        let (id, value) = (integer()?, integer()?);
        let reserved = matches!(id, 0x00 | 0x02..=0x05);
        let not_a_flag = matches!(id, ENABLE_CONNECT_PROTOCOL | H3_DATAGRAM) && value > 1;
        if reserved || not_a_flag || !seen.insert(id) {
            return Err(Fault::Connection(Code::SETTINGS_ERROR));
        }
    }
    Ok(())
}

/// The payload from what was collected before and its last piece; no copy when it came in one.
fn join(collected: &mut BytesMut, last: Bytes) -> Bytes {
    if collected.is_empty() {
        return last;
    }
    collected.extend_from_slice(&last);
    collected.split().freeze()
}

fn shorter(missing: u64, available: usize) -> usize {
    usize::try_from(missing).map_or(available, |missing| missing.min(available))
}

const CANCEL_PUSH: u64 = 0x03;
const SETTINGS: u64 = 0x04;
const PUSH_PROMISE: u64 = 0x05;
const GOAWAY: u64 = 0x07;
const MAX_PUSH_ID: u64 = 0x0d;

/// For requests; the one for pushes is as unknown here as pushes are.
const PRIORITY_UPDATE: u64 = 0xf0700;

const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
const QPACK_BLOCKED_STREAMS: u64 = 0x07;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
const H3_DATAGRAM: u64 = 0x33;

/// The largest SETTINGS payload that is read.
const SETTINGS_BYTES: usize = 1024;

/// The largest PRIORITY_UPDATE payload that is read.
const PRIORITY_BYTES: usize = 256;

#[cfg(test)]
mod tests;
