//! ID3 tags as a stream of their own, as Apple's "Timed Metadata for HTTP Live Streaming" has it.

use crate::{
    index::{Event, ID3, Index},
    presentation::Segment,
    ts::{
        Input, Part, Stream,
        packet::{Mux, Pid},
        packets,
        pes::{Clock, Pes},
        to_u64,
    },
};

/// The stream whose tags go with the segment: the picture's, and the sound's where there is no picture.
///
/// It is named in every segment, for whether there are tags is asked of the whole film.
pub(super) fn source<'a>(input: &Input<'a>) -> Option<Stream<'a>> {
    let main = input.video.or(input.audio);
    main.filter(|stream| stream.index.events().iter().any(is_tag))
}

/// Writes the tags of a segment, each with its own time.
pub(super) fn write(stream: Stream<'_>, mux: &mut Mux) {
    let Stream {
        index,
        part: Some(Part { segment, .. }),
    } = stream
    else {
        return;
    };
    let mut tags = tags(index, segment).peekable();
    while let Some(tag) = tags.next() {
        let present = Clock::of_event(tag);
        let mut pes = Pes::metadata(present, mux.scratch());
        pes.push(&tag.data);
        let bytes = pes.finish();
        mux.write(Pid::Metadata, &bytes, None, false, tags.peek().is_none());
        mux.recycle(bytes);
    }
}

/// The most transport packets that the tags of a segment take, beside what rounds their counter.
pub(super) fn most_packets(index: &Index, segment: &Segment) -> u64 {
    tags(index, segment)
        .map(|tag| packets(to_u64(tag.data.len() + PES_METADATA)))
        .sum()
}

fn tags<'a>(index: &'a Index, segment: &Segment) -> impl Iterator<Item = &'a Event> {
    let events = index.events().get(segment.events.clone());
    events
        .unwrap_or_default()
        .iter()
        .filter(|event| is_tag(event))
}

/// Whether it is a tag with its whole head (ID3v2.4 §3.1).
fn is_tag(event: &Event) -> bool {
    event.scheme == ID3 && event.data.starts_with(b"ID3") && event.data.len() >= ID3_HEAD
}

const ID3_HEAD: usize = 10;
const PES_METADATA: usize = 14;

/// The `metadata_pointer_descriptor` of the program (ISO/IEC 13818-1 §2.6.58): ID3 in service 0 of program 1.
pub(super) const POINTER: [u8; 17] = [
    0x25, 15, 0xff, 0xff, b'I', b'D', b'3', b' ', 0xff, b'I', b'D', b'3', b' ', 0, 0x1f, 0, 1,
];
/// The `metadata_descriptor` of the stream (§2.6.60): ID3 in service 0, with no configuration for its decoder.
pub(super) const DESCRIPTOR: [u8; 15] = [
    0x26, 13, 0xff, 0xff, b'I', b'D', b'3', b' ', 0xff, b'I', b'D', b'3', b' ', 0, 0x0f,
];
