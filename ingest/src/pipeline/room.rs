//! The folder of one attempt at a job, and removing those of attempts whose process was killed.
//!
//! Beside each folder lies a file that its worker holds locked while it lives: `{job}.lock` beside `{job}`.
//! Whoever gets the lock of another's may remove what is there, for its worker is gone.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use contracts::time::UnixSeconds;

use super::file;
use crate::{Error, jobs::Job};

/// A folder for one attempt, removed when dropped.
pub(super) struct Room {
    path: PathBuf,
    folder: PathBuf,
    lock: File,
}

impl Room {
    /// Makes the folder.
    pub(super) fn new(work: &Path, job: &Job) -> Result<Self, Error> {
        let (video, step) = (&job.video, job.step.as_str());
        let path = work.join(format!("{video}.{step}.{}.{}", job.part, job.attempt));
        let lock = lock(&lock_of(&path)).map_err(file(&path))?;
        let folder = path.join("room");
        fs::create_dir_all(&folder).map_err(file(&path))?;
        Ok(Self { path, folder, lock })
    }

    /// Where the original lies. Not where encoders write: it may be the store's own file.
    pub(super) fn source(&self) -> PathBuf {
        self.path.join("source")
    }

    /// Where encoders work.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what encoders made.
    pub(super) fn clear(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.folder).map_err(file(&self.path))?;
        fs::create_dir(&self.folder).map_err(file(&self.path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What is not removed now, a sweep finds.
        if let Err(error) = empty(&self.path, &self.lock) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a work folder yet");
        }
    }
}

/// Removes the folders that no living worker holds, of whichever process.
///
/// # Errors
/// When the folder of all of them cannot be read.
pub(crate) fn sweep(work: &Path, now: UnixSeconds) -> Result<(), Error> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.0);
    for entry in fs::read_dir(work).map_err(file(work))?.flatten() {
        let path = entry.path();
        let swept = match path.extension().is_some_and(|extension| extension == LOCK) {
            true => sweep_locked(&path),
            false => sweep_unlocked(&path, now),
        };
        match swept {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(path = %path.display(), "removed what a killed worker left");
            }
            // Its worker was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot remove a work folder");
            }
        }
    }
    Ok(())
}

fn sweep_locked(lock: &Path) -> io::Result<bool> {
    let held = File::open(lock)?;
    match held.try_lock() {
        Ok(()) if !is_at(&held, lock)? => Ok(false),
        Ok(()) => empty(&lock.with_extension(""), &held).map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Folders had no locks once: those without are let be while somebody of then may still be in them.
fn sweep_unlocked(path: &Path, now: SystemTime) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    let age = now.duration_since(metadata.modified()?).unwrap_or_default();
    if !metadata.is_dir() || lock_of(path).exists() || age < LOCKLESS {
        return Ok(false);
    }
    fs::remove_dir_all(path).map(|()| true)
}

/// Removes a folder and then its lock, which the caller holds until then.
fn empty(path: &Path, _held: &File) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_file(lock_of(path))
}

fn lock(path: &Path) -> io::Result<File> {
    loop {
        let file = File::create(path)?;
        file.lock()?;
        // A sweep may have taken it for an abandoned one before it was locked.
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

/// Whether a file is still the one of this name: it may have been removed, and another made since.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let own = file.metadata()?;
    Ok((there.dev(), there.ino()) == (own.dev(), own.ino()))
}

/// A folder's name ends with a number, which is no extension to be replaced.
fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(LOCK);
    name.into()
}

const LOCK: &str = "lock";
/// More than any film is worked on.
const LOCKLESS: Duration = Duration::from_secs(14 * 24 * 3600);

#[cfg(test)]
mod tests {
    use contracts::id::VideoId;
    use store::Key;

    use super::*;
    use crate::jobs::Step;

    fn job(video: &str) -> Job {
        Job {
            video: VideoId::parse(video).unwrap(),
            step: Step::Publish,
            part: 0,
            input: Key::parse("originals/v/original.mp4").unwrap(),
            owner: String::new(),
            priority: 0,
            attempt: 1,
            failures: 0,
            outages: 0,
            cuts: 0,
        }
    }

    fn names(work: &Path) -> Vec<String> {
        let entries = fs::read_dir(work).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_killed_workers_left_is_removed_and_living_ones_keep_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path();
        let alive = Room::new(work, &job("alive")).unwrap();
        fs::write(alive.source(), "film").unwrap();
        // A lock ends with the process that holds it, whatever else of it stays.
        fs::create_dir_all(work.join("dead.publish.0.1/room")).unwrap();
        fs::write(work.join("dead.publish.0.1/source"), "film").unwrap();
        fs::write(work.join("dead.publish.0.1.lock"), "").unwrap();
        fs::write(work.join("early.publish.0.1.lock"), "").unwrap();
        fs::create_dir_all(work.join("old.publish.0.1/room")).unwrap();
        sweep(work, UnixSeconds(1)).unwrap();
        let own = ["alive.publish.0.1", "alive.publish.0.1.lock"];
        let old = "old.publish.0.1";
        assert_eq!(names(work), [own[0], own[1], old], "it may be in use");
        let touched = fs::metadata(work.join(old)).unwrap().modified().unwrap();
        let touched = touched.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let later = touched + LOCKLESS;
        sweep(work, UnixSeconds(later.as_secs() + 1)).unwrap();
        assert_eq!(names(work), own);
        assert_eq!(fs::read(alive.source()).unwrap(), b"film");
        drop(alive);
        assert_eq!(names(work), [""; 0]);
    }

    #[test]
    fn a_worker_and_a_sweep_that_meet_at_one_folder_do_not_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().to_owned();
        let sweeping = {
            let work = work.clone();
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    sweep(&work, UnixSeconds(1)).unwrap();
                }
            })
        };
        for _ in 0..500 {
            let room = Room::new(&work, &job("met")).unwrap();
            fs::write(room.source(), "film").unwrap();
            assert!(room.folder().exists());
        }
        sweeping.join().unwrap();
        assert_eq!(names(&work), [""; 0]);
    }
}
