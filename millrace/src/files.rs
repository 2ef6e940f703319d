//! What stands in the files that a configuration names: a file that is renewed in its place changes no key.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

/// The files that the configurations of edges and shields name and that a role reads when it is reloaded, by key.
const TAKEN: [&str; 10] = [
    "tls.certificate",
    "tls.key",
    "tls.client_ca_file",
    "hop_secret_file",
    "keyring_file",
    "geo_file",
    "upstream.hop_secret_file",
    "upstream.certificate",
    "upstream.key",
    "feed.ca_file",
];
/// Those that it reads at its start alone.
const WAITING: [&str; 1] = ["upstream.ca_file"];

/// Digests of what stands in files, by the key that names each; one that cannot be read has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<&'static str, [u8; 32]>);

impl Files {
    /// Reads the files that a configuration names.
    pub(crate) fn of<C: Serialize>(config: &C) -> Self {
        let table = Table::try_from(config).unwrap_or_default();
        let keys = TAKEN.into_iter().chain(WAITING);
        let read = keys.filter_map(|key| {
            let path = named(&table, key).filter(|path| !path.is_empty())?;
            let bytes = std::fs::read(Path::new(path)).ok()?;
            Some((key, Sha256::digest(bytes).into()))
        });
        Self(read.collect())
    }

    /// The keys of files that hold something else than they did, and are read again.
    pub(crate) fn taken(&self, before: &Self) -> Vec<String> {
        self.other_than(before, &TAKEN)
    }

    /// The keys of files that hold something else than at the start, and wait for another.
    pub(crate) fn waiting(&self, started: &Self) -> Vec<String> {
        self.other_than(started, &WAITING)
    }

    /// Keys that name another file now are told of by themselves; of both there must be a file.
    fn other_than(&self, before: &Self, keys: &[&'static str]) -> Vec<String> {
        let changed = |key: &&&str| match (self.0.get(**key), before.0.get(**key)) {
            (Some(now), Some(then)) => now != then,
            _ => false,
        };
        keys.iter()
            .filter(changed)
            .map(ToString::to_string)
            .collect()
    }
}

fn named<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    let mut names = key.split('.');
    let first = table.get(names.next()?)?;
    names
        .try_fold(first, |value, name| value.get(name))
        .and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_renewed_in_its_place_is_told_of_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut config = edge::config::Config::default();
        config.tls.certificate = file("chain", "first");
        config.keyring_file = file("keys", "first");
        config.upstream.ca_file = file("ca", "first");
        config.geo_file = folder.path().join("none");
        let started = Files::of(&config);
        let told = |before: &Files| {
            let now = Files::of(&config);
            (now.taken(before), now.waiting(&started))
        };
        assert_eq!(told(&started), (vec![], vec![]));
        file("chain", "second");
        file("ca", "second");
        let renewed = (
            vec!["tls.certificate".to_owned()],
            vec!["upstream.ca_file".to_owned()],
        );
        assert_eq!(told(&started), renewed);
        // What was taken is told once, what waits until it does no more.
        let taken = Files::of(&config);
        assert_eq!(told(&taken), (vec![], vec!["upstream.ca_file".to_owned()]));
        file("ca", "first");
        assert_eq!(told(&taken), (vec![], vec![]));
    }

    #[test]
    fn every_file_that_is_looked_at_is_a_key_of_an_edge_or_a_shield() {
        let edge = Table::try_from(edge::config::Config::default()).unwrap();
        let shield = Table::try_from(origin_shield::config::Config::default()).unwrap();
        for key in TAKEN.into_iter().chain(WAITING) {
            let is_there = named(&edge, key).or_else(|| named(&shield, key));
            assert!(is_there.is_some(), "{key}");
        }
    }
}
