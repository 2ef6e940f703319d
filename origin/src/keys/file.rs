//! Keys in a folder of this machine: one document a film, for one machine with no service beside it.

use std::{io, path::PathBuf, time::Duration};

use async_trait::async_trait;
use contracts::{id::VideoId, reason::Reason};
use tokio::{fs::File, io::AsyncReadExt};

use super::{Keys, Known, MAX_DOCUMENT, read};
use crate::fault::Fault;

/// A folder of documents.
pub(crate) struct Folder {
    path: PathBuf,
    wait: Duration,
}

impl Folder {
    pub(crate) fn new(path: PathBuf, wait: Duration) -> Self {
        Self { path, wait }
    }

    async fn load(&self, video: &VideoId) -> io::Result<Option<Vec<u8>>> {
        // A film's id has no separator and is no `..`, so that it stays in the folder.
        let file = match File::open(self.path.join(format!("{video}.json"))).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut document = Vec::new();
        let most = u64::try_from(MAX_DOCUMENT + 1).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut document).await?;
        Ok(Some(document))
    }
}

#[async_trait]
impl Keys for Folder {
    async fn of(&self, video: &VideoId) -> Result<Known, Fault> {
        let loaded = tokio::time::timeout(self.wait, self.load(video)).await;
        let loaded = loaded.map_err(|_| {
            let what = "the folder of keys did not answer in time";
            Fault::new(Reason::TooSlow, what)
        })?;
        let document = loaded.map_err(|error| {
            let what = format!("the folder of keys cannot be read: {error}");
            Fault::new(Reason::Unreachable, what)
        })?;
        let keys = document
            .map(|document| read(&document, video))
            .transpose()?;
        Ok(Known { keys, seq: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::conformance::{self, Peer};

    struct Shelf(tempfile::TempDir);

    #[async_trait]
    impl Peer for Shelf {
        async fn put(&self, video: &str, document: &[u8]) {
            std::fs::write(self.0.path().join(format!("{video}.json")), document).unwrap();
        }
    }

    #[tokio::test]
    async fn a_folder_keeps_the_promises_of_keys() {
        let shelf = Shelf(tempfile::tempdir().unwrap());
        let keys = Folder::new(shelf.0.path().to_owned(), Duration::from_secs(10));
        conformance::all(&keys, &shelf).await;
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_as_unreachable() {
        let shelf = tempfile::tempdir().unwrap();
        std::fs::create_dir(shelf.path().join("film.json")).unwrap();
        let keys = Folder::new(shelf.path().to_owned(), Duration::from_secs(10));
        let fault = keys.of(&VideoId::parse("film").unwrap()).await.unwrap_err();
        assert_eq!(fault.reason, Reason::Unreachable);
    }
}
