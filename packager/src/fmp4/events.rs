//! What stands in front of a segment's `moof`: a reading of the producer's clock, and events.

use crate::{
    fmp4::{init::TRACK_ID, write::Writer},
    index::{Event, Index, Reference},
    presentation::Segment,
};

/// What is said beside the samples of a segment.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'a> {
    /// At most one goes before a `moof` (ISO/IEC 23000-19 §7.3.2.3), however many fragments the segment was made of.
    reference: Option<&'a Reference>,
    events: &'a [Event],
}

impl<'a> Said<'a> {
    pub(super) fn of(index: &'a Index, segment: &Segment) -> Self {
        let references = index.references_of(&segment.samples);
        Self {
            reference: index.references().get(references).and_then(<[_]>::first),
            events: index
                .events()
                .get(segment.events.clone())
                .unwrap_or_default(),
        }
    }

    /// The length of its boxes.
    pub(super) fn size(&self) -> usize {
        let event =
            |event: &Event| EMSG + event.scheme.len() + event.value.len() + event.data.len();
        let reference = if self.reference.is_some() { PRFT } else { 0 };
        reference + self.events.iter().map(event).sum::<usize>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        if let Some(reference) = self.reference {
            out.full(b"prft", 1, reference.flags, |out| {
                out.u32(TRACK_ID);
                out.u64(reference.ntp);
                out.u64(reference.time);
            });
        }
        for event in self.events {
            out.full(b"emsg", 1, 0, |out| write_event(out, event));
        }
    }
}

/// Version 1 alone tells a time that does not change with the segment (ISO/IEC 23009-1 §5.10.3.3).
fn write_event(out: &mut Writer, event: &Event) {
    out.u32(event.timescale);
    out.u64(event.time);
    out.u32(event.duration);
    out.u32(event.id);
    for text in [&event.scheme, &event.value] {
        out.bytes(text.as_bytes());
        out.u8(0);
    }
    out.bytes(&event.data);
}

const PRFT: usize = 12 + 20;
/// Header, numbers, and the zeros that end scheme and value.
const EMSG: usize = 12 + 20 + 2;
