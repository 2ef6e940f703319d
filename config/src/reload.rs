//! What of a changed configuration takes effect without a restart.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::problem::Problem;

/// What a role makes of a configuration that was read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload<C> {
    /// What holds from now on: what changed and may, beside what cannot change.
    pub config: C,
    /// The keys that change.
    pub taken: Vec<String>,
    /// The keys that are other than those the role was started with, and cannot change.
    pub waiting: Vec<String>,
}

impl<C: Serialize + DeserializeOwned> Reload<C> {
    /// Compares what was `read` with what the role was `started` with and what is `current`. `reloaded` names the keys
    /// that may change; one that ends in `.` stands for a section.
    ///
    /// # Errors
    /// When a configuration is not what it was written from, which would be a fault of its type.
    pub fn plan(
        started: &C,
        current: &C,
        read: &C,
        reloaded: &[&str],
    ) -> Result<Self, Vec<Problem>> {
        let table = |config: &C| Table::try_from(config).map_err(|error| fault(&error));
        let (mut effective, current, read) = (table(started)?, table(current)?, table(read)?);
        let mut plan = Plan {
            reloaded,
            taken: Vec::new(),
            waiting: Vec::new(),
        };
        plan.merge("", &mut effective, &current, &read);
        let Plan { taken, waiting, .. } = plan;
        let config = Value::Table(effective).try_into();
        Ok(Self {
            config: config.map_err(|error| fault(&error))?,
            taken,
            waiting,
        })
    }
}

struct Plan<'a> {
    reloaded: &'a [&'a str],
    taken: Vec<String>,
    waiting: Vec<String>,
}

impl Plan<'_> {
    fn merge(&mut self, section: &str, into: &mut Table, current: &Table, read: &Table) {
        for (name, value) in read {
            let key = format!("{section}{name}");
            let known = (into.get_mut(name), current.get(name));
            if let (Some(Value::Table(into)), Some(Value::Table(current))) = known
                && let Value::Table(read) = value
            {
                self.merge(&format!("{key}."), into, current, read);
            } else if self.may_change(&key) {
                if current.get(name) != Some(value) {
                    self.taken.push(key);
                }
                into.insert(name.clone(), value.clone());
            } else if into.get(name) != Some(value) {
                self.waiting.push(key);
            }
        }
    }

    fn may_change(&self, key: &str) -> bool {
        self.reloaded
            .iter()
            .any(|known| *known == key || (known.ends_with('.') && key.starts_with(known)))
    }
}

fn fault(error: &dyn std::fmt::Display) -> Vec<Problem> {
    vec![Problem::new("", error.to_string())]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Config {
        name: String,
        rate: u32,
        listen: Listen,
        limits: Limits,
    }

    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Listen {
        port: u16,
        proxies: Vec<String>,
    }

    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Limits {
        slow: u32,
    }

    const RELOADED: [&str; 3] = ["rate", "listen.proxies", "limits."];

    fn plan(started: &Config, current: &Config, read: &Config) -> Reload<Config> {
        Reload::plan(started, current, read, &RELOADED).unwrap()
    }

    #[test]
    fn what_may_change_does_and_what_may_not_is_named() {
        let started = Config::default();
        assert_eq!(plan(&started, &started, &started).taken, [""; 0]);
        let mut read = started.clone();
        (read.rate, read.limits.slow) = (1, 2);
        read.listen.proxies.push("a".to_owned());
        (read.name, read.listen.port) = ("other".to_owned(), 3);
        let first = plan(&started, &started, &read);
        assert_eq!(first.taken, ["limits.slow", "listen.proxies", "rate"]);
        assert_eq!(first.waiting, ["listen.port", "name"]);
        let mut expected = read.clone();
        (expected.name, expected.listen.port) = (String::new(), 0);
        assert_eq!(first.config, expected);
        // Read again, nothing is new, and what waits waits.
        let again = plan(&started, &first.config, &read);
        assert_eq!((again.taken.len(), again.waiting), (0, first.waiting));
        // Taken back, everything is as it was.
        let back = plan(&started, &first.config, &started);
        assert_eq!(back.taken, ["limits.slow", "listen.proxies", "rate"]);
        assert_eq!((back.config, back.waiting.len()), (started, 0));
    }
}
