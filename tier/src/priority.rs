//! Which answer of a connection goes first: RFC 9218.

use std::sync::atomic::{AtomicU8, Ordering};

use http::{HeaderMap, HeaderName, header};
/// What one side says of an answer's priority; what it leaves out is the other's to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Priority {
    /// 0 is the most urgent, 7 the least.
    pub urgency: Option<u8>,
    /// Whether a part of the answer is of use before the whole is there.
    pub incremental: Option<bool>,
}

impl Priority {
    /// Reads the value of a `priority` field (RFC 9218 §4). What is not understood counts as not
    /// said: a priority is a wish.
    pub fn parse(value: &[u8]) -> Self {
        let mut priority = Self::default();
        for member in value.split(|byte| *byte == b',') {
            let member = member.split(|byte| *byte == b';').next();
            match member.unwrap_or_default().trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = Some(digit - b'0'),
                b"i" | b"i=?1" => priority.incremental = Some(true),
                b"i=?0" => priority.incremental = Some(false),
                _ => {}
            }
        }
        priority
    }

    /// What a header says.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(&PRIORITY).iter();
        lines.fold(Self::default(), |before, line| {
            Self::parse(line.as_bytes()).or(before)
        })
    }

    /// What an answer's header says. Where it says nothing itself, a list of what to fetch goes
    /// before everything else: the player that waits for it fetches nothing.
    pub(crate) fn of_answer(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE);
        let is_list = kind.is_some_and(|kind| {
            let starts = |list: &&[u8]| kind.as_bytes().starts_with(list);
            LISTS.iter().any(starts)
        });
        Self::of(headers).or(Self {
            urgency: is_list.then_some(0),
            incremental: None,
        })
    }

    /// This, and of the other what it leaves open (RFC 9218 §8).
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            urgency: self.urgency.or(other.urgency),
            incremental: self.incremental.or(other.incremental),
        }
    }

    /// How urgent an answer is: 0 the most, 7 the least.
    pub(crate) fn urgency(self) -> u8 {
        self.urgency.unwrap_or(DEFAULT_URGENCY).min(LEAST_URGENT)
    }

    /// The rank of an answer to the request of this number; a higher one goes first. Equally
    /// urgent answers of which only the whole is of use go one after the other in the order of
    /// their requests, the others share what is left (RFC 9218 §10).
    pub(crate) fn rank(self, number: u64) -> i32 {
        let urgency = i32::from(self.urgency());
        let order = if self.incremental.unwrap_or(false) {
            0
        } else {
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            RANKS - 1 - number.min(RANKS - 2)
        };
        (i32::from(LEAST_URGENT) - urgency) * RANKS + order
    }

    const fn packed(self) -> u8 {
        let urgency = match self.urgency {
            Some(urgency) => urgency & 7 | 8,
            None => 0,
        };
        let incremental = match self.incremental {
            Some(true) => 3,
            Some(false) => 2,
            None => 0,
        };
        urgency | incremental << 4
    }

    const fn unpacked(packed: u8) -> Self {
        Self {
            urgency: if packed & 8 == 0 {
                None
            } else {
                Some(packed & 7)
            },
            incremental: match packed >> 4 {
                3 => Some(true),
                2 => Some(false),
                _ => None,
            },
        }
    }
}

/// Where a priority is kept that may change while its stream is answered.
#[derive(Debug, Default)]
pub(crate) struct Wish(AtomicU8);

impl Wish {
    /// What the request's header says; an update has the last word.
    pub(crate) fn suggest(&self, priority: Priority) {
        let said = Ordering::Relaxed;
        let _ = self.0.compare_exchange(0, priority.packed(), said, said);
    }

    /// What a PRIORITY_UPDATE frame says.
    pub(crate) fn update(&self, priority: Priority) {
        self.0.store(priority.packed(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Priority {
        Priority::unpacked(self.0.load(Ordering::Relaxed))
    }
}

const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// The playlists of HLS and the manifests of DASH.
const LISTS: [&[u8]; 3] = [
    b"application/vnd.apple.mpegurl",
    b"application/x-mpegurl",
    b"application/dash+xml",
];

/// RFC 9218 §4.1.
const DEFAULT_URGENCY: u8 = 3;
pub(crate) const LEAST_URGENT: u8 = 7;

/// The ranks of one urgency.
const RANKS: i32 = 1 << 27;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(urgency: impl Into<Option<u8>>, incremental: impl Into<Option<bool>>) -> Priority {
        Priority {
            urgency: urgency.into(),
            incremental: incremental.into(),
        }
    }

    #[test]
    fn what_is_said_is_understood_and_nonsense_is_not() {
        for (value, expected) in [
            ("u=5, i", said(5, true)),
            ("u=0", said(0, None)),
            ("i=?0,u=7", said(7, false)),
            ("i;a=1 , u=2;b", said(2, true)),
            ("u=1, u=2", said(2, None)),
            ("", said(None, None)),
            ("u=8", said(None, None)),
            ("u=-1, i=1, u, x=\"u=3\"", said(None, None)),
            ("U=1, I", said(None, None)),
        ] {
            assert_eq!(Priority::parse(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_answer_has_the_last_word_on_what_it_speaks_of() {
        let asked = said(1, true);
        assert_eq!(said(0, None).or(asked), said(0, true));
        assert_eq!(said(None, None).or(asked), asked);
    }

    #[test]
    fn urgent_answers_go_first_then_whole_ones_in_their_order_then_the_others_together() {
        let order = [
            said(0, true).rank(100),
            said(1, None).rank(0),
            said(None, None).rank(0),
            said(3, false).rank(1),
            said(3, false).rank(1 << 40),
            said(None, true).rank(0),
            said(7, None).rank(2),
        ];
        assert!(
            order.is_sorted_by(|before, after| before > after),
            "{order:?}"
        );
        assert_eq!(said(3, true).rank(0), said(3, true).rank(200));
    }

    #[test]
    fn an_update_has_the_last_word() {
        let wish = Wish::default();
        wish.suggest(said(5, true));
        assert_eq!(wish.get(), said(5, true));
        wish.update(said(0, None));
        wish.suggest(said(6, None));
        assert_eq!(wish.get(), said(0, None));
    }

    proptest! {
        #[test]
        fn any_wish_survives_its_packing(urgency in proptest::option::of(0u8..8), incremental: Option<bool>) {
            let priority = said(urgency, incremental);
            prop_assert_eq!(Priority::unpacked(priority.packed()), priority);
        }
    }
}
