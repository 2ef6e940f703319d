//! The RAM cache: complete objects and fills in progress, both readable and seekable.
//!
//! Promises, beyond `pingora-cache`'s contract:
//! - readers of a fill stream at their own pace and never hold the writer back;
//! - a fill that fails is an error for its readers, never a clean end, and is never stored;
//! - a body whose length differs from its `Content-Length` is never stored;
//! - memory (bodies, headers and bookkeeping, also of fills and of evicted objects still being
//!   read) stays within the limit: what cannot be made room for is not taken in;
//! - a purge also reaches the fills in flight: their readers finish, but they are not stored.

mod body;
mod meta;
mod room;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use body::Reader;
pub use store::{Ram, Usage};

/// What one object costs beyond its body: index entry, header copy, queue slot, allocator slack.
const OVERHEAD: usize = 2048;
