//! What is to be made of a film, and whether its work is shared. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{Key, layout};

use super::{Failure, early::Shown, tool};
use crate::{
    jobs::{Job, NewJob, Step},
    media::{early::Stands, ladder::Ladder, probe::Facts, transcode::Stretch},
};

/// The plan of a film, which all who work at it share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    original: String,
    /// Which attempt at the film's first job made it; its pieces are named by it.
    pub(super) attempt: u32,
    pub(super) facts: Facts,
    pub(super) ladder: Ladder,
    /// The stretches that are made apart; none where the film is made in one piece.
    pub(super) stretches: Vec<Stretch>,
    /// What of the film is shown already, and is no more to be made.
    #[serde(default)]
    pub(super) shown: Option<Shown>,
}

impl Plan {
    /// Plans a film for so many workers, in stretches of about that length.
    ///
    /// One worker makes a film in one piece, for stretches cost it a little and gain it nothing. So do
    /// many where the film is shorter than two stretches, or where reading cannot begin anywhere: a
    /// stretch begins at the same picture as in the whole only in files that have an index.
    pub(super) fn of(
        job: &Job,
        facts: Facts,
        ladder: Ladder,
        stretch: Duration,
        workers: u64,
    ) -> Self {
        let stretches = match workers {
            0 | 1 => Vec::new(),
            _ => stretches(&facts, &ladder, stretch),
        };
        Self {
            original: job.input.to_string(),
            attempt: job.attempt,
            facts,
            ladder,
            stretches,
            shown: None,
        }
    }

    /// Plans what a film is to have beside all that is shown of it, sounds and subtitles among that. One
    /// worker makes it in stretches, too: it is not waited for, and films that come meanwhile go before it.
    pub(super) fn further(
        job: &Job,
        mut facts: Facts,
        ladder: Ladder,
        stretch: Duration,
        shown: Shown,
    ) -> Self {
        facts.texts.clear();
        let plan = Self::of(job, facts, ladder, stretch, u64::MAX);
        plan.beside(shown, &Stands::Beside)
    }

    /// What is left to be made beside what is shown: its sounds are all that the film will have.
    pub(super) fn beside(mut self, shown: Shown, stands: &Stands) -> Self {
        if let Stands::InPlaceOf(rung) = stands {
            self.ladder = self.ladder.without(rung);
        }
        self.facts.sounds.clear();
        self.shown = Some(shown);
        self
    }

    /// Where the film lies.
    pub(super) fn original(&self) -> Result<Key, Failure> {
        Key::parse(&self.original).map_err(|_| tool("a plan without an original".to_owned()))
    }

    /// The jobs that the film's work is cut into; `None` where the one that planned does it all. Where the
    /// film is shown already, another does, of a generation of its own.
    pub(super) fn jobs(&self, job: &Job) -> Option<Vec<NewJob>> {
        let in_one_piece = self.stretches.is_empty();
        if in_one_piece && self.shown.is_none() {
            return None;
        }
        let new = |step, part, weight: u64| NewJob {
            video: job.video.clone(),
            step,
            part,
            input: layout::plan(&job.video, self.attempt),
            owner: job.owner.clone(),
            priority: job.priority,
            weight: u32::try_from(weight.max(1)).unwrap_or(u32::MAX),
        };
        let (chunk, finish) = job.step.shared();
        let rate = self.ladder.rate;
        let announced = self.facts.picture.announced.or(self.facts.announced);
        let all = rate.groups_in(announced.unwrap_or_default()) * u64::from(rate.gop_frames());
        let mut jobs: Vec<NewJob> = (0..)
            .zip(&self.stretches)
            .map(|(part, stretch)| {
                let rest = all.saturating_sub(stretch.first);
                new(chunk, part, stretch.frames.unwrap_or(rest))
            })
            .collect();
        let beside = !self.facts.sounds.is_empty() || !self.facts.texts.is_empty();
        if beside && !in_one_piece {
            jobs.push(new(Step::Sound, 0, all / 20));
        }
        let last = if in_one_piece { all } else { all / 25 };
        jobs.push(new(finish, 0, last));
        Some(jobs)
    }
}

