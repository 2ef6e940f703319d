//! Edges and shields as real processes that are replaced while they serve.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test where they stand"
)]

mod client;
mod load;
mod origin;
mod process;

mod a_upgrade;
mod b_reload;
