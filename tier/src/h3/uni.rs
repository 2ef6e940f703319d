//! The client's unidirectional streams: RFC 9114 §6.2 and §7.2, RFC 9204 §4.2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream};

use super::account::Account;
use super::code::{Code, Fault};
use super::frame::{self, Frame};
use super::qpack::{DecoderStream, EncoderStream};
use super::varint;
use crate::priority::Wish;
use crate::spoken::Spoken;

/// The critical streams that the client has opened; each may be opened once.
#[derive(Debug, Default)]
pub(super) struct Critical {
    control: AtomicBool,
    encoder: AtomicBool,
    decoder: AtomicBool,
}

/// Serves one stream to its end. Critical streams have no end but the connection's.
pub(super) async fn serve(
    stream: RecvStream,
    critical: Arc<Critical>,
    account: Account,
    wishes: Arc<Spoken<Wish>>,
) -> Result<(), Fault> {
    let mut stream = Uni {
        stream,
        input: Bytes::new(),
        account,
        wishes,
    };
    let Some(kind) = stream.kind().await else {
        return Ok(());
    };
    let taken = match u8::try_from(kind) {
        Ok(CONTROL) => &critical.control,
        Ok(QPACK_ENCODER) => &critical.encoder,
        Ok(QPACK_DECODER) => &critical.decoder,
        // only servers push
        Ok(PUSH) => return Err(Fault::Connection(Code::STREAM_CREATION_ERROR)),
        _ => {
            // RFC 9114 §6.2: of no use to us, and no fault
            let _ = stream.stream.stop(Code::STREAM_CREATION_ERROR.into());
            return Ok(());
        }
    };
    if taken.swap(true, Ordering::Relaxed) {
        return Err(Fault::Connection(Code::STREAM_CREATION_ERROR));
    }
    let never = match u8::try_from(kind) {
        Ok(CONTROL) => stream.control().await,
        Ok(QPACK_ENCODER) => stream.qpack(|bytes| EncoderStream.check(bytes)).await,
        _ => {
            let mut decoder = DecoderStream::default();
            stream.qpack(|bytes| decoder.check(bytes)).await
        }
    };
    never.map(|never| match never {})
}

/// A stream and what was read of it.
struct Uni {
    stream: RecvStream,
    input: Bytes,
    account: Account,
    wishes: Arc<Spoken<Wish>>,
}

/// The result of reading a stream that may not end.
enum Never {}

impl Uni {
    /// The stream's type; `None` when it ends before that is known, which is no fault.
    async fn kind(&mut self) -> Option<u64> {
        let mut head = BytesMut::new();
        loop {
            if let Some((kind, taken)) = varint::decode(&head) {
                head.advance(taken);
                self.input = head.freeze();
                return Some(kind);
            }
            let chunk = self.stream.read_chunk(READ_BYTES, true).await.ok()??;
            head.extend_from_slice(&chunk.bytes);
        }
    }

    /// The control stream: SETTINGS first and once, and no frames of requests.
    async fn control(&mut self) -> Result<Never, Fault> {
        let limits = frame::Limits { headers_bytes: 0 };
        let mut decoder = frame::Decoder::new(limits);
        let mut state = Control::default();
        loop {
            let frame =
                decoder
                    .decode(&mut self.input)
                    .map_err(|fault| match (fault, state.settled) {
                        (Fault::Connection(code), true) => Fault::Connection(code),
                        (_, true) => Fault::Connection(Code::FRAME_UNEXPECTED),
                        // a frame that is known not to be SETTINGS stands first
                        (Fault::TooLarge | Fault::Connection(Code::FRAME_UNEXPECTED), false) => {
                            Fault::Connection(Code::MISSING_SETTINGS)
                        }
                        (fault, false) => fault,
                    })?;
            self.account.noise(decoder.take_idle())?;
            match frame {
                Some(frame) => {
                    if let Frame::PriorityUpdate(stream, priority) = frame
                        && state.settled
                    {
                        let place = self.wishes.spoken_of(stream);
                        let place = place.map_err(|_| Fault::Connection(Code::ID_ERROR))?;
                        place.inspect(|wish| wish.update(priority));
                    }
                    state.next(frame)?;
                    self.account.noise(1)?;
                }
                None if !state.settled && decoder.has_skipped() => {
                    return Err(Fault::Connection(Code::MISSING_SETTINGS));
                }
                None => self.input = self.more().await?,
            }
        }
    }

