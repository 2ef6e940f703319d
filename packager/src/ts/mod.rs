//! MPEG transport stream segments (ISO/IEC 13818-1), packed from the same mezzanine as CMAF.
//!
//! Segments are packed one by one, in any order, yet read as one stream: timestamps come from the film's
//! timeline, tables bear the segment's number as their counter, and every elementary stream ends a segment on
//! counter 15, so that the next begins with 0.
//!
//! Events that are ID3 tags make a stream of metadata beside picture and sound, which the tables name in every segment of
//! a rendition that has any; its packets stand before those of the picture. Events of other schemes have no place in a
//! transport stream, nor have readings of the producer's clock.
//!
//! H.264, H.265 and AAC have their place in a transport stream; AV1, VP9 and Opus have none ([`carries`]).

mod access_unit;
mod metadata;
mod packet;
mod pes;
mod tables;

use crate::{
    Error,
    codec::{Sound as Codec, aac},
    index::{Index, Media, Sample, Video},
    presentation::Segment,
    protect::{Key, sample_aes},
    source::Bytes,
    ts::{
        access_unit::Carriage,
        packet::{Mux, Pid},
        pes::{Clock, Pes},
    },
};

pub(crate) use pes::FILM_BEGINS;

/// One stream of a segment.
#[derive(Clone, Copy)]
pub struct Stream<'a> {
    /// The rendition's index.
    pub index: &'a Index,
    /// Its share; none where the stream has ended before the film or stands still, though the tables still name it.
    pub part: Option<Part<'a>>,
}

/// A rendition's share of a segment.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// The plan of its segment.
    pub segment: &'a Segment,
    /// The bytes of the mezzanine that the plan names.
    pub mezzanine: &'a [u8],
}

/// What a transport stream segment is made of.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Counted from 1.
    pub number: u32,
    /// The picture, if the rendition has one.
    pub video: Option<Stream<'a>>,
    /// The sound, if the film has any.
    pub audio: Option<Stream<'a>>,
    /// The key that samples of both are encrypted with (`SAMPLE-AES`), if they are: a playlist names one for all.
    pub key: Option<&'a Key>,
}

/// Whether a transport stream can carry a track: its codec, how deep its pictures are reordered, its largest frame.
///
/// Whether a segment of it is too large is another question, which depends on where the film is cut.
#[must_use]
pub fn carries(index: &Index) -> bool {
    match &index.track().media {
        Media::Video(video) => Carriage::of(&video.config).is_some() && Clock::of(index).is_ok(),
        Media::Audio(Codec::Aac(_)) => {
            let mut frames = index.samples().iter();
            frames.all(|frame| frame.size <= aac::MAX_ADTS_FRAME)
        }
        Media::Audio(Codec::Opus(_)) => false,
    }
}

/// Whether a segment of these shares, of a picture and a sound, can be packed.
pub(crate) fn holds(video: Option<(&Index, &Segment)>, audio: Option<(&Index, &Segment)>) -> bool {
    length_at_most(video, audio) <= MAX_BYTES
}

/// Packs a segment. The same input gives the same bytes.
///
/// # Errors
/// [`Error::Mismatch`] when a part's bytes are not what was indexed, [`Error::Corrupt`] when they hold no whole
/// NAL units, [`Error::Unsupported`] for a codec, an audio frame or a reordering that a transport stream cannot carry.
pub fn segment(input: &Input<'_>) -> Result<Vec<u8>, Error> {
    let carriage = carriage(input)?;
    let clock_on_video = input.video.is_some_and(|stream| stream.part.is_some());
    let length = length_at_most(
        input.video.and_then(Stream::share),
        input.audio.and_then(Stream::share),
    );
    if length > MAX_BYTES {
        return Err(Error::Unsupported(
            "a transport stream segment of it is larger than 96 MiB",
        ));
    }
    let mut mux = Mux::new(usize::try_from(length).unwrap_or(0));
    tables::write(
        &mut mux,
        input,
        carriage,
        sound_config(input),
        clock_on_video,
    );
    if let Some(tags) = metadata::source(input) {
        metadata::write(tags, &mut mux);
    }

    let mut sound = match input.audio {
        Some(Stream {
            index,
            part: Some(part),
        }) => {
            let clock = (!clock_on_video).then_some(Pid::Audio);
            Some(Sound::new(index, part, clock, input.key)?)
        }
        _ => None,
    };
    if let Some(Stream {
        index,
        part: Some(part),
    }) = input.video
    {
        let picture = Picture::new(index, part, input.key)?;
        let samples = part.segment.samples.clone();
        let last = samples.end.saturating_sub(1);
        for at in samples {
            let sample = picture.sample(at)?;
            if let Some(sound) = &mut sound {
                sound.write_until(picture.clock.decode(&sample), &mut mux)?;
            }
            picture.write(at, &sample, at == last, &mut mux)?;
            if at + 1 < index.samples().len() {
                picture.keep_time(&sample, sound.as_mut(), &mut mux)?;
            }
        }
        // Behind the last picture of all no other brings the clock.
        if let (Some(sound), true) = (&mut sound, last + 1 >= index.samples().len()) {
            sound.clock_on = Some(Pid::Video);
        }
    }
    if let Some(sound) = &mut sound {
        sound.write_until(u64::MAX, &mut mux)?;
    }
    Ok(mux.finish())
}

