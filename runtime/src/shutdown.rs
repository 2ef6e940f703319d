//! Asking a process, or one role in it, to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// The end that asks. Dropping it asks, too: nothing outlives its owner.
#[derive(Debug)]
pub struct Trigger {
    sender: watch::Sender<bool>,
    replaced: Arc<AtomicBool>,
}

/// The end that listens.
#[derive(Clone, Debug)]
pub struct Shutdown {
    receiver: watch::Receiver<bool>,
    replaced: Arc<AtomicBool>,
}

impl Trigger {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        let replaced = Arc::new(AtomicBool::new(false));
        let shutdown = Shutdown {
            receiver,
            replaced: Arc::clone(&replaced),
        };
        (Self { sender, replaced }, shutdown)
    }

    /// Asks everybody who listens to stop.
    pub fn fire(&self) {
        self.sender.send_replace(true);
    }

    /// Asks everybody who listens to stop, because another process serves in their place: who is connected is led
    /// there without haste.
    pub fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
        self.fire();
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        self.fire();
    }
}

impl Shutdown {
    /// Resolves when stopping was asked for.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, which is a request as well.
        let _ = self.receiver.wait_for(|stop| *stop).await;
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow()
    }

    /// The channel itself, for libraries that take one.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.receiver.clone()
    }

    /// Once stopping was asked for: whether another process serves in the place of those who stop.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }
}

/// Resolves at the first SIGINT or SIGTERM.
///
/// # Errors
/// When the process may not install signal handlers.
pub async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
