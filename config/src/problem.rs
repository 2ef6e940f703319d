//! What is wrong with a configuration, said so that it can be mended.

use std::{fmt, net::SocketAddr, path::Path};

/// One fault in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, as `section.key`; empty when the file as a whole is at fault.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// A fault of one key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

/// All faults that were found; a checker adds to it and ends with [`Problems::or`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a fault.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Problem::new(key, message));
    }

    /// Notes the fault of a value that does not parse, and gives the value otherwise.
    pub fn take<T, E: fmt::Display>(&mut self, key: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(key, error.to_string())).ok()
    }

    /// Notes that `key`, the file of a secret, is empty, unless `listen`, which the key `place` says, is a loopback
    /// address: whoever reaches another one must show something.
    pub fn need_secret(&mut self, key: &str, file: &Path, place: &str, listen: SocketAddr) {
        if file.as_os_str().is_empty() && !listen.ip().is_loopback() {
            let rule = format!("needed unless `{place}` is a loopback address");
            self.add(key, rule);
        }
    }

    /// Notes listeners that cannot be there together, by key and address: the later one of two at one port. Port 0 is any
    /// that is free.
    pub fn apart(&mut self, listeners: &[(&str, SocketAddr)]) {
        let meet = |one: &SocketAddr, other: &SocketAddr| {
            let all = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() != 0 && one.port() == other.port() && (all || one.ip() == other.ip())
        };
        for (at, (key, address)) in listeners.iter().enumerate() {
            let mut before = listeners.iter().take(at);
            if let Some((first, _)) = before.find(|(_, other)| meet(address, other)) {
                self.add(key, format!("{address} is taken by `{first}` already"));
            }
        }
    }

    /// The settings, when there was no fault.
    ///
    /// # Errors
    /// All faults.
    pub fn or<T>(self, settings: T) -> Result<T, Vec<Problem>> {
        if self.0.is_empty() {
            Ok(settings)
        } else {
            Err(self.0)
        }
    }

    /// Whether no fault was noted yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_listeners_at_one_port_the_later_is_named() {
        let keys = |listeners: &[(&str, &str)]| {
            let listeners = listeners
                .iter()
                .map(|(key, address)| (*key, address.parse().unwrap()));
            let mut problems = Problems::default();
            problems.apart(&listeners.collect::<Vec<_>>());
            let found = problems.into_vec().into_iter();
            found.map(|problem| problem.to_string()).collect::<Vec<_>>()
        };
        let taken = ["b: 127.0.0.1:80 is taken by `a` already"];
        assert_eq!(keys(&[("a", "127.0.0.1:80"), ("b", "127.0.0.1:80")]), taken);
        assert_eq!(keys(&[("a", "0.0.0.0:80"), ("b", "127.0.0.1:80")]), taken);
        for apart in [
            [("a", "127.0.0.1:80"), ("b", "127.0.0.2:80")],
            [("a", "127.0.0.1:80"), ("b", "127.0.0.1:81")],
            [("a", "127.0.0.1:0"), ("b", "127.0.0.1:0")],
        ] {
            assert_eq!(keys(&apart), [""; 0], "{apart:?}");
        }
    }
}
