//! Objects as files of a directory: for one machine, with no service beside it.
//!
//! A write goes to a new file in `.tmp`, is flushed to the disk, renamed into place, and the folder
//! is flushed too. A writer holds a lock on its temporary file, so that the next start can tell
//! what a killed process left behind from what another process is still writing.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::{Part, READ_LIMIT, Store, Writer, Written, buffers::Buffers};
use crate::{Digest, Error, Key};

/// A store in a directory of this machine. Several processes may share one.
#[derive(Debug, Clone)]
pub struct Directory {
    root: Arc<Path>,
    buffers: Arc<Buffers>,
    /// Whether the folder for temporary files was there once, which a file system that went away takes with it.
    marked: Arc<AtomicBool>,
}

impl Directory {
    /// Opens the store in `root`, making the folder if need be, and removes what killed writers
    /// left.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be made or read.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let temporary = root.join(TEMPORARY);
        fs::create_dir_all(&temporary).map_err(|source| Error::Io {
            subject: root.display().to_string(),
            action: "making the store's folder",
            source,
        })?;
        sweep(&temporary);
        Ok(Self::at(root))
    }

    /// The store in `root`, of which nothing is made.
    pub(crate) fn at(root: &Path) -> Self {
        let marked = root.join(TEMPORARY).is_dir();
        Self {
            root: root.into(),
            buffers: Arc::default(),
            marked: Arc::new(marked.into()),
        }
    }

    fn put_together(&self, parts: &[Part], into: &Key, promised: Digest) -> Result<u64, Error> {
        let mut temporary = Temporary::new(&self.root).map_err(failed(into, "joining"))?;
        let mut hasher = Sha256::new();
        let mut total = 0;
        for part in parts {
            let path = self.path(&part.key);
            append_part(&path, part, &mut temporary.file, &mut hasher)?;
            total += part.size_bytes;
        }
        let found = Digest::of_hasher(hasher);
        if found != promised {
            return Err(Error::DigestMismatch {
                key: into.clone(),
                promised,
                found,
            });
        }
        temporary.publish(&self.root, into)?;
        Ok(total)
    }

    /// Asked where an object is absent, lest all are taken for absent where the store is.
    fn there(&self) -> Result<(), Error> {
        let is_folder = |path: &Path| match fs::metadata(path) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if is_absent(&error) => Ok(false),
            Err(source) => Err(Error::Io {
                subject: path.display().to_string(),
                action: "looking for the store",
                source,
            }),
        };
        if is_folder(&self.root.join(TEMPORARY))? {
            self.marked.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if !self.marked.load(Ordering::Relaxed) && is_folder(&self.root)? {
            return Ok(());
        }
        Err(Error::Absent {
            place: self.root.display().to_string(),
            hint: "see that `store` names its folder, and that this is mounted",
        })
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn read_exact(&self, file: &File, key: &Key, range: Range<u64>) -> Result<Bytes, Error> {
        let size = range.end.saturating_sub(range.start);
        let length = usize::try_from(size).ok().filter(|_| size <= READ_LIMIT);
        let length = length.ok_or_else(|| Error::TooLarge {
            key: key.clone(),
            size_bytes: size,
            limit_bytes: READ_LIMIT,
        })?;
        self.buffers.lend(length, |buffer| {
            file.read_exact_at(buffer, range.start)
                .map_err(failed(key, "reading"))
        })
    }

    /// Runs blocking file work off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        key: &Key,
        action: &'static str,
        work: impl FnOnce(&Self, &Key) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (this, owned) = (self.clone(), key.clone());
        tokio::task::spawn_blocking(move || work(&this, &owned))
            .await
            .unwrap_or_else(|stopped| Err(failed(key, action)(io::Error::other(stopped))))
    }
}

