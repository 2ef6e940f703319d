//! The corpora of the fuzz targets for the PROXY protocol, for HTTP/2 frames and for what players say, replayed.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/cmcd.rs"]
mod cmcd;
#[path = "../../fuzz/src/frames.rs"]
mod frames;
#[path = "../../fuzz/src/proxied.rs"]
mod proxied;

mod parser {
    pub use tier::cmcd::{Report, next_object, of_query};
    pub use tier::frames::Frames;
    pub use tier::proxied::{Progress, parse};
}

use std::{fs, path::Path};

#[test]
fn no_header_is_read_beyond_its_end() {
    each_of("proxied", proxied::check);
}

#[test]
fn frames_are_seen_alike_whole_and_in_pieces() {
    each_of("h2_frames", frames::check);
}

#[test]
fn what_players_say_is_an_object_or_nothing() {
    each_of("cmcd", cmcd::check);
}

fn each_of(target: &str, check: impl Fn(&[u8])) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut count = 0;
    for entry in fs::read_dir(corpora.join(target)).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5);
}
