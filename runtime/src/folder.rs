//! Folders in which a role writes, looked at before anything is started.

use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Says what keeps this process from writing in a folder, or from making it where it is not there. It changes nothing,
/// and what it finds may be otherwise a moment later.
///
/// # Errors
/// What is in the way, with the path at which it is.
pub fn look(folder: &Path) -> Result<(), String> {
    for at in folder.ancestors() {
        let told = |fault: &str| Err(format!("{}: {fault}", at.display()));
        match at.metadata() {
            Ok(found) if !found.is_dir() => return told("is no folder"),
            Ok(_) => {
                return accessat(
                    CWD,
                    at,
                    Access::WRITE_OK | Access::EXEC_OK,
                    AtFlags::EACCESS,
                )
                .or_else(|error| told(&format!("nothing can be written there: {error}")));
            }
            // It would be made, in the one above it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return told(&format!("cannot be looked at: {error}")),
        }
    }
    Err(format!("{}: is no absolute path", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_be_there_or_be_made_and_what_is_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(look(root.path()), Ok(()));
        assert_eq!(look(&root.path().join("a/b")), Ok(()));
        assert!(!root.path().join("a").exists(), "it is only looked at");
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let said = look(&file).unwrap_err();
        assert!(said.ends_with("/file: is no folder"), "{said}");
        let said = look(&file.join("below")).unwrap_err();
        assert!(said.contains("/file"), "{said}");
    }
}
