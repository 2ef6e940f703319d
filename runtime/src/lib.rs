//! What every process has: a clock, a log, metrics and health, a way to stop, ways to listen within limits, an HTTP
//! client, when certificates end, secrets in files, folders to write in, files that are read again, a word with its supervisor, a way to be replaced by a new process;
//! and what its API refuses, and to whom, and how that is described.

pub mod body;
pub mod clock;
pub mod description;
pub mod folder;
pub mod http;
pub mod internal;
pub mod life;
pub mod listen;
pub mod log;
pub mod notify;
pub mod operator;
mod plain;
pub mod problem;
pub mod secret;
pub mod shutdown;
pub mod tls;
pub mod upgrade;
pub mod watched;
