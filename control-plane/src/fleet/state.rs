//! How a node that has enrolled stands: by what is known of it, the same at every control plane.

use std::time::Duration;

use catalog::members::{AHEAD_S, Member, Pulse};
use contracts::time::UnixSeconds;

/// So many heartbeats in a row make a node that was silent one that viewers are sent to.
const ENOUGH: u64 = 3;

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// It has enrolled, and was not found to serve yet.
    Joining,
    /// Viewers are sent to it.
    Active,
    /// It keeps the viewers that it has and gets no new ones.
    Draining,
    /// It was silent for too long, and has not been heard often enough since.
    Quarantined,
    /// It may not come back.
    Dismissed,
}

impl State {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Joining,
        Self::Active,
        Self::Draining,
        Self::Quarantined,
        Self::Dismissed,
    ];

    /// Of a node by its heartbeats.
    pub(crate) fn of(
        member: &Member,
        pulse: Option<&Pulse>,
        now: UnixSeconds,
        quarantine: Duration,
    ) -> Self {
        if member.dismissed.is_some() {
            return Self::Dismissed;
        }
        if member.activated.is_none() {
            return Self::Joining;
        }
        match pulse {
            Some(pulse) if is_heard(pulse, now, quarantine) => {
                if member.drain || pulse.said.draining {
                    Self::Draining
                } else {
                    Self::Active
                }
            }
            _ => Self::Quarantined,
        }
    }

    /// The word in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::Dismissed => "dismissed",
        }
    }
}

/// Whether a node is heard, and was often enough. What it is to say in time to come was written by a clock that is
/// wrong.
pub(crate) fn is_heard(pulse: &Pulse, now: UnixSeconds, quarantine: Duration) -> bool {
    let lately = now <= pulse.last.plus(quarantine.as_secs()) && pulse.last <= now.plus(AHEAD_S);
    pulse.beats >= ENOUGH && lately
}

/// How much of what a node can do is used, 0 to 1; of one that does not say what it can, nothing.
pub(crate) fn load(member: &Member, pulse: &Pulse) -> f64 {
    let said = &pulse.said.load;
    let of = |used: u64, most: u64| match most {
        0 => 0.0,
        most => part(used, most),
    };
    let sent = of(said.egress_bps, member.announce.capacity_bps);
    sent.max(of(said.connections, said.max_connections))
        .min(1.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a load need not be exact beyond 53 bits"
)]
fn part(used: u64, most: u64) -> f64 {
    used as f64 / most as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use catalog::members::Terms;
    use contracts::fleet::{Announce, Heartbeat, Load, Origin};
    use contracts::id::NodeId;

    use super::*;

    pub(crate) fn member(name: &str) -> Member {
        Member {
            name: NodeId::parse(name).unwrap(),
            revision: 1,
            terms: Terms {
                site: "isp-1".to_owned(),
                region: String::new(),
                prefixes: Vec::new(),
                weight: None,
                priority: 0,
                partner: true,
                protected: false,
                probe: true,
            },
            announce: Announce {
                base: Origin::parse("https://edge.isp.example").unwrap(),
                plain: None,
                prefixes: Vec::new(),
                capacity_bps: 1000,
                withholds: false,
                version: String::new(),
            },
            key: String::new(),
            drain: false,
            enrolled: UnixSeconds(0),
            certificate_ends: UnixSeconds(9000),
            activated: Some(UnixSeconds(0)),
            dismissed: None,
        }
    }

    pub(crate) fn pulse(last: u64, beats: u64) -> Pulse {
        Pulse {
            last: UnixSeconds(last),
            beats,
            said: Heartbeat::default(),
        }
    }

    fn at(member: &Member, pulse: Option<&Pulse>, now: u64) -> State {
        State::of(member, pulse, UnixSeconds(now), Duration::from_secs(20))
    }

    #[test]
    fn a_node_is_left_after_the_silence_and_taken_back_after_three_heartbeats() {
        let node = member("isp-1");
        assert_eq!(at(&node, None, 100), State::Quarantined);
        assert_eq!(at(&node, Some(&pulse(100, 9)), 120), State::Active);
        assert_eq!(at(&node, Some(&pulse(100, 9)), 121), State::Quarantined);
        // Another control plane's clock may be a little ahead, and not for ever.
        assert_eq!(at(&node, Some(&pulse(160, 9)), 100), State::Active);
        assert_eq!(at(&node, Some(&pulse(161, 9)), 100), State::Quarantined);
        for (beats, state) in [
            (1, State::Quarantined),
            (2, State::Quarantined),
            (3, State::Active),
        ] {
            assert_eq!(at(&node, Some(&pulse(200, beats)), 200), state);
        }
    }

    #[test]
    fn a_node_drains_by_an_operator_s_wish_or_by_its_own() {
        let mut node = member("isp-1");
        let mut well = pulse(100, 9);
        node.drain = true;
        assert_eq!(at(&node, Some(&well), 100), State::Draining);
        node.drain = false;
        well.said.draining = true;
        assert_eq!(at(&node, Some(&well), 100), State::Draining);
        assert_eq!(at(&node, Some(&well), 200), State::Quarantined);
    }

    #[test]
    fn who_was_not_found_to_serve_joins_and_who_was_dismissed_is_gone() {
        let mut node = member("isp-1");
        node.activated = None;
        assert_eq!(at(&node, Some(&pulse(100, 9)), 100), State::Joining);
        node.dismissed = Some(UnixSeconds(50));
        assert_eq!(at(&node, Some(&pulse(100, 9)), 100), State::Dismissed);
    }

    #[test]
    fn the_load_is_the_greater_part_of_what_is_sent_and_who_is_connected() {
        let node = member("isp-1");
        let mut pulse = pulse(100, 9);
        assert!(load(&node, &pulse).abs() < 1e-9);
        pulse.said.load = Load {
            egress_bps: 500,
            connections: 90,
            max_connections: 100,
            ..Load::default()
        };
        assert!((load(&node, &pulse) - 0.9).abs() < 1e-9);
        pulse.said.load.egress_bps = u64::MAX;
        assert!((load(&node, &pulse) - 1.0).abs() < 1e-9);
        pulse.said.load.max_connections = 0;
        pulse.said.load.egress_bps = 500;
        assert!((load(&node, &pulse) - 0.5).abs() < 1e-9);
    }
}
