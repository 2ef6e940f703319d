//! The rules of an upload, without I/O: what is accepted, repeated or refused, and when it is whole.

use contracts::{
    id::{UploadId, UserId, VideoId},
    time::UnixSeconds,
};
use store::{Digest, Key, Part, Written, layout};

use super::Refused;

/// Where an upload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Chunks may come.
    Receiving,
    /// The film is whole and on its way.
    Complete,
    /// It was given up; what has arrived is being removed.
    Abandoned,
}

impl State {
    /// The word in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Complete => "complete",
            Self::Abandoned => "abandoned",
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
    /// The SHA-256 of the secret that opens it; none: nothing does.
    pub token: Option<Digest>,
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

    /// Whether its time was over before it was complete.
    #[must_use]
    pub fn is_over(&self, now: UnixSeconds) -> bool {
        self.state == State::Receiving && now >= self.expires
    }

    /// Whether it is opened by the secret of this digest: as long as it receives, if only to be told that its time is
    /// over, and for an hour more when it is complete: an answer that was lost can be asked for again.
    #[must_use]
    pub fn is_opened_by(&self, shown: &Digest, now: UnixSeconds) -> bool {
        let lasts = self.state == State::Receiving || now < self.expires.plus(ASKED_AGAIN_S);
        lasts && self.token.as_ref() == Some(shown)
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
    match upload.state {
        State::Complete => Err(Refused::Complete),
        State::Receiving if now.0 < upload.expires.0 => Ok(()),
        State::Receiving | State::Abandoned => Err(Refused::Expired),
    }
}

/// How long after its time the token of an upload counts that is complete.
const ASKED_AGAIN_S: u64 = 3600;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(100);

    pub(in crate::upload) fn upload(size_bytes: u64, chunk_size_bytes: u64) -> Upload {
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
            token: None,
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
}
