//! Part A: the packager alone, in this process and on one thread.

use std::any::Any;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use contracts::address::{Flavour, Protection as Method};
use packager::fmp4::Packed;
use packager::index::Index;
use packager::protect::{Key, Protection, Track, aes128};
use packager::{Parts, Presentation, Rendition, Segment, Source, dash, fmp4, hls, ts};
use serde::Serialize;

use crate::machine::{thread_faults, thread_time};
use crate::maths::{Figure, count, ratio};
use crate::packager::publish::{self, Ready, SEGMENT, Shelf};

/// How long and how often everything is repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) film: &'static str,
    pub(crate) what: String,
    /// Bytes that come out of one call.
    pub(crate) bytes: f64,
    /// Processor time of a call in µs, its output given back at once.
    pub(crate) warm_us: Figure,
    /// The same while outputs are kept, so that each needs fresh memory.
    pub(crate) fresh_us: Option<Figure>,
    /// Pages touched for the first time by a call that is measured so.
    pub(crate) fresh_pages: f64,
    /// MB/s of one core, from the fresh figure where there is one.
    pub(crate) mb_s: f64,
}

/// What a call gave: how many bytes, and what keeps them.
struct Output {
    bytes: usize,
    held: Box<dyn Any>,
}

impl Output {
    fn new<T: AsRef<[u8]> + 'static>(made: T) -> Self {
        Self {
            bytes: made.as_ref().len(),
            held: Box::new(made),
        }
    }

    fn packed(made: Packed) -> Self {
        Self {
            bytes: usize::try_from(made.length()).unwrap_or(usize::MAX),
            held: Box::new(made),
        }
    }
}

/// Something to measure; it is given the number of the call, to take another segment each time.
struct Job<'a> {
    film: &'static str,
    what: String,
    work: Box<dyn Fn(usize) -> Result<Output> + 'a>,
}

impl<'a> Job<'a> {
    fn new(
        film: &Ready,
        what: impl Into<String>,
        work: impl Fn(usize) -> Result<Output> + 'a,
    ) -> Self {
        Self {
            film: film.name,
            what: what.into(),
            work: Box::new(work),
        }
    }
}

/// A segment with the bytes that it is packed of.
struct Cut<'a> {
    index: &'a Index,
    segment: Segment,
    source: Bytes,
}

/// Measures everything.
pub(crate) fn run(shelf: &Shelf, effort: Effort) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for film in [&shelf.short, &shelf.long] {
        for job in jobs(film)? {
            eprintln!("packing: {} {}", job.film, job.what);
            lines.push(measure(&job, effort)?);
        }
    }
    Ok(lines)
}

fn jobs(film: &Ready) -> Result<Vec<Job<'_>>> {
    let picture = film.presentation.videos().last().context("no picture")?;
    let sound = film.presentation.audios().next().context("no sound")?;
    let pictures = Rc::new(cuts(film, picture)?);
    let sounds = Rc::new(cuts(film, sound)?);
    let mut jobs = vec![read(film, picture, &pictures)?];
    jobs.extend(fragments(film, picture, &pictures)?);
    jobs.extend(fragments(film, sound, &sounds)?);
    jobs.extend(transports(film, picture, &pictures, &sounds)?);
    jobs.push(iframes(film, picture)?);
    jobs.extend(lists(film, picture));
    jobs.extend(indexes(film));
    Ok(jobs)
}

/// What lies before packing at the origin: the one ranged read of the mezzanine, here out of the page cache.
fn read<'a>(film: &'a Ready, picture: &Rendition, cuts: &Rc<Vec<Cut<'a>>>) -> Result<Job<'a>> {
    let file = film.open(picture.id())?;
    let cuts = Rc::clone(cuts);
    let work = move |at| {
        let cut = pick(&cuts, at)?;
        let mut buffer = vec![0; cut.source.len()];
        file.read_exact_at(&mut buffer, cut.segment.bytes.start)?;
        Ok(Output::new(buffer))
    };
    let what = format!("reading a segment's range, {}", picture.id());
    Ok(Job::new(film, what, work))
}

/// A rendition's segments as fMP4, in the clear and encrypted in each way.
fn fragments<'a>(
    film: &'a Ready,
    rendition: &Rendition,
    cuts: &Rc<Vec<Cut<'a>>>,
) -> Result<Vec<Job<'a>>> {
    let id = rendition.id();
    let mut jobs = Vec::new();
    for (name, method) in [
        ("clear", None),
        ("cenc", Some(Method::Cenc)),
        ("cbcs", Some(Method::Cbcs)),
    ] {
        let protection = method.map(protection).transpose()?;
        // A rendition that cannot be encrypted is found out now, not while the clock runs.
        if let Some(protection) = &protection {
            protection.track(rendition)?;
        }
        let (rendition, cuts) = (rendition.clone(), Rc::clone(cuts));
        let work = move |at| {
            let track = protection
                .as_ref()
                .map(|way| way.track(&rendition))
                .transpose()?;
            pick(&cuts, at)?
                .fragment(track.as_ref())
                .map(Output::packed)
        };
        jobs.push(Job::new(film, format!("fMP4 segment, {name}, {id}"), work));
    }
    let (key, cuts) = (key(Method::Aes128, rendition)?, Rc::clone(cuts));
    let work = move |at| {
        let cut = pick(&cuts, at)?;
        let number = cut.segment.number.into();
        let clear = cut.fragment(None)?;
        let hidden = aes128::encrypt_pieces(&key, number, clear.pieces());
        Ok(Output::new(hidden))
    };
    jobs.push(Job::new(film, format!("fMP4 segment, AES-128, {id}"), work));
    Ok(jobs)
}

