//! What a mezzanine says beside its media: events (`emsg`) and readings of its producer's clock (`prft`).

use std::ops::Range;

use crate::{
    Error,
    boxes::Kind,
    bytes::Reader,
    index::{Sample, greatest_common_divisor, header::Header},
};

/// Something that happens during the film, for whoever knows its scheme (ISO/IEC 23009-1 §5.10.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the film: that, in decoding order, of the first sample of the fragment that followed it.
    pub sample: usize,
    /// The URI of its scheme, such as [`ID3`].
    pub scheme: String,
    /// What kind of the scheme's events it is; often empty.
    pub value: String,
    /// Ticks a second of its own clock.
    pub timescale: u32,
    /// When it happens, in its own ticks from the film's start.
    pub time: u64,
    /// How long it lasts, in its own ticks; [`UNKNOWN_DURATION`] where nobody knew.
    pub duration: u32,
    /// Tells it from others of its scheme and value: one that comes again has the same.
    pub id: u32,
    /// What it says, in its scheme's own form.
    pub data: Vec<u8>,
}

/// A reading of the producer's clock (ISO/IEC 14496-12 §8.16.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Its place in the film, as that of an event.
    pub sample: usize,
    /// What the clock showed, in the format of NTP (RFC 5905 §6): seconds since 1900 and 32 bits of fraction.
    pub ntp: u64,
    /// The decoding time that belongs to it, in ticks of the track.
    pub time: u64,
    /// What the producer was doing when it read the clock; the box's flags.
    pub flags: u32,
}

/// The scheme of events that are ID3 tags, by the Alliance for Open Media's "Carriage of ID3 Timed Metadata in CMAF".
pub const ID3: &str = "https://aomedia.org/emsg/ID3";

/// The duration of an event of which nobody knows it.
pub const UNKNOWN_DURATION: u32 = u32::MAX;

/// Checks what cannot be written as boxes, or is not of this film.
pub(super) fn check(
    events: &[Event],
    references: &[Reference],
    samples: usize,
) -> Result<(), Error> {
    let places = events.iter().map(|event| event.sample);
    let clocks = references.iter().map(|reference| reference.sample);
    if !places.clone().is_sorted() || !clocks.clone().is_sorted() {
        return Err(Error::Index("its events are not in order"));
    }
    if places.chain(clocks).any(|sample| sample >= samples) {
        return Err(Error::Index("its events lie outside the film"));
    }
    let mut room = Room::default();
    for event in events {
        room.take(event.scheme.len() + event.value.len() + event.data.len())?;
        if event.timescale == 0 || event.scheme.contains('\0') || event.value.contains('\0') {
            return Err(Error::Index("its events contradict themselves"));
        }
    }
    references.iter().try_for_each(|_| room.take(0))
}

/// Of things in the order of their places, those inside a range of places.
pub(super) fn within<T>(
    things: &[T],
    places: &Range<usize>,
    place: fn(&T) -> usize,
) -> Range<usize> {
    let start = things.partition_point(|thing| place(thing) < places.start);
    let end = things.partition_point(|thing| place(thing) < places.end);
    start..end.max(start)
}

/// Gathers boxes while a mezzanine is walked; each waits for the fragment that follows it.
#[derive(Default)]
pub(super) struct Collector {
    found: Vec<Found>,
    /// How many of them have their fragment.
    placed: usize,
    room: Room,
}

struct Found {
    /// The samples of its fragment.
    fragment: Range<usize>,
    what: What,
}

enum What {
    /// With its time.
    Event(Event),
    /// With a time that counts from the fragment's earliest presentation.
    Relative(Event),
    /// With a time on the media's own clock, of the track with this identifier.
    Reference(Reference, u32),
}

/// By how much samples were moved to their places and times in the index.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    /// How many samples at the beginning were left out.
    pub(super) early: usize,
    /// Added to a decoding time of the media, gives that of the index.
    pub(super) ticks: i64,
}

