//! Ingest: an uploaded byte becomes a playable video.
//!
//! The path of a film:
//! 1. the upload API takes it in chunks; the rules are in [`upload`], without I/O; or over tus, in order
//!    (`tus/`), on the same store and memory;
//! 2. completing compares the whole digest, and queues a job in [`jobs`];
//! 3. a worker takes the job: [`media::probe`] finds out what the file is, [`media::ladder`] which
//!    renditions it can fill, [`media::transcode`] makes them in one ffmpeg child, and
//!    [`media::outcome`] looks at what came out;
//! 4. mezzanines, indexes, sheets of small pictures, stills and poster go to the store under a new
//!    generation; `asset.json` comes last, with the subtitles that [`texts`] knows;
//! 5. the catalogue learns that the video is ready, or why it cannot be.
//!
//! What always holds:
//! - no process holds an upload's or a job's state: any instance takes any chunk, any worker any job;
//! - a refusal loses nothing that is stored;
//! - a film is visible whole or not at all, and of one attempt only;
//! - a generation that was visible stays until nobody can be served of it ([`replaced`]);
//! - a film that cannot be made ends as *failed* with a reason for its publisher, and the worker
//!   goes on.
//!
//! [`start`](start()) runs it all; [`Config`] is what may be set.

mod api;
mod config;
mod erasing;
mod error;
pub mod jobs;
pub mod media;
mod metrics;
mod pipeline;
pub mod replaced;
mod resting;
mod schema;
mod start;
pub mod texts;
mod tus;
pub mod upload;
mod vitals;

pub use config::{Config, Settings};
pub use error::Error;
pub use start::{Running, inspect, start};
