//! "Is it public?": asked of a parent once for all who want to know, and of few objects at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::cache::key::HashBinary;
use tokio::sync::watch;
use tokio::time::Instant;

/// The questions of a node that are open, and the objects that were not public a moment ago.
///
/// Those who ask have shown nothing, so what they can cause is bounded: they may ask about any
/// address, and each question is a request to a parent.
#[derive(Default)]
pub(crate) struct Questions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: HashMap<HashBinary, watch::Receiver<Option<bool>>>,
    refused: HashMap<HashBinary, Instant>,
}

/// What becomes of somebody who asks.
pub(crate) enum Asked {
    /// The answer is no: it was a moment ago, or too many questions are open.
    Refused,
    /// Somebody else has asked.
    Open(Answer),
    /// The question is to be put to a parent.
    New(Question, Answer),
}

/// The answer to come.
pub(crate) struct Answer(watch::Receiver<Option<bool>>);

/// An open question. Dropped unanswered, the answer is no.
pub(crate) struct Question {
    key: HashBinary,
    questions: Arc<Questions>,
    answer: watch::Sender<Option<bool>>,
    answered: bool,
}

impl Questions {
    /// Asks about an object.
    pub(crate) fn ask(self: &Arc<Self>, key: HashBinary) -> Asked {
        let mut state = self.state.lock();
        if let Some(open) = state.open.get(&key) {
            return Asked::Open(Answer(open.clone()));
        }
        let lately = |at: &Instant| at.elapsed() < REMEMBERED;
        if state.refused.get(&key).is_some_and(lately) || state.open.len() >= MAX_OPEN {
            return Asked::Refused;
        }
        let (sender, receiver) = watch::channel(None);
        state.open.insert(key, receiver.clone());
        let question = Question {
            key,
            questions: Arc::clone(self),
            answer: sender,
            answered: false,
        };
        Asked::New(question, Answer(receiver))
    }
}

impl State {
    fn close(&mut self, key: HashBinary, public: bool) {
        self.open.remove(&key);
        if public {
            self.refused.remove(&key);
            return;
        }
        if self.refused.len() >= MAX_REFUSED {
            self.refused.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if self.refused.len() < MAX_REFUSED {
            self.refused.insert(key, Instant::now());
        }
    }
}

impl Answer {
    /// Waits for it; true is yes.
    pub(crate) async fn wait(mut self) -> bool {
        let answer = self.0.wait_for(Option::is_some).await;
        answer.is_ok_and(|answer| *answer == Some(true))
    }
}

impl Question {
    /// Answers it for all who wait; only the first answer counts.
    pub(crate) fn answer(&mut self, public: bool) {
        if !std::mem::replace(&mut self.answered, true) {
            self.questions.state.lock().close(self.key, public);
            self.answer.send_replace(Some(public));
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.answer(false);
    }
}

/// Questions to parents at a time.
const MAX_OPEN: usize = 64;

/// How long a no holds without asking again.
const REMEMBERED: Duration = Duration::from_secs(3);

/// How many are remembered; each costs some 50 bytes.
const MAX_REFUSED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn new(asked: Asked) -> (Question, Answer) {
        match asked {
            Asked::New(question, answer) => (question, answer),
            Asked::Open(_) => panic!("asked before"),
            Asked::Refused => panic!("refused"),
        }
    }

    #[tokio::test]
    async fn all_who_ask_about_one_object_get_one_answer() {
        let questions = Arc::new(Questions::default());
        for public in [true, false] {
            let (mut question, first) = new(questions.ask([u8::from(public); 16]));
            let others: Vec<Answer> = (0..1000)
                .map(|_| match questions.ask([u8::from(public); 16]) {
                    Asked::Open(answer) => answer,
                    _ => panic!("it is being asked"),
                })
                .collect();
            question.answer(public);
            for answer in others.into_iter().chain([first]) {
                assert_eq!(answer.wait().await, public);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_no_is_remembered_for_a_moment_and_silence_is_a_no() {
        let questions = Arc::new(Questions::default());
        let (question, answer) = new(questions.ask([1; 16]));
        drop(question);
        assert!(!answer.wait().await);
        assert!(matches!(questions.ask([1; 16]), Asked::Refused));
        tokio::time::advance(REMEMBERED).await;
        let (mut question, _) = new(questions.ask([1; 16]));
        question.answer(true);
        assert!(matches!(questions.ask([1; 16]), Asked::New(..)));
    }

    #[test]
    fn few_questions_are_open_at_a_time() {
        let questions = Arc::new(Questions::default());
        let mut open: Vec<_> = (0..MAX_OPEN)
            .map(|n| new(questions.ask([u8::try_from(n).unwrap(); 16])))
            .collect();
        assert!(matches!(questions.ask([255; 16]), Asked::Refused));
        open.pop();
        assert!(matches!(questions.ask([255; 16]), Asked::New(..)));
    }
}
