//! Part A: the packager alone, in this process and on one thread.

use std::any::Any;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use contracts::address::Flavour;
use packager::index::Index;
use packager::{Presentation, Rendition, Segment, Source, dash, fmp4, hls, ts};
use serde::Serialize;

use crate::machine::{thread_faults, thread_time};
use crate::maths::{Figure, count, ratio};
use crate::publish::{Ready, SEGMENT, Shelf};

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
}

/// Something to measure; it is given the number of the call, to take another segment each time.
struct Job<'a> {
    film: &'static str,
    what: String,
    work: Box<dyn Fn(usize) -> Result<Output> + 'a>,
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
    let pictures = Arc::new(cuts(film, picture)?);
    let sounds = Arc::new(cuts(film, sound)?);
    let name = film.name;
    let job = |what: &str, work: Box<dyn Fn(usize) -> Result<Output>>| Job {
        film: name,
        what: what.to_owned(),
        work,
    };
    let mut jobs = Vec::new();
    let _ = &job;
    jobs.extend(reads(film, picture, &pictures)?);
    jobs.extend(segments(name, picture, &pictures, &sounds));
    jobs.extend(lists(film, picture));
    jobs.extend(indexes(film));
    Ok(jobs)
}

/// What lies before packing at the origin: the one ranged read of the mezzanine, here out of the page cache.
fn reads<'a>(
    film: &'a Ready,
    picture: &Rendition,
    pictures: &Arc<Vec<Cut<'a>>>,
) -> Result<Vec<Job<'a>>> {
    let track = film.tracks.iter().find(|track| track.id == *picture.id());
    let file = File::open(&track.context("no such track")?.file)?;
    let pictures = Arc::clone(pictures);
    Ok(vec![Job {
        film: film.name,
        what: format!("read of a segment's range, {}", picture.id()),
        work: Box::new(move |at| {
            let cut = pick(&pictures, at)?;
            let mut buffer = vec![0; cut.source.len()];
            file.read_exact_at(&mut buffer, cut.segment.bytes.start)?;
            Ok(Output::new(buffer))
        }),
    }])
}

fn segments<'a>(
    film: &'static str,
    picture: &Rendition,
    pictures: &Arc<Vec<Cut<'a>>>,
    sounds: &Arc<Vec<Cut<'a>>>,
) -> Vec<Job<'a>> {
    let id = picture.id();
    let (clear, tone) = (Arc::clone(pictures), Arc::clone(sounds));
    let (video, audio) = (Arc::clone(pictures), Arc::clone(sounds));
    vec![
        Job {
            film,
            what: format!("fMP4 segment, {id}"),
            work: Box::new(move |at| fragment(pick(&clear, at)?)),
        },
        Job {
            film,
            what: "fMP4 segment, sound".to_owned(),
            work: Box::new(move |at| fragment(pick(&tone, at)?)),
        },
        Job {
            film,
            what: format!("TS segment, {id} with sound"),
            work: Box::new(move |at| transport(pick(&video, at)?, pick(&audio, at)?)),
        },
    ]
}

fn fragment(cut: &Cut<'_>) -> Result<Output> {
    Ok(Output::new(fmp4::segment(
        cut.index,
        &cut.segment,
        &cut.source,
    )?))
}

fn transport(video: &Cut<'_>, audio: &Cut<'_>) -> Result<Output> {
    Ok(Output::new(ts::segment(&ts::Input {
        number: video.segment.number,
        video: Some(video.stream()),
        audio: Some(audio.stream()),
    })?))
}

fn lists<'a>(film: &'a Ready, picture: &'a Rendition) -> Vec<Job<'a>> {
    let whole = &film.presentation;
    let job = |what: &str, work: Box<dyn Fn() -> Option<Vec<u8>> + 'a>| Job {
        film: film.name,
        what: what.to_owned(),
        work: Box::new(move |_| Ok(Output::new(work().context("there is no such list")?))),
    };
    let media = |flavour| move || hls::playlist(whole, picture.id(), flavour).map(String::into);
    vec![
        job(
            "init segment",
            Box::new(move || Some(fmp4::init(picture.index()))),
        ),
        job(
            "HLS master",
            Box::new(move || Some(hls::master(whole, Flavour::Cmaf).into())),
        ),
        job("HLS media playlist, fMP4", Box::new(media(Flavour::Cmaf))),
        job("HLS media playlist, TS", Box::new(media(Flavour::Ts))),
        job(
            "DASH MPD",
            Box::new(move || Some(dash::manifest(whole).into())),
        ),
    ]
}

/// What a film costs when it is first asked for.
fn indexes(film: &Ready) -> Vec<Job<'_>> {
    let encoded: Vec<_> = film.tracks.iter().map(|track| track.index.encode()).collect();
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
            index: Arc::clone(&track.index),
        });
        Ok(Output {
            bytes: 0,
            held: Box::new(Presentation::new(sources.collect(), SEGMENT)?),
        })
    };
    let count = film.tracks.len();
    vec![
        Job {
            film: film.name,
            what: format!("decoding the indexes of {count} renditions"),
            work: Box::new(decode),
        },
        Job {
            film: film.name,
            what: format!("cutting {count} renditions into segments"),
            work: Box::new(cut),
        },
    ]
}

impl Cut<'_> {
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
fn cuts<'a>(film: &'a Ready, rendition: &'a Rendition) -> Result<Vec<Cut<'a>>> {
    let track = film.tracks.iter().find(|track| track.id == *rendition.id());
    let file = File::open(&track.context("no such track")?.file)?;
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
    let kept = calls.min(KEPT_BYTES.checked_div((job.work)(0)?.bytes).unwrap_or(calls));
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
        assert_eq!((long.len(), long.first(), long.last()), (15, Some(&1), Some(&1681)));
        assert_eq!(spread(1), [1]);
        assert_eq!(spread(0), [1]);
    }
}
