//! The rules of an upload, without I/O: what is accepted, repeated or refused, and when it is whole.

use std::fmt;

use contracts::{
    id::{UploadId, UserId, VideoId},
    time::UnixSeconds,
};
use store::{Digest, Key, Part, Written, layout};

/// What an operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest film.
    pub max_film_bytes: u64,
    /// The usual size of a chunk; larger for films that would have too many.
    pub chunk_size_bytes: u64,
}

impl Limits {
    /// The length of the chunks that so many bytes come in, few enough that a list of them stays small.
    #[must_use]
    pub fn chunk_size_for(self, size_bytes: u64) -> u64 {
        let mut chunk_size_bytes = self.chunk_size_bytes.max(1);
        while size_bytes.div_ceil(chunk_size_bytes) > MAX_CHUNKS {
            chunk_size_bytes = chunk_size_bytes.saturating_mul(2);
        }
        chunk_size_bytes
    }
}

/// What a publisher announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file's name on the publisher's machine.
    pub file_name: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its media type, when the publisher knows it.
    pub content_type: Option<String>,
}

/// How a film is cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The film's length.
    pub size_bytes: u64,
    /// The length of every chunk but the last.
    pub chunk_size_bytes: u64,
    /// The ending of the file's name, in lower case.
    pub extension: String,
}

impl Plan {
    /// Admits a film and cuts it.
    ///
    /// # Errors
    /// [`Refused`] when it is empty, too large, or of no kind that is taken.
    pub fn of(request: &Request, limits: Limits) -> Result<Self, Refused> {
        let size_bytes = request.size_bytes;
        if size_bytes == 0 {
            return Err(Refused::EmptyFile);
        }
        if size_bytes > limits.max_film_bytes {
            let limit_bytes = limits.max_film_bytes;
            return Err(Refused::FileTooLarge { limit_bytes });
        }
        let extension = request
            .file_name
            .rsplit_once('.')
            .map(|(_, extension)| extension.to_ascii_lowercase())
            .filter(|extension| EXTENSIONS.contains(&extension.as_str()))
            .ok_or(Refused::Format)?;
        if !request.content_type.as_deref().is_none_or(is_film) {
            return Err(Refused::Format);
        }
        Ok(Self {
            size_bytes,
            chunk_size_bytes: limits.chunk_size_for(size_bytes),
            extension,
        })
    }
}

/// Where an upload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Chunks may come.
    Receiving,
    /// The film is whole and on its way.
    Complete,
}

impl State {
    /// The word in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Complete => "complete",
        }
    }
}

/// How an upload's bytes come; each way has an API of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In chunks, in any order.
    Chunks,
    /// One after the other, from wherever the last ones ended.
    Stream,
}

impl Way {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Stream => "stream",
        }
    }
}

/// An upload as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// How its bytes come.
    pub way: Way,
    /// Whose it is: of whoever has the channel that the film is for. `None`: nobody's in particular.
    pub owner: Option<UserId>,
    /// The video it becomes.
    pub video: VideoId,
    /// Where the film will lie when it is whole.
    pub original: Key,
    /// The film's length.
    pub size_bytes: u64,
    /// The length of every chunk but the last.
    pub chunk_size_bytes: u64,
    /// The film's SHA-256: from the start if the publisher told it then, else once it is complete.
    pub sha256: Option<Digest>,
    /// Where it is in its life.
    pub state: State,
    /// Until when chunks are taken.
    pub expires: UnixSeconds,
}

impl Upload {
    /// How many chunks there are.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        let count = self.size_bytes.div_ceil(self.chunk_size_bytes.max(1));
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The digest of the whole, by what was told before and what is told now.
    ///
    /// # Errors
    /// [`Refused::TwoDigests`] when they differ.
    pub fn whole(&self, told: Option<Digest>) -> Result<Option<Digest>, Refused> {
        match (self.sha256, told) {
            (Some(first), Some(second)) if first != second => Err(Refused::TwoDigests),
            (first, second) => Ok(first.or(second)),
        }
    }

