//! Whether a film of the family of MP4 is encrypted: the names of its sample entries say so (ISO/IEC 23001-7 §4.1,
//! ISO/IEC 14496-12 §8.12). ffprobe tells the names that they had before.

use std::io::{self, Read, Seek, SeekFrom};

/// Looks for them.
pub(super) fn is_locked(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut looks = Looks(MOST_BOXES);
    looks.within(file, (0, end), &WAY)
}

/// How many more boxes are looked at.
struct Looks(u32);

impl Looks {
    fn within(
        &mut self,
        file: &mut (impl Read + Seek),
        (mut at, end): (u64, u64),
        way: &[[u8; 4]],
    ) -> io::Result<bool> {
        while at.saturating_add(8) <= end && self.0 > 0 {
            self.0 -= 1;
            file.seek(SeekFrom::Start(at))?;
            let (size, kind) = (number(file)?, number(file)?.to_be_bytes());
            let (header, size) = match size {
                0 => (8, end - at),
                1 => {
                    let high = u64::from(number(file)?);
                    (16, high << 32 | u64::from(number(file)?))
                }
                size => (8, u64::from(size)),
            };
            let Some(next) = at.checked_add(size).filter(|next| *next >= at + header) else {
                return Ok(false);
            };
            let inner = (at + header, next.min(end));
            let found = match way {
                [] => LOCKED.contains(&kind),
                [first, rest @ ..] if kind == *first => {
                    // The last has a version and a count before what it holds.
                    let before = if rest.is_empty() { 8 } else { 0 };
                    self.within(file, (inner.0 + before, inner.1), rest)?
                }
                _ => false,
            };
            if found {
                return Ok(true);
            }
            at = next;
        }
        Ok(false)
    }
}

fn number(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

const WAY: [[u8; 4]; 6] = [*b"moov", *b"trak", *b"mdia", *b"minf", *b"stbl", *b"stsd"];
const LOCKED: [[u8; 4]; 2] = [*b"encv", *b"enca"];
/// More than films have before their last sample entry; what is made of fragments has its index first.
const MOST_BOXES: u32 = 10_000;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(kind: &[u8; 4], inner: &[u8]) -> Vec<u8> {
        let size = u32::try_from(inner.len() + 8).unwrap();
        [&size.to_be_bytes(), &kind[..], inner].concat()
    }

    fn film(entry: &[u8; 4]) -> Vec<u8> {
        let entries = [&[0; 8], &boxed(entry, &[0; 70])[..]].concat();
        let inner = WAY.iter().rev().skip(1);
        let moov = inner.fold(boxed(b"stsd", &entries), |inner, kind| {
            boxed(kind, &[boxed(b"free", &[]), inner].concat())
        });
        [boxed(b"ftyp", b"isom"), boxed(b"mdat", &[7; 99]), moov].concat()
    }

    #[test]
    fn a_film_is_locked_if_a_sample_entry_says_so_and_nothing_else_counts() {
        let is = |bytes: Vec<u8>| is_locked(&mut Cursor::new(bytes));
        assert!(is(film(b"encv")).unwrap() && is(film(b"enca")).unwrap());
        assert!(!is(film(b"avc1")).unwrap());
        assert!(!is(boxed(b"mdat", &film(b"encv"))).unwrap());
        let long = [&[0, 0, 0, 1], &b"mdat"[..], &20_u64.to_be_bytes(), &[9; 4]].concat();
        assert!(is([long, film(b"encv")].concat()).unwrap());
    }

    #[test]
    fn boxes_that_lie_end_the_search() {
        let whole = film(b"encv");
        for at in 0..whole.len() {
            for value in [0, 1, 255] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = is_locked(&mut Cursor::new(broken));
            }
            let _ = is_locked(&mut Cursor::new(&whole[..at]));
        }
        let endless = boxed(b"free", &[]).repeat(20_000);
        assert!(!is_locked(&mut Cursor::new(endless)).unwrap());
    }
}