/// Cuts a film into stretches of whole groups, all alike but the last, which goes on to the end
/// wherever that is; none when there would be one only, or reading cannot begin where they do.
fn stretches(facts: &Facts, ladder: &Ladder, length: Duration) -> Vec<Stretch> {
    let announced = facts.picture.announced.or(facts.announced);
    let Some(announced) = announced.filter(|_| facts.indexed && !facts.picture.cover) else {
        return Vec::new();
    };
    let rate = ladder.rate;
    let length = length.max(announced / MOST_STRETCHES);
    let each = rate.groups_in(length) * u64::from(rate.gop_frames());
    let all = rate.groups_in(announced) * u64::from(rate.gop_frames());
    let count = all / each;
    if count < 2 {
        return Vec::new();
    }
    (0..count)
        .map(|at| Stretch {
            first: at * each,
            frames: (at + 1 < count).then_some(each),
        })
        .collect()
}

/// Beyond this stretches become longer: each reads the original's index anew.
const MOST_STRETCHES: u32 = 500;

#[cfg(test)]
mod tests {
    use contracts::id::VideoId;

    use super::*;
    use crate::media::rate::Rate;

    fn plan(seconds: u64, workers: u64, change: impl FnOnce(&mut Facts)) -> (Job, Plan) {
        let job = Job {
            video: VideoId::parse("v").unwrap(),
            step: Step::Publish,
            part: 0,
            input: Key::parse("originals/v/original.mp4").unwrap(),
            owner: "ann".to_owned(),
            priority: 3,
            attempt: 2,
            failures: 1,
            outages: 0,
            cuts: 0,
        };
        let rate = Rate::new(30_000, 1001).unwrap();
        let mut facts = Facts::plain(426, 240, rate);
        facts.announced = Some(Duration::from_secs(seconds));
        facts.indexed = true;
        change(&mut facts);
        let ladder = Ladder::of(426, 240, rate);
        let stretch = Duration::from_secs(60);
        let plan = Plan::of(&job, facts, ladder, stretch, workers);
        (job, plan)
    }

    #[test]
    fn a_long_film_is_shared_in_stretches_of_whole_groups_and_the_last_has_no_end() {
        let (job, plan) = plan(200, 2, |_| ());
        let stretch = |first, frames| Stretch { first, frames };
        let all = [
            stretch(0, Some(1800)),
            stretch(1800, Some(1800)),
            stretch(3600, None),
        ];
        assert_eq!(plan.stretches, all);
        let jobs = plan.jobs(&job).unwrap();
        let told: Vec<_> = jobs
            .iter()
            .map(|job| (job.step, job.part, job.weight))
            .collect();
        assert_eq!(
            told,
            [
                (Step::Chunk, 0, 1800),
                (Step::Chunk, 1, 1800),
                (Step::Chunk, 2, 2400),
                (Step::Finish, 0, 240),
            ]
        );
        assert!(
            jobs.iter()
                .all(|job| job.owner == "ann" && job.priority == 3)
        );
        assert_eq!(jobs[0].input.as_str(), "pieces/v/2/plan.json");
        let json = serde_json::to_vec(&plan).unwrap();
        assert_eq!(serde_json::from_slice::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn a_film_is_made_in_one_piece_where_sharing_gains_nothing_or_risks_a_seam() {
        let whole = |(job, plan): (Job, Plan)| plan.jobs(&job).is_none();
        assert!(whole(plan(100, 2, |_| ())), "too short");
        assert!(whole(plan(1000, 1, |_| ())), "nobody to share with");
        assert!(whole(plan(1000, 2, |facts| facts.indexed = false)));
        assert!(whole(plan(1000, 2, |facts| facts.picture.cover = true)));
        assert!(whole(plan(1000, 2, |facts| facts.announced = None)));
        assert!(!whole(plan(1000, 2, |_| ())));
    }

    #[test]
    fn the_longest_films_have_longer_stretches() {
        let (_, plan) = plan(48 * 3600, 9, |_| ());
        assert!(
            (450..=500).contains(&plan.stretches.len()),
            "{}",
            plan.stretches.len()
        );
    }
}