#[async_trait]
impl Store for Directory {
    async fn ping(&self) -> Result<(), Error> {
        let this = self.clone();
        let asked = tokio::task::spawn_blocking(move || this.there()).await;
        asked.unwrap_or_else(|stopped| {
            Err(Error::Io {
                subject: self.root.display().to_string(),
                action: "looking for the store",
                source: io::Error::other(stopped),
            })
        })
    }

    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        self.blocking(key, "reading", |this, key| {
            let Some((file, size)) = open_object(&this.path(key), key)? else {
                return this.there().map(|()| None);
            };
            this.read_exact(&file, key, 0..size).map(Some)
        })
        .await
    }

    async fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        self.blocking(key, "reading", |this, key| {
            let Some((file, size)) = open_object(&this.path(key), key)? else {
                return this.there().map(|()| None);
            };
            if range.end > size {
                return Err(Error::Corrupt {
                    key: key.clone(),
                    needed_bytes: range.end,
                    found_bytes: size,
                });
            }
            this.read_exact(&file, key, range).map(Some)
        })
        .await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.blocking(key, "asking the size", |this, key| {
            match fs::metadata(this.path(key)) {
                Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
                Ok(_) => Ok(None),
                Err(error) if is_absent(&error) => this.there().map(|()| None),
                Err(error) => Err(failed(key, "asking the size")(error)),
            }
        })
        .await
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        self.blocking(key, "writing", move |this, key| {
            let mut temporary = Temporary::new(&this.root).map_err(failed(key, "writing"))?;
            temporary
                .file
                .write_all(&bytes)
                .map_err(failed(key, "writing"))?;
            temporary.publish(&this.root, key)
        })
        .await
    }

    async fn put_file(&self, key: &Key, local: &Path) -> Result<(), Error> {
        let local = local.to_owned();
        self.blocking(key, "storing a file", move |this, key| {
            // Renaming makes the folders above.
            this.there()?;
            let fail = failed(key, "storing a file");
            let mut source = File::open(&local).map_err(fail)?;
            source.sync_all().map_err(failed(key, "storing a file"))?;
            if rename_into_place(&local, &this.root, key).is_ok() {
                // Renaming one name of a file onto another of the same file does nothing.
                return match fs::remove_file(&local) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(failed(key, "removing the local file")(error))
                    }
                    _ => Ok(()),
                };
            }
            // Another file system: copy, then give the local file up.
            let mut temporary = Temporary::new(&this.root).map_err(failed(key, "copying"))?;
            io::copy(&mut source, &mut temporary.file).map_err(failed(key, "copying"))?;
            temporary.publish(&this.root, key)?;
            fs::remove_file(&local).map_err(failed(key, "removing the local file"))
        })
        .await
    }

    async fn writer(&self, key: &Key) -> Result<Box<dyn Writer>, Error> {
        self.blocking(key, "writing", |this, key| {
            let temporary = Temporary::new(&this.root).map_err(failed(key, "writing"))?;
            Ok(Box::new(FileWriter {
                store: this.clone(),
                key: key.clone(),
                pending: BytesMut::with_capacity(WRITE_BUFFER),
                state: Some(Box::new((temporary, Sha256::new()))),
                size_bytes: 0,
            }) as Box<dyn Writer>)
        })
        .await
    }

    async fn join(&self, parts: &[Part], into: &Key, promised: &Digest) -> Result<u64, Error> {
        let (parts, promised) = (parts.to_vec(), *promised);
        self.blocking(into, "joining", move |this, into| {
            let joined = this.put_together(&parts, into, promised);
            // It may have gone away meanwhile, and not a part of it.
            joined.or_else(|fault| this.there().and(Err(fault)))
        })
        .await
    }

    async fn fetch(&self, key: &Key, local: &Path) -> Result<bool, Error> {
        let local = local.to_owned();
        self.blocking(key, "fetching", move |this, key| {
            let stored = this.path(key);
            let fetched = match fs::hard_link(&stored, &local) {
                // A link costs nothing; it needs the same file system and its leave.
                Err(error)
                    if !is_absent(&error) && error.kind() != io::ErrorKind::AlreadyExists =>
                {
                    fs::copy(&stored, &local).map(drop)
                }
                linked => linked,
            };
            match fetched {
                Ok(()) => Ok(true),
                // Absent may also be the folder of `local`.
                Err(error) if is_absent(&error) && !stored.exists() => this.there().map(|()| false),
                Err(error) => Err(failed(key, "fetching")(error)),
            }
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.blocking(key, "deleting", |this, key| {
            let path = this.path(key);
            match fs::remove_file(&path) {
                Ok(()) => flush_folder(&path).map_err(failed(key, "deleting")),
                Err(error) if is_absent(&error) => this.there(),
                Err(error) => Err(failed(key, "deleting")(error)),
            }
        })
        .await
    }

    async fn delete_prefix(&self, prefix: &Key) -> Result<(), Error> {
        self.blocking(prefix, "deleting", |this, prefix| {
            let path = this.path(prefix);
            match fs::remove_dir_all(&path) {
                Ok(()) => flush_folder(&path).map_err(failed(prefix, "deleting")),
                // The prefix may also be an object, which has nothing below it.
                Err(error) if is_absent(&error) => this.there(),
                Err(error) => Err(failed(prefix, "deleting")(error)),
            }
        })
        .await
    }
}

/// Gathers small writes, so that a body of many frames costs few hops to the blocking threads.
struct FileWriter {
    store: Directory,
    key: Key,
    pending: BytesMut,
    /// Lent to the blocking thread during a flush; gone for good when a flush was cancelled.
    state: Option<Box<(Temporary, Sha256)>>,
    size_bytes: u64,
}

impl FileWriter {
    async fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let lost = || io::Error::other("an earlier write did not finish");
        let mut state = self
            .state
            .take()
            .ok_or_else(|| failed(&self.key, "writing")(lost()))?;
        let bytes = self.pending.split().freeze();
        let state = self
            .store
            .blocking(&self.key, "writing", move |_, key| {
                let (temporary, hasher) = state.as_mut();
                hasher.update(&bytes);
                temporary
                    .file
                    .write_all(&bytes)
                    .map_err(failed(key, "writing"))?;
                Ok(state)
            })
            .await?;
        self.state = Some(state);
        Ok(())
    }
}

