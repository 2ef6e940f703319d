//! An origin in this process over a store with a published film, asked as a client asks.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets something else than it wants must fail"
)]

mod carried;
mod damage;
mod delivery;
mod gated;
mod house;
mod protected;
mod refusals;
mod rotated;
mod slow;
mod texts;
mod views;
