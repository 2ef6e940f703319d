//! Making a film: workers, as they are in a house, beside one plain ffmpeg that makes the same ladder.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::site::Site;
use super::{Bench, peers, sending};
use crate::maths::{Figure, ratio};

/// What a side came to.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) what: &'static str,
    pub(super) cores: usize,
    /// Seconds from `complete` until the film is ready, or of the command.
    pub(super) wall_s: Figure,
    /// Processor time of all processes, in seconds.
    pub(super) cpu_s: Figure,
    /// Seconds in which encoders ran, those of several workers added up.
    pub(super) encoding_s: Option<Figure>,
    /// `wall_s` by that of plain ffmpeg on as many cores as one worker had.
    pub(super) beside_ffmpeg: f64,
    /// The same of processor time.
    pub(super) cpu_beside_ffmpeg: f64,
}

/// Who makes the film, where.
struct Side {
    what: &'static str,
    /// Which cores each process may use.
    processes: Vec<Vec<usize>>,
    /// Workers of each process; none for plain ffmpeg.
    workers: u32,
    turns: Vec<Turn>,
}

struct Turn {
    wall: Duration,
    cpu: Duration,
    encoding_s: Option<f64>,
    /// The lengths of the files that were made, from the shortest.
    lengths: Vec<u64>,
}

impl Bench<'_> {
    /// Has each side make the film in turn.
    pub(super) async fn encodes(&self) -> Result<Vec<Line>> {
        let mut sides = self.sides();
        for round in 1..=self.rounds {
            for side in &mut sides {
                let what = side.what;
                eprintln!("encoding, round {round} of {}: {what} …", self.rounds);
                let turn = match side.workers {
                    0 => self.by_ffmpeg(side)?,
                    _ => self.by_workers(side).await?,
                };
                side.turns.push(turn);
            }
        }
        lines(&sides)
    }

    fn sides(&self) -> Vec<Side> {
        let all = vec![self.cores.clone()];
        let each: Vec<Vec<usize>> = self.cores.iter().take(2).map(|core| vec![*core]).collect();
        let one = each.iter().take(1).cloned().collect::<Vec<_>>();
        let side = |what, processes: &Vec<Vec<usize>>, workers| Side {
            what,
            processes: processes.clone(),
            workers,
            turns: Vec::new(),
        };
        let mut sides = vec![
            side("plain ffmpeg", &all, 0),
            side("one worker", &all, 1),
            side("two workers", &all, 2),
        ];
        if each.len() > 1 {
            sides.extend([
                side("plain ffmpeg, one core", &one, 0),
                side("one worker, one core", &one, 1),
                side("two workers, a core each", &each, 1),
            ]);
        }
        sides
    }

    fn by_ffmpeg(&self, side: &Side) -> Result<Turn> {
        let folder = self.folder.join("ffmpeg");
        let made = peers::ffmpeg(&self.films.plain, &folder, &side.processes.concat())?;
        Ok(Turn {
            wall: made.wall,
            cpu: made.cpu,
            encoding_s: None,
            lengths: made.lengths,
        })
    }

    async fn by_workers(&self, side: &Side) -> Result<Turn> {
        // Four stretches: where there are two workers, both have work until the end.
        let settings = format!(
            "workers = {}\nearly = false\nstretch = \"{}s\"\n",
            side.workers,
            (self.films.seconds / 4).max(4)
        );
        let processes: Vec<&[usize]> = side.processes.iter().map(Vec::as_slice).collect();
        let folder = self.folder.join("house");
        let site = Site::start(&folder, self.millrace, &processes, &settings)?;
        let workers = side.workers * u32::try_from(processes.len())?;
        site.knows(workers).await?;
        let (content, digests) = sending::of_file(&self.films.plain)?;
        let sent = sending::chunks(&site, &content, &digests, self.connections).await?;
        let (began, before) = (Instant::now(), site.time()?);
        sent.complete(&site).await?;
        let ready = site
            .until(&sent.video, |status| status.state == "ready")
            .await?;
        Ok(Turn {
            wall: ready.duration_since(began),
            cpu: site.time()?.saturating_sub(before),
            encoding_s: Some(site.metric("millrace_ingest_transcode_seconds_sum").await?),
            lengths: site.mezzanines()?,
        })
    }
}

impl Side {
    /// Sees that it made the same as plain ffmpeg did: as many files, each about as long. Who has other threads makes
    /// a little more or less, and who begins anew at each stretch more than that.
    fn made_the_same(&self, theirs: &[u64]) -> Result<()> {
        let shared = self.workers > 1 || self.processes.len() > 1;
        let unlike = if shared { UNLIKE_IN_STRETCHES } else { UNLIKE };
        for turn in &self.turns {
            let pairs = turn.lengths.iter().zip(theirs);
            let alike = pairs.clone().all(|(ours, theirs)| {
                let (ours, theirs) = (*ours as f64, *theirs as f64);
                (ours - theirs).abs() < theirs * unlike
            });
            ensure!(
                alike && turn.lengths.len() == theirs.len(),
                "{} made files of {:?} bytes, and plain ffmpeg of {theirs:?}",
                self.what,
                turn.lengths
            );
        }
        Ok(())
    }

    fn median(&self, value: impl Fn(&Turn) -> Option<f64>) -> Option<Figure> {
        Figure::of(self.turns.iter().filter_map(value).collect())
    }
}

fn lines(sides: &[Side]) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    for side in sides {
        let plain = sides.iter().find(|plain| {
            // What a worker stands beside has as many cores as one of its processes.
            let cores = |side: &Side| side.processes.first().map(Vec::len);
            plain.workers == 0 && cores(plain) == cores(side)
        });
        let plain = plain.context("no plain ffmpeg")?;
        let first = plain.turns.first().context("no turns")?;
        side.made_the_same(&first.lengths)?;
        let figures = |side: &Side| {
            let wall = side.median(|turn| Some(turn.wall.as_secs_f64()));
            wall.zip(side.median(|turn| Some(turn.cpu.as_secs_f64())))
        };
        let (wall_s, cpu_s) = figures(side).context("no turns")?;
        let (plain_wall, plain_cpu) = figures(plain).context("no turns")?;
        lines.push(Line {
            what: side.what,
            cores: side.processes.iter().map(Vec::len).sum(),
            wall_s,
            cpu_s,
            encoding_s: side.median(|turn| turn.encoding_s),
            beside_ffmpeg: ratio(wall_s.median, plain_wall.median),
            cpu_beside_ffmpeg: ratio(cpu_s.median, plain_cpu.median),
        });
    }
    Ok(lines)
}

/// By how much of itself a file may be longer or shorter.
const UNLIKE: f64 = 0.05;
const UNLIKE_IN_STRETCHES: f64 = 0.3;
