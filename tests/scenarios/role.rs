//! A role as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::house::program;

/// A running role; it is killed when it is dropped.
pub(crate) struct Role {
    child: Child,
    listen: Value,
}

impl Role {
    /// Starts a role whose log nobody reads.
    pub(crate) fn start(role: &str, config: &Path) -> Self {
        Self::logging(role, config, Stdio::null())
    }

    /// Starts a role that logs into a file or a pipe.
    pub(crate) fn logging(role: &str, config: &Path, log: impl Into<Stdio>) -> Self {
        let mut child = Command::new(program())
            .args([role, "--leash", "--config"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = child.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{role} did not start: {line:?}"));
        Self {
            child,
            listen: ready["listen"].clone(),
        }
    }

    /// The base of a listener.
    pub(crate) fn at(&self, listener: &str) -> String {
        format!("http://{}", self.listen[listener].as_str().unwrap())
    }

    /// The base of a control plane's listener of nodes.
    pub(crate) fn door(&self) -> String {
        format!("https://{}", self.listen["nodes"].as_str().unwrap())
    }

    /// Ends it at once (SIGKILL), and returns when it has ended.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
    }
}
