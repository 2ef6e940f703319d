//! The words in which Millrace's roles speak to each other and to the world.
//!
//! Everything here is pure: no async, no I/O, no clock. Time and keys are arguments.
//!
//! The main path, in the order a request meets it:
//! 1. [`target`] — the request target, accepted by a grammar or refused, never normalised;
//! 2. [`token`] — who may fetch it: path tokens `m1`/`m2`, the plain query form, Common Access Tokens; [`revocation`]
//!    takes them back;
//! 3. [`address`] — what it names: a playlist, a segment, an image, and in which view of the film;
//! 4. [`reason`] — why it was refused, and what every tier may do about it;
//! 5. [`header`] — the private headers that tiers exchange; [`feed`] — the orders that they follow,
//!    and [`fleet`], how they join and say how they are.
//!
//! [`cmcd`] is what players say of themselves, wherever they say it; [`json`] is how it is written down.
//!
//! [`asset`] is what ingest publishes and the origin reads, [`keys`] what protected films are encrypted with; [`id`]
//! and [`time`] are their atoms.
//!
//! Invariants: parsing returns a value or an error and never panics; a string that was parsed is
//! not looked at again; no `Debug` or `Display` shows a key, a signature or a token.

pub mod address;
pub mod asset;
pub mod caller;
pub mod cmcd;
pub mod feed;
pub mod fleet;
pub mod header;
pub mod id;
pub mod json;
pub mod keys;
pub mod reason;
pub mod revocation;
pub mod target;
pub mod time;
pub mod token;