/// An upper bound of what [`segment()`] gives of the shares of a picture and a sound, as tight as [`share_at_most`].
#[must_use]
pub fn length_at_most(video: Option<(&Index, &Segment)>, audio: Option<(&Index, &Segment)>) -> u64 {
    let share = |(index, segment)| share_at_most(index, segment);
    // All of the sound may be heard when the last picture has ended.
    let is_last =
        |(index, segment): (&Index, &Segment)| segment.samples.end >= index.samples().len();
    let clocks = match (video, audio) {
        (Some(video), Some((index, segment))) if is_last(video) => {
            let samples = index.samples().get(segment.samples.clone());
            count_pes(index, samples.unwrap_or_default()) * to_u64(packet::LENGTH)
        }
        _ => 0,
    };
    video.map_or(0, share) + audio.map_or(0, share) + clocks
}

fn count_pes(index: &Index, mut samples: &[Sample]) -> u64 {
    let mut count = 0;
    while !samples.is_empty() {
        let (_, rest) = samples.split_at(one_pes(index, samples).len());
        (samples, count) = (rest, count + 1);
    }
    count
}

/// An upper bound of what a rendition's share of a segment takes, a few percent above the true length. Where samples
/// are encrypted, repeated emulation prevention may add some bytes a picture to it.
#[must_use]
pub fn share_at_most(index: &Index, segment: &Segment) -> u64 {
    let samples = index
        .samples()
        .get(segment.samples.clone())
        .unwrap_or_default();
    let packets = match &index.track().media {
        Media::Video(video) => picture_packets(video, index.track().timescale, samples),
        Media::Audio(_) => sound_packets(index, samples),
    };
    let tags = metadata::most_packets(index, segment);
    let round = if tags > 0 { COUNTER_ROUND } else { 0 };
    (packets + TABLE_PACKETS + COUNTER_ROUND + tags + round) * to_u64(packet::LENGTH)
}

fn picture_packets(video: &Video, timescale: u32, samples: &[Sample]) -> u64 {
    let overhead = |sync: bool| {
        Carriage::of(&video.config).map_or(0, |carriage| carriage.overhead(&video.config, sync))
    };
    let (sync, other) = (overhead(true), overhead(false));
    let of = |sample: &Sample| {
        let overhead = if sample.sync { sync } else { other };
        let clocks = Clock::between(sample.duration, timescale).min(MAX_CLOCKS);
        packets(u64::from(sample.size) + to_u64(overhead + PES_VIDEO)) + clocks
    };
    samples.iter().map(of).sum()
}

fn sound_packets(index: &Index, mut samples: &[Sample]) -> u64 {
    // Sound behind the last picture is given packets with the clock, which pictures that end together leave to the last
    // seconds: longer sound gets segments of its own.
    let tail = index
        .end()
        .saturating_sub(3 * u64::from(index.track().timescale));
    let mut count = 0;
    while let Some(first) = samples.first() {
        let (group, rest) = samples.split_at(one_pes(index, samples).len());
        let frame = |frame: &Sample| u64::from(frame.size) + to_u64(aac::ADTS_HEADER);
        let bytes: u64 = group.iter().map(frame).sum();
        count += packets(bytes + to_u64(PES_AUDIO)) + u64::from(first.pts() >= tail);
        samples = rest;
    }
    count
}

/// The most transport packets that a PES packet takes.
fn packets(bytes: u64) -> u64 {
    (bytes + packet::LEAD).div_ceil(packet::PAYLOAD)
}

