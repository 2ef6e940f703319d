//! Whose turn it is to write on an HTTP/2 connection: RFC 9218.
//!
//! The library beneath sends what it was given in turn, whatever is urgent. So nothing is given to it
//! as long as a more urgent answer has something to send and may: its client has room for it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::frames::Word;
use crate::priority::{LEAST_URGENT, Priority, Wish};
use crate::spoken::{Numbering, Open, Spoken};

/// The answers of one connection.
pub(crate) struct Turns {
    streams: Arc<Spoken<Stream>>,
    /// What each stream may be sent to begin with.
    initial_window: AtomicI64,
    /// Of each urgency, how many answers have something to send and may.
    eager: Counts,
    /// Of each urgency, how many wait for their turn, or for room while they have it.
    waiting: Counts,
}

/// What is known of one stream.
#[derive(Default)]
struct Stream {
    wish: Wish,
    /// The client's updates of its window, less what was sent.
    window: AtomicI64,
    /// Who waits, and how urgent that is.
    waker: Mutex<Option<(u8, Waker)>>,
}

/// One answer among those of its connection.
pub(super) struct Turn {
    turns: Arc<Turns>,
    stream: Open<Stream>,
    /// What the answer itself says.
    answer: Priority,
    /// Counted among the eager, as so urgent.
    eager: Option<u8>,
}

impl Turns {
    /// For a connection that has at most so many requests at once.
    pub(crate) fn new(at_once: u32) -> Arc<Self> {
        Arc::new(Self {
            streams: Spoken::new(Numbering {
                first: 1,
                step: 2,
                at_once,
            }),
            initial_window: AtomicI64::new(INITIAL_WINDOW),
            eager: Counts::default(),
            waiting: Counts::default(),
        })
    }

    /// Takes notice of what the client says. What it may not say, the library refuses.
    pub(crate) fn heed(&self, word: Word<'_>) {
        match word {
            Word::Request(stream) => self.streams.come(stream.into()),
            Word::InitialWindow(bytes) => {
                self.initial_window.store(bytes.into(), Ordering::SeqCst);
            }
            Word::Window { stream, bytes } => {
                if let Ok(Some(stream)) = self.streams.spoken_of(stream.into()) {
                    stream.window.fetch_add(bytes.into(), Ordering::SeqCst);
                }
            }
            Word::Priority { stream, value } => {
                if let Ok(Some(stream)) = self.streams.spoken_of(stream.into()) {
                    stream.wish.update(Priority::parse(value));
                    self.wake(0);
                }
            }
        }
    }

    /// An answer begins, to a request that asked for this priority.
    pub(super) fn open(self: &Arc<Self>, stream: u32, asked: Priority) -> Turn {
        let stream = self.streams.open(stream.into());
        stream.wish.suggest(asked);
        Turn {
            turns: Arc::clone(self),
            stream,
            answer: Priority::default(),
            eager: None,
        }
    }

    /// Lets those look again who wait and are this urgent or less.
    fn wake(&self, from: usize) {
        if none(self.waiting.iter().skip(from)) {
            return;
        }
        self.streams.each(|stream| {
            if let Some(waker) = self.unmark(stream, from) {
                waker.wake();
            }
        });
    }

    fn mark(&self, stream: &Stream, urgency: u8, cx: &Context<'_>) {
        let mut place = stream.waker.lock();
        count(&self.waiting, urgency, 1);
        if let Some((before, _)) = place.replace((urgency, cx.waker().clone())) {
            count(&self.waiting, before, -1);
        }
    }

    fn unmark(&self, stream: &Stream, from: usize) -> Option<Waker> {
        let mut place = stream.waker.lock();
        let (urgency, waker) = place.take_if(|(urgency, _)| usize::from(*urgency) >= from)?;
        count(&self.waiting, urgency, -1);
        Some(waker)
    }

    fn is_first(&self, urgency: u8) -> bool {
        none(self.eager.iter().take(urgency.into()))
    }
}

impl Turn {
    /// What the answer says of its own priority.
    pub(super) const fn prefer(&mut self, priority: Priority) {
        self.answer = priority;
    }

