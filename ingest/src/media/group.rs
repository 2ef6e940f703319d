//! A group of processes that end together: what an encoder starts besides itself does not outlive it.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

/// A group that others may join, and that ends when this is dropped, or when this process is killed.
///
/// Its first member is a shell that waits for its standard input to end, and then kills every member. That is
/// not for a confined process to prevent: it cannot leave the group, nor send a signal to who is not confined.
pub(super) struct Group {
    first: Child,
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
            .spawn()?;
        Ok(Self { first })
    }

    /// What the group is called.
    pub(super) fn id(&self) -> u32 {
        self.first.id()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.first.stdin.take());
        // It is a member itself; when it has ended, all have been killed.
        if let Err(error) = self.first.wait() {
            tracing::warn!(%error, "cannot tell whether what an encoder started has ended");
        }
    }
}