impl Collector {
    /// Makes room for a box with a body of so many bytes, before it is read.
    pub(super) fn admit(&mut self, bytes: u64) -> Result<(), Error> {
        self.room.take(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Takes the body of a box. One of a version that is not known says nothing.
    pub(super) fn add(&mut self, kind: &Kind, body: &[u8]) -> Result<(), Error> {
        let what = if kind == b"prft" {
            reference(body)?
        } else {
            event(body)?
        };
        self.found.extend(what.map(|what| Found {
            fragment: 0..0,
            what,
        }));
        Ok(())
    }

    /// Gives what waits its fragment.
    pub(super) fn place(&mut self, fragment: &Range<usize>) {
        for found in self.found.iter_mut().skip(self.placed) {
            found.fragment = fragment.clone();
        }
        self.placed = self.found.len();
    }

    /// Everything that had a fragment behind it, on the timeline of the index.
    ///
    /// Readings of another track's clock are left out, for that clock is not told.
    pub(super) fn finish(
        mut self,
        header: &Header,
        samples: &[Sample],
        moved: Moved,
    ) -> (Vec<Event>, Vec<Reference>) {
        self.found.truncate(self.placed);
        let (mut events, mut references) = (Vec::new(), Vec::new());
        let timescale = header.track.timescale;
        let mut earliest = Earliest::of(samples);
        for Found { fragment, what } in self.found {
            let last = samples.len().saturating_sub(1);
            let sample = fragment.start.saturating_sub(moved.early).min(last);
            let end = fragment.end.saturating_sub(moved.early).max(sample + 1);
            match what {
                What::Event(event) => events.push(Event { sample, ..event }),
                What::Relative(event) => {
                    let event = absolute(event, earliest.among(sample..end), timescale);
                    events.push(Event { sample, ..event });
                }
                What::Reference(reference, track) if track == header.track_id => {
                    let reference = shifted(reference, moved.ticks, timescale);
                    references.push(Reference {
                        sample,
                        ..reference
                    });
                }
                What::Reference(..) => {}
            }
        }
        (events, references)
    }
}

/// Finds the earliest presentation of a fragment once, however many events stand in front of it.
struct Earliest<'a> {
    samples: &'a [Sample],
    known: Option<(Range<usize>, u64)>,
}

impl<'a> Earliest<'a> {
    fn of(samples: &'a [Sample]) -> Self {
        Self {
            samples,
            known: None,
        }
    }

