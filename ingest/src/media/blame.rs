//! Whose fault it is when ffmpeg does not do what it was asked.

use super::{
    Refusal,
    child::{self, End, Limits},
    transcode::Fault,
};

/// What it means how an encoder ended.
pub(super) fn settle(end: End, limits: Limits) -> Result<(), Fault> {
    match end {
        End::Done(_) => Ok(()),
        // Of a film that it cannot read it says so.
        End::Failed(why) if why.is_empty() => Err(Fault::Tool(child::SILENT.to_owned())),
        End::Failed(why) if why.lines().any(lacks) => Err(Fault::Lacks(shown(&why))),
        End::Failed(why) if says(&why, &MEMORY) => Err(Fault::Strained(shown(&why), TOO_HEAVY)),
        End::Failed(why) if says(&why, &OURS) => Err(Fault::Tool(shown(&why))),
        End::Failed(why) => {
            tracing::info!(ffmpeg = shown(&why), "a film cannot be decoded");
            let short = why.contains(SHORT);
            Err(if short {
                Refusal::Short
            } else {
                Refusal::Damaged
            }
            .into())
        }
        End::Killed(child::TOO_LARGE) => Err(Refusal::TooLarge {
            limit_bytes: limits.file_bytes,
        }
        .into()),
        End::Killed(signal) => Err(Fault::Tool(format!("was killed by signal {signal}"))),
        End::TimedOut => Err(Refusal::TooSlow { limit: limits.time }.into()),
    }
}

/// As [`settle`] for what looks at a film or makes an image of it, and has a time that does not go by
/// the film.
pub(super) fn settle_glance(end: End, limits: Limits) -> Result<(), Fault> {
    match end {
        End::TimedOut => {
            let what = format!("did not end within {:.0} s", limits.time.as_secs_f64());
            Err(Fault::Strained(what, TOO_LONG))
        }
        end => settle(end, limits),
    }
}

/// What ffmpeg said, in one line: what a film says of itself must not look like a line of the log.
fn shown(said: &str) -> String {
    let mut shown = String::with_capacity(said.len());
    for letter in said.chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

fn says(complaint: &str, words: &[&str]) -> bool {
    words.iter().any(|words| complaint.contains(words))
}

/// Whether a complaint of ffmpeg's is about what the machine has at other times.
fn lacks(line: &str) -> bool {
    says(line, &LACKS)
        // A damaged film may be answered with this as well, but then it is not about what is written.
        || (line.contains("Input/output error") && says(line, &WRITING))
}

/// What ffmpeg says when the machine, not the film, is at fault, and not for a while only.
const OURS: [&str; 3] = [
    "Permission denied",
    "Resource temporarily unavailable",
    "Unknown encoder",
];
/// What it says of what is there again when somebody has made room.
const LACKS: [&str; 5] = [
    "No space left on device",
    "Disk quota exceeded",
    "Too many open files",
    "Read-only file system",
    "Stale file handle",
];
/// What it says of a picture or a sound that lies behind the file's end.
const SHORT: &str = ": partial file";
/// What it and its encoders say when they get no more memory; what else they then say sounds as if the
/// film were at fault ("maybe incorrect parameters").
const MEMORY: [&str; 5] = [
    "Cannot allocate memory",
    "Could not allocate memory",
    "malloc of size",
    "allocate memory failed",
    "insufficient resources",
];
pub(super) const TOO_HEAVY: &str = "making the film takes more memory than there is for one here; the file is kept, ask the operator for more";
pub(super) const TOO_LONG: &str = "looking into the film took too long each time: it is damaged, or this house is overloaded; the file is kept, try it again later";
/// What it says when it speaks of a file that it writes.
const WRITING: [&str; 6] = [
    "[out#",
    "opening output",
    "to the muxer",
    "muxing a packet",
    "write_frame",
    "writing trailer",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        Limits {
            time: Duration::ZERO,
            memory_bytes: 0,
            file_bytes: 7,
        }
    }

    fn settled(why: &str) -> Result<(), Fault> {
        match why {
            "" => settle(End::Killed(child::TOO_LARGE), limits()),
            why => settle(End::Failed(why.to_owned()), limits()),
        }
    }

    #[test]
    fn what_a_film_says_of_itself_stays_within_its_line() {
        let said = "a.mp4: No space left on device\n\u{1b}[2J{\"level\":\"error\"}\u{9b}";
        let Err(Fault::Lacks(told)) = settled(said) else {
            panic!("{said}")
        };
        let line = "a.mp4: No space left on device\\n\\u{1b}[2J{\"level\":\"error\"}\\u{9b}";
        assert_eq!(told, line);
    }

    #[test]
    fn what_this_machine_lacks_is_not_blamed_on_the_film() {
        for ours in [
            "pipe: Too many open files",
            "[out#0/mp4 @ 0x1] Error opening output a.mp4: Read-only file system",
            "[mp4 @ 0x1] x\nError submitting a packet to the muxer: Input/output error",
            "[out#1/mp4 @ 0x1] Error writing trailer: Input/output error",
            "av_interleaved_write_frame(): Disk quota exceeded",
        ] {
            assert!(matches!(settled(ours), Err(Fault::Lacks(_))), "{ours}");
        }
        let silent = settle(End::Failed(String::new()), limits());
        assert!(matches!(silent, Err(Fault::Tool(_))), "{silent:?}");
        let never = "[vost#0:0 @ 0x1] Unknown encoder 'libx264'\nError opening output file a.mp4.";
        assert!(matches!(settled(never), Err(Fault::Tool(_))));
        // As ffmpeg 4.4 said under `prlimit --as`, with 300 MB to 900 MB.
        for heavy in [
            "x264 [error]: malloc of size 5353683 failed\nError initializing output stream 0:0 -- Error while \
             opening encoder for output stream #0:0 - maybe incorrect parameters such as bit_rate, rate, \
             width or height",
            "x264 [error]: malloc of size 7332480 failed\nError submitting video frame to the encoder",
            "Error while decoding stream #0:0: Cannot allocate memory",
            "[libsvtav1 @ 0x1] Error initializing encoder: insufficient resources (0x80001000)",
        ] {
            assert!(
                matches!(settled(heavy), Err(Fault::Strained(..))),
                "{heavy}"
            );
        }
        for films in [
            "source: Input/output error",
            "[in#0 @ 0x1] Error during demuxing: Input/output error\n[out#0/mp4 @ 0x1] nothing",
            "Invalid data found when processing input",
            "Error while opening encoder for output stream #0:0 - maybe incorrect parameters",
        ] {
            let refused = matches!(settled(films), Err(Fault::Refused(Refusal::Damaged)));
            assert!(refused, "{films}");
        }
        let short =
            settled("[mov,mp4 @ 0x1] stream 0, offset 0xd4de: partial file\nConversion failed!");
        assert!(
            matches!(short, Err(Fault::Refused(Refusal::Short))),
            "{short:?}"
        );
        let refused = Refusal::TooLarge { limit_bytes: 7 };
        assert!(matches!(settled(""), Err(Fault::Refused(told)) if told == refused));
    }
}
