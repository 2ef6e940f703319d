//! Checks the peer's QPACK streams: RFC 9204 §4.3 and §4.4.
//!
//! With no dynamic table on either side nearly every instruction is a fault.

use crate::h3::code::{Code, Fault};

/// The peer's encoder stream, which may set a table capacity of zero and nothing else.
#[derive(Debug, Default)]
pub struct EncoderStream;

impl EncoderStream {
    /// Checks the stream's next bytes.
    ///
    /// # Errors
    ///
    /// QPACK_ENCODER_STREAM_ERROR for any instruction that would need a table.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // Set Dynamic Table Capacity 0 is this one byte (§4.3.1)
        if bytes.iter().all(|byte| *byte == 0b0010_0000) {
            return Ok(());
        }
        Err(Fault::Connection(Code::QPACK_ENCODER_STREAM_ERROR))
    }
}

/// The peer's decoder stream, which may cancel streams and nothing else.
#[derive(Debug, Default)]
pub struct DecoderStream {
    /// How many bytes of a long stream id have arrived.
    id_bytes: Option<u8>,
}

impl DecoderStream {
    /// Checks the stream's next bytes.
    ///
    /// # Errors
    ///
    /// QPACK_DECODER_STREAM_ERROR for an acknowledgement or an insert count, since we send
    /// nothing that has them, and for an integer that does not end.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for byte in bytes {
            self.id_bytes = match (self.id_bytes, byte) {
                // Stream Cancellation (§4.4.2) with a short id, and with a long one
                (None, 0b0100_0000..=0b0111_1110) => None,
                (None, 0b0111_1111) => Some(0),
                (Some(count), 0x80..) if count < 8 => Some(count + 1),
                (Some(_), ..0x80) => None,
                _ => return Err(Fault::Connection(Code::QPACK_DECODER_STREAM_ERROR)),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_stream_may_only_set_capacity_zero() {
        assert_eq!(EncoderStream.check(&[0x20, 0x20]), Ok(()));
        for bad in [0x21, 0x3f, 0x00, 0x41, 0xc0, 0x80] {
            let fault = Fault::Connection(Code::QPACK_ENCODER_STREAM_ERROR);
            assert_eq!(EncoderStream.check(&[0x20, bad]), Err(fault), "{bad:x}");
        }
    }

    #[test]
    fn the_decoder_stream_may_only_cancel() {
        let mut stream = DecoderStream::default();
        assert_eq!(stream.check(&[0x44, 0x7f, 0x80]), Ok(()));
        assert_eq!(stream.check(&[0x81, 0x01, 0x40]), Ok(()));
        let fault = Err(Fault::Connection(Code::QPACK_DECODER_STREAM_ERROR));
        for bad in [0x00, 0x01, 0x3f, 0x80, 0x84] {
            assert_eq!(DecoderStream::default().check(&[bad]), fault, "{bad:x}");
        }
        let endless = [&[0x7f][..], &[0xff; 10]].concat();
        assert_eq!(DecoderStream::default().check(&endless), fault);
    }
}
