//! Joins the pieces of a rendition into one mezzanine, byte by byte: nothing is decoded, and no picture's
//! time is computed anew but by adding whole pictures.
//!
//! A piece is a file of fragments as [`transcode`](super::transcode) orders them: a fragment for each
//! group of pictures, decoding times from 0 (ISO/IEC 14496-12 §8.8). The joined file has the first
//! piece's header, a segment index of its own, and all fragments behind it, numbered and timed anew.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::rate::Rate;

/// One file to be joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it lies.
    pub file: PathBuf,
    /// How many pictures it holds.
    pub frames: u64,
}

/// Why pieces were not joined.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// They are not pieces of one rendition.
    #[error("pieces do not fit together: {0}")]
    Misfit(&'static str),
    /// This machine is at fault.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Joins `pieces` in their order into the new file `into`.
///
/// # Errors
/// [`Fault`].
pub fn join(pieces: &[Piece], rate: Rate, into: &Path) -> Result<(), Fault> {
    let mut fragments = Vec::new();
    let mut head = Vec::new();
    let mut frames = 0;
    for piece in pieces {
        let mut reader = BufReader::new(File::open(&piece.file)?);
        let (header, found) = scan(&mut reader, piece, rate)?;
        if head.is_empty() {
            head = header;
        }
        fragments.push((reader, found, frames * u64::from(rate.frame_ticks())));
        frames += piece.frames;
    }
    let mut out = BufWriter::new(File::create_new(into)?);
    out.write_all(&head)?;
    let all: Vec<Fragment> = fragments
        .iter()
        .flat_map(|(_, found, _)| found.iter().copied())
        .collect();
    out.write_all(&segment_index(&all, rate))?;
    let mut sequence: u32 = 0;
    for (reader, found, base) in &mut fragments {
        for fragment in found {
            sequence = sequence.wrapping_add(1);
            copy(reader, *fragment, sequence, *base, &mut out)?;
        }
    }
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(())
}

/// A `moof` box and its `mdat`.
#[derive(Debug, Clone, Copy)]
struct Fragment {
    offset: u64,
    /// The length of the `moof`.
    head: u64,
    /// The length of both.
    whole: u64,
    /// How many pictures it holds.
    frames: u64,
}

/// Finds the header and the fragments of a piece.
fn scan(
    reader: &mut (impl Read + Seek),
    piece: &Piece,
    rate: Rate,
) -> Result<(Vec<u8>, Vec<Fragment>), Fault> {
    let length = reader.seek(SeekFrom::End(0))?;
    let (mut head, mut fragments, mut at) = (Vec::new(), Vec::<Fragment>::new(), 0);
    let (gop, mut left) = (u64::from(rate.gop_frames()), piece.frames);
    while at < length {
        let (kind, size) = top_level(reader, at, length)?;
        match &kind {
            b"ftyp" | b"moov" if fragments.is_empty() => {
                head.extend(bytes(reader, at, size)?);
            }
            b"moof" => {
                let frames = left.min(gop);
                left -= frames;
                fragments.push(Fragment {
                    offset: at,
                    head: size,
                    whole: size,
                    frames,
                });
            }
            b"mdat" => match fragments.last_mut() {
                Some(last) if last.offset + last.whole == at => last.whole += size,
                _ => return Err(Fault::Misfit("media without a fragment")),
            },
            // An index of the piece is none of the whole.
            b"sidx" | b"mfra" | b"free" | b"styp" => {}
            _ => return Err(Fault::Misfit("a box that nobody ordered")),
        }
        at += size;
    }
    let wanted = piece.frames.div_ceil(gop);
    if u64::try_from(fragments.len()).ok() != Some(wanted) || head.is_empty() {
        return Err(Fault::Misfit("other fragments than groups of pictures"));
    }
    Ok((head, fragments))
}

/// Reads the header of the box at `at`, which must end within the file (§4.2).
fn top_level(
    reader: &mut (impl Read + Seek),
    at: u64,
    length: u64,
) -> Result<([u8; 4], u64), Fault> {
    reader.seek(SeekFrom::Start(at))?;
    let mut word = [0; 4];
    reader.read_exact(&mut word)?;
    let mut size = u64::from(u32::from_be_bytes(word));
    let mut kind = [0; 4];
    reader.read_exact(&mut kind)?;
    if size == 1 {
        let mut long = [0; 8];
        reader.read_exact(&mut long)?;
        size = u64::from_be_bytes(long);
    }
    match at.checked_add(size) {
        Some(end) if size >= 8 && end <= length => Ok((kind, size)),
        _ => Err(Fault::Misfit("a box that does not end in its piece")),
    }
}

fn bytes(reader: &mut (impl Read + Seek), at: u64, size: u64) -> Result<Vec<u8>, Fault> {
    if size > MOST_HEADER {
        return Err(Fault::Misfit("a header without measure"));
    }
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    reader.by_ref().take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Copies a fragment with another number (§8.8.5) and a later decoding time (§8.8.12).
fn copy(
    reader: &mut (impl Read + Seek),
    fragment: Fragment,
    sequence: u32,
    base: u64,
    out: &mut impl Write,
) -> Result<(), Fault> {
    let mut head = bytes(reader, fragment.offset, fragment.head)?;
    let body = head.get_mut(8..).unwrap_or_default();
    let number = child(body, b"mfhd").and_then(|body| body.get_mut(4..8));
    let number = number.ok_or(Fault::Misfit("a fragment without a number"))?;
    number.copy_from_slice(&sequence.to_be_bytes());
    let time = child(body, b"traf").and_then(|body| child(body, b"tfdt"));
    let (version, time) = time
        .and_then(|body| body.split_at_mut_checked(4))
        .ok_or(Fault::Misfit("a fragment without a time"))?;
    match (version.first(), time.first_chunk_mut::<8>()) {
        (Some(1), Some(time)) => {
            let later = u64::from_be_bytes(*time).checked_add(base);
            *time = later
                .ok_or(Fault::Misfit("a time beyond all"))?
                .to_be_bytes();
        }
        _ => return Err(Fault::Misfit("a fragment's time in another form")),
    }
    out.write_all(&head)?;
    reader.seek(SeekFrom::Start(fragment.offset + fragment.head))?;
    let media = fragment.whole - fragment.head;
    if io::copy(&mut reader.by_ref().take(media), out)? != media {
        return Err(Fault::Misfit("a piece that ends early"));
    }
    Ok(())
}

/// The body of the first box of that kind.
fn child<'a>(mut body: &'a mut [u8], wanted: &[u8; 4]) -> Option<&'a mut [u8]> {
    loop {
        let size = u32::from_be_bytes(*body.first_chunk::<4>()?);
        let size = usize::try_from(size).ok().filter(|size| *size >= 8)?;
        let (this, rest) = body.split_at_mut_checked(size)?;
        if this.get(4..8)? == wanted {
            return this.get_mut(8..);
        }
        body = rest;
    }
}

