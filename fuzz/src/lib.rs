//! What must hold of any input of a parser: the fuzz targets ask for it, and so do the tests that replay their corpora.
//!
//! `cargo +nightly fuzz run --no-default-features -s none slices -- -max_total_time=200 -rss_limit_mb=512 -timeout=5`
//! looks for more in one of them, without the tiers. `fuzz/corpus/{target}/` is what the test `corpus` of the packager
//! replays: about a hundred inputs that together reach nearly all that the longer runs reached.

pub mod address;
pub mod asset;
pub mod challenge;
pub mod config;
#[path = "../../packager/tests/clips/demux.rs"]
#[expect(
    dead_code,
    reason = "the packager's own tests look at more of a stream"
)]
mod demux;
pub mod encrypted;
pub mod index;
pub mod keys;
pub mod mezzanine;
pub mod muxed;
pub mod packing;
pub mod sample_aes;
pub mod slices;
pub mod text;
