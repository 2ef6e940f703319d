//! Where lines go: a file, opened anew when it was moved away, or standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::config::To;
use super::queue::Batch;

/// Where lines go.
pub(super) struct Sink {
    to: To,
    open: Option<Open>,
    /// When the file's name is looked at again, and what failed is tried again.
    next_look: Option<Instant>,
    ailing: bool,
    /// The last line that was written is not whole yet.
    torn: bool,
}

struct Open {
    file: File,
    /// Device and number, by which a file is told from another of the same name.
    identity: (u64, u64),
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was written, but for so many lines of which a part was in a file that is gone.
    Written(u64),
    /// Not now: it failed a moment ago.
    Waiting,
    /// It failed, and what was not written is still in it.
    Failed(io::Error),
}

impl Sink {
    pub(super) const fn new(to: To) -> Self {
        Self {
            to,
            open: None,
            next_look: None,
            ailing: false,
            torn: false,
        }
    }

    /// Writes a batch and empties it. What failed is tried again a second later, or at once where it is the last try.
    pub(super) fn write(&mut self, batch: &mut Batch, now: Instant, is_last: bool) -> Outcome {
        let due = self.next_look.is_none_or(|next| now >= next);
        if self.ailing && !due && !is_last {
            return Outcome::Waiting;
        }
        if due || self.ailing {
            self.next_look = Some(now + LOOK);
        }
        let written = self.look(due || self.ailing, batch).and_then(|lost| {
            self.put(batch)?;
            Ok(lost)
        });
        self.ailing = written.is_err();
        match written {
            Ok(lost) => Outcome::Written(lost),
            Err(error) => {
                self.next_look = Some(now + LOOK);
                Outcome::Failed(error)
            }
        }
    }

    /// Opens the file, if it is not open or has been moved away; tells how many lines are lost by that.
    fn look(&mut self, due: bool, batch: &mut Batch) -> io::Result<u64> {
        let found = match (&self.to, &self.open) {
            (_, Some(_)) if !due => return Ok(0),
            (To::Stdout, Some(_)) => return Ok(0),
            (To::Stdout, None) => io::stdout().as_fd().try_clone_to_owned()?.into(),
            (To::File(path), Some(open)) if identity(path).ok() == Some(open.identity) => {
                return Ok(0);
            }
            (To::File(path), _) => {
                self.open = None;
                let mut options = OpenOptions::new();
                options.append(true).create(true).mode(0o640).open(path)?
            }
        };
        self.open = Some(Open::new(found)?);
        if !std::mem::take(&mut self.torn) {
            return Ok(0);
        }
        // The beginning of a line went to the other file, and its end would be none.
        let end = batch.bytes.iter().position(|byte| *byte == b'\n');
        batch.bytes.drain(..end.map_or(0, |end| end + 1));
        Ok(1)
    }

    fn put(&mut self, batch: &mut Batch) -> io::Result<()> {
        let open = self.open.as_ref().ok_or(ErrorKind::NotFound)?;
        let mut rest = batch.bytes.as_slice();
        let result = loop {
            if rest.is_empty() {
                break Ok(());
            }
            match (&open.file).write(rest) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let (done, more) = rest.split_at(written);
                    self.torn = done.last() != Some(&b'\n');
                    rest = more;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let left = rest.len();
        batch.bytes.drain(..batch.bytes.len() - left);
        result
    }
}

impl Open {
    fn new(file: File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            identity: (found.dev(), found.ino()),
            file,
        })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// How often the file's name is looked at.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(text: &str) -> Batch {
        Batch {
            bytes: text.as_bytes().to_vec(),
            lines: text.lines().count() as u64,
        }
    }

    struct Scene {
        folder: tempfile::TempDir,
        sink: Sink,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let sink = Sink::new(To::File(folder.path().join("log/access")));
            let now = Instant::now();
            Self { folder, sink, now }
        }

        fn write(&mut self, after_ms: u64, batch: &mut Batch) -> Outcome {
            self.now += Duration::from_millis(after_ms);
            self.sink.write(batch, self.now, false)
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.folder.path().join(name)).unwrap()
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let mut scene = Scene::new();
        let folder = scene.folder.path().to_owned();
        std::fs::create_dir(folder.join("log")).unwrap();
        assert!(matches!(
            scene.write(0, &mut batch("a\n")),
            Outcome::Written(0)
        ));
        std::fs::rename(folder.join("log/access"), folder.join("log/access.1")).unwrap();
        // Within the second the lines go where the file went.
        assert!(matches!(
            scene.write(500, &mut batch("b\n")),
            Outcome::Written(0)
        ));
        assert!(matches!(
            scene.write(600, &mut batch("c\n")),
            Outcome::Written(0)
        ));
        assert_eq!(scene.text("log/access.1"), "a\nb\n");
        assert_eq!(scene.text("log/access"), "c\n");
        std::fs::remove_file(folder.join("log/access")).unwrap();
        assert!(matches!(
            scene.write(1100, &mut batch("")),
            Outcome::Written(0)
        ));
        assert_eq!(
            scene.text("log/access"),
            "",
            "also when there is nothing to write"
        );
    }

    #[test]
    fn a_missing_folder_is_waited_for() {
        let mut scene = Scene::new();
        let mut lines = batch("a\n");
        assert!(matches!(scene.write(0, &mut lines), Outcome::Failed(_)));
        std::fs::create_dir(scene.folder.path().join("log")).unwrap();
        assert!(matches!(scene.write(500, &mut lines), Outcome::Waiting));
        assert_eq!(lines.bytes, b"a\n");
        assert!(matches!(scene.write(600, &mut lines), Outcome::Written(0)));
        assert_eq!(
            (scene.text("log/access").as_str(), lines.bytes.len()),
            ("a\n", 0)
        );
        // Gone once more, and it is the last try.
        std::fs::remove_dir_all(scene.folder.path().join("log")).unwrap();
        let mut lines = batch("b\n");
        assert!(matches!(scene.write(1100, &mut lines), Outcome::Failed(_)));
        std::fs::create_dir(scene.folder.path().join("log")).unwrap();
        assert!(matches!(
            scene.sink.write(&mut lines, scene.now, true),
            Outcome::Written(0)
        ));
        assert_eq!(scene.text("log/access"), "b\n");
    }

    #[test]
    fn a_full_disk_keeps_the_lines() {
        let mut sink = Sink::new(To::File("/dev/full".into()));
        let mut lines = batch("a\nb\n");
        let Outcome::Failed(error) = sink.write(&mut lines, Instant::now(), false) else {
            panic!("it was written");
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(lines.bytes, b"a\nb\n");
    }

    #[test]
    fn a_line_whose_beginning_went_elsewhere_is_lost_as_a_whole() {
        let mut scene = Scene::new();
        std::fs::create_dir(scene.folder.path().join("log")).unwrap();
        scene.sink.torn = true;
        assert!(matches!(
            scene.write(0, &mut batch("nd\nb\n")),
            Outcome::Written(1)
        ));
        assert_eq!(scene.text("log/access"), "b\n");
    }
}
