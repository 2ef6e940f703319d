//! The error codes of HTTP/3 and QPACK, and how far a fault reaches.

use quinn::VarInt;

/// An error code of RFC 9114 §8.1 or RFC 9204 §8.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

impl Code {
    /// H3_NO_ERROR
    pub const NO_ERROR: Self = Self(0x100);
    /// H3_GENERAL_PROTOCOL_ERROR
    pub const GENERAL_PROTOCOL_ERROR: Self = Self(0x101);
    /// H3_INTERNAL_ERROR
    pub const INTERNAL_ERROR: Self = Self(0x102);
    /// H3_STREAM_CREATION_ERROR
    pub const STREAM_CREATION_ERROR: Self = Self(0x103);
    /// H3_CLOSED_CRITICAL_STREAM
    pub const CLOSED_CRITICAL_STREAM: Self = Self(0x104);
    /// H3_FRAME_UNEXPECTED
    pub const FRAME_UNEXPECTED: Self = Self(0x105);
    /// H3_FRAME_ERROR
    pub const FRAME_ERROR: Self = Self(0x106);
    /// H3_EXCESSIVE_LOAD
    pub const EXCESSIVE_LOAD: Self = Self(0x107);
    /// H3_ID_ERROR
    pub const ID_ERROR: Self = Self(0x108);
    /// H3_SETTINGS_ERROR
    pub const SETTINGS_ERROR: Self = Self(0x109);
    /// H3_MISSING_SETTINGS
    pub const MISSING_SETTINGS: Self = Self(0x10a);
    /// H3_REQUEST_REJECTED
    pub const REQUEST_REJECTED: Self = Self(0x10b);
    /// H3_REQUEST_CANCELLED
    pub const REQUEST_CANCELLED: Self = Self(0x10c);
    /// H3_REQUEST_INCOMPLETE
    pub const REQUEST_INCOMPLETE: Self = Self(0x10d);
    /// H3_MESSAGE_ERROR
    pub const MESSAGE_ERROR: Self = Self(0x10e);
    /// QPACK_DECOMPRESSION_FAILED
    pub const QPACK_DECOMPRESSION_FAILED: Self = Self(0x200);
    /// QPACK_ENCODER_STREAM_ERROR
    pub const QPACK_ENCODER_STREAM_ERROR: Self = Self(0x201);
    /// QPACK_DECODER_STREAM_ERROR
    pub const QPACK_DECODER_STREAM_ERROR: Self = Self(0x202);
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code.0)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Something wrong with what the peer sent, and how far it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The whole connection ends with this code.
    #[error("connection error {0}")]
    Connection(Code),
    /// Only this stream ends, both directions, with this code.
    #[error("stream error {0}")]
    Stream(Code),
    /// The request's header is larger than is accepted: it is answered 431.
    #[error("request header too large")]
    TooLarge,
    /// The request came before the handshake was complete and is not safe to be sent twice: it is
    /// answered 425.
    #[error("request too early")]
    TooEarly,
    /// The peer gave the stream or the connection up.
    #[error("the peer gave up")]
    Gone,
}
