//! What must hold of any input of a parser: the fuzz targets ask for it, and so do the tests that replay their corpora.

pub mod address;
pub mod asset;
pub mod config;
#[path = "../../packager/tests/clips/demux.rs"]
mod demux;
pub mod encrypted;
pub mod index;
pub mod keys;
pub mod mezzanine;
pub mod packing;
pub mod slices;
pub mod text;
