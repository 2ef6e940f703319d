//! The origin: an address becomes bytes. The one place where media meets HTTP.
//!
//! It answers tiers, not viewers: the first shield behind the edges asks it, over HTTP/1.1 or h2c.
//!
//! The walk of a request, as [`start`] sets it up:
//! 1. `request` admits it: the hop credential, the method, the target, and what is `asked` in it;
//! 2. `library` finds the film: `asset.json` (kept for seconds), the indexes of its renditions and its texts (kept
//!    by weight), cut into segments as the view has them;
//! 3. `lock` finds how a protected film is encrypted there, and the keys (`keys`, in memory only);
//! 4. `tag` says what the body depends on, and whoever has that body already is told so;
//! 5. `media` makes it: a playlist from the indexes, or a segment out of one ranged read a stream;
//! 6. `answer` dresses it: type, strong `ETag`, freshness, access, purge tags, `304`, a range; or a problem.
//!
//! A list that was asked for before takes a short way: `kept` has the dressed answer, and knows whether the film, its
//! description and its keys are still those that it was made of.
//!
//! Invariants:
//! - What is damaged is answered with a problem and counted; no byte of a picture or a sound leaves that its index does
//!   not vouch for, and no text but that whose SHA-256 the description tells. Still pictures go out as they lie: a
//!   sheet is as long as the description says and belongs to one generation of the film; a poster is tagged by its
//!   bytes.
//! - A body and its `ETag` depend on the published film, its keys and the address alone: any origin over the same
//!   store gives the same, after any restart.
//! - Of a protected film no picture and no sound leaves in the clear: without keys there is a problem. No key reaches
//!   a log, a metric or an error.
//! - Memory for what is read, made and sent is bounded by [`config::Config::pack_memory`], and taken before; who does
//!   not fit waits, then hears 503. What is kept has bounds of its own.

mod answer;
mod asked;
pub mod config;
mod content;
mod dress;
mod fault;
mod kept;
mod keys;
mod library;
mod lock;
mod media;
mod memory;
mod metrics;
mod range;
mod request;
mod seldom;
mod serve;
mod shelf;
mod tag;

pub use serve::{Error, Running, inspect, start, start_over};
