//! The caching proxy that edge and shield both are.
//!
//! The main path of a request:
//! 0. [`settings`] says how, [`node`] puts it together, and [`serving`] is what runs of it;
//! 1. [`listen`] (HTTP/1.1 and HTTP/2) or [`h3`] accepts it and hands it to the one [`app`];
//! 2. [`proxy`] leads it through its phases;
//! 3. [`admission`] lets it in, by the rule of the role, and says at which address the object is;
//! 4. [`key`] and [`cache`] find it, or one fill for everybody begins: [`intake`] says whether and how fast, [`parent`]
//!    where, `fill` what may be kept, by [`policy`] and `rfc9111`;
//! 5. `headers`, `status` and `answer` write what the client sees, [`metrics`] counts it and
//!    [`access`] notes it, with what the player says of itself ([`contracts::cmcd`]).
//!
//! Invariants: keys, parents and logs see addresses, never the target as it came; nothing of a
//! viewer's reaches a fill that others share; what was not received whole is not stored and not
//! ended cleanly; every wait has a limit.

pub mod access;
pub mod admission;
mod answer;
pub mod app;
pub mod cache;
mod changes;
mod child;
#[cfg(test)]
mod counted;
mod date;
mod error;
pub mod feed;
mod fill;
mod flood;
#[doc(hidden)]
pub mod frames;
mod guard;
mod h1;
mod h2;
pub mod h3;
mod headers;
pub mod intake;
pub mod key;
pub mod listen;
pub mod metrics;
pub mod node;
mod notes;
pub mod pace;
pub mod parent;
pub mod policy;
pub mod prefetch;
#[doc(hidden)]
pub mod priority;
mod protocol;
pub mod proxied;
pub mod proxy;
pub mod purge;
mod question;
mod rfc9111;
mod secured;
pub mod serving;
pub mod settings;
mod spoken;
mod status;
mod tcp;
pub mod tls;

pub use error::Error;
pub use headers::Viewers;
pub use protocol::Protocol;
