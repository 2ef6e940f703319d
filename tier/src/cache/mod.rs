//! The cache: complete objects and fills in progress in memory, complete ones on disks below, all
//! readable and seekable.
//!
//! Promises, beyond `pingora-cache`'s contract:
//! - readers of a fill stream at their own pace and never hold the writer back;
//! - a fill that fails is an error for its readers, never a clean end, and is never stored;
//! - a body whose length differs from its `Content-Length` is never stored;
//! - memory (bodies, headers and bookkeeping, also of fills, of evicted objects still being read or
//!   waiting to be written, and of pieces read from disks) stays within the limit: what cannot be made room for is not taken in;
//! - a purge also reaches the fills in flight: their readers finish, but they are not stored.
//!
//! What the disks promise is said in [`disk`].

mod below;
mod body;
mod codec;
pub mod disk;
mod doorkeeper;
mod meta;
mod metrics;
mod room;
mod storage;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use body::{Reader, Whole, Worth};
pub(crate) use meta::validated_at;
pub(crate) use metrics::DiskFigures;
pub use store::{Cache, Usage};

/// What one object costs beyond its body: index entry, header copies, queue slot, allocator slack.
const OVERHEAD: usize = 3072;
