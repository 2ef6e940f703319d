//! Guesses: what failed, counted under names that all control planes share.
//!
//! Of each name one instant is kept, until which it is burdened: what fails puts it off by what it costs, and time takes
//! it away. Names are digests that the caller makes; they say nothing of what they stand for.

pub mod conformance;
pub(crate) mod sql;

use std::time::Duration;

use async_trait::async_trait;
use contracts::time::UnixSeconds;

use crate::error::Error;

/// What has failed lately on a site.
#[async_trait]
pub trait Guesses: Send + Sync {
    /// For how much longer each of these names is burdened, in their order; nothing of one that is not.
    async fn burdens(&self, names: &[&str], now: UnixSeconds) -> Result<Vec<Duration>, Error>;

    /// Burdens names for longer, each once and by its own span: from now on, or from when its burden ends. All or none,
    /// and of several who do so at once, all count.
    async fn burden(&self, names: &[(&str, Duration)], now: UnixSeconds) -> Result<(), Error>;

    /// Burdens a name until an instant, or longer where it is already.
    async fn burden_until(&self, name: &str, until: UnixSeconds) -> Result<(), Error>;

    /// Forgets names that are burdened no more, and tells how many.
    async fn forget(&self, now: UnixSeconds) -> Result<u64, Error>;
}
