//! What players tell of a playback: in as events, out as views, watch time and quality of experience by hour.
//!
//! The main path:
//! 1. [`event`] reads what a player tells; [`cmcd`] reads the same out of Common Media Client Data;
//! 2. [`Collector`] takes it for a session and appends it to the [`log`], which has it durably before
//!    the player is told so;
//! 3. [`Folder`] follows the log: [`count`](fold::count) says what a session comes to, and
//!    what that adds to what it came to before goes to the catalogue, with the position in the log,
//!    in one transaction.
//!
//! What always holds: what was taken is folded, and counts once, in whatever order it came, however
//! often it came, and wherever the folder was killed; nothing that a client sends grows without a bound.

pub mod cmcd;
mod collector;
pub mod event;
pub mod fold;
pub mod log;
mod metrics;
mod record;

pub use collector::{Collector, EdgeOf, LATEST_S, Rejected, Taken};
pub use fold::Folder;
pub use metrics::Metrics;
pub use record::{Playback, Source};
