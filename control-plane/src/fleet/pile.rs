//! What nodes say, kept here for a moment, and written down for many of them at a time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contracts::id::NodeId;

/// Where words of nodes are written down.
pub(crate) trait Book: Send + Sync {
    /// What a node says.
    type Word: Send + Sync;

    /// Which node says it.
    fn name(word: &Self::Word) -> &NodeId;

    /// What a node has said in all, if anything that it said before waits still.
    fn joined(&self, before: Self::Word, after: Self::Word) -> Self::Word;

    /// What goes back that may be written down already, for nobody waited for the answer.
    fn perhaps_written(word: Self::Word) -> Self::Word {
        word
    }

    /// Writes words down, all or none.
    fn write(
        &self,
        words: &[Self::Word],
    ) -> impl Future<Output = Result<(), catalog::Error>> + Send;
}

/// The words that wait to be written down, one of a node.
pub(crate) struct Pile<B: Book> {
    pub(crate) book: B,
    words: Mutex<HashMap<NodeId, B::Word>>,
    /// Held while they are written, so that whoever reads finds what was taken out to be written.
    writing: tokio::sync::Mutex<()>,
}

impl<B: Book> Pile<B> {
    pub(crate) fn new(book: B) -> Self {
        Self {
            book,
            words: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Takes note of what a node says.
    pub(crate) fn add(&self, word: B::Word) {
        let mut words = self.words();
        let name = B::name(&word);
        if words.len() >= MOST && !words.contains_key(name) {
            return;
        }
        let name = name.clone();
        let word = match words.remove(&name) {
            Some(before) => self.book.joined(before, word),
            None => word,
        };
        words.insert(name, word);
    }

    /// Writes down what was said.
    ///
    /// # Cancel safety
    /// What was not written is written by the next who comes.
    pub(crate) async fn write(&self) -> Result<(), catalog::Error> {
        let _writing = self.writing.lock().await;
        let mut taken = Taken {
            of: self,
            words: self.words().drain().map(|(_, word)| word).collect(),
        };
        if taken.words.is_empty() {
            return Ok(());
        }
        let written = self.book.write(&taken.words).await;
        let words = std::mem::take(&mut taken.words);
        if written.is_err() {
            self.put_back(words);
        }
        written
    }

    /// Puts words below what was said since.
    fn put_back(&self, taken: Vec<B::Word>) {
        let mut words = self.words();
        for word in taken {
            let name = B::name(&word).clone();
            let word = match words.remove(&name) {
                Some(after) => self.book.joined(word, after),
                None => word,
            };
            words.insert(name, word);
        }
    }

    fn words(&self) -> MutexGuard<'_, HashMap<NodeId, B::Word>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is being written, and goes back where that is given up.
struct Taken<'a, B: Book> {
    of: &'a Pile<B>,
    words: Vec<B::Word>,
}

impl<B: Book> Drop for Taken<'_, B> {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.words).into_iter();
        self.of.put_back(words.map(B::perhaps_written).collect());
    }
}

/// Nodes whose words are kept here at a time.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use contracts::id::NodeId;
    use tokio::sync::Semaphore;

    use super::*;

    /// A book that is slow, or fails; a word is a name and how often something was said.
    struct Slow {
        written: Mutex<Vec<(NodeId, u64)>>,
        may: Semaphore,
        fails: Mutex<bool>,
    }

    impl Book for Slow {
        type Word = (NodeId, u64);

        fn name(word: &Self::Word) -> &NodeId {
            &word.0
        }

        fn joined(&self, before: Self::Word, after: Self::Word) -> Self::Word {
            (after.0, before.1 + after.1)
        }

        fn perhaps_written((name, _): Self::Word) -> Self::Word {
            (name, 0)
        }

        async fn write(&self, words: &[Self::Word]) -> Result<(), catalog::Error> {
            let _turn = self.may.acquire().await;
            if *self.fails.lock().unwrap() {
                return Err(catalog::Error::Corrupt("no room".to_owned()));
            }
            self.written.lock().unwrap().extend_from_slice(words);
            Ok(())
        }
    }

    fn word(name: &str, times: u64) -> (NodeId, u64) {
        (NodeId::parse(name).unwrap(), times)
    }

    fn pile(permits: usize, fails: bool) -> Pile<Slow> {
        Pile::new(Slow {
            written: Mutex::default(),
            may: Semaphore::new(permits),
            fails: Mutex::new(fails),
        })
    }

    fn written(pile: &Pile<Slow>) -> Vec<(NodeId, u64)> {
        let mut written = pile.book.written.lock().unwrap().clone();
        written.sort();
        written
    }

    #[tokio::test]
    async fn what_was_being_written_when_its_writer_went_is_written_by_the_next_and_counts_once() {
        let pile = pile(0, false);
        pile.add(word("a", 1));
        pile.add(word("b", 1));
        tokio::select! {
            biased;
            _ = pile.write() => unreachable!("it may not be written yet"),
            () = std::future::ready(()) => {}
        }
        pile.add(word("b", 2));
        pile.book.may.add_permits(1);
        pile.write().await.unwrap();
        assert_eq!(written(&pile), [word("a", 0), word("b", 2)]);
        pile.write().await.unwrap();
        assert_eq!(written(&pile).len(), 2, "once");
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_whole_later() {
        let pile = pile(1, true);
        pile.add(word("a", 1));
        pile.write().await.unwrap_err();
        pile.add(word("a", 2));
        *pile.book.fails.lock().unwrap() = false;
        pile.write().await.unwrap();
        assert_eq!(written(&pile), [word("a", 3)]);
    }

    #[test]
    fn so_many_nodes_are_kept_and_more_of_what_they_say() {
        let pile = pile(1, false);
        for number in 0..=MOST {
            pile.add(word(&format!("n{number}"), 1));
        }
        pile.add(word("n0", 1));
        let words = pile.words();
        assert_eq!(words.len(), MOST);
        assert_eq!(words[&word("n0", 0).0].1, 2);
    }
}
