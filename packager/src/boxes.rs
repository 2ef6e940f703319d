//! Walking the boxes inside a box that is in memory (ISO/IEC 14496-12 §4.2).

use crate::{Error, bytes::Reader};

/// A box's four-character type.
pub(crate) type Kind = [u8; 4];

/// One box: its type and what follows its header.
#[derive(Clone, Copy)]
pub(crate) struct Child<'a> {
    pub(crate) kind: Kind,
    pub(crate) body: &'a [u8],
}

/// The boxes that fill `data`, in order; a box that overruns ends the walk with an error.
pub(crate) fn children(data: &[u8]) -> impl Iterator<Item = Result<Child<'_>, Error>> {
    let mut reader = Reader::new("box", data);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || reader.rest().is_empty() {
            return None;
        }
        let next = child(&mut reader);
        failed = next.is_err();
        Some(next)
    })
}

fn child<'a>(reader: &mut Reader<'a>) -> Result<Child<'a>, Error> {
    let size = reader.u32()?;
    let kind = reader.u32()?.to_be_bytes();
    let body = match size {
        0 => reader.rest().len(),
        1 => {
            let large = reader.u64()?;
            let body = large.checked_sub(16).ok_or_else(|| reader.corrupt())?;
            usize::try_from(body).map_err(|_| reader.corrupt())?
        }
        size => {
            let body = size.checked_sub(8).ok_or_else(|| reader.corrupt())?;
            usize::try_from(body).map_err(|_| reader.corrupt())?
        }
    };
    Ok(Child {
        kind,
        body: reader.take(body)?,
    })
}

/// The first box of a type inside `data`.
pub(crate) fn find<'a>(data: &'a [u8], kind: &Kind) -> Result<Option<&'a [u8]>, Error> {
    for next in children(data) {
        let next = next?;
        if next.kind == *kind {
            return Ok(Some(next.body));
        }
    }
    Ok(None)
}

/// Follows a path of types downwards; a missing box is an error that bears its name.
pub(crate) fn descend<'a>(
    data: &'a [u8],
    path: &[(&Kind, &'static str)],
) -> Result<&'a [u8], Error> {
    let mut body = data;
    for (kind, missing) in path {
        body = find(body, kind)?.ok_or(Error::Corrupt {
            what: missing,
            offset: 0,
        })?;
    }
    Ok(body)
}