/// The index of all fragments (§8.16.3); none where there are more than it can count.
fn segment_index(fragments: &[Fragment], rate: Rate) -> Vec<u8> {
    let Ok(count) = u16::try_from(fragments.len()) else {
        return Vec::new();
    };
    let size = 40 + 12 * u32::from(count);
    let mut bytes = Vec::new();
    bytes.extend(size.to_be_bytes());
    bytes.extend(b"sidx");
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(rate.timescale().to_be_bytes());
    // The earliest presentation time and the first offset are 0, and two bytes are reserved.
    bytes.extend([0; 18]);
    bytes.extend(count.to_be_bytes());
    for fragment in fragments {
        let size = u32::try_from(fragment.whole).unwrap_or(0) & 0x7fff_ffff;
        let duration = fragment.frames * u64::from(rate.frame_ticks());
        bytes.extend(size.to_be_bytes());
        bytes.extend(u32::try_from(duration).unwrap_or(u32::MAX).to_be_bytes());
        // It begins with a picture that needs no other (a stream access point of type 1).
        bytes.extend(0x9000_0000_u32.to_be_bytes());
    }
    bytes
}

/// The largest header: parameter sets and a few hundred bytes.
const MOST_HEADER: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes()[..], kind, body].concat()
    }

    /// A fragment of 25 pictures a second: its number, its time, its media.
    fn fragment(number: u32, time: u64, media: &[u8]) -> Vec<u8> {
        let mfhd = boxed(b"mfhd", &[&[0; 4][..], &number.to_be_bytes()].concat());
        let tfdt = boxed(b"tfdt", &[&[1, 0, 0, 0][..], &time.to_be_bytes()].concat());
        let traf = boxed(b"traf", &[boxed(b"tfhd", &[0; 8]), tfdt].concat());
        [
            boxed(b"moof", &[mfhd, traf].concat()),
            boxed(b"mdat", media),
        ]
        .concat()
    }

    fn head() -> Vec<u8> {
        [boxed(b"ftyp", b"iso6"), boxed(b"moov", b"header")].concat()
    }

    fn written(files: &[(Vec<u8>, u64)]) -> Result<Vec<u8>, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let pieces: Vec<Piece> = (0..)
            .zip(files)
            .map(|(at, (bytes, frames))| {
                let file = folder.path().join(format!("{at}"));
                std::fs::write(&file, bytes).unwrap();
                Piece {
                    file,
                    frames: *frames,
                }
            })
            .collect();
        let into = folder.path().join("joined");
        join(&pieces, Rate::new(25, 1).unwrap(), &into)?;
        Ok(std::fs::read(into).unwrap())
    }

    #[test]
    fn fragments_go_on_in_number_and_time_and_the_index_is_that_of_the_whole() {
        let piece = |media: [&[u8]; 2]| {
            let fragments = [fragment(1, 0, media[0]), fragment(2, 50_000, media[1])].concat();
            [
                head(),
                boxed(b"sidx", &[0; 40]),
                fragments,
                boxed(b"mfra", b"x"),
            ]
            .concat()
        };
        let joined = written(&[(piece([b"a", b"bb"]), 100), (piece([b"ccc", b"d"]), 70)]).unwrap();
        let media = [
            fragment(1, 0, b"a"),
            fragment(2, 50_000, b"bb"),
            fragment(3, 100_000, b"ccc"),
            fragment(4, 150_000, b"d"),
        ]
        .concat();
        let start = joined.len() - media.len();
        assert_eq!(joined[start..], media);
        assert_eq!(joined[..head().len()], head());
        let index = &joined[head().len()..start];
        assert_eq!(index.len(), 40 + 4 * 12);
        let word = |at: usize| u32::from_be_bytes(index[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(16), word(36)), (88, 25_000, 4));
        let sizes: Vec<_> = (0..4).map(|at| word(40 + at * 12)).collect();
        let each = u32::try_from(fragment(1, 0, b"a").len()).unwrap();
        assert_eq!(sizes, [each, each + 1, each + 2, each]);
        let durations: Vec<_> = (0..4).map(|at| word(44 + at * 12)).collect();
        assert_eq!(durations, [50_000, 50_000, 50_000, 20_000]);
    }

    #[test]
    fn what_is_no_piece_is_not_joined() {
        let whole = [head(), fragment(1, 0, b"a")].concat();
        for (bytes, frames) in [
            (whole.clone(), 51),
            (whole[..whole.len() - 1].to_vec(), 50),
            ([head(), boxed(b"mdat", b"a")].concat(), 50),
            (
                [head(), boxed(b"moof", b""), boxed(b"mdat", b"a")].concat(),
                50,
            ),
            (fragment(1, 0, b"a"), 50),
            ([whole.clone(), boxed(b"evil", b"")].concat(), 50),
        ] {
            assert!(matches!(written(&[(bytes, frames)]), Err(Fault::Misfit(_))));
        }
        assert!(written(&[(whole, 50)]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_joining_panic(bytes: Vec<u8>, frames in 0_u64..200) {
            let _ = written(&[([head(), bytes].concat(), frames)]);
        }
    }
}
