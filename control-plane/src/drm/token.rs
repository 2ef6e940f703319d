//! Licence tokens: who may ask for which keys of which film on what terms, for some minutes; and the renewal that
//! gets a session its next one. Both are JSON Web Tokens (RFC 7519) that control planes issue and take.

use contracts::id::{SessionId, VideoId};
use contracts::keys::{KeyId, System, TrackType};
use contracts::time::UnixSeconds;
use serde::{Deserialize, Serialize};

use super::keyring::{ISSUER, Keyring};
use super::policy::Policy;

/// What a licence token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Licence {
    iss: String,
    aud: String,
    /// The session's mark: licence servers elsewhere read it.
    pub(crate) sid: SessionId,
    /// The session's id, as control planes alone read it ([`Seal`](super::sealed::Seal)).
    #[serde(default)]
    pub(crate) own: String,
    /// The token's own name, by which its uses are counted.
    pub(crate) jti: String,
    pub(crate) iat: u64,
    pub(crate) exp: u64,
    /// The film.
    pub(crate) asset: VideoId,
    /// The system whose licences it is for.
    pub(crate) system: System,
    /// The keys.
    pub(crate) kids: Vec<KeyId>,
    pub(crate) policy: Policy,
}

/// What a renewal says: what was decided when the session began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Renewal {
    iss: String,
    aud: String,
    /// The session.
    pub(crate) sid: SessionId,
    pub(crate) iat: u64,
    pub(crate) exp: u64,
    /// The film.
    pub(crate) asset: VideoId,
    /// The system whose licences it is for.
    pub(crate) system: System,
    /// The classes of tracks that the device gets keys for.
    pub(crate) tracks: Vec<TrackType>,
    pub(crate) policy: Policy,
}

/// What both are made of.
pub(crate) struct Grant {
    pub(crate) session: SessionId,
    pub(crate) video: VideoId,
    pub(crate) system: System,
    pub(crate) tracks: Vec<TrackType>,
    pub(crate) policy: Policy,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is no token of this site, or for something else.
    Invalid,
    /// It was good once.
    Expired,
}

impl Grant {
    /// A licence token for these keys, drawn with 128 random bits. It holds the session's mark, and not yet its id.
    pub(crate) fn licence(
        &self,
        kids: Vec<KeyId>,
        random: [u8; 16],
        now: UnixSeconds,
        life_s: u64,
    ) -> Licence {
        Licence {
            iss: ISSUER.to_owned(),
            aud: LICENCE.to_owned(),
            sid: self.session.mark(),
            own: String::new(),
            jti: hex::encode(random),
            iat: now.0,
            exp: now.plus(life_s.min(LONGEST_S)).0,
            asset: self.video.clone(),
            system: self.system,
            kids,
            policy: self.policy.clone(),
        }
    }

