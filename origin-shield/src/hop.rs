//! Who may ask a shield: tiers that know the credential.

use contracts::header::HOP;
use contracts::reason::Reason;
use contracts::target;
use http::HeaderValue;
use subtle::ConstantTimeEq;
use tier::admission::{Admission, Admitted, Facts, Refused, Visitor};
use tier::parent::Credential;

/// Admits whoever shows the credential; without one configured, whoever can connect.
pub struct Hop {
    secret: Credential,
}

impl Hop {
    /// A rule with this credential.
    #[must_use]
    pub fn new(secret: Option<HeaderValue>) -> Self {
        let hop = Self {
            secret: Credential::default(),
        };
        hop.demand(secret);
        hop
    }

    /// From now on this credential must be shown.
    pub fn demand(&self, secret: Option<HeaderValue>) {
        self.secret.set(secret);
    }

    fn knows(&self, shown: Option<&HeaderValue>) -> bool {
        let Some(secret) = self.secret.now() else {
            return true;
        };
        shown.is_some_and(|shown| shown.as_bytes().ct_eq(secret.as_bytes()).into())
    }
}

impl Admission for Hop {
    fn admit(&self, facts: &Facts<'_>, _: Visitor) -> Result<Admitted, Refused> {
        if !self.knows(facts.headers.get(HOP)) {
            return Err(Reason::Hop.into());
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
