//! "Is it public?": asked of a parent once for all who want to know, and of few objects at a time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use pingora::cache::key::HashBinary;
use tokio::sync::watch;
use tokio::time::Instant;

/// The questions of a node that are open, and those that were answered with no, or not at all, a moment ago.
///
/// Those who ask have shown nothing, so what they can cause is bounded: they may ask about any
/// address, and each question is a request to a parent. What one network may have open is bounded, too, so that it
/// does not keep others from asking.
#[derive(Default)]
pub(crate) struct Questions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: HashMap<HashBinary, watch::Receiver<Option<Word>>>,
    /// How many of them each network has.
    of_network: HashMap<IpNet, usize>,
    closed: HashMap<HashBinary, (Instant, Word)>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is public.
    Public,
    /// It is not.
    Private,
    /// Nobody could tell: no parent answered.
    Unknown,
}

/// What becomes of somebody who asks.
pub(crate) enum Asked {
    /// The answer is there: it came a moment ago.
    Known(Word),
    /// Too many questions are open.
    Full,
    /// Somebody else has asked.
    Open(Answer),
    /// The question is to be put to a parent.
    New(Question, Answer),
}

/// The answer to come.
pub(crate) struct Answer(watch::Receiver<Option<Word>>);

/// An open question. Dropped unanswered, nobody could tell.
pub(crate) struct Question {
    key: HashBinary,
    networks: Vec<IpNet>,
    questions: Arc<Questions>,
    answer: watch::Sender<Option<Word>>,
    answered: bool,
}

impl Questions {
    /// Asks about an object on behalf of a client.
    pub(crate) fn ask(self: &Arc<Self>, key: HashBinary, client: Option<IpAddr>) -> Asked {
        let mut state = self.state.lock();
        if let Some(open) = state.open.get(&key) {
            return Asked::Open(Answer(open.clone()));
        }
        if let Some((at, word)) = state.closed.get(&key)
            && at.elapsed() < word.remembered()
        {
            return Asked::Known(*word);
        }
        let networks: Vec<(IpNet, usize)> = networks(client).collect();
        let open = |network: &IpNet| state.of_network.get(network).copied().unwrap_or(0);
        let is_full = networks
            .iter()
            .any(|(network, most)| open(network) >= *most);
        if state.open.len() >= MAX_OPEN || is_full {
            return Asked::Full;
        }
        let networks: Vec<IpNet> = networks.into_iter().map(|(network, _)| network).collect();
        let (sender, receiver) = watch::channel(None);
        state.open.insert(key, receiver.clone());
        for network in &networks {
            *state.of_network.entry(*network).or_default() += 1;
        }
        let question = Question {
            key,
            networks,
            questions: Arc::clone(self),
            answer: sender,
            answered: false,
        };
        Asked::New(question, Answer(receiver))
    }
}

impl State {
    fn close(&mut self, key: HashBinary, networks: &[IpNet], word: Word) {
        self.open.remove(&key);
        for network in networks {
            if let Some(count) = self.of_network.get_mut(network) {
                *count -= 1;
                if *count == 0 {
                    self.of_network.remove(network);
                }
            }
        }
        self.closed.remove(&key);
        if word == Word::Public {
            return;
        }
        if self.closed.len() >= MAX_CLOSED {
            let current = |(at, word): &mut (Instant, Word)| at.elapsed() < word.remembered();
            self.closed.retain(|_, closed| current(closed));
        }
        if self.closed.len() < MAX_CLOSED {
            self.closed.insert(key, (Instant::now(), word));
        }
    }
}

impl Word {
    /// How long it holds without asking again. That it is public is read from the object itself.
    const fn remembered(self) -> Duration {
        match self {
            Self::Public => Duration::ZERO,
            Self::Private => Duration::from_secs(3),
            Self::Unknown => AGAIN,
        }
    }
}

impl Answer {
    /// Waits for it.
    pub(crate) async fn wait(mut self) -> Word {
        let answer = self.0.wait_for(Option::is_some).await;
        answer.map_or(Word::Unknown, |answer| answer.unwrap_or(Word::Unknown))
    }
}

impl Question {
    /// Answers it for all who wait; only the first answer counts.
    pub(crate) fn answer(&mut self, word: Word) {
        if !std::mem::replace(&mut self.answered, true) {
            let mut state = self.questions.state.lock();
            state.close(self.key, &self.networks, word);
            drop(state);
            self.answer.send_replace(Some(word));
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.answer(Word::Unknown);
    }
}

/// The networks that a client stands for, with how many questions each may have open. Those who are nowhere are of one.
fn networks(client: Option<IpAddr>) -> impl Iterator<Item = (IpNet, usize)> {
    let client = client.map(|client| client.to_canonical());
    let prefixes = match client {
        None => &[(0, MAX_OF_NETWORK)][..],
        Some(IpAddr::V4(_)) => &[(24, MAX_OF_NETWORK)],
        // What one holder of addresses mostly has at the least, and what many can have for little.
        Some(IpAddr::V6(_)) => &[(48, MAX_OF_NETWORK), (32, MAX_OF_REGION)],
    };
    let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    prefixes
        .iter()
        .filter_map(move |(prefix, most)| Some((IpNet::new(client, *prefix).ok()?.trunc(), *most)))
}

/// After this long it is worth asking again what could not be answered.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// Questions to parents at a time.
const MAX_OPEN: usize = 256;

/// Those of one network.
const MAX_OF_NETWORK: usize = 16;

/// Those of all networks that one registry entry of IPv6 holds.
const MAX_OF_REGION: usize = 64;

/// How many are remembered; each costs some 60 bytes.
const MAX_CLOSED: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn new(asked: Asked) -> (Question, Answer) {
        match asked {
            Asked::New(question, answer) => (question, answer),
            Asked::Open(_) => panic!("asked before"),
            Asked::Known(word) => panic!("{word:?}"),
            Asked::Full => panic!("full"),
        }
    }

