//! Which keys a device may have, and on what terms: decided without asking anybody.

use std::fmt;
use std::str::FromStr;

use contracts::keys::{ContentKey, KeyId, KeyPeriod, TrackType};
use serde::{Deserialize, Serialize};

/// What the operator asks of those who get keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) persist: bool,
    pub(crate) rental_s: Option<u64>,
    pub(crate) playback_s: Option<u64>,
    pub(crate) robustness: Option<String>,
    pub(crate) hdcp_sd: Option<Hdcp>,
    pub(crate) hdcp_hd: Option<Hdcp>,
    pub(crate) hdcp_uhd: Option<Hdcp>,
}

/// The terms of a licence, as its token says them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// The least HDCP that its keys ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hdcp: Option<Hdcp>,
    /// How robust the content decryption must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) robustness: Option<String>,
    /// Whether the licence may be kept.
    pub(crate) persist: bool,
    /// How long a kept licence waits for its first play, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rental_s: Option<u64>,
    /// How long it plays once the film has begun, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) playback_s: Option<u64>,
}

/// What a player says of the device that it runs on, as far as keys are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// The HDCP of its way to the screen; none where it does not say so.
    pub(crate) hdcp: Option<Hdcp>,
    /// The height of the largest picture that it shows.
    pub(crate) max_height: Option<u64>,
}

/// A version of High-bandwidth Digital Content Protection, as Encrypted Media Extensions name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Hdcp(u8, u8);

impl Rules {
    /// The classes of tracks that a device gets keys for.
    pub(crate) fn tracks(&self, device: Device) -> Vec<TrackType> {
        let all = [
            TrackType::Audio,
            TrackType::Sd,
            TrackType::Hd,
            TrackType::Uhd,
        ];
        let fits = |class: TrackType| {
            let shows = device.max_height.is_none_or(|most| most > beneath(class));
            // Whoever does not say what the way to the screen has, has nothing.
            shows && self.hdcp(class) <= device.hdcp
        };
        all.into_iter().filter(|class| fits(*class)).collect()
    }

    /// The terms for these classes: those of the most demanding one.
    pub(crate) fn policy(&self, tracks: &[TrackType]) -> Policy {
        Policy {
            hdcp: tracks.iter().filter_map(|class| self.hdcp(*class)).max(),
            robustness: self.robustness.clone(),
            persist: self.persist,
            rental_s: self.rental_s,
            playback_s: self.playback_s,
        }
    }

    const fn hdcp(&self, class: TrackType) -> Option<Hdcp> {
        match class {
            TrackType::Audio => None,
            TrackType::Sd => self.hdcp_sd,
            TrackType::Hd => self.hdcp_hd,
            TrackType::Uhd => self.hdcp_uhd,
        }
    }
}

/// The names of the keys of these classes, from the period on that plays at a place, in each set of a film's keys; as
/// many periods as fit in a token.
pub(crate) fn kids<'a>(
    sets: impl Iterator<Item = &'a [KeyPeriod]>,
    tracks: &[TrackType],
    position_ms: u64,
) -> Vec<KeyId> {
    let here = |periods: &'a [KeyPeriod]| {
        let after = periods.partition_point(|period| period.start_ms <= position_ms);
        periods.get(after.saturating_sub(1)..).unwrap_or_default()
    };
    let mut kids = Vec::new();
    for period in sets.flat_map(here) {
        let allowed = period.keys.iter().filter(|key| opens(key, tracks));
        let allowed: Vec<KeyId> = allowed.map(|key| key.kid).collect();
        // The period that plays is in the token, come what may.
        if !kids.is_empty() && kids.len() + allowed.len() > MOST_KIDS {
            break;
        }
        kids.extend(allowed);
    }
    kids
}

/// Whether a key is for such tracks alone. One for all tracks opens those too that are not allowed.
fn opens(key: &ContentKey, tracks: &[TrackType]) -> bool {
    if key.tracks.is_empty() {
        return tracks.len() == CLASSES;
    }
    key.tracks.iter().all(|class| tracks.contains(class))
}

/// The height up to which pictures belong to the classes below.
const fn beneath(class: TrackType) -> u64 {
    match class {
        TrackType::Audio | TrackType::Sd => 0,
        TrackType::Hd => 576,
        TrackType::Uhd => 1080,
    }
}

