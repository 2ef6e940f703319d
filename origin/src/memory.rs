//! Memory for bodies: taken before one is read or made, given back when the last of it was sent.

use std::{sync::Arc, time::Duration};

use contracts::reason::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::Fault;

/// A share of the memory; given back when the last of its holders drops it. Work that goes on after nobody waits for it
/// any more holds it as well.
pub(crate) type Claim = Arc<OwnedSemaphorePermit>;

/// All that may be taken together.
pub(crate) struct Memory {
    /// Permits are KiB.
    free: Arc<Semaphore>,
    all: u32,
    wait: Duration,
}

impl Memory {
    /// So many bytes, for which one waits so long.
    pub(crate) fn new(bytes: u64, wait: Duration) -> Self {
        let all = u32::try_from(bytes >> 10).unwrap_or(MOST).min(MOST);
        let permits = usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            all,
            wait,
        }
    }

    /// Waits for so many bytes. What is larger than all there is takes all, and so stands alone. Whoever holds a
    /// claim takes no second one: two who did would wait for each other.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Claim, Fault> {
        let wanted = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let wanted = wanted.clamp(1, self.all);
        let permit = Arc::clone(&self.free).acquire_many_owned(wanted);
        match tokio::time::timeout(self.wait, permit).await {
            Ok(Ok(permit)) => Ok(Arc::new(permit)),
            Ok(Err(_)) => Err(Fault::new(
                Reason::Internal,
                "the memory for packing is closed",
            )),
            Err(_) => Err(Fault::new(Reason::Busy, "the memory for packing is taken")),
        }
    }
}

/// The most that is counted, in KiB: a TiB.
const MOST: u32 = 1 << 30;