    fn client(network: u8) -> Option<IpAddr> {
        Some([192, 0, network, 7].into())
    }

    fn key(n: usize) -> HashBinary {
        u128::try_from(n).unwrap().to_be_bytes()
    }

    #[tokio::test]
    async fn all_who_ask_about_one_object_get_one_answer() {
        let questions = Arc::new(Questions::default());
        for (n, word) in [Word::Public, Word::Private, Word::Unknown]
            .into_iter()
            .enumerate()
        {
            let (mut question, first) = new(questions.ask(key(n), client(0)));
            let others: Vec<Answer> = (0..1000)
                .map(|_| match questions.ask(key(n), client(0)) {
                    Asked::Open(answer) => answer,
                    _ => panic!("it is being asked"),
                })
                .collect();
            question.answer(word);
            for answer in others.into_iter().chain([first]) {
                assert_eq!(answer.wait().await, word);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_no_is_remembered_for_a_moment() {
        let questions = Arc::new(Questions::default());
        let (mut question, _) = new(questions.ask(key(1), client(0)));
        question.answer(Word::Private);
        assert!(matches!(
            questions.ask(key(1), client(0)),
            Asked::Known(Word::Private)
        ));
        tokio::time::advance(Word::Private.remembered()).await;
        let (mut question, _) = new(questions.ask(key(1), client(0)));
        question.answer(Word::Public);
        assert!(matches!(questions.ask(key(1), client(0)), Asked::New(..)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_no_and_is_not_broken_into_at_once() {
        let questions = Arc::new(Questions::default());
        let (question, answer) = new(questions.ask(key(1), client(0)));
        drop(question);
        assert_eq!(answer.wait().await, Word::Unknown);
        assert!(matches!(
            questions.ask(key(1), client(0)),
            Asked::Known(Word::Unknown)
        ));
        tokio::time::advance(AGAIN).await;
        assert!(matches!(questions.ask(key(1), client(0)), Asked::New(..)));
    }

    #[test]
    fn few_questions_are_open_at_a_time_and_no_network_takes_the_place_of_all() {
        let questions = Arc::new(Questions::default());
        let mut open = Vec::new();
        let mut next = 0;
        let mut ask = |network| {
            next += 1;
            questions.ask(key(next), client(network))
        };
        for _ in 0..MAX_OF_NETWORK {
            open.push(new(ask(0)));
        }
        assert!(matches!(ask(0), Asked::Full));
        for network in 1..16 {
            for _ in 0..MAX_OF_NETWORK {
                open.push(new(ask(network)));
            }
        }
        assert!(matches!(ask(16), Asked::Full), "{MAX_OPEN} are open");
        open.remove(0);
        open.push(new(ask(0)));
        drop(open);
        assert!(questions.state.lock().of_network.is_empty());
    }

    #[test]
    fn who_holds_many_networks_of_ipv6_does_not_take_the_place_of_all_either() {
        let questions = Arc::new(Questions::default());
        let client = |region: u16, network: u16| {
            let address = Ipv6Addr::new(0x2001, region, network, 0, 0, 0, 0, 1);
            Some(address.into())
        };
        let mut open = Vec::new();
        for n in 0..MAX_OF_REGION {
            let network = u16::try_from(n).unwrap();
            open.push(new(questions.ask(key(n), client(0xdb8, network))));
        }
        let asked = questions.ask(key(MAX_OF_REGION), client(0xdb8, 0x7777));
        assert!(matches!(asked, Asked::Full));
        open.push(new(questions.ask(key(MAX_OF_REGION), client(0xdb9, 0))));
        drop(open);
        assert!(questions.state.lock().of_network.is_empty());
    }

    #[test]
    fn a_network_is_what_one_holder_has() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.254", true),
            ("192.0.2.1", "::ffff:192.0.2.2", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("2001:db8:1::1", "2001:db8:1:ffff::1", true),
            ("2001:db8:1::1", "2001:db8:2::1", false),
        ] {
            let [one_net, other_net] =
                [one, other].map(|text| networks(text.parse().ok()).next().unwrap());
            assert_eq!(one_net == other_net, same, "{one} {other}");
        }
    }
}
