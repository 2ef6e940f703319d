//! The HTTP/3 front of the tiers: requests come in over QUIC and run through the same application
//! as those over TCP.
//!
//! 1. [`bind`] opens the socket; [`serve`] takes connections until the shutdown.
//! 2. `connection` keeps one client's streams and its orderly end, `uni` its critical streams.
//! 3. `request` sees one stream through: `inbound` cuts it into frames ([`frame`]), unpacks the
//!    header ([`qpack`]) and believes it only after [`fields`] has checked it.
//! 4. `account` keeps what a connection costs: its noise, and how slowly it takes its answers.
//! 5. What goes first is asked of [`crate::priority`]; the packets' order is QUIC's.
//! 6. `session` is the request as pingora sees it; `reply` holds the response to what its header
//!    promises, and `outbound` writes it.
//!
//! Invariants: a response ends with FIN only if the application finished it and its length is the
//! one it declared, otherwise with RESET; no stream is stopped with code 0; a request whose body
//! has not the declared length is never seen as complete; whatever a client sends, a connection
//! holds a bounded amount of memory.

mod account;
mod batch;
mod code;
mod connection;
#[doc(hidden)]
pub mod fields;
#[doc(hidden)]
pub mod frame;
mod inbound;
mod listener;
mod metrics;
mod outbound;
#[doc(hidden)]
pub mod qpack;
mod reply;
mod request;
mod session;
mod settings;
mod steering;
#[cfg(test)]
mod tests;
mod uni;
mod varint;

#[doc(hidden)]
pub use code::{Code, Fault};
pub use listener::{Listener, bind, bind_beside, serve};
pub use metrics::{Counters, Metrics};
pub use settings::Settings;
pub use steering::{Steering, Tag};