    /// How long the chunk of that index is; `None` when there is no such.
    #[must_use]
    pub fn chunk_bytes(&self, index: u32) -> Option<u64> {
        let start = self.chunk_size_bytes.checked_mul(u64::from(index))?;
        let left = self.size_bytes.checked_sub(start)?;
        (left > 0).then(|| left.min(self.chunk_size_bytes))
    }
}

/// What is known of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its place, from 0.
    pub index: u32,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// Whether the bytes are in the store; else somebody is about to put them there.
    pub stored: bool,
}

/// What to do with a chunk whose bytes are about to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Take exactly this many bytes and store them.
    Store {
        /// The chunk's length.
        size_bytes: u64,
    },
    /// It is here already: take the bytes, see that they are what they claim, store nothing.
    Repeat {
        /// The chunk's length.
        size_bytes: u64,
    },
}

/// Decides about a chunk by all that is known before its first byte.
///
/// # Errors
/// [`Refused`]; nothing that is stored changes.
pub fn decide(
    upload: &Upload,
    index: u32,
    claimed: &Digest,
    length: Option<u64>,
    known: Option<&Chunk>,
    now: UnixSeconds,
) -> Result<Decision, Refused> {
    open(upload, now)?;
    let chunk_count = upload.chunk_count();
    let size_bytes = upload
        .chunk_bytes(index)
        .ok_or(Refused::WrongIndex { chunk_count })?;
    if let Some(got_bytes) = length.filter(|length| *length != size_bytes) {
        return Err(Refused::WrongLength {
            expected_bytes: size_bytes,
            got_bytes,
        });
    }
    match known {
        Some(known) if known.sha256 != *claimed => Err(Refused::OtherChunk),
        Some(known) if known.stored => Ok(Decision::Repeat { size_bytes }),
        _ => Ok(Decision::Store { size_bytes }),
    }
}

/// Checks a chunk's bytes when all have come.
///
/// # Errors
/// [`Refused::WrongLength`], [`Refused::WrongDigest`]; the bytes must then be dropped.
pub fn received(written: &Written, size_bytes: u64, claimed: &Digest) -> Result<(), Refused> {
    if written.size_bytes != size_bytes {
        return Err(Refused::WrongLength {
            expected_bytes: size_bytes,
            got_bytes: written.size_bytes,
        });
    }
    if written.sha256 != *claimed {
        return Err(Refused::WrongDigest);
    }
    Ok(())
}

/// What to do to complete an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// It is complete already.
    Already,
    /// Join these, and see that the whole is what was promised.
    Join {
        /// Every chunk, in order.
        parts: Vec<Part>,
        /// The SHA-256 of the whole.
        promised: Digest,
    },
}

/// Decides whether an upload can be completed.
///
/// # Errors
/// [`Refused`]; nothing that is stored changes.
pub fn complete(
    upload: &Upload,
    chunks: &[Chunk],
    sha256: Option<Digest>,
    now: UnixSeconds,
) -> Result<Completion, Refused> {
    let stored = chunks.iter().filter(|chunk| chunk.stored);
    let stored = stored.map(|chunk| chunk.index);
    let Some(promised) = promised(upload, stored, sha256, now)? else {
        return Ok(Completion::Already);
    };
    let parts = (0..upload.chunk_count())
        .filter_map(|index| {
            Some(Part {
                key: layout::chunk(&upload.id, index),
                size_bytes: upload.chunk_bytes(index)?,
            })
        })
        .collect();
    Ok(Completion::Join { parts, promised })
}

