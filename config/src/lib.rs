//! One way to configure every role: defaults, then a TOML file, then the environment.
//!
//! 1. [`load`] merges the three layers and refuses unknown keys with their place;
//! 2. the role's own `Config::check` turns the result into settings, or into a list of
//!    [`Problem`]s that names every fault at once.
//!
//! [`Reload`] says what of a configuration that was read again takes effect without a restart.
//!
//! [`Span`] and [`ByteSize`] are the units in which durations and sizes are written.
//! The annotated files (`*.toml`, one a role) stand beside this crate and equal the defaults, which [`guide`] looks for.

pub mod guide;
mod load;
mod problem;
mod reload;
mod units;

pub use load::load;
pub use problem::{Problem, Problems};
pub use reload::Reload;
pub use units::{ByteSize, Span};