impl<'a> Stream<'a> {
    fn share(self) -> Option<(&'a Index, &'a Segment)> {
        Some((self.index, self.part?.segment))
    }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// How the pictures are carried; refuses an input of which a track has no place in the stream.
fn carriage(input: &Input<'_>) -> Result<Option<&'static Carriage>, Error> {
    // Not `carries`, which reads the whole film: a frame that is too long is refused when its header is written.
    if input.audio.is_some() && sound_config(input).is_none() {
        return Err(NO_PLACE);
    }
    let pictures = input.video.map(|stream| pictures(stream.index));
    let carriage = pictures.transpose()?.map(|(_, carriage)| carriage);
    if input.key.is_some() && carriage.is_some_and(|carriage| carriage.encrypted_type.is_none()) {
        return Err(Error::Unsupported(
            "samples of its codec are not encrypted in transport streams",
        ));
    }
    Ok(carriage)
}

fn sound_config<'a>(input: &Input<'a>) -> Option<&'a aac::Config> {
    match &input.audio?.index.track().media {
        Media::Audio(Codec::Aac(config)) => Some(config),
        Media::Audio(Codec::Opus(_)) | Media::Video(_) => None,
    }
}

/// The facts of a track of pictures and how it is carried.
fn pictures(index: &Index) -> Result<(&Video, &'static Carriage), Error> {
    let Media::Video(video) = &index.track().media else {
        return Err(Error::Presentation("its picture is sound"));
    };
    Ok((video, Carriage::of(&video.config).ok_or(NO_PLACE)?))
}

/// Writes access units.
struct Picture<'a> {
    video: &'a Video,
    carriage: &'static Carriage,
    index: &'a Index,
    clock: Clock,
    bytes: Bytes<'a>,
    key: Option<&'a Key>,
}

impl<'a> Picture<'a> {
    fn new(index: &'a Index, part: Part<'a>, key: Option<&'a Key>) -> Result<Self, Error> {
        let (video, carriage) = pictures(index)?;
        Ok(Self {
            video,
            carriage,
            index,
            clock: Clock::of(index)?,
            bytes: Bytes::new(index, part.segment, part.mezzanine)?,
            key,
        })
    }

    fn sample(&self, at: usize) -> Result<Sample, Error> {
        self.index
            .samples()
            .get(at)
            .copied()
            .ok_or(Error::Mismatch { sample: at })
    }

    /// Tells the clock while a picture stands for longer than may pass between two tellings (§2.7.2), and writes what is
    /// heard meanwhile: sound must arrive before its time.
    fn keep_time(
        &self,
        sample: &Sample,
        mut sound: Option<&mut Sound<'_>>,
        mux: &mut Mux,
    ) -> Result<(), Error> {
        let decode = self.clock.decode(sample);
        let tellings = Clock::between(sample.duration, self.index.track().timescale);
        for telling in 1..=tellings.min(MAX_CLOCKS) {
            let time = decode + telling * Clock::GAP;
            if let Some(sound) = &mut sound {
                sound.write_until(time, mux)?;
            }
            mux.clock(Pid::Video, Clock::reference(time));
        }
        Ok(())
    }

    fn write(&self, at: usize, sample: &Sample, last: bool, mux: &mut Mux) -> Result<(), Error> {
        let decode = self.clock.decode(sample);
        let mut pes = Pes::video(self.clock.present(sample), decode, mux.scratch());
        let source = self.bytes.sample(at)?;
        let outcome =
            self.carriage
                .write(&self.video.config, source, sample.sync, self.key, &mut pes);
        let bytes = pes.finish();
        outcome?;
        mux.write(
            Pid::Video,
            &bytes,
            Some(Clock::reference(decode)),
            sample.sync,
            last,
        );
        mux.recycle(bytes);
        Ok(())
    }
}

/// Writes audio frames, a few to a PES packet.
struct Sound<'a> {
    index: &'a Index,
    config: &'a aac::Config,
    clock: Clock,
    bytes: Bytes<'a>,
    next: usize,
    end: usize,
    /// The stream that bears the program clock while this sound is written; none where pictures bring it.
    clock_on: Option<Pid>,
    key: Option<&'a Key>,
}

