//! What was taken back: asked after a token was verified.

use std::collections::HashMap;

use contracts::revocation::{Revocation, Revoked};
use contracts::time::UnixSeconds;
use parking_lot::RwLock;

/// The revocations that are in force, so many at most.
#[derive(Debug)]
pub struct Revocations {
    most: usize,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sessions: HashMap<String, UnixSeconds>,
    keys: HashMap<String, UnixSeconds>,
    paths: HashMap<String, UnixSeconds>,
}

/// There is no room for a revocation. It is not in force: whoever brought it must say so, and try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} revocations are in force, and no more fit")]
pub struct Full(usize);

/// What a request shows that could have been revoked.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The path without any token.
    pub path: &'a str,
    /// The token's session.
    pub session: Option<&'a str>,
    /// The id of the key that signed.
    pub kid: Option<&'a str>,
}

impl Revocations {
    /// Room for so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            known: RwLock::default(),
        }
    }

    /// Puts a revocation in force. One that has ended changes nothing, and one that is known lasts for the longer
    /// of the two times.
    ///
    /// # Errors
    /// When there is no room, though those that have ended were forgotten.
    pub fn apply(&self, revocation: Revocation, now: UnixSeconds) -> Result<(), Full> {
        let Revocation { what, until } = revocation;
        if until <= now {
            return Ok(());
        }
        let mut known = self.known.write();
        if known.len() >= self.most && !known.holds(&what) {
            known.forget(now);
            if known.len() >= self.most {
                return Err(Full(self.most));
            }
        }
        let (of_kind, name) = match what {
            Revoked::Session(session) => (&mut known.sessions, session.to_string()),
            Revoked::Key(kid) => (&mut known.keys, kid),
            Revoked::Path(path) => (&mut known.paths, path.into()),
            // Nodes have children at shields alone.
            Revoked::Node(_) => return Ok(()),
        };
        let end = of_kind.entry(name).or_insert(until);
        *end = until.max(*end);
        Ok(())
    }

    /// Forgets those that have ended.
    pub fn forget(&self, now: UnixSeconds) {
        self.known.write().forget(now);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.read().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether what a request shows was revoked.
    #[must_use]
    pub fn concern(&self, shown: &Shown<'_>, now: UnixSeconds) -> bool {
        let known = self.known.read();
        let is_in = |of_kind: &HashMap<String, UnixSeconds>, name: &str| {
            of_kind.get(name).is_some_and(|until| now < *until)
        };
        shown
            .session
            .is_some_and(|session| is_in(&known.sessions, session))
            || shown.kid.is_some_and(|kid| is_in(&known.keys, kid))
            || (!known.paths.is_empty()
                && (is_in(&known.paths, shown.path)
                    || above(shown.path).any(|path| is_in(&known.paths, path))))
    }
}

impl Known {
    fn len(&self) -> usize {
        self.sessions.len() + self.keys.len() + self.paths.len()
    }

    fn holds(&self, what: &Revoked) -> bool {
        match what {
            Revoked::Session(session) => self.sessions.contains_key(session.as_str()),
            Revoked::Key(kid) => self.keys.contains_key(kid),
            Revoked::Path(path) => self.paths.contains_key(path.as_str()),
            Revoked::Node(_) => true,
        }
    }

    fn forget(&mut self, now: UnixSeconds) {
        for of_kind in [&mut self.sessions, &mut self.keys, &mut self.paths] {
            of_kind.retain(|_, until| now < *until);
        }
    }
}

/// The subtrees that a path lies in, `/v/` and `/v/abc/` for `/v/abc/x`.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.bytes().enumerate().skip(1);
    slashes
        .filter(|(_, byte)| *byte == b'/')
        .filter_map(|(at, _)| path.get(..=at))
}

#[cfg(test)]
mod tests {
    use contracts::id::SessionId;
    use contracts::revocation::Subtree;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1000);

    fn session(name: &str, until: u64) -> Revocation {
        Revocation {
            what: Revoked::Session(SessionId::parse(name).unwrap()),
            until: UnixSeconds(until),
        }
    }

    fn path(text: &str) -> Revocation {
        Revocation {
            what: Revoked::Path(Subtree::parse(text).unwrap()),
            until: UnixSeconds(2000),
        }
    }

    fn shown(path: &str) -> Shown<'_> {
        Shown {
            path,
            session: Some("s1"),
            kid: Some("k1"),
        }
    }

    #[test]
    fn sessions_and_keys_are_revoked_until_they_end() {
        let revoked = Revocations::new(10);
        assert!(!revoked.concern(&shown("/v/a"), NOW));
        revoked.apply(session("s1", 1060), NOW).unwrap();
        revoked.apply(session("s1", 1030), NOW).unwrap();
        assert!(revoked.concern(&shown("/v/a"), UnixSeconds(1059)));
        assert!(!revoked.concern(&shown("/v/a"), UnixSeconds(1060)));
        let key = Revocation {
            what: Revoked::Key("k1".to_owned()),
            until: UnixSeconds(2000),
        };
        revoked.apply(key, NOW).unwrap();
        assert!(revoked.concern(&shown("/v/a"), UnixSeconds(1999)));
        let nobody = Shown {
            path: "/v/a",
            session: None,
            kid: None,
        };
        assert!(!revoked.concern(&nobody, NOW));
    }

    #[test]
    fn a_subtree_takes_all_below_it_and_a_path_itself_only() {
        let revoked = Revocations::new(10);
        revoked.apply(path("/v/abc/"), NOW).unwrap();
        revoked.apply(path("/v/def"), NOW).unwrap();
        for (asked, expected) in [
            ("/v/abc/720p/segment_1.m4s", true),
            ("/v/abc/x", true),
            ("/v/abcd/x", false),
            ("/v/abc", false),
            ("/v/def", true),
            ("/v/def/x", false),
            ("/t/abc/x", false),
        ] {
            assert_eq!(revoked.concern(&shown(asked), NOW), expected, "{asked}");
        }
    }

    #[test]
    fn what_has_ended_makes_room_and_what_has_not_does_not() {
        let revoked = Revocations::new(2);
        revoked.apply(session("a", 1010), NOW).unwrap();
        revoked.apply(session("b", 1020), NOW).unwrap();
        revoked.apply(session("b", 1030), NOW).unwrap();
        revoked.apply(session("old", 1000), NOW).unwrap();
        assert_eq!(revoked.apply(session("c", 1020), NOW), Err(Full(2)));
        revoked
            .apply(session("c", 1020), UnixSeconds(1010))
            .unwrap();
        assert_eq!(revoked.len(), 2);
        revoked.forget(UnixSeconds(1030));
        assert!(revoked.is_empty());
    }
}
