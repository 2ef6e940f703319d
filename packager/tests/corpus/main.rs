//! The corpora of the fuzz targets, replayed under a ceiling of memory.
//!
//! `fuzz/corpus/{target}/` holds, a file each, the inputs that together reach all that the fuzzer reached.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "the checks are those of the fuzz targets, which must fail and are a library there"
)]

#[path = "../../../fuzz/src/lib.rs"]
mod checks;

use std::{fs, path::Path, sync::Mutex};

use peak_alloc::PeakAlloc;

/// Counts what is allocated, in this test alone.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One corpus is replayed at a time, for all share one count.
static ALONE: Mutex<()> = Mutex::new(());

/// Gives every input of a corpus to its check.
fn replay(target: &str, check: fn(&[u8]), ceiling: usize) {
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        // What is made once, for all inputs, is made in the first run.
        if count == 0 {
            check(&input);
        }
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        check(&input);
        let took = MEMORY.peak_usage() - before;
        let most = ceiling + input.len() * FACTOR;
        assert!(
            took <= most,
            "{} took {took} bytes, not {most}",
            path.display()
        );
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}

macro_rules! replayed {
    ($($test:ident: $target:literal, $check:path, $ceiling:expr;)+) => {$(
        #[test]
        fn $test() {
            replay($target, $check, $ceiling);
        }
    )+};
}

replayed! {
    mezzanines_are_packed_as_they_are_or_refused: "index_build", checks::mezzanine::check, CEILING;
    indexes_pack_their_own_file_or_nothing: "index_decode", checks::index::check, CEILING;
    configurations_are_kept_as_they_are_or_refused: "config", checks::config::check, CEILING;
    slices_are_packed_and_encrypted_whole_or_refused: "slices", checks::slices::check, CEILING;
    subtitles_are_written_as_they_are_or_refused: "text", checks::text::check, CEILING;
    targets_have_one_spelling_or_are_refused: "address", checks::address::check, CEILING;
    descriptions_read_back_as_themselves_or_are_refused: "asset", checks::asset::check, TILES;
    keys_are_betrayed_by_nothing: "keys", checks::keys::check, CEILING;
    challenges_name_a_few_keys_or_are_refused: "challenge", checks::challenge::check, CEILING;
}

/// A description of a few bytes may tell of 100 000 tiles, whose sprite is written and read here.
const TILES: usize = 64 << 20;
/// What any input may take, and what each of its bytes may take beside it.
const CEILING: usize = 4 << 20;
const FACTOR: usize = 64;
