//! `[cache.disk]` of every role of the tier.

use std::path::PathBuf;

use config::{ByteSize, Problems, Span};
use serde::{Deserialize, Serialize};

use super::{Cache, span, within};
use crate::cache::disk;

/// `[cache.disk]`: what the node keeps on disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Directories, best each on a disk of its own. Default none: memory only. Each object has its
    /// disk by its key, so that a disk that fails loses its own share only. At most 64.
    pub directories: Vec<Directory>,
    /// Size of the files that objects are written to, one after another; the oldest file is given
    /// up as a whole. 1MiB to 2GiB, at least twice `cache.max_object`. Default `256MiB`. Each costs
    /// a file descriptor; a directory written with another size is emptied.
    pub segment: ByteSize,
    /// Memory of objects that may wait to be written to each disk, within `cache.memory`. At most
    /// a quarter of it, for all disks together. Default `64MiB`. When a disk is slower than the
    /// parents for longer than this lasts, objects are not written.
    pub queue: ByteSize,
    /// How often an object must be asked for before it is written. 1 to 16. Default 1: at once.
    /// More spares a disk that wears what is asked for once, and keeps less after a restart.
    pub admit_after: u32,
    /// An object that is found on disk twice within this time is taken into memory. At most 1d; 0s: none is.
    /// Default `10m`.
    pub promote_within: Span,
    /// After how long a disk that failed is tried again. 100ms to 1d. Default `30s`.
    pub retry: Span,
}

/// `[[cache.disk.directories]]`: a directory for objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where it is. It must be there, is used by one process at a time, and is never made: on a
    /// disk that is not mounted, objects would fill another.
    pub path: PathBuf,
    /// What it may take. At least four segments. The index needs some 60 bytes of memory an object
    /// beyond `cache.memory`: about 60MiB a TiB of 1MiB objects.
    pub size: ByteSize,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            directories: Vec::new(),
            segment: ByteSize::mib(256),
            queue: ByteSize::mib(64),
            admit_after: 1,
            promote_within: Span::seconds(600),
            retry: Span::seconds(30),
        }
    }
}

/// Checks what a node keeps on disks; `None`: nothing.
pub(super) fn check(problems: &mut Problems, cache: &Cache) -> Option<disk::Settings> {
    let Disk {
        directories,
        segment,
        queue,
        admit_after,
        promote_within,
        retry,
    } = &cache.disk;
    let file = within(problems, "cache.disk.segment", *segment, 1 << 20, 1 << 31);
    let waiting = within(problems, "cache.disk.queue", *queue, 0, 1 << 40);
    if !(1..=16).contains(admit_after) {
        problems.add("cache.disk.admit_after", "must be 1 to 16");
    }
    let settings = disk::Settings {
        directories: directories
            .iter()
            .map(|directory| (directory.path.clone(), directory.size.0))
            .collect(),
        segment: u32::try_from(file).unwrap_or(u32::MAX),
        queue: waiting,
        admit_after: *admit_after,
        promote_within: span(
            problems,
            "cache.disk.promote_within",
            *promote_within,
            0,
            DAY_MS,
        ),
        retry: span(problems, "cache.disk.retry", *retry, 100, DAY_MS),
    };
    if directories.is_empty() {
        return None;
    }
    let key = "cache.disk.directories";
    if directories.len() > MOST_DISKS {
        problems.add(key, format!("must be at most {MOST_DISKS}"));
    }
    for (at, directory) in directories.iter().enumerate() {
        let twice = |other: &Directory| other.path == directory.path;
        let path = directory.path.display();
        if directory.path.as_os_str().is_empty() || directories.iter().take(at).any(twice) {
            problems.add(key, format!("{path:?} must be a path, and another each"));
        }
        let segments = directory.size.0 / segment.0.max(1);
        if !(4..=1 << 20).contains(&segments) {
            problems.add(key, format!("{path}: size must be 4 to 1048576 segments"));
        }
    }
    if cache.max_object.0 > segment.0 / 2 {
        problems.add(
            "cache.disk.segment",
            "must be at least twice cache.max_object",
        );
    }
    let all = queue.0.saturating_mul(directories.len() as u64);
    if all > cache.memory.0 / 4 {
        problems.add(
            "cache.disk.queue",
            "must be at most a quarter of cache.memory, for all disks together",
        );
    }
    Some(settings)
}

const DAY_MS: u64 = 86_400_000;
const MOST_DISKS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Cache);

    /// What is said of a configuration with one directory and a change.
    fn said(change: impl FnOnce(&mut Cache)) -> Vec<String> {
        let mut cache = Cache::default();
        cache.disk.directories = vec![directory("/disk", ByteSize::mib(4096))];
        change(&mut cache);
        let mut problems = Problems::default();
        drop(check(&mut problems, &cache));
        problems
            .into_vec()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn directory(path: &str, size: ByteSize) -> Directory {
        Directory {
            path: path.into(),
            size,
        }
    }

    #[test]
    fn each_fault_of_the_disks_is_told_with_its_key_and_why() {
        assert!(said(|_| ()).is_empty());
        let faults: [(Change, &str); 12] = [
            (
                |cache| cache.disk.segment = ByteSize::mib(4096),
                "cache.disk.segment: ",
            ),
            (
                |cache| cache.disk.segment = ByteSize(1000),
                "cache.disk.segment: ",
            ),
            (
                |cache| cache.disk.segment = ByteSize::mib(127),
                "cache.disk.segment: must be at least twice cache.max_object",
            ),
            (
                |cache| cache.disk.queue = ByteSize::mib(129),
                "cache.disk.queue: must be at most a quarter of cache.memory",
            ),
            (
                |cache| cache.disk.admit_after = 0,
                "cache.disk.admit_after: must be 1 to 16",
            ),
            (
                |cache| cache.disk.admit_after = 17,
                "cache.disk.admit_after: must be 1 to 16",
            ),
            (
                |cache| cache.disk.promote_within = Span::seconds(86_401),
                "cache.disk.promote_within: ",
            ),
            (
                |cache| cache.disk.retry = Span::millis(99),
                "cache.disk.retry: ",
            ),
            (
                |cache| cache.disk.directories = vec![directory("/disk", ByteSize::mib(1023))],
                "cache.disk.directories: /disk: size must be 4 to 1048576 segments",
            ),
            (
                |cache| cache.disk.directories = vec![directory("", ByteSize::mib(1024))],
                "cache.disk.directories: \"\" must be a path",
            ),
            (
                |cache| cache.disk.directories = vec![directory("/disk", ByteSize::mib(1024)); 2],
                "cache.disk.directories: \"/disk\" must be a path, and another each",
            ),
            (many, "cache.disk.directories: must be at most 64"),
        ];
        for (change, expected) in faults {
            let said = said(change);
            let first = said.first().unwrap();
            assert!(first.starts_with(expected), "{first} is not {expected}");
        }
    }

    fn many(cache: &mut Cache) {
        let name = |n: u32| directory(&format!("/{n}"), ByteSize::mib(1024));
        cache.disk.directories = (0..65).map(name).collect();
        cache.disk.queue = ByteSize::mib(1);
    }
}
