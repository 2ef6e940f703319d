//! The life of a film.

use std::fmt;

/// Where a film is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Bytes are arriving.
    Uploading,
    /// All bytes are there; renditions are being made. Some may be there to be watched already.
    Processing,
    /// It can be watched.
    Ready,
    /// It cannot be made; the reason stands beside.
    Failed,
    /// It was taken away. Its row stays, so that its name is not given again.
    Deleted,
}

/// What happens to a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The upload is complete and its digest is right.
    Uploaded,
    /// Its first renditions are in the store, and can be watched while the others are made.
    Playable {
        /// Its length in milliseconds.
        duration_ms: u64,
    },
    /// Its renditions are in the store, and so is the note that names them. Of a film that is *ready*: it has those
    /// besides that it was to have.
    Published {
        /// Its length in milliseconds.
        duration_ms: u64,
    },
    /// Nothing is made beside what can be watched already; that stays. Of a film that is *ready*: what it was to have
    /// besides cannot be made.
    Left {
        /// Why, in words for its publisher.
        reason: String,
    },
    /// It cannot be made.
    Failed {
        /// Why, in words for its publisher.
        reason: String,
    },
    /// It is to be tried once more.
    Retried,
    /// It is taken away.
    Deleted,
}

/// The event does not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Uploading,
        Self::Processing,
        Self::Ready,
        Self::Failed,
        Self::Deleted,
    ];

    /// The state after an event.
    ///
    /// # Errors
    /// [`Refused`] when the event does not fit: a film that is *ready* or has failed is tried once more or
    /// deleted at most, and nothing leads out of that.
    pub const fn next(self, event: &Event) -> Result<Self, Refused> {
        match (self, event) {
            (Self::Uploading | Self::Processing, Event::Uploaded)
            | (Self::Processing, Event::Playable { .. }) => Ok(Self::Processing),
            (Self::Processing | Self::Ready, Event::Published { .. })
            | (Self::Processing | Self::Ready, Event::Left { .. }) => Ok(Self::Ready),
            (Self::Uploading | Self::Processing | Self::Failed, Event::Failed { .. }) => {
                Ok(Self::Failed)
            }
            (Self::Failed | Self::Ready, Event::Retried) => Ok(Self::Processing),
            (_, Event::Deleted) => Ok(Self::Deleted),
            _ => Err(Refused),
        }
    }

    /// The word used in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_late_leads_out_of_ready_or_revives_what_failed() {
        let failed = Event::Failed { reason: "x".into() };
        let published = Event::Published { duration_ms: 1 };
        assert_eq!(State::Ready.next(&failed), Err(Refused));
        assert_eq!(State::Ready.next(&Event::Uploaded), Err(Refused));
        assert_eq!(State::Failed.next(&published), Err(Refused));
        assert_eq!(State::Failed.next(&Event::Uploaded), Err(Refused));
        assert_eq!(State::Uploading.next(&published), Err(Refused));
    }

    #[test]
    fn only_a_film_that_came_to_its_end_is_tried_once_more() {
        for state in State::ALL {
            let is_over = matches!(state, State::Failed | State::Ready);
            let again = is_over.then_some(State::Processing);
            assert_eq!(state.next(&Event::Retried).ok(), again);
        }
    }

    #[test]
    fn whatever_a_film_is_it_can_be_deleted_and_stays_so() {
        for state in State::ALL {
            assert_eq!(state.next(&Event::Deleted), Ok(State::Deleted));
        }
        let failed = Event::Failed { reason: "x".into() };
        let published = Event::Published { duration_ms: 1 };
        for event in [Event::Uploaded, published, failed] {
            assert_eq!(State::Deleted.next(&event), Err(Refused));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_order_of_events_leads_back(events in proptest::collection::vec(0..6_usize, 0..12)) {
            let all = [
                Event::Uploaded,
                Event::Playable { duration_ms: 1 },
                Event::Left { reason: "x".into() },
                Event::Published { duration_ms: 1 },
                Event::Failed { reason: "x".into() },
                Event::Deleted,
            ];
            let mut state = State::Uploading;
            for event in events {
                let Ok(next) = state.next(&all[event]) else { continue };
                let allowed = next == state
                    || next == State::Deleted
                    || matches!(
                        (state, next),
                        (State::Uploading, State::Processing | State::Failed)
                            | (State::Processing, State::Ready | State::Failed)
                    );
                proptest::prop_assert!(allowed, "{state} became {next}");
                state = next;
            }
        }
    }

    #[test]
    fn every_state_reads_back_from_its_word() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("gone"), None);
    }
}
