//! QPACK without a dynamic table: RFC 9204.
//!
//! We announce a table capacity of zero and never reference the peer's, so a field section never
//! waits for another stream and costs no memory beyond its own bytes.

mod decode;
mod encode;
mod huffman;
mod instructions;
mod table;

pub use decode::{Error, Field, Limits, decode};
pub use encode::Encoder;
pub use instructions::{DecoderStream, EncoderStream};
