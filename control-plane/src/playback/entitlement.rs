//! Whether somebody may watch a film: decided without asking anybody.

use catalog::entitlements::Grant;
use catalog::rules::Audience;
use contracts::asset::Privacy;
use contracts::time::UnixSeconds;

/// How somebody stands to a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// An operator, the owner of its channel, or a backend that asks for itself.
    House,
    /// A viewer whom a backend names, which knows of every film.
    Named,
    /// Somebody with an account, or nobody that is known.
    Viewer,
}

/// What is to be decided.
pub(crate) struct Case<'a> {
    pub(crate) privacy: Privacy,
    pub(crate) audience: Audience,
    pub(crate) standing: Standing,
    /// The account's grants that hold the film, by whatever way.
    pub(crate) grants: &'a [Grant],
    pub(crate) now: UnixSeconds,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They may, without a grant.
    Free,
    /// They may by a grant, until it ends.
    Granted(Option<UnixSeconds>),
    /// They may know of it, and not watch it; perhaps from an instant on.
    NotEntitled(Option<UnixSeconds>),
    /// It does not exist for them.
    Hidden,
}

/// Whether a grant is needed.
pub(crate) fn needs_grant(privacy: Privacy, audience: Audience, standing: Standing) -> bool {
    match standing {
        Standing::House => false,
        Standing::Named => audience == Audience::Granted,
        Standing::Viewer => audience == Audience::Granted || privacy == Privacy::Private,
    }
}

/// Decides a case.
pub(crate) fn decide(case: &Case<'_>) -> Verdict {
    if !needs_grant(case.privacy, case.audience, case.standing) {
        return Verdict::Free;
    }
    let counting = case.grants.iter().filter(|grant| grant.counts(case.now));
    // A grant without an end lasts longest.
    let longest = counting.max_by_key(|grant| grant.until.map_or(u64::MAX, |until| until.0));
    if let Some(grant) = longest {
        return Verdict::Granted(grant.until);
    }
    // To whom it was never granted, a private film must not be told from one that is not there.
    if case.privacy == Privacy::Private
        && case.standing == Standing::Viewer
        && case.grants.is_empty()
    {
        return Verdict::Hidden;
    }
    let coming = case.grants.iter().map(|grant| grant.from);
    Verdict::NotEntitled(coming.filter(|from| case.now < *from).min())
}

#[cfg(test)]
mod tests {
    use catalog::entitlements::Covers;
    use contracts::id::{GrantId, UserId};

    use super::*;

    fn grant(from: u64, until: Option<u64>) -> Grant {
        Grant {
            id: GrantId::parse("g").unwrap(),
            account: UserId::parse("ann").unwrap(),
            covers: Covers::Site,
            from: UnixSeconds(from),
            until: until.map(UnixSeconds),
            created: UnixSeconds(0),
        }
    }

    fn verdict(
        privacy: Privacy,
        audience: Audience,
        standing: Standing,
        grants: &[Grant],
    ) -> Verdict {
        decide(&Case {
            privacy,
            audience,
            standing,
            grants,
            now: UnixSeconds(100),
        })
    }

    use Audience::{Everybody, Granted};
    use Privacy::{Private, Public, Unlisted};
    use Standing::{House, Named, Viewer};

    #[test]
    fn without_a_grant_privacy_and_audience_decide() {
        let not_entitled = Verdict::NotEntitled(None);
        for (privacy, audience, standing, wanted) in [
            (Public, Everybody, Viewer, Verdict::Free),
            (Unlisted, Everybody, Viewer, Verdict::Free),
            (Private, Everybody, Viewer, Verdict::Hidden),
            (Unlisted, Granted, Viewer, not_entitled),
            (Private, Granted, Viewer, Verdict::Hidden),
            (Private, Everybody, Named, Verdict::Free),
            (Private, Granted, Named, not_entitled),
            (Unlisted, Granted, Named, not_entitled),
            (Private, Granted, House, Verdict::Free),
        ] {
            let case = (privacy, audience, standing);
            assert_eq!(
                verdict(privacy, audience, standing, &[]),
                wanted,
                "{case:?}"
            );
        }
    }

    #[test]
    fn a_grant_counts_in_its_window_and_the_longest_counts() {
        let private = |grants: &[Grant]| verdict(Private, Everybody, Viewer, grants);
        let granted = |until: Option<u64>| Verdict::Granted(until.map(UnixSeconds));
        assert_eq!(private(&[grant(100, Some(101))]), granted(Some(101)));
        assert_eq!(private(&[grant(0, Some(100))]), Verdict::NotEntitled(None));
        let coming = [grant(300, None), grant(200, None), grant(0, Some(50))];
        assert_eq!(
            private(&coming),
            Verdict::NotEntitled(Some(UnixSeconds(200)))
        );
        let several = [grant(0, Some(150)), grant(0, Some(200)), grant(300, None)];
        assert_eq!(private(&several), granted(Some(200)));
        assert_eq!(
            private(&[grant(0, Some(150)), grant(0, None)]),
            granted(None)
        );
    }

    #[test]
    fn who_needs_no_grant_is_not_bound_by_one() {
        for (privacy, audience, standing) in
            [(Public, Everybody, Viewer), (Private, Granted, House)]
        {
            let verdict = verdict(privacy, audience, standing, &[grant(0, Some(150))]);
            assert_eq!(verdict, Verdict::Free);
        }
    }
}