    /// Waits until nothing more urgent can be sent. The answer counts as one that has something to
    /// send from now on.
    ///
    /// # Cancel safety
    /// All progress is kept.
    pub(super) async fn come(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Whether nothing more urgent can be sent.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let urgency = self.urgency();
        if self.eager != Some(urgency) {
            self.leave();
            self.enter(urgency);
        }
        if self.turns.is_first(urgency) {
            return Poll::Ready(());
        }
        self.turns.mark(&self.stream, urgency, cx);
        // Who went before may have ended in between.
        if self.turns.is_first(urgency) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// It cannot go on for now: the others may, if it is its own client's window that it lacks. It
    /// is woken when something more urgent comes, so that it gives back what it asked for.
    pub(super) fn pause(&mut self, cx: &Context<'_>) {
        if self.room() <= 0 {
            self.leave();
        }
        let urgency = self.urgency();
        self.turns.mark(&self.stream, urgency, cx);
    }

    /// So many bytes were given away to be sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.stream.window.fetch_sub(bytes, Ordering::SeqCst);
        if self.room() <= 0 {
            self.leave();
        }
    }

    /// There is nothing to send for now.
    pub(super) fn rest(&mut self) {
        self.leave();
    }

    fn urgency(&self) -> u8 {
        self.answer.or(self.stream.wish.get()).urgency()
    }

    /// What its client's window leaves.
    fn room(&self) -> i64 {
        let initial = self.turns.initial_window.load(Ordering::SeqCst);
        initial.saturating_add(self.stream.window.load(Ordering::SeqCst))
    }

    fn enter(&mut self, urgency: u8) {
        if self.room() <= 0 {
            return;
        }
        self.eager = Some(urgency);
        if count(&self.turns.eager, urgency, 1) == 0 {
            self.turns.wake(usize::from(urgency) + 1);
        }
    }

    fn leave(&mut self) {
        let Some(urgency) = self.eager.take() else {
            return;
        };
        if count(&self.turns.eager, urgency, -1) == 1 {
            self.turns.wake(usize::from(urgency) + 1);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.leave();
        self.turns.unmark(&self.stream, 0);
    }
}

/// One for each urgency.
type Counts = [AtomicI64; LEAST_URGENT as usize + 1];

/// Counts up or down, and says how many there were.
fn count(counts: &Counts, urgency: u8, by: i64) -> i64 {
    let place = counts.get(usize::from(urgency));
    place.map_or(0, |count| count.fetch_add(by, Ordering::SeqCst))
}

fn none<'a>(mut counts: impl Iterator<Item = &'a AtomicI64>) -> bool {
    counts.all(|count| count.load(Ordering::SeqCst) == 0)
}

/// RFC 9113 §6.9.2.
const INITIAL_WINDOW: i64 = 65_535;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn urgent(value: &str) -> Priority {
        Priority::parse(value.as_bytes())
    }

    fn may(turn: &mut Turn) -> bool {
        turn.come().now_or_never().is_some()
    }

    #[test]
    fn the_less_urgent_wait_and_the_equally_urgent_share() {
        let turns = Turns::new(10);
        let mut segment = turns.open(1, Priority::default());
        let mut other = turns.open(3, urgent("u=3, i"));
        let mut list = turns.open(5, Priority::default());
        assert!(may(&mut segment) && may(&mut other));
        list.prefer(urgent("u=0"));
        assert!(may(&mut list));
        assert!(!may(&mut segment) && !may(&mut other));
        list.rest();
        assert!(may(&mut segment) && may(&mut other));
        assert!(may(&mut list) && !may(&mut segment));
        drop(list);
        assert!(may(&mut segment));
    }

    #[test]
    fn who_has_no_room_at_its_client_holds_nobody_back() {
        let turns = Turns::new(10);
        let (mut first, mut second) = (turns.open(1, urgent("u=1")), turns.open(3, urgent("u=5")));
        assert!(may(&mut first) && !may(&mut second));
        first.sent(65_535);
        assert!(may(&mut second));
        turns.heed(Word::Window {
            stream: 1,
            bytes: 10,
        });
        assert!(may(&mut first) && !may(&mut second));
        first.sent(10);
        assert!(may(&mut second));
        turns.heed(Word::InitialWindow(70_000));
        assert!(may(&mut first) && !may(&mut second));
    }

    #[test]
    fn an_update_changes_who_goes_first_even_before_the_request_came() {
        let turns = Turns::new(10);
        turns.heed(Word::Priority {
            stream: 3,
            value: b"u=0",
        });
        let (mut first, mut second) = (turns.open(1, urgent("u=1")), turns.open(3, urgent("u=7")));
        assert!(may(&mut second) && !may(&mut first));
        turns.heed(Word::Priority {
            stream: 3,
            value: b"u=2",
        });
        assert!(!may(&mut second) && may(&mut first));
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_its_turn_comes() {
        let turns = Turns::new(10);
        let (mut first, mut second) = (turns.open(1, urgent("u=1")), turns.open(3, urgent("u=5")));
        assert!(may(&mut first));
        let waits = tokio::spawn(async move { second.come().await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(first);
        waits.await.unwrap();
        assert!(none(turns.waiting.iter()));
    }
}
