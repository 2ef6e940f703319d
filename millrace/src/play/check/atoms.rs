//! The boxes of ISO/IEC 14496-12 §4.2, bounded by what surrounds them.

use super::bytes::Cursor;

/// One box: its type, its content, and where the box begins and ends in its parent.
pub(super) struct Atom<'a> {
    pub(super) kind: [u8; 4],
    pub(super) body: &'a [u8],
    pub(super) start: usize,
    pub(super) body_start: usize,
    pub(super) end: usize,
}

/// The boxes of a slice, which they must fill exactly.
pub(super) fn atoms(data: &[u8]) -> Result<Vec<Atom<'_>>, String> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < data.len() {
        let Some(atom) = atom(data, start) else {
            return Err(format!("has a broken box at byte {start}"));
        };
        start = atom.end;
        found.push(atom);
        if found.len() > MAX_BOXES {
            return Err(format!("has more than {MAX_BOXES} boxes on one level"));
        }
    }
    Ok(found)
}

fn atom(data: &[u8], start: usize) -> Option<Atom<'_>> {
    let mut cursor = Cursor::new(data.get(start..)?);
    let small = cursor.u32()?;
    let kind: [u8; 4] = cursor.take(4)?.try_into().ok()?;
    let (header, size) = match small {
        0 => (8, data.len() - start),
        1 => (16, usize::try_from(cursor.u64()?).ok()?),
        size => (8, usize::try_from(size).ok()?),
    };
    let end = start.checked_add(size)?;
    let body_start = start + header;
    let body = data.get(body_start..end)?;
    Some(Atom {
        kind,
        body,
        start,
        body_start,
        end,
    })
}

pub(super) fn find<'a, 'b>(atoms: &'b [Atom<'a>], kind: [u8; 4]) -> Option<&'b Atom<'a>> {
    atoms.iter().find(|one| one.kind == kind)
}

/// Follows a path of boxes, the first of each type.
pub(super) fn descend<'a>(data: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(data, |data, kind| {
        let inside = atoms(data).ok()?;
        find(&inside, **kind).map(|one| one.body)
    })
}

/// The boxes of a slice as type and content, until one is broken.
pub(super) fn atoms_in(data: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let atom = atom(data, start)?;
        start = atom.end;
        Some((atom.kind, atom.body))
    })
}

/// The most boxes on one level.
const MAX_BOXES: usize = 10_000;