#[async_trait]
impl Writer for FileWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.size_bytes += bytes.len() as u64;
        self.pending.extend_from_slice(&bytes);
        if self.pending.len() >= WRITE_BUFFER {
            self.flush().await?;
        }
        Ok(())
    }

    fn written(&self) -> Written {
        let mut hasher = self
            .state
            .as_ref()
            .map_or_else(Sha256::new, |state| state.1.clone());
        hasher.update(&self.pending);
        Written {
            size_bytes: self.size_bytes,
            sha256: Digest::of_hasher(hasher),
        }
    }

    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.flush().await?;
        let Some(state) = self.state.take() else {
            let lost = io::Error::other("an earlier write did not finish");
            return Err(failed(&self.key, "writing")(lost));
        };
        self.store
            .blocking(&self.key, "writing", move |this, key| {
                state.0.publish(&this.root, key)
            })
            .await
    }
}

/// A file that nobody sees yet; removed when dropped without being published.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn new(root: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!(
                "{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let path = root.join(TEMPORARY).join(name);
            let file = match File::create_new(&path) {
                Ok(file) => file,
                // Left by an earlier process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            file.lock()?;
            // A sweep may have taken the file for an abandoned one before it was locked.
            if path.exists() {
                return Ok(Self { file, path });
            }
        }
    }

    fn publish(mut self, root: &Path, key: &Key) -> Result<(), Error> {
        self.file.sync_all().map_err(failed(key, "flushing"))?;
        rename_into_place(&self.path, root, key).map_err(failed(key, "renaming"))?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Once published the name is free, and may be another writer's by now.
        if !self.path.as_os_str().is_empty() {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Removes temporary files that no living writer holds.
fn sweep(temporary: &Path) {
    let entries = fs::read_dir(temporary).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        // Held until the file is gone: a writer that locks it in between would take it for its own.
        if file.try_lock().is_ok() && fs::remove_file(&path).is_ok() {
            tracing::info!(path = %path.display(), "removed what a killed writer left");
        }
    }
}

fn rename_into_place(from: &Path, root: &Path, key: &Key) -> io::Result<()> {
    let to = root.join(key.as_str());
    loop {
        if let Some(folder) = to.parent() {
            make_folder(folder)?;
        }
        match fs::rename(from, &to) {
            Ok(()) => return flush_folder(&to),
            // Somebody removed the folder between the two steps.
            Err(error) if error.kind() == io::ErrorKind::NotFound && from.exists() => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes a folder and those above it, each flushed into the one that holds it.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => flush_folder(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Flushes the folder that holds `path`, which makes a rename or a removal durable.
fn flush_folder(path: &Path) -> io::Result<()> {
    match path.parent().map(File::open) {
        Some(Ok(folder)) => folder.sync_all(),
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open_object(path: &Path, key: &Key) -> Result<Option<(File, u64)>, Error> {
    let opened = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    match opened {
        Ok((file, metadata)) if metadata.is_file() => Ok(Some((file, metadata.len()))),
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failed(key, "opening")(error)),
    }
}

/// Copies one part to the whole under way, and sees that it is as long as it should be.
fn append_part(
    path: &Path,
    part: &Part,
    whole: &mut File,
    hasher: &mut Sha256,
) -> Result<(), Error> {
    let Some((mut file, size)) = open_object(path, &part.key)? else {
        return Err(Error::PartMissing {
            key: part.key.clone(),
        });
    };
    if size != part.size_bytes {
        return Err(Error::Corrupt {
            key: part.key.clone(),
            needed_bytes: part.size_bytes,
            found_bytes: size,
        });
    }
    let mut buffer = vec![0; WRITE_BUFFER];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(failed(&part.key, "reading"))?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        hasher.update(bytes);
        whole
            .write_all(bytes)
            .map_err(failed(&part.key, "joining"))?;
    }
}

/// No such file, or a folder of its path is a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn failed(key: &Key, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    let key = key.clone();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { key },
        _ => Error::Io {
            subject: key.to_string(),
            action,
            source,
        },
    }
}

const TEMPORARY: &str = ".tmp";
const WRITE_BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::conformance;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_directory_keeps_the_promises_of_a_store() {
        let folder = tempfile::tempdir().unwrap();
        conformance::all(&Directory::open(folder.path()).unwrap()).await;
        let left = fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count();
        assert_eq!(left, 0, "every writer cleaned up");
    }

    #[tokio::test]
    async fn a_folder_that_went_away_is_an_absent_store_and_not_absent_objects() {
        let folder = tempfile::tempdir().unwrap();
        let (root, away) = (folder.path().join("store"), folder.path().join("away"));
        let [absent, mounted] = [Directory::at(&root), Directory::at(folder.path())];
        assert!(matches!(absent.ping().await, Err(Error::Absent { .. })));
        assert!(!root.exists(), "who only reads makes nothing");
        mounted.ping().await.unwrap();

        let store = Directory::open(&root).unwrap();
        let reader = Directory::at(&root);
        store.put(&key("a/b"), Bytes::new()).await.unwrap();
        assert_eq!(reader.read(&key("a/c")).await.unwrap(), None);
        let part = Part {
            key: key("a/b"),
            size_bytes: 0,
        };
        fs::rename(&root, &away).unwrap();
        // What is under a mount point when nothing is mounted there.
        for left in [false, true] {
            if left {
                fs::create_dir(&root).unwrap();
            }
            let local = folder.path().join("local");
            fs::write(&local, b"x").unwrap();
            let answers = [
                reader.ping().await,
                reader.read(&key("a/b")).await.map(drop),
                reader.read_range(&key("a/b"), 0..0).await.map(drop),
                reader.size(&key("a/b")).await.map(drop),
                store
                    .fetch(&key("a/b"), &folder.path().join("x"))
                    .await
                    .map(drop),
                store.put_file(&key("a/c"), &local).await,
                store
                    .join(std::slice::from_ref(&part), &key("a/c"), &Digest::of(b""))
                    .await
                    .map(drop),
                store.delete(&key("a/b")).await,
                store.delete_prefix(&key("a")).await,
            ];
            for answer in answers {
                assert!(matches!(answer, Err(Error::Absent { .. })), "{answer:?}");
            }
            assert!(store.put(&key("a/c"), Bytes::new()).await.is_err());
        }
        fs::remove_dir(&root).unwrap();
        fs::rename(&away, &root).unwrap();
        reader.ping().await.unwrap();
        assert!(reader.read(&key("a/b")).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_start_removes_what_was_abandoned_and_leaves_what_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let first = Directory::open(folder.path()).unwrap();
        let mut writer = first.writer(&key("a")).await.unwrap();
        writer.write(Bytes::from_static(b"alive")).await.unwrap();
        fs::write(folder.path().join(TEMPORARY).join("dead"), b"half").unwrap();

        let second = Directory::open(folder.path()).unwrap();
        assert!(!folder.path().join(TEMPORARY).join("dead").exists());
        writer.commit().await.unwrap();
        assert_eq!(second.read(&key("a")).await.unwrap().unwrap(), "alive");
    }

    #[test]
    fn a_start_never_takes_a_file_from_a_writer_that_has_just_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join(TEMPORARY);
        fs::create_dir_all(&temporary).unwrap();
        let done = AtomicU64::new(0);
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    while done.load(Ordering::Relaxed) == 0 {
                        sweep(&temporary);
                    }
                });
            }
            let lost = (0..20_000).filter(|_| {
                let made = Temporary::new(folder.path()).unwrap();
                !made.path.exists()
            });
            let lost = lost.count();
            done.store(1, Ordering::Relaxed);
            assert_eq!(lost, 0);
        });
    }

    #[tokio::test]
    async fn a_read_that_would_not_fit_is_refused_before_memory_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        let sparse = File::create(folder.path().join("big")).unwrap();
        sparse.set_len(READ_LIMIT + 1).unwrap();
        let big = key("big");
        let whole = store.read(&big).await;
        assert!(matches!(whole, Err(Error::TooLarge { .. })), "{whole:?}");
        let range = store.read_range(&big, 0..READ_LIMIT + 1).await;
        assert!(matches!(range, Err(Error::TooLarge { .. })), "{range:?}");
        let tail = store.read_range(&big, READ_LIMIT..READ_LIMIT + 1);
        assert_eq!(tail.await.unwrap().unwrap().len(), 1);
    }
}
