//! The inputs of a target's corpus, for the tests that replay it.

use std::path::Path;
use std::{fs, io};

/// Gives every input of a corpus to a check, with the name of its file; tells how many there were.
pub fn each(target: &str, mut check: impl FnMut(&str, &[u8])) -> io::Result<usize> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut count = 0;
    for entry in fs::read_dir(corpora.join(target))? {
        let path = entry?.path();
        check(&path.display().to_string(), &fs::read(&path)?);
        count += 1;
    }
    Ok(count)
}