/// Decides whether an upload can be completed of the chunks that are here, and tells the digest that its whole must
/// have; `None` when it is complete already.
///
/// # Errors
/// [`Refused`]; nothing that is stored changes.
pub fn promised(
    upload: &Upload,
    stored: impl Iterator<Item = u32>,
    sha256: Option<Digest>,
    now: UnixSeconds,
) -> Result<Option<Digest>, Refused> {
    let promised = upload.whole(sha256)?;
    if upload.state == State::Complete {
        return Ok(None);
    }
    open(upload, now)?;
    let promised = promised.ok_or(Refused::NoWholeDigest)?;
    let mut here = vec![false; upload.chunk_count() as usize];
    for index in stored {
        if let Some(place) = here.get_mut(index as usize) {
            *place = true;
        }
    }
    let missing: Vec<u32> = (0..)
        .zip(&here)
        .filter(|(_, here)| !**here)
        .map(|(index, _)| index)
        .collect();
    if !missing.is_empty() {
        return Err(Refused::Missing { missing });
    }
    Ok(Some(promised))
}

fn open(upload: &Upload, now: UnixSeconds) -> Result<(), Refused> {
    if upload.state == State::Complete {
        return Err(Refused::Complete);
    }
    if now.0 >= upload.expires.0 {
        return Err(Refused::Expired);
    }
    Ok(())
}

/// Why a publisher's wish is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The file has no bytes.
    EmptyFile,
    /// The file is larger than the operator allows.
    FileTooLarge {
        /// What is allowed.
        limit_bytes: u64,
    },
    /// The file's name or type is none of a film.
    Format,
    /// There is no chunk of that index.
    WrongIndex {
        /// How many there are.
        chunk_count: u32,
    },
    /// The body is not as long as the chunk.
    WrongLength {
        /// How long the chunk is.
        expected_bytes: u64,
        /// How long the body is, as far as it was read.
        got_bytes: u64,
    },
    /// The body is not what its digest says.
    WrongDigest,
    /// Other bytes are here under that index.
    OtherChunk,
    /// Chunks have not come yet.
    Missing {
        /// Which.
        missing: Vec<u32>,
    },
    /// No digest of the whole was given, neither at the start nor now.
    NoWholeDigest,
    /// The digest given before, at the start or to complete it, and the one given now differ.
    TwoDigests,
    /// The whole is not what its digest says.
    WrongWhole,
    /// The upload's bytes go straight to the store.
    Direct,
    /// The upload is complete.
    Complete,
    /// The upload took too long.
    Expired,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyFile => f.write_str("The file is empty."),
            Self::FileTooLarge { limit_bytes } => {
                write!(f, "The file is larger than the {limit_bytes} bytes allowed here.")
            }
            Self::Format => write!(
                f,
                "The file's name must end in one of {}, and its content_type, if given, be a video's.",
                EXTENSIONS.join(", ")
            ),
            Self::WrongIndex { chunk_count } => {
                write!(f, "The upload has the chunks 0 to {}.", chunk_count.saturating_sub(1))
            }
            Self::WrongLength { expected_bytes, got_bytes } => {
                write!(f, "The chunk has {expected_bytes} bytes; {got_bytes} were sent.")
            }
            Self::WrongDigest => f.write_str(
                "The bytes do not have the SHA-256 of the header; send the chunk again.",
            ),
            Self::OtherChunk => f.write_str(
                "Other bytes were sent for this index before; they are kept. To send another file, start another upload.",
            ),
            Self::Missing { missing } => {
                write!(f, "{} chunks have not arrived; send them, then complete again.", missing.len())
            }
            Self::NoWholeDigest => f.write_str(
                "Give the whole file's SHA-256 as sha256, at initiate or at complete.",
            ),
            Self::TwoDigests => f.write_str("The sha256 differs from the one given before, at initiate or at complete."),
            Self::WrongWhole => f.write_str(
                "All chunks arrived whole, but together they do not have the file's SHA-256: the file changed while it was sent, or the digest is of another. Start another upload.",
            ),
            Self::Direct => f.write_str(
                "The chunks of this upload go to the addresses in parts, which its status tells too.",
            ),
            Self::Complete => f.write_str("The upload is complete and takes no change."),
            Self::Expired => f.write_str("The upload took too long and has expired; start another."),
        }
    }
}

/// A title from a file's name: without folders and ending.
#[must_use]
pub fn title_of(file_name: &str) -> String {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if name.is_empty() {
        "Untitled".to_owned()
    } else {
        name.to_owned()
    }
}