impl<'a> Sound<'a> {
    fn new(
        index: &'a Index,
        part: Part<'a>,
        clock_on: Option<Pid>,
        key: Option<&'a Key>,
    ) -> Result<Self, Error> {
        let config = match &index.track().media {
            Media::Audio(Codec::Aac(config)) => config,
            Media::Audio(Codec::Opus(_)) => return Err(NO_PLACE),
            Media::Video(_) => return Err(Error::Presentation("its sound is a picture")),
        };
        Ok(Self {
            index,
            config,
            clock: Clock::of(index)?,
            bytes: Bytes::new(index, part.segment, part.mezzanine)?,
            next: part.segment.samples.start,
            end: part.segment.samples.end,
            clock_on,
            key,
        })
    }

    /// Writes every group of frames that is due at `time`.
    fn write_until(&mut self, time: u64, mux: &mut Mux) -> Result<(), Error> {
        while self.next < self.end {
            let group = self
                .index
                .samples()
                .get(self.next..self.end)
                .unwrap_or_default();
            let group = one_pes(self.index, group);
            let Some(first) = group.first() else {
                return Ok(());
            };
            let present = self.clock.present(first);
            if present > time {
                return Ok(());
            }
            let mut pes = Pes::audio(present, mux.scratch());
            let outcome = self.frames(group, &mut pes);
            let bytes = pes.finish();
            outcome?;
            self.next += group.len();
            let reference = Clock::reference(present);
            if let Some(Pid::Video) = self.clock_on {
                mux.clock(Pid::Video, reference);
            }
            let reference = matches!(self.clock_on, Some(Pid::Audio)).then_some(reference);
            mux.write(Pid::Audio, &bytes, reference, true, self.next == self.end);
            mux.recycle(bytes);
        }
        Ok(())
    }

    fn frames(&self, group: &[Sample], pes: &mut Pes) -> Result<(), Error> {
        for at in self.next..self.next + group.len() {
            let frame = self.bytes.sample(at)?;
            pes.push(&self.config.adts_header(frame.len())?);
            pes.append(|out| {
                let start = out.len();
                out.extend_from_slice(frame);
                if let (Some(key), Some(frame)) = (self.key, out.get_mut(start..)) {
                    sample_aes::audio_frame(key, frame);
                }
            });
        }
        Ok(())
    }
}

/// The frames that share a PES packet: a handful, within its 16-bit length, and without a gap in time.
fn one_pes<'a>(index: &Index, frames: &'a [Sample]) -> &'a [Sample] {
    let usual = frames.first().map(|frame| frame.duration);
    let mut bytes = 0u32;
    let count = frames
        .iter()
        .take(frames_a_pes(index))
        .take_while(|frame| {
            bytes = bytes.saturating_add(frame.size);
            bytes <= MAX_PES_BYTES
        })
        .take_while(|frame| Some(frame.duration) == usual)
        .count()
        .max(1);
    // Silence is so short that its packet, spread over sixteen, would be cut within its header: the last frame of a
    // segment does not stand alone then.
    let ends_short = matches!(frames.get(count..), Some([last]) if last.size < SHORTEST_ALONE);
    let runs_on = usual == index.samples().first().map(|frame| frame.duration);
    let count = match count {
        2.. if ends_short => count - 1,
        1 if ends_short && runs_on && frames_a_pes(index) > 1 => 2,
        _ => count,
    };
    frames.get(..count).unwrap_or(frames)
}

/// The shortest frame that fills, with its ADTS header, the fifteen packets behind the one with the PES header.
const SHORTEST_ALONE: u32 = 15 - 7;

/// How many frames last less than the 100 ms that may pass between two program clocks (§2.7.2).
fn frames_a_pes(index: &Index) -> usize {
    let usual = index.samples().first().map_or(1, |frame| frame.duration);
    let frames = u64::from(index.track().timescale) * 9 / 100 / u64::from(usual.max(1));
    usize::try_from(frames).unwrap_or(1).clamp(1, FRAMES_A_PES)
}

/// Half as much again as a segment takes of a mezzanine at most. Parameter sets before every picture of a few bytes, or
/// a packet for each of them, would make more of it.
const MAX_BYTES: u64 = 96 << 20;
/// A picture that stands for longer than a minute and a half is left alone then.
const MAX_CLOCKS: u64 = 1000;
const FRAMES_A_PES: usize = 8;
const MAX_PES_BYTES: u32 = 60_000;
const PES_VIDEO: usize = 19;
const PES_AUDIO: usize = 14;
const NO_PLACE: Error = Error::Unsupported("its codec has no place in a transport stream");
const TABLE_PACKETS: u64 = 2;
const COUNTER_ROUND: u64 = 15;
