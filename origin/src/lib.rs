//! The origin: an address becomes bytes. The one place where media meets HTTP.
//!
//! It answers tiers, not viewers: the first shield behind the edges asks it, over HTTP/1.1 or h2c.
//!
//! The walk of a request, as [`start`] sets it up:
//! 1. `request` admits it: the hop credential, the method, the target, and the address in it;
//! 2. `library` finds the film: `asset.json` (kept for seconds) and the indexes of its renditions (kept by weight);
//! 3. `media` makes the body: a playlist from the indexes, or a segment out of one ranged read a stream;
//! 4. `answer` dresses it: type, strong `ETag`, freshness, access, purge tags, `304`, a range; or a problem.
//!
//! Invariants:
//! - What is damaged is answered with a problem and counted; no byte leaves that the index does not vouch for.
//! - A body and its `ETag` depend on the published film and the address alone: any origin over the same store
//!   gives the same, after any restart.
//! - Memory for packing is bounded by [`config::Config::pack_memory`]; who does not fit waits, then hears 503.

mod answer;
pub mod config;
mod library;
mod media;
mod metrics;
mod range;
mod request;
mod serve;
mod shelf;

pub use serve::{Error, Running, start};
