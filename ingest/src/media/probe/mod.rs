//! What a publisher's file is: its streams, as ffprobe tells them.

use std::{ffi::OsString, fs::File, io, io::Read, path::Path};

use self::facts::facts;
pub use self::facts::{Facts, Picture};
pub(super) use self::stream::{Stream, Tags};
use super::{
    Refusal,
    blame::{TOO_HEAVY, TOO_LONG},
    child::{self, End, Limits, Task},
};

/// Why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The machine is at fault.
    #[error("ffprobe {0}")]
    Tool(String),
    /// It took more than it may, for the film's sake or the machine's.
    #[error("ffprobe {0}")]
    Strained(String, &'static str),
    /// The machine is at fault.
    #[error("ffprobe cannot be run")]
    Io(#[from] io::Error),
}

/// Reads the facts of `file`, which lies in `folder`.
///
/// # Errors
/// [`Fault::Refused`] when no film can be made of it, else what failed on this machine.
pub async fn probe(
    ffprobe: &Path,
    file: &Path,
    folder: &Path,
    limits: Limits,
) -> Result<Facts, Fault> {
    let head = head(file)?;
    if head.is_empty() {
        return Err(Refusal::Empty.into());
    }
    let question = ["-show_format", "-show_streams", "-of", "json"].map(Into::into);
    match ask(ffprobe, file, folder, &question, limits).await? {
        Some(_) if locked::is_locked(&mut File::open(file)?).unwrap_or(false) => {
            Err(Refusal::Encrypted.into())
        }
        Some(told) => facts(&told.answer).map_err(|refusal| told.instead_of(refusal).into()),
        None if looks_like_film(&head) => Err(Refusal::Headless.into()),
        None => Err(Refusal::NotVideo.into()),
    }
}

/// Which of the first `count` pictures of a stream are key pictures, in the order of decoding.
///
/// # Errors
/// As [`probe`].
pub async fn key_pictures(
    ffprobe: &Path,
    file: &Path,
    folder: &Path,
    (stream, count): (u32, u32),
    limits: Limits,
) -> Result<Vec<bool>, Fault> {
    let question = [
        "-of".into(),
        "csv=p=0".into(),
        "-show_entries".into(),
        "packet=flags".into(),
        "-select_streams".into(),
        stream.to_string().into(),
        "-read_intervals".into(),
        format!("%+#{count}").into(),
    ];
    let lines = ask(ffprobe, file, folder, &question, limits).await?;
    lines
        .map(|lines| keys(&lines.answer))
        .ok_or_else(|| Refusal::Damaged.into())
}

/// What ffprobe says of a file.
struct Told {
    answer: Vec<u8>,
    complaints: String,
}

impl Told {
    /// A better reason than that one, where there is any in what it complains of: it gives no size of a picture that is
    /// too large for it.
    fn instead_of(&self, refusal: Refusal) -> Refusal {
        let size = self.complaints.lines().rev().find_map(|line| {
            let (_, rest) = line.split_once("Picture size ")?;
            let (width, height) = rest.strip_suffix(" is invalid")?.split_once('x')?;
            Some((width.parse().ok()?, height.parse().ok()?))
        });
        match (refusal, size) {
            (Refusal::Damaged, Some((width, height))) => Refusal::Dimensions { width, height },
            (refusal, _) => refusal,
        }
    }
}

/// What ffprobe says of a file when it is asked so; `None` when it cannot read it.
async fn ask(
    ffprobe: &Path,
    file: &Path,
    folder: &Path,
    question: &[OsString],
    limits: Limits,
) -> Result<Option<Told>, Fault> {
    let mut arguments: Vec<OsString> = vec!["-v".into(), "error".into()];
    arguments.extend_from_slice(question);
    arguments.extend(input_limits());
    arguments.extend([OsString::from("-i"), file.into()]);
    let mut answer = Vec::new();
    let task = Task {
        program: ffprobe,
        arguments: &arguments,
        folder,
        reads: &[file],
    };
    let end = child::run(task, limits, |bytes| {
        if answer.len() + bytes.len() <= MAX_ANSWER {
            answer.extend_from_slice(bytes);
        }
    });
    match end.await? {
        End::Done(complaints) => Ok(Some(Told { answer, complaints })),
        End::Failed(why) if why.contains("Cannot allocate memory") => Err(Fault::Strained(
            "had too little memory".to_owned(),
            TOO_HEAVY,
        )),
        // Of a file that it cannot read it says so.
        End::Failed(why) if why.is_empty() => Err(Fault::Tool(child::SILENT.to_owned())),
        End::Failed(_) => Ok(None),
        End::Killed(signal) => Err(Fault::Tool(format!("was killed by signal {signal}"))),
        End::TimedOut => {
            let what = format!("did not end within {:.0} s", limits.time.as_secs_f64());
            Err(Fault::Strained(what, TOO_LONG))
        }
    }
}

/// Reads one line a packet: `K_` for a key picture.
fn keys(lines: &[u8]) -> Vec<bool> {
    let lines = lines.split(|byte| *byte == b'\n');
    let told = lines.filter(|line| !line.is_empty());
    told.map(|line| line.first() == Some(&b'K')).collect()
}

/// What keeps a hostile file from naming other files or hosts: only local bytes, and no format
/// that is a list of other files.
pub(super) fn input_limits() -> Vec<OsString> {
    [
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        FORMATS,
    ]
    .map(Into::into)
    .into()
}

fn head(file: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(file)?.take(16).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether the first bytes are those of a film, however damaged the rest.
fn looks_like_film(head: &[u8]) -> bool {
    let boxes: [&[u8]; 7] = [
        b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip",
    ];
    let at = |from, to| head.get(from..to).unwrap_or_default();
    boxes.contains(&at(4, 8))
        || at(0, 4) == [0x1a, 0x45, 0xdf, 0xa3]
        || at(0, 4) == *b"RIFF"
        || at(0, 3) == *b"FLV"
        || at(0, 4) == *b"OggS"
        || at(0, 4) == *b"fLaC"
        || at(0, 3) == *b"ID3"
}

/// The most that is kept of what ffprobe says.
const MAX_ANSWER: usize = 4 << 20;
/// ffmpeg's names of the containers that are taken; none of them refers to other files.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,mxf,h264,hevc,ivf,dv,nut,mp3,flac";

mod facts;
mod locked;
mod stream;
#[cfg(test)]
mod tests;
