//! Asking a process, or one role in it, to stop.

use tokio::sync::watch;

/// The end that asks. Dropping it asks, too: nothing outlives its owner.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// The end that listens.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Trigger {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Shutdown(receiver))
    }

    /// Asks everybody who listens to stop.
    pub fn fire(&self) {
        self.0.send_replace(true);
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
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// The channel itself, for libraries that take one.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.clone()
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
