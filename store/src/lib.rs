//! The origin store: where films, mezzanines, indexes and images lie, whatever holds them.
//!
//! The path through it:
//! 1. [`open`](open()) turns an address such as `file:///var/lib/millrace` or `s3://bucket/prefix?…` into an
//!    [`Arc`](std::sync::Arc) of [`Store`];
//! 2. [`layout`] names the place of each thing as a [`Key`];
//! 3. the [`Store`] reads, writes and joins objects; [`objects::directory`] keeps them in a folder, `objects::s3`
//!    (feature `s3`) in a bucket.
//!
//! What always holds:
//! - an object appears whole or not at all: no reader sees half of one, also after a power cut;
//! - what a read holds in memory is bounded by [`objects::READ_LIMIT`];
//! - a [`Key`] cannot leave the store: it was parsed, and its grammar has no `..`.
//!
//! Every adapter passes [`objects::conformance`].

pub mod digest;
mod error;
pub mod key;
pub mod layout;
mod look;
pub mod objects;
mod open;

pub use digest::Digest;
pub use error::{Error, with_causes};
pub use key::Key;
pub use look::{look, watch};
pub use objects::{
    Part, Store, Writer, Written,
    direct::{Arrived, Direct},
};
pub use open::{check_address, find, inspect, open};
