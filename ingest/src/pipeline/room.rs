//! The folder of one attempt at a job.

use std::path::{Path, PathBuf};

use super::file;
use crate::{Error, jobs::Job};

/// A folder for one attempt, removed when dropped.
pub(super) struct Room {
    path: PathBuf,
    folder: PathBuf,
}

impl Room {
    /// Makes the folder, after removing what killed attempts at the same job left. A video's id has no
    /// dot, so no name is the start of another job's.
    pub(super) fn new(work: &Path, job: &Job) -> Result<Self, Error> {
        let prefix = format!("{}.{}.{}.", job.video, job.step.as_str(), job.part);
        for entry in std::fs::read_dir(work).map_err(file(work))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_dir_all(entry.path()).map_err(file(work))?;
            }
        }
        let path = work.join(format!("{prefix}{}", job.attempt));
        let folder = path.join("room");
        std::fs::create_dir_all(&folder).map_err(file(&path))?;
        Ok(Self { path, folder })
    }

    /// Where the original lies. Not where encoders write: it may be the store's own file.
    pub(super) fn source(&self) -> PathBuf {
        self.path.join("source")
    }

    /// Where encoders work.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a work folder");
        }
    }
}
