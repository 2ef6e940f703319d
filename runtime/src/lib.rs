//! What every process has: a clock, a log, metrics and health, a way to stop, an HTTP client.

pub mod clock;
pub mod http;
pub mod internal;
pub mod listen;
pub mod log;

pub mod secret;
pub mod shutdown;
pub mod tls;
