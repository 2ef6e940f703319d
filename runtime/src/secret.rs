//! Secrets in files: one line each, which is read in one way by all who compare it.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// A credential or a key. It shows itself to nobody who prints it.
#[derive(Clone)]
pub struct Secret(String);

/// A file that holds no usable secret. It tells which and why, and nothing of what stands in it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: String,
}

impl Secret {
    /// Reads a credential that one part of the house shows to another, as [`read`](Self::read) does: it has at least
    /// 16 characters.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn credential(path: &Path) -> Result<Self, Unusable> {
        Self::read(path, SHORTEST)
    }

    /// Reads a secret of at least `shortest` characters: one line of printable ASCII, for it may have to travel in a
    /// header. Blanks and line ends around it are not part of it.
    ///
    /// # Errors
    /// [`Unusable`] when the file cannot be read, or holds anything else, or more than 4 KiB.
    pub fn read(path: &Path, shortest: usize) -> Result<Self, Unusable> {
        let unusable = |fault: String| Unusable::new(path, fault);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
            .map_err(|error| unusable(format!("cannot be read: {error}")))?;
        if u64::try_from(bytes.len()).map_or(true, |length| length > LONGEST) {
            return Err(unusable("is larger than 4 KiB".to_owned()));
        }
        let text = bytes.trim_ascii();
        if text.is_empty() {
            return Err(unusable("is empty".to_owned()));
        }
        let secret = std::str::from_utf8(text).ok();
        let secret = secret.filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let secret = secret.ok_or_else(|| unusable("is not one line of ASCII".to_owned()))?;
        if secret.len() < shortest {
            return Err(unusable(format!("holds less than {shortest} characters")));
        }
        Ok(Self(secret.to_owned()))
    }

    /// The secret itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The secret itself, as it is compared and hashed.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Unusable {
    /// Says what is wrong with a file, without its content.
    pub fn new(path: &Path, fault: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            fault: fault.into(),
        }
    }
}

/// The shortest credential, in characters: one that cannot be guessed.
const SHORTEST: usize = 16;
/// The longest file, in bytes.
const LONGEST: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_stands_between_the_blanks_and_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop");
        std::fs::write(&path, " 0123456789 abcde\r\n\n").unwrap();
        let secret = Secret::read(&path, 16).unwrap();
        assert_eq!(secret.as_str(), "0123456789 abcde");
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn a_credential_that_can_be_guessed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop");
        std::fs::write(&path, "123456789012345\n").unwrap();
        let error = Secret::credential(&path).unwrap_err().to_string();
        assert!(error.contains("less than 16"), "{error}");
        std::fs::write(&path, "1234567890123456\n").unwrap();
        assert!(Secret::credential(&path).is_ok());
    }

    #[test]
    fn a_file_without_a_secret_is_refused_by_name_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop");
        let long = "x".repeat(4097);
        for (content, fault) in [
            ("\n ", "empty"),
            ("two\nlines", "one line of ASCII"),
            ("zwölf", "one line of ASCII"),
            ("short", "less than 16"),
            (long.as_str(), "4 KiB"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = Secret::read(&path, 16).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(!error.contains(content), "{error}");
        }
        let error = Secret::read(folder.path(), 1).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
