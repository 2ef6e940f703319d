//! Whole-house tests: see `house.rs` and `scenarios/`.