    fn among(&mut self, fragment: Range<usize>) -> u64 {
        if let Some((known, earliest)) = &self.known
            && *known == fragment
        {
            return *earliest;
        }
        let samples = self.samples.get(fragment.clone()).unwrap_or_default();
        let earliest = samples.iter().map(Sample::pts).min().unwrap_or(0);
        self.known = Some((fragment, earliest));
        earliest
    }
}

/// The body of an `emsg` box, of version 0 or 1.
fn event(body: &[u8]) -> Result<Option<What>, Error> {
    let mut reader = Reader::new("emsg", body);
    let (version, _) = reader.full_box()?;
    let mut event = Event {
        sample: 0,
        scheme: String::new(),
        value: String::new(),
        timescale: 0,
        time: 0,
        duration: 0,
        id: 0,
        data: Vec::new(),
    };
    match version {
        0 => {
            (event.scheme, event.value) = (string(&mut reader)?, string(&mut reader)?);
            event.timescale = reader.u32()?;
            event.time = u64::from(reader.u32()?);
        }
        1 => {
            event.timescale = reader.u32()?;
            event.time = reader.u64()?;
        }
        _ => return Ok(None),
    }
    (event.duration, event.id) = (reader.u32()?, reader.u32()?);
    if event.timescale == 0 {
        return Err(reader.corrupt());
    }
    if version == 1 {
        (event.scheme, event.value) = (string(&mut reader)?, string(&mut reader)?);
    }
    event.data = reader.rest().to_vec();
    Ok(Some(match version {
        0 => What::Relative(event),
        _ => What::Event(event),
    }))
}

/// The body of a `prft` box, of version 0 or 1.
fn reference(body: &[u8]) -> Result<Option<What>, Error> {
    let mut reader = Reader::new("prft", body);
    let (version, flags) = reader.full_box()?;
    let (track, ntp) = (reader.u32()?, reader.u64()?);
    let time = match version {
        0 => u64::from(reader.u32()?),
        1 => reader.u64()?,
        _ => return Ok(None),
    };
    let reference = Reference {
        sample: 0,
        ntp,
        time,
        flags,
    };
    Ok(Some(What::Reference(reference, track)))
}

/// Text up to the zero that ends it.
fn string(reader: &mut Reader<'_>) -> Result<String, Error> {
    let end = reader.rest().iter().position(|byte| *byte == 0);
    let text = reader.take(end.ok_or_else(|| reader.corrupt())?)?;
    let text = std::str::from_utf8(text).map_err(|_| reader.corrupt())?;
    reader.skip(1)?;
    Ok(text.to_owned())
}

/// Lets an event's time count from the film's start instead of from its fragment's `earliest` presentation.
///
/// Where that moment lies between two ticks of the event's clock, the event gets a finer clock, if its numbers leave
/// room for one; else the tick that is nearest.
fn absolute(event: Event, earliest: u64, timescale: u32) -> Event {
    let between =
        |event: &Event| u128::from(earliest) * u128::from(event.timescale) % u128::from(timescale);
    let factor = timescale / greatest_common_divisor(event.timescale, timescale);
    let event = match finer(&event, factor) {
        Some(finer) if between(&event) != 0 => finer,
        _ => event,
    };
    let ticks = u128::from(earliest) * u128::from(event.timescale) + u128::from(timescale / 2);
    let start = u64::try_from(ticks / u128::from(timescale)).unwrap_or(u64::MAX);
    Event {
        time: start.saturating_add(event.time),
        ..event
    }
}

fn finer(event: &Event, factor: u32) -> Option<Event> {
    let duration = match event.duration {
        UNKNOWN_DURATION => UNKNOWN_DURATION,
        known => known
            .checked_mul(factor)
            .filter(|ticks| *ticks != UNKNOWN_DURATION)?,
    };
    Some(Event {
        timescale: event.timescale.checked_mul(factor)?,
        time: event.time.checked_mul(u64::from(factor))?,
        duration,
        ..event.clone()
    })
}

/// Moves a reading as decoding times are moved; one from before the film's start becomes that of the start.
fn shifted(reference: Reference, ticks: i64, timescale: u32) -> Reference {
    if let Some(time) = reference.time.checked_add_signed(ticks) {
        return Reference { time, ..reference };
    }
    let missing = ticks.unsigned_abs().saturating_sub(reference.time);
    let fraction = (u128::from(missing) << 32) / u128::from(timescale);
    let later = u64::try_from(fraction).unwrap_or(u64::MAX);
    Reference {
        time: 0,
        ntp: reference.ntp.saturating_add(later),
        ..reference
    }
}

/// How much has been said so far.
#[derive(Default)]
struct Room {
    count: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if bytes > MAX_BYTES {
            return Err(Error::Unsupported("it has an event larger than 64 KiB"));
        }
        if self.count > MAX_COUNT || self.bytes > MAX_ALL_BYTES {
            return Err(Error::Unsupported(
                "it has more than 65536 events, or more than 4 MiB of them",
            ));
        }
        Ok(())
    }
}

const MAX_BYTES: usize = 64 << 10;
const MAX_ALL_BYTES: usize = 4 << 20;
const MAX_COUNT: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(timescale: u32, time: u64, duration: u32) -> Event {
        Event {
            sample: 0,
            scheme: ID3.to_owned(),
            value: String::new(),
            timescale,
            time,
            duration,
            id: 1,
            data: Vec::new(),
        }
    }

    #[test]
    fn a_relative_time_keeps_its_clock_where_that_tells_it_exactly() {
        let exact = absolute(event(1000, 500, 40), 1_920 * 90, 90_000);
        assert_eq!(exact, event(1000, 2420, 40));
    }

    #[test]
    fn a_relative_time_between_two_ticks_gets_a_finer_clock() {
        let finer = absolute(event(1, 2, 3), 48_000, 25_000);
        assert_eq!(finer, event(25_000, 98_000, 75_000));
        let unknown = absolute(event(1, 2, UNKNOWN_DURATION), 48_000, 25_000);
        assert_eq!(unknown, event(25_000, 98_000, UNKNOWN_DURATION));
        // No room for a finer clock: 1.92 s is nearest to 2.
        let nearest = absolute(event(1, 2, 200_000), 48_000, 25_000);
        assert_eq!(nearest, event(1, 4, 200_000));
    }

    #[test]
    fn a_reading_from_before_the_start_becomes_that_of_the_start() {
        let reading = Reference {
            sample: 0,
            ntp: 7 << 32,
            time: 0,
            flags: 24,
        };
        let start = shifted(reading, -24_000, 48_000);
        assert_eq!((start.time, start.ntp), (0, 7 << 32 | 1 << 31));
        assert_eq!(shifted(reading, 512, 48_000).time, 512);
    }
}