    /// The renewal, good as long as the session.
    pub(crate) fn renewal(&self, now: UnixSeconds, expires: UnixSeconds) -> Renewal {
        Renewal {
            iss: ISSUER.to_owned(),
            aud: RENEWAL.to_owned(),
            sid: self.session.clone(),
            iat: now.0,
            exp: expires.0,
            asset: self.video.clone(),
            system: self.system,
            tracks: self.tracks.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl Licence {
    /// Reads a licence token.
    pub(crate) fn verify(keys: &Keyring, token: &str, now: UnixSeconds) -> Result<Self, Refused> {
        let read: Self = keys.verify(token, LICENCE).ok_or(Refused::Invalid)?;
        // Whoever signed a longer one did not sign it here.
        if read.exp.saturating_sub(read.iat) > LONGEST_S || read.iat > now.plus(SKEW_S).0 {
            return Err(Refused::Invalid);
        }
        fresh(read.exp, now).map(|()| read)
    }
}

impl Renewal {
    /// Reads a renewal.
    pub(crate) fn verify(keys: &Keyring, token: &str, now: UnixSeconds) -> Result<Self, Refused> {
        let read: Self = keys.verify(token, RENEWAL).ok_or(Refused::Invalid)?;
        fresh(read.exp, now).map(|()| read)
    }

    /// What it was made of.
    pub(crate) fn grant(self) -> Grant {
        Grant {
            session: self.sid,
            video: self.asset,
            system: self.system,
            tracks: self.tracks,
            policy: self.policy,
        }
    }
}

fn fresh(expires: u64, now: UnixSeconds) -> Result<(), Refused> {
    (now.0 < expires).then_some(()).ok_or(Refused::Expired)
}

const LICENCE: &str = "license";
const RENEWAL: &str = "license-renewal";
/// The longest life of a licence token, in seconds.
const LONGEST_S: u64 = 300;
/// How far the clocks of two control planes may be apart, in seconds.
const SKEW_S: u64 = 60;

#[cfg(test)]
mod tests {
    use super::super::sealed::Seal;
    use super::*;
    use crate::vault::Vault;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn grant() -> Grant {
        Grant {
            session: SessionId::from_random([1; 16]),
            video: VideoId::parse("film").unwrap(),
            system: System::ClearKey,
            tracks: vec![TrackType::Audio],
            policy: Policy::default(),
        }
    }

    fn keys() -> Keyring {
        Keyring::derived([[7; 32]])
    }

    #[test]
    fn a_licence_token_counts_until_its_end_and_no_longer_than_five_minutes() {
        let licence = grant().licence(vec![KeyId([2; 16])], [3; 16], NOW, 3600);
        assert_eq!(licence.exp, NOW.0 + 300);
        let token = keys().sign(&licence).unwrap();
        let at = |seconds| Licence::verify(&keys(), &token, NOW.plus(seconds));
        assert_eq!(at(0).unwrap(), licence);
        assert!(at(299).is_ok());
        assert_eq!(at(300), Err(Refused::Expired));
        let early = Licence::verify(&keys(), &token, UnixSeconds(NOW.0 - 61));
        assert_eq!(early, Err(Refused::Invalid));
        let long = Licence {
            exp: NOW.0 + 301,
            ..licence
        };
        let token = keys().sign(&long).unwrap();
        assert_eq!(Licence::verify(&keys(), &token, NOW), Err(Refused::Invalid));
    }

    #[test]
    fn a_licence_token_tells_its_session_to_control_planes_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let vault = |names: &[&str]| {
            let paths = names.iter().map(|name| {
                let path = folder.path().join(name);
                std::fs::write(&path, name.repeat(32)).unwrap();
                path
            });
            let paths: Vec<_> = paths.collect();
            Seal::of(&Vault::load(&paths).unwrap().unwrap())
        };
        let session = grant().session;
        let drawn = |name: u8| grant().licence(Vec::new(), [name; 16], NOW, 300);
        let seal = |name: u8| vault(&["5a"]).seal(drawn(name), &session).unwrap();
        let token = seal(3);
        let said = serde_json::to_string(&token).unwrap();
        assert!(!said.contains(session.as_str()), "{said}");
        assert!(said.contains(session.mark().as_str()), "{said}");
        assert_eq!(vault(&["5a"]).open(&token), Some(session.clone()));
        // While the key-encryption key is replaced, and after.
        assert_eq!(vault(&["a5", "5a"]).open(&token), Some(session.clone()));
        assert_eq!(vault(&["a5"]).open(&token), None);
        let other = Grant {
            session: SessionId::from_random([9; 16]),
            ..grant()
        };
        for (what, forged) in [
            (
                "another token's",
                Licence {
                    own: seal(4).own,
                    ..token.clone()
                },
            ),
            (
                "another session's",
                Licence {
                    sid: other.session.mark(),
                    ..token.clone()
                },
            ),
            ("none", drawn(3)),
            (
                "no name",
                Licence {
                    jti: "x".to_owned(),
                    ..token
                },
            ),
        ] {
            assert_eq!(vault(&["5a"]).open(&forged), None, "{what}");
        }
    }

    #[test]
    fn a_renewal_opens_nothing_and_a_licence_token_renews_nothing() {
        let licence = keys().sign(&grant().licence(Vec::new(), [3; 16], NOW, 300));
        let renewal = keys().sign(&grant().renewal(NOW, NOW.plus(9000)));
        let (licence, renewal) = (licence.unwrap(), renewal.unwrap());
        assert!(Licence::verify(&keys(), &licence, NOW).is_ok());
        assert!(Renewal::verify(&keys(), &renewal, NOW.plus(8999)).is_ok());
        let over = Renewal::verify(&keys(), &renewal, NOW.plus(9000));
        assert_eq!(over, Err(Refused::Expired));
        assert_eq!(
            Licence::verify(&keys(), &renewal, NOW),
            Err(Refused::Invalid)
        );
        assert_eq!(
            Renewal::verify(&keys(), &licence, NOW),
            Err(Refused::Invalid)
        );
    }
}
