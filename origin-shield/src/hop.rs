//! Who may ask a shield: tiers that know the credential, and nodes of the fleet by their certificates.

use std::collections::HashMap;

use contracts::header::HOP;
use contracts::reason::Reason;
use contracts::revocation::{Revocation, Revoked};
use contracts::target;
use contracts::time::UnixSeconds;
use http::HeaderValue;
use parking_lot::RwLock;
use runtime::clock::{Clock as _, System};
use subtle::ConstantTimeEq;
use tier::admission::{Admission, Admitted, Child, Facts, Refused, Visitor};
use tier::feed::Revokes;
use tier::parent::Credential;

/// Admits nodes whose certificates name them, unless they were dismissed, and whoever shows the credential; without one
/// configured, whoever can connect.
pub struct Hop {
    secret: Credential,
    /// Until when certificates of dismissed nodes last.
    dismissed: RwLock<HashMap<String, UnixSeconds>>,
}

impl Hop {
    /// A rule with this credential.
    #[must_use]
    pub fn new(secret: Option<HeaderValue>) -> Self {
        let hop = Self {
            secret: Credential::default(),
            dismissed: RwLock::default(),
        };
        hop.demand(secret);
        hop
    }

    /// From now on this credential must be shown.
    pub fn demand(&self, secret: Option<HeaderValue>) {
        self.secret.set(secret);
    }

    /// Whether a node was dismissed: all certificates that it had end by then. Another of its name has a later one.
    fn has_dismissed(&self, child: Child<'_>) -> bool {
        let dismissed = self.dismissed.read();
        let until = dismissed.get(child.node);
        until.is_some_and(|until| child.until <= *until)
    }

    fn dismiss(&self, node: String, until: UnixSeconds, now: UnixSeconds) -> Result<(), String> {
        let mut dismissed = self.dismissed.write();
        if dismissed.len() >= MOST && !dismissed.contains_key(&node) {
            dismissed.retain(|_, until| now < *until);
            if dismissed.len() >= MOST {
                return Err(format!("{MOST} nodes are dismissed, and no more fit"));
            }
        }
        let end = dismissed.entry(node).or_insert(until);
        *end = until.max(*end);
        Ok(())
    }

    fn knows(&self, shown: Option<&HeaderValue>) -> bool {
        let Some(secret) = self.secret.now() else {
            return true;
        };
        shown.is_some_and(|shown| shown.as_bytes().ct_eq(secret.as_bytes()).into())
    }
}

impl Revokes for Hop {
    fn revoke(&self, revocation: Revocation) -> Result<(), String> {
        match revocation.what {
            Revoked::Node(node) => self.dismiss(node.to_string(), revocation.until, System.now()),
            // Edges look at tokens, and shields see none.
            _ => Ok(()),
        }
    }
}

impl Admission for Hop {
    fn admit(&self, facts: &Facts<'_>, _: Visitor) -> Result<Admitted, Refused> {
        match facts.child {
            Some(child) if self.has_dismissed(child) => return Err(Reason::Revoked.into()),
            // The handshake has found it good, and may be long ago.
            Some(child) if child.until <= System.now() => return Err(Reason::Hop.into()),
            Some(_) => {}
            None if self.knows(facts.headers.get(HOP)) => {}
            None => return Err(Reason::Hop.into()),
        }
        Ok(self.readmit(facts.target)?)
    }

    fn readmit(&self, target: &str) -> Result<Admitted, Reason> {
        let target = target::parse(target)?;
        if target.token.is_some() {
            // An edge has taken it off; whoever sends one here is no edge of ours.
            return Err(Reason::Target);
        }
        target::of_tier(target).map(Admitted::to)
    }
}

/// Dismissed nodes that are known.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use contracts::id::NodeId;
    use http::HeaderMap;

    use super::*;

    /// A certificate that ends then is good.
    const FAR: u64 = 1 << 40;

    fn asks(
        hop: &Hop,
        child: Option<(&str, u64)>,
        credential: Option<&'static str>,
    ) -> Result<(), Reason> {
        let mut headers = HeaderMap::new();
        if let Some(credential) = credential {
            headers.insert(HOP, HeaderValue::from_static(credential));
        }
        let facts = Facts {
            target: "/v/a/1",
            method: "GET",
            scheme: "https",
            authority: "shield.example",
            peer: None,
            headers: &headers,
            child: child.map(|(node, until)| Child {
                node,
                until: UnixSeconds(until),
            }),
        };
        let admitted = hop.admit(&facts, Visitor::default());
        admitted.map(drop).map_err(|refused| refused.reason)
    }

    fn dismiss(hop: &Hop, node: &str, until: u64) -> Result<(), String> {
        hop.revoke(Revocation {
            what: Revoked::Node(NodeId::parse(node).unwrap()),
            until: UnixSeconds(until),
        })
    }

    #[test]
    fn a_node_needs_its_certificate_and_others_the_credential() {
        let hop = Hop::new(Some(HeaderValue::from_static("secret")));
        assert_eq!(asks(&hop, Some(("isp-1", FAR)), None), Ok(()));
        assert_eq!(asks(&hop, None, Some("secret")), Ok(()));
        assert_eq!(asks(&hop, None, None), Err(Reason::Hop));
        assert_eq!(asks(&hop, None, Some("other")), Err(Reason::Hop));
    }

    #[test]
    fn a_connection_counts_for_as_long_as_the_certificate_that_it_began_with() {
        let hop = Hop::new(None);
        let now = System.now().0;
        assert_eq!(asks(&hop, Some(("isp-1", now + 60)), None), Ok(()));
        assert_eq!(asks(&hop, Some(("isp-1", now)), None), Err(Reason::Hop));
    }

    #[test]
    fn a_dismissed_node_is_refused_by_name_with_every_certificate_that_it_had() {
        let hop = Hop::new(Some(HeaderValue::from_static("secret")));
        dismiss(&hop, "isp-1", FAR).unwrap();
        dismiss(&hop, "isp-1", FAR - 10).unwrap();
        for until in [FAR - 20, FAR] {
            for credential in [None, Some("secret")] {
                let asked = asks(&hop, Some(("isp-1", until)), credential);
                assert_eq!(asked, Err(Reason::Revoked));
            }
        }
        let another = asks(&hop, Some(("isp-1", FAR + 1)), None);
        assert_eq!(another, Ok(()), "another of that name");
        assert_eq!(asks(&hop, Some(("isp-2", FAR)), None), Ok(()));
    }

    #[test]
    fn what_concerns_tokens_changes_nothing_and_memory_is_bounded() {
        let hop = Hop::new(None);
        let key = Revocation {
            what: Revoked::Key("k".to_owned()),
            until: UnixSeconds(u64::MAX),
        };
        assert_eq!(hop.revoke(key), Ok(()));
        for n in 0..MOST {
            dismiss(&hop, &format!("n{n}"), u64::MAX).unwrap();
        }
        assert!(dismiss(&hop, "another", u64::MAX).is_err());
        assert_eq!(dismiss(&hop, "n1", u64::MAX), Ok(()), "that one is known");
    }
}
