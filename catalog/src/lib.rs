//! What the site knows. A folder a domain; in each the port, its adapter, one for `SQLite` and
//! PostgreSQL, and the promises that it keeps on both.
//!
//! 1. [`open`](open()) turns an [`Address`] such as `sqlite:///var/lib/millrace/catalog.db` or
//!    `postgres://millrace@db/millrace` into a [`Catalog`], and brings its tables up to date, a
//!    [`Step`] after the other;
//! 2. [`videos`] — films, from their upload to their end;
//! 3. [`sessions`] — who watches what, until when;
//! 4. [`keys`] — what protected films are encrypted with, sealed;
//! 5. [`users`], [`logins`], [`api_keys`] — who there is, who is logged in, which backends may call; [`guesses`] — what
//!    was tried in vain;
//! 6. [`channels`] — which films belong together, and to whom;
//! 7. [`feed`] — what edges and shields are ordered to purge and to revoke; [`nodes`] — how far those are;
//!    [`members`] — those that have enrolled, and the joins of those that may;
//! 8. [`entitlements`], [`rules`] — to whom films are granted, and who may watch each, and where;
//! 9. [`encodings`] — what published films consist of;
//! 10. [`plays`] — what was played, by hour;
//! 11. [`events`] — what became of films, for those who wait for it.
//!
//! What always holds: a change of state is atomic; absent is `None`, not an error; a video that is
//! ready never falls back; progress only rises.

mod address;
pub mod api_keys;
pub mod channels;
mod digest;
pub mod encodings;
pub mod entitlements;
mod error;
pub mod events;
pub mod feed;
pub mod guesses;
pub mod keys;
pub mod logins;
pub mod members;
mod migrations;
pub mod nodes;
mod open;
pub mod plays;
pub mod rules;
pub mod sessions;
mod sql;
pub mod users;
pub mod videos;
mod words;

pub use address::Address;
pub use digest::SecretDigest;
pub use error::Error;
pub use migrations::Step;
pub use open::{Catalog, check_address, inspect, open};
pub use words::words;
