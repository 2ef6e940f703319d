//! The checked-in clips, indexed, planned, packed and read again.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that meets something else than it wants must fail"
)]

mod boxes;
mod checkers;
mod codecs;
mod damage;
mod decoded;
mod demux;
mod events;
mod films;
mod hostile;
mod iframes;
mod indexes;
mod late;
mod locked;
mod offers;
mod playlists;
mod properties;
mod protected;
mod readers;
mod segments;
mod signalling;
mod streams;
mod streams_read;
mod text;
mod thumbs;
