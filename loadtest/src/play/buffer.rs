//! A player's buffer: media comes in by downloads and goes out by the clock.

use std::time::Duration;

/// What is buffered, and how the viewer fared. Time is counted from the moment of asking for the film.
#[derive(Debug)]
pub(super) struct Buffer {
    limits: Limits,
    level: Duration,
    /// Up to when it has been played.
    now: Duration,
    state: State,
    /// From asking until pictures moved.
    pub(super) started: Option<Duration>,
    pub(super) played: Duration,
    pub(super) stalled: Duration,
    pub(super) stalls: usize,
}

/// How much must be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// To begin.
    pub(super) start: Duration,
    /// To go on after a stall.
    pub(super) resume: Duration,
    /// With so much a player waits before it loads more.
    pub(super) full: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Playing,
    Stalled,
}

impl Buffer {
    /// An empty one.
    pub(super) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            level: Duration::ZERO,
            now: Duration::ZERO,
            state: State::Starting,
            started: None,
            played: Duration::ZERO,
            stalled: Duration::ZERO,
            stalls: 0,
        }
    }

    /// What is buffered at a moment.
    pub(super) fn level(&mut self, now: Duration) -> Duration {
        self.pass(now);
        self.level
    }

    /// A segment has come.
    pub(super) fn add(&mut self, media: Duration, now: Duration) {
        self.pass(now);
        self.level += media;
        let enough = match self.state {
            State::Playing => return,
            State::Starting => self.limits.start,
            State::Stalled => self.limits.resume,
        };
        if self.level >= enough {
            self.play();
        }
    }

    /// Nothing more will come: what is there is played, be it little.
    pub(super) fn finish(&mut self, now: Duration) {
        self.pass(now);
        if !self.level.is_zero() {
            self.play();
            self.played += std::mem::take(&mut self.level);
        }
    }

    /// How long to wait before the next download.
    pub(super) fn wait(&mut self, now: Duration) -> Duration {
        self.level(now).saturating_sub(self.limits.full)
    }

    /// The part of the time since the start in which nothing moved; none before the start.
    pub(super) fn stall_ratio(&self) -> Option<f64> {
        self.started?;
        let all = self.played + self.stalled;
        Some(crate::maths::ratio(
            self.stalled.as_secs_f64(),
            all.as_secs_f64(),
        ))
    }

    fn play(&mut self) {
        self.state = State::Playing;
        self.started.get_or_insert(self.now);
    }

    /// Lets time pass.
    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        match self.state {
            State::Starting => {}
            State::Stalled => self.stalled += passed,
            State::Playing => {
                let played = passed.min(self.level);
                self.level -= played;
                self.played += played;
                if passed > played {
                    self.state = State::Stalled;
                    self.stalls += 1;
                    self.stalled += passed - played;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        start: seconds(4),
        resume: seconds(8),
        full: seconds(20),
    };

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_film_starts_with_enough_of_it_and_time_before_that_is_no_stall() {
        let mut buffer = Buffer::new(LIMITS);
        buffer.add(seconds(2), seconds(1));
        assert_eq!(buffer.started, None);
        buffer.add(seconds(2), seconds(3));
        assert_eq!(buffer.started, Some(seconds(3)));
        assert_eq!(buffer.level(seconds(5)), seconds(2));
        assert_eq!((buffer.played, buffer.stalled), (seconds(2), seconds(0)));
    }

    #[test]
    fn an_empty_buffer_stalls_until_there_is_enough_to_go_on() {
        let mut buffer = Buffer::new(LIMITS);
        buffer.add(seconds(4), seconds(0));
        // Empty at 4, and 4 s of media at 10 are not enough.
        buffer.add(seconds(4), seconds(10));
        buffer.add(seconds(4), seconds(12));
        assert_eq!((buffer.stalls, buffer.stalled), (1, seconds(8)));
        assert_eq!(buffer.level(seconds(14)), seconds(6));
        assert_eq!(buffer.played, seconds(6));
        assert!((buffer.stall_ratio().unwrap() - 8.0 / 14.0).abs() < 1e-9);
    }

    #[test]
    fn a_full_buffer_makes_a_player_wait_until_there_is_room() {
        let mut buffer = Buffer::new(LIMITS);
        buffer.add(seconds(24), seconds(0));
        assert_eq!(buffer.wait(seconds(1)), seconds(3));
        assert_eq!(buffer.wait(seconds(4)), seconds(0));
    }

    #[test]
    fn the_end_of_a_film_is_played_though_it_is_short() {
        let mut buffer = Buffer::new(LIMITS);
        buffer.add(seconds(2), seconds(1));
        buffer.finish(seconds(1));
        assert_eq!(
            (buffer.started, buffer.played),
            (Some(seconds(1)), seconds(2))
        );
        assert_eq!(buffer.stall_ratio(), Some(0.0));
    }

    #[test]
    fn who_never_started_has_no_ratio_of_stalls() {
        assert_eq!(Buffer::new(LIMITS).stall_ratio(), None);
    }
}
