//! The caching hop before the origin: edges fill from it, so that the origin fills each object
//! once.
//!
//! The main path:
//! 1. [`config`] says how, [`start`] binds the listeners and puts the node together;
//! 2. [`hop`] admits tiers, by the credential that they share or by the certificates of the fleet;
//! 3. [`tier`] serves from the cache or fills it from the origin.
//!
//! Invariants: a shield never sees a token; it never serves a viewer.

pub mod config;
pub mod hop;
mod start;

pub use start::{Running, inspect, start, start_after};
