//! What the site knows. A folder a domain; in each the port, its embedded adapter, and the promises
//! that every adapter keeps.
//!
//! 1. [`open`](open()) turns an address such as `sqlite:///var/lib/millrace/catalog.db` into a
//!    [`Catalog`];
//! 2. [`videos`] — films, from their upload to their end;
//! 3. [`sessions`] — who watches what, until when;
//! 4. [`keys`] — what protected films are encrypted with, sealed.
//!
//! What always holds: a change of state is atomic; absent is `None`, not an error; a video that is
//! ready never falls back; progress only rises.

mod error;
pub mod keys;
mod migrations;
mod open;
pub mod sessions;
pub mod videos;

pub use error::Error;
pub use open::{Catalog, check_address, open};