/// Transport stream segments of picture and sound, in the clear and encrypted in each way.
fn transports<'a>(
    film: &'a Ready,
    picture: &Rendition,
    pictures: &Rc<Vec<Cut<'a>>>,
    sounds: &Rc<Vec<Cut<'a>>>,
) -> Result<Vec<Job<'a>>> {
    let both = || (Rc::clone(pictures), Rc::clone(sounds));
    let name = |how: &str| format!("TS segment, {how}, {} with sound", picture.id());
    let (video, audio) = both();
    let clear = move |at| transport(pick(&video, at)?, pick(&audio, at)?, None).map(Output::new);
    let (video, audio) = both();
    let whole = key(Method::Aes128, picture)?;
    let locked = move |at| {
        let cut = pick(&video, at)?;
        let clear = transport(cut, pick(&audio, at)?, None)?;
        let number = cut.segment.number.into();
        Ok(Output::new(aes128::encrypt(&whole, number, clear)))
    };
    let (video, audio) = both();
    let samples = key(Method::SampleAes, picture)?;
    let by_samples = move |at| {
        let packed = transport(pick(&video, at)?, pick(&audio, at)?, Some(&samples));
        packed.map(Output::new)
    };
    Ok(vec![
        Job::new(film, name("clear"), clear),
        Job::new(film, name("AES-128"), locked),
        Job::new(film, name("SAMPLE-AES"), by_samples),
    ])
}

fn iframes<'a>(film: &'a Ready, picture: &'a Rendition) -> Result<Job<'a>> {
    let file = film.open(picture.id())?;
    let mut plans = Vec::new();
    for number in spread(picture.iframe_count()) {
        let plan = picture.iframe(number).context("no such I-frame")?;
        let mut source = vec![0; usize::try_from(plan.bytes.end - plan.bytes.start)?];
        file.read_exact_at(&mut source, plan.bytes.start)?;
        plans.push((plan, Bytes::from(source)));
    }
    let work = move |at| {
        let (plan, source) = pick(&plans, at)?;
        let packed = fmp4::iframe(picture.index(), plan, source, None)?;
        Ok(Output::packed(packed))
    };
    Ok(Job::new(
        film,
        format!("fMP4 I-frame, clear, {}", picture.id()),
        work,
    ))
}

fn transport(video: &Cut<'_>, audio: &Cut<'_>, key: Option<&Key>) -> Result<Vec<u8>> {
    Ok(ts::segment(&ts::Input {
        number: video.segment.number,
        video: Some(video.stream()),
        audio: Some(audio.stream()),
        key,
    })?)
}

fn protection(method: Method) -> Result<Protection> {
    Ok(Protection::new(
        &publish::keys(publish::LOCKED)?,
        method,
        None,
    )?)
}

fn key(method: Method, rendition: &Rendition) -> Result<Key> {
    let protection = protection(method)?;
    protection
        .key(rendition)
        .cloned()
        .context("no key for such a track")
}

fn lists<'a>(film: &'a Ready, picture: &'a Rendition) -> Vec<Job<'a>> {
    let whole = &film.presentation;
    let playlist = |flavour| {
        move |_| {
            let text = hls::playlist(whole, picture.id(), flavour, None)?;
            written(text)
        }
    };
    vec![
        Job::new(film, "init segment", |_| {
            Ok(Output::new(fmp4::init(picture.index(), None)))
        }),
        Job::new(film, "HLS master", |_| {
            written(hls::master(whole, Flavour::Cmaf, None)?)
        }),
        Job::new(film, "HLS media playlist, fMP4", playlist(Flavour::Cmaf)),
        Job::new(film, "HLS media playlist, TS", playlist(Flavour::Ts)),
        Job::new(film, "DASH MPD", |_| written(dash::manifest(whole, None)?)),
    ]
}

fn written(text: Option<String>) -> Result<Output> {
    text.map(Output::new).context("there is no such list")
}