impl FromStr for Hdcp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let [major @ b'1'..=b'2', b'.', minor @ b'0'..=b'9'] = text.as_bytes() else {
            return Err("is no version of HDCP, 1.0 to 2.3".to_owned());
        };
        match (major - b'0', minor - b'0') {
            (1, minor @ 0..=4) => Ok(Self(1, minor)),
            (2, minor @ 0..=3) => Ok(Self(2, minor)),
            _ => Err("is no version of HDCP, 1.0 to 2.3".to_owned()),
        }
    }
}

impl TryFrom<String> for Hdcp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Hdcp> for String {
    fn from(hdcp: Hdcp) -> Self {
        hdcp.to_string()
    }
}

impl fmt::Display for Hdcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Tokens travel in headers: so many names are about 3 KiB.
const MOST_KIDS: usize = 64;
const CLASSES: usize = 4;

#[cfg(test)]
mod tests {
    use contracts::keys::KeyValue;

    use super::*;

    fn rules() -> Rules {
        Rules {
            hdcp_hd: Some(Hdcp(1, 4)),
            hdcp_uhd: Some(Hdcp(2, 2)),
            ..Rules::default()
        }
    }

    fn device(hdcp: &str, max_height: Option<u64>) -> Device {
        Device {
            hdcp: hdcp.parse().ok(),
            max_height,
        }
    }

    use TrackType::{Audio, Hd, Sd, Uhd};

    #[test]
    fn a_device_gets_the_classes_that_its_screen_and_its_way_to_it_allow() {
        for (device, tracks, hdcp) in [
            (device("", None), vec![Audio, Sd], None),
            (device("1.3", None), vec![Audio, Sd], None),
            (device("1.4", None), vec![Audio, Sd, Hd], Some(Hdcp(1, 4))),
            (
                device("2.3", None),
                vec![Audio, Sd, Hd, Uhd],
                Some(Hdcp(2, 2)),
            ),
            (
                device("2.3", Some(1080)),
                vec![Audio, Sd, Hd],
                Some(Hdcp(1, 4)),
            ),
            (device("2.3", Some(576)), vec![Audio, Sd], None),
        ] {
            let allowed = rules().tracks(device);
            assert_eq!(allowed, tracks, "{device:?}");
            assert_eq!(rules().policy(&allowed).hdcp, hdcp, "{device:?}");
        }
        assert_eq!(
            Rules::default().tracks(Device::default()),
            [Audio, Sd, Hd, Uhd]
        );
    }

    fn key(number: u8, tracks: &[TrackType]) -> ContentKey {
        ContentKey {
            kid: KeyId([number; 16]),
            key: KeyValue([0; 16]),
            iv: None,
            tracks: tracks.to_vec(),
        }
    }

    #[test]
    fn a_key_that_opens_more_than_is_allowed_is_not_given() {
        let periods = [KeyPeriod {
            start_ms: 0,
            keys: vec![key(1, &[Audio, Sd]), key(2, &[Sd, Uhd]), key(3, &[])],
        }];
        let of = |tracks: &[TrackType]| {
            let kids = kids(std::iter::once(periods.as_slice()), tracks, 0);
            kids.iter().map(|kid| kid.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(of(&[Audio, Sd]), [1]);
        assert_eq!(of(&[Audio]), [0; 0]);
        assert_eq!(of(&[Audio, Sd, Hd, Uhd]), [1, 2, 3]);
    }

    #[test]
    fn of_many_periods_those_are_named_that_come_next() {
        let periods: Vec<KeyPeriod> = (0..100)
            .map(|number| KeyPeriod {
                start_ms: u64::from(number) * 60_000,
                keys: vec![key(number, &[Audio]), key(number + 100, &[Sd])],
            })
            .collect();
        let at = |position_ms| {
            let kids = kids(
                std::iter::once(periods.as_slice()),
                &[Audio, Sd],
                position_ms,
            );
            (kids[0].0[0], kids.len())
        };
        assert_eq!(at(0), (0, 64));
        assert_eq!(at(59_999), (0, 64));
        assert_eq!(at(60_000), (1, 64));
        assert_eq!(at(99 * 60_000), (99, 2));
        assert_eq!(at(u64::MAX), (99, 2));
    }

    #[test]
    fn versions_of_hdcp_are_ordered_and_others_are_none() {
        for (low, high) in [("1.0", "1.4"), ("1.4", "2.0"), ("2.2", "2.3")] {
            assert!(low.parse::<Hdcp>() < high.parse::<Hdcp>());
        }
        for text in ["", "1", "1.5", "2.4", "3.0", "2.20", "2,2", "02.2"] {
            assert!(text.parse::<Hdcp>().is_err(), "{text}");
        }
    }
}