fn is_film(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence.starts_with("video/")
        || [
            "application/octet-stream",
            "application/mxf",
            "application/mp4",
            "application/ogg",
        ]
        .contains(&essence.as_str())
}

/// So many chunks that a list of them stays small.
const MAX_CHUNKS: u64 = 10_000;
const EXTENSIONS: [&str; 24] = [
    "mp4", "m4v", "mov", "qt", "mkv", "webm", "ts", "m2ts", "mts", "mpg", "mpeg", "avi", "flv",
    "wmv", "asf", "ogv", "mxf", "3gp", "3g2", "m4a", "mka", "mp3", "flac", "ogg",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        max_film_bytes: 1 << 40,
        chunk_size_bytes: 8 << 20,
    };
    const NOW: UnixSeconds = UnixSeconds(100);

    fn request(file_name: &str, size_bytes: u64) -> Request {
        Request {
            file_name: file_name.to_owned(),
            size_bytes,
            content_type: None,
        }
    }

    fn upload(size_bytes: u64, chunk_size_bytes: u64) -> Upload {
        let video = VideoId::parse("v").unwrap();
        Upload {
            id: UploadId::parse("u").unwrap(),
            way: Way::Chunks,
            owner: None,
            original: layout::original(&video, "mp4").unwrap(),
            video,
            size_bytes,
            chunk_size_bytes,
            sha256: None,
            state: State::Receiving,
            expires: UnixSeconds(200),
        }
    }

    fn chunk(index: u32, bytes: &[u8]) -> Chunk {
        Chunk {
            index,
            sha256: Digest::of(bytes),
            stored: true,
        }
    }

    #[test]
    fn a_film_is_admitted_by_size_name_and_type() {
        let plan = |name: &str, size| Plan::of(&request(name, size), LIMITS);
        assert_eq!(plan("a.MP4", 1).unwrap().extension, "mp4");
        assert_eq!(plan("a.mp4", 0), Err(Refused::EmptyFile));
        assert!(matches!(
            plan("a.mp4", (1 << 40) + 1),
            Err(Refused::FileTooLarge { .. })
        ));
        for name in ["a.txt", "mp4", "", "a.", "a.mp4/", "../a.exe"] {
            assert_eq!(plan(name, 1), Err(Refused::Format), "{name}");
        }
        let typed = |kind: &str| {
            let content_type = Some(kind.to_owned());
            Plan::of(
                &Request {
                    content_type,
                    ..request("a.mp4", 1)
                },
                LIMITS,
            )
            .is_ok()
        };
        assert!(typed("video/mp4; codecs=avc1") && typed("Application/Octet-Stream"));
        assert!(!typed("text/plain") && !typed("image/png") && !typed(""));
        assert!(
            plan("a.mp4", 1 << 40)
                .unwrap()
                .size_bytes
                .div_ceil(plan("a.mp4", 1 << 40).unwrap().chunk_size_bytes)
                <= MAX_CHUNKS
        );
    }

    #[test]
    fn a_chunk_is_decided_by_what_is_known_before_its_first_byte() {
        let upload = upload(25, 10);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let of =
            |index, length, known: Option<&Chunk>| decide(&upload, index, &a, length, known, NOW);
        assert_eq!(of(0, None, None), Ok(Decision::Store { size_bytes: 10 }));
        assert_eq!(of(2, Some(5), None), Ok(Decision::Store { size_bytes: 5 }));
        assert_eq!(
            of(3, None, None),
            Err(Refused::WrongIndex { chunk_count: 3 })
        );
        assert_eq!(
            of(u32::MAX, None, None),
            Err(Refused::WrongIndex { chunk_count: 3 })
        );
        assert!(matches!(
            of(2, Some(10), None),
            Err(Refused::WrongLength { .. })
        ));
        let known = Chunk {
            index: 0,
            sha256: a,
            stored: true,
        };
        assert_eq!(
            of(0, None, Some(&known)),
            Ok(Decision::Repeat { size_bytes: 10 })
        );
        let claimed = Chunk {
            stored: false,
            ..known
        };
        assert_eq!(
            of(0, None, Some(&claimed)),
            Ok(Decision::Store { size_bytes: 10 })
        );
        let other = Chunk { sha256: b, ..known };
        assert_eq!(of(0, None, Some(&other)), Err(Refused::OtherChunk));
        assert_eq!(
            decide(&upload, 0, &a, None, None, UnixSeconds(200)),
            Err(Refused::Expired)
        );
        let complete = Upload {
            state: State::Complete,
            ..upload
        };
        assert_eq!(
            decide(&complete, 0, &a, None, None, NOW),
            Err(Refused::Complete)
        );
    }

    #[test]
    fn bytes_must_be_what_they_claim() {
        let written = Written {
            size_bytes: 3,
            sha256: Digest::of(b"abc"),
        };
        assert_eq!(received(&written, 3, &Digest::of(b"abc")), Ok(()));
        assert_eq!(
            received(&written, 3, &Digest::of(b"abd")),
            Err(Refused::WrongDigest)
        );
        assert!(matches!(
            received(&written, 4, &written.sha256),
            Err(Refused::WrongLength { .. })
        ));
    }

    #[test]
    fn only_a_whole_upload_with_one_digest_is_completed() {
        let upload = upload(25, 10);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let all = [chunk(0, b"0"), chunk(1, b"1"), chunk(2, b"2")];
        assert_eq!(
            complete(&upload, &all, None, NOW),
            Err(Refused::NoWholeDigest)
        );
        let missing = complete(&upload, &all[1..2], Some(a), NOW);
        assert_eq!(
            missing,
            Err(Refused::Missing {
                missing: vec![0, 2]
            })
        );
        let unstored = Chunk {
            stored: false,
            ..all[0]
        };
        let claimed = complete(&upload, &[unstored, all[1], all[2]], Some(a), NOW);
        assert_eq!(claimed, Err(Refused::Missing { missing: vec![0] }));
        let told = Upload {
            sha256: Some(a),
            ..upload.clone()
        };
        assert_eq!(
            complete(&told, &all, Some(b), NOW),
            Err(Refused::TwoDigests)
        );
        let Ok(Completion::Join { parts, promised }) = complete(&told, &all, None, NOW) else {
            panic!("it is whole")
        };
        assert_eq!(promised, a);
        assert_eq!(
            parts.iter().map(|part| part.size_bytes).collect::<Vec<_>>(),
            [10, 10, 5]
        );
        let done = Upload {
            state: State::Complete,
            ..told
        };
        for again in [None, Some(a)] {
            let again = complete(&done, &[], again, UnixSeconds(999));
            assert_eq!(again, Ok(Completion::Already));
        }
        let other = complete(&done, &[], Some(b), UnixSeconds(999));
        assert_eq!(other, Err(Refused::TwoDigests));
    }

    #[test]
    fn a_title_is_made_of_a_file_name() {
        assert_eq!(title_of("C:\\films\\My film.v2.mp4"), "My film.v2");
        assert_eq!(title_of("/x/.mp4"), "Untitled");
    }

    proptest! {
        #[test]
        fn chunks_tile_the_film(size in 1_u64..1 << 42, chunk in 1_u64..1 << 24) {
            let limits = Limits { max_film_bytes: u64::MAX, chunk_size_bytes: chunk };
            let plan = Plan::of(&request("a.mp4", size), limits).unwrap();
            let upload = upload(plan.size_bytes, plan.chunk_size_bytes);
            let count = upload.chunk_count();
            prop_assert!(count >= 1 && u64::from(count) <= MAX_CHUNKS);
            let total: u64 = (0..count).map(|index| upload.chunk_bytes(index).unwrap()).sum();
            prop_assert_eq!(total, size);
            prop_assert_eq!(upload.chunk_bytes(count), None);
        }
    }
}