/// What a film costs when it is first asked for.
fn indexes(film: &Ready) -> Vec<Job<'_>> {
    let encoded: Vec<_> = film
        .tracks
        .iter()
        .map(|track| track.index.encode())
        .collect();
    let decode = move |_| {
        let decoded = encoded.iter().map(|bytes| Index::decode(bytes));
        let decoded = decoded.collect::<Result<Vec<_>, _>>()?;
        Ok(Output {
            bytes: encoded.iter().map(Vec::len).sum(),
            held: Box::new(decoded),
        })
    };
    let cut = |_| {
        let sources = film.tracks.iter().map(|track| Source {
            id: track.id.clone(),
            language: None,
            label: None,
            index: Arc::clone(&track.index),
        });
        Ok(Output {
            bytes: 0,
            held: Box::new(Presentation::new(
                Parts {
                    sources: sources.collect(),
                    ..Parts::default()
                },
                SEGMENT,
            )?),
        })
    };
    let count = film.tracks.len();
    vec![
        Job::new(
            film,
            format!("decoding the indexes of {count} renditions"),
            decode,
        ),
        Job::new(
            film,
            format!("cutting {count} renditions into segments"),
            cut,
        ),
    ]
}

impl Cut<'_> {
    fn fragment(&self, track: Option<&Track<'_>>) -> Result<Packed> {
        Ok(fmp4::segment(
            self.index,
            &self.segment,
            &self.source,
            track,
        )?)
    }

    fn stream(&self) -> ts::Stream<'_> {
        ts::Stream {
            index: self.index,
            part: Some(ts::Part {
                segment: &self.segment,
                mezzanine: &self.source,
            }),
        }
    }
}

/// Segments from all over a film, at most [`CUTS`].
fn cuts<'a>(film: &Ready, rendition: &'a Rendition) -> Result<Vec<Cut<'a>>> {
    let file = film.open(rendition.id())?;
    let mut cuts = Vec::new();
    for number in spread(rendition.segment_count()) {
        let segment = rendition.segment(number).context("no such segment")?;
        let length = usize::try_from(segment.bytes.end - segment.bytes.start)?;
        let mut source = vec![0; length];
        file.read_exact_at(&mut source, segment.bytes.start)?;
        cuts.push(Cut {
            index: rendition.index(),
            segment,
            source: source.into(),
        });
    }
    Ok(cuts)
}

/// Numbers of segments at equal distances, without the last one, which is shorter or not there for every rendition.
pub(crate) fn spread(segments: u32) -> Vec<u32> {
    let whole = segments.saturating_sub(2).max(1);
    let step = whole.div_ceil(CUTS).max(1);
    (0..whole.div_ceil(step)).map(|at| 1 + at * step).collect()
}

fn pick<T>(of: &[T], at: usize) -> Result<&T> {
    let place = at.checked_rem(of.len()).unwrap_or_default();
    of.get(place).context("a film without segments")
}

fn measure(job: &Job<'_>, effort: Effort) -> Result<Line> {
    let calls = calibrate(job, effort.round)?;
    let (mut warm, mut fresh) = (Vec::new(), Vec::new());
    let (mut bytes, mut pages) = (0, 0);
    for _ in 0..effort.rounds {
        let before = thread_time();
        for at in 0..calls {
            bytes += std::hint::black_box((job.work)(at)?).bytes;
        }
        warm.push(micros(thread_time() - before) / count(calls));
    }
    let bytes = count(bytes) / count(calls * effort.rounds);
    let kept = calls.min(
        KEPT_BYTES
            .checked_div((job.work)(0)?.bytes)
            .unwrap_or(calls),
    );
    if bytes >= LARGE && kept > 0 {
        for _ in 0..effort.rounds {
            let mut outputs = Vec::with_capacity(kept);
            let (before, faults) = (thread_time(), thread_faults()?);
            for at in 0..kept {
                outputs.push((job.work)(at)?.held);
            }
            fresh.push(micros(thread_time() - before) / count(kept));
            pages += thread_faults()? - faults;
        }
    }
    let warm_us = Figure::of(warm).context("no round was measured")?;
    let fresh_us = Figure::of(fresh);
    let micros = fresh_us.unwrap_or(warm_us).median;
    Ok(Line {
        film: job.film,
        what: job.what.clone(),
        bytes,
        mb_s: ratio(bytes, micros),
        fresh_pages: ratio(count(usize::try_from(pages)?), count(kept * effort.rounds)),
        warm_us,
        fresh_us,
    })
}

/// How many calls fill a round; also the warming up.
fn calibrate(job: &Job<'_>, round: Duration) -> Result<usize> {
    let before = thread_time();
    let mut calls = 0;
    while thread_time() - before < round {
        std::hint::black_box((job.work)(calls)?);
        calls += 1;
    }
    Ok(calls)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Segments of a film that are taken in turn.
const CUTS: u32 = 15;
/// What outputs that are kept may take together.
const KEPT_BYTES: usize = 256 << 20;
/// Outputs below this many bytes live in memory that an allocator keeps at hand anyway.
const LARGE: f64 = 128.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_taken_from_all_over_a_film_and_never_the_last() {
        assert_eq!(spread(15), (1..=13).collect::<Vec<_>>());
        let long = spread(1800);
        assert_eq!(
            (long.len(), long.first(), long.last()),
            (15, Some(&1), Some(&1681))
        );
        assert_eq!(spread(1), [1]);
        assert_eq!(spread(0), [1]);
    }
}
