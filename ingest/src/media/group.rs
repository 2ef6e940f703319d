//! A group of processes that end together: what an encoder starts besides itself does not outlive it.

use std::{io, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A group that others may join, and that ends when this is dropped, or when this process is killed.
///
/// Its first member is a shell that waits for its standard input to end, and then kills every member, so that nobody
/// stays when this process cannot kill them itself any more. A confined process cannot leave the group, and where
/// signals are confined as well it cannot stop or kill the shell; where they are not, the group is killed all the same
/// by whoever has this, from outside.
pub(super) struct Group {
    first: Child,
    id: Pid,
}

impl Group {
    pub(super) fn new() -> io::Result<Self> {
        let first = Command::new("/bin/sh")
            .args(["-c", "read -r never; kill -9 0"])
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let id = first.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("a process without a number"))?;
        Ok(Self { first, id })
    }

    /// What the group is called.
    pub(super) const fn id(&self) -> Pid {
        self.id
    }

    /// Kills every member, those that are stopped too.
    pub(super) fn kill(&mut self) {
        drop(self.first.stdin.take());
        // Until it was waited for, the first member keeps the name from being another group's.
        if self.first.id().is_some()
            && let Err(error) = kill_process_group(self.id, Signal::KILL)
        {
            // Such as from a thread that has confined itself: the shell does it.
            tracing::debug!(%error, "cannot kill what an encoder started");
        }
    }

    /// Waits until the first member has ended.
    ///
    /// # Cancel safety
    /// May be called again.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        self.first.wait().await.map(drop)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