    /// A QPACK stream: whatever `check` lets through.
    async fn qpack(
        &mut self,
        mut check: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<Never, Fault> {
        loop {
            check(&self.input)?;
            // each instruction has a byte at least
            self.account.noise(self.input.len() as u64)?;
            self.input = self.more().await?;
        }
    }

    /// More bytes of a critical stream.
    async fn more(&mut self) -> Result<Bytes, Fault> {
        match self.stream.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => Ok(chunk.bytes),
            Ok(None) | Err(ReadError::Reset(_)) => {
                Err(Fault::Connection(Code::CLOSED_CRITICAL_STREAM))
            }
            Err(_) => Err(Fault::Gone),
        }
    }
}

/// What the control stream has said so far.
#[derive(Debug, Default)]
struct Control {
    settled: bool,
    max_push_id: Option<u64>,
    go_away: Option<u64>,
}

impl Control {
    fn next(&mut self, frame: Frame) -> Result<(), Fault> {
        let fault = |code| Err(Fault::Connection(code));
        match frame {
            Frame::Settings if !self.settled => self.settled = true,
            _ if !self.settled => return fault(Code::MISSING_SETTINGS),
            Frame::Settings | Frame::Data(_) | Frame::Headers(_) | Frame::PushPromise => {
                return fault(Code::FRAME_UNEXPECTED);
            }
            // we push nothing, so no push can be known (§7.2.3)
            Frame::CancelPush(_) => return fault(Code::ID_ERROR),
            Frame::MaxPushId(id) if self.max_push_id.is_some_and(|max| id < max) => {
                return fault(Code::ID_ERROR);
            }
            Frame::MaxPushId(id) => self.max_push_id = Some(id),
            Frame::GoAway(id) if self.go_away.is_some_and(|last| id > last) => {
                return fault(Code::ID_ERROR);
            }
            Frame::GoAway(id) => self.go_away = Some(id),
            Frame::PriorityUpdate(..) => {}
        }
        Ok(())
    }
}

/// Stream types: RFC 9114 §6.2.1 and §6.2.2, RFC 9204 §4.2.
pub(super) const CONTROL: u8 = 0x00;
const PUSH: u8 = 0x01;
pub(super) const QPACK_ENCODER: u8 = 0x02;
pub(super) const QPACK_DECODER: u8 = 0x03;

/// The most bytes taken from a stream at a time.
const READ_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(frames: &[Frame]) -> Result<(), Fault> {
        let mut control = Control::default();
        frames
            .iter()
            .cloned()
            .try_for_each(|frame| control.next(frame))
    }

    #[test]
    fn settings_come_first_and_once() {
        let missing = Err(Fault::Connection(Code::MISSING_SETTINGS));
        assert_eq!(after(&[Frame::GoAway(0)]), missing);
        assert_eq!(after(&[Frame::Data(Bytes::new())]), missing);
        assert_eq!(after(&[Frame::Settings]), Ok(()));
        let unexpected = Err(Fault::Connection(Code::FRAME_UNEXPECTED));
        assert_eq!(after(&[Frame::Settings, Frame::Settings]), unexpected);
        assert_eq!(
            after(&[Frame::Settings, Frame::Data(Bytes::new())]),
            unexpected
        );
        assert_eq!(after(&[Frame::Settings, Frame::PushPromise]), unexpected);
    }

    #[test]
    fn push_ids_only_grow_and_go_away_only_shrinks() {
        let id_error = Err(Fault::Connection(Code::ID_ERROR));
        assert_eq!(after(&[Frame::Settings, Frame::CancelPush(0)]), id_error);
        assert_eq!(
            after(&[Frame::Settings, Frame::MaxPushId(5), Frame::MaxPushId(5)]),
            Ok(())
        );
        assert_eq!(
            after(&[Frame::Settings, Frame::MaxPushId(5), Frame::MaxPushId(4)]),
            id_error
        );
        assert_eq!(
            after(&[Frame::Settings, Frame::GoAway(5), Frame::GoAway(0)]),
            Ok(())
        );
        assert_eq!(
            after(&[Frame::Settings, Frame::GoAway(0), Frame::GoAway(5)]),
            id_error
        );
    }
}
