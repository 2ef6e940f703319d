//! What every adapter of [`Logins`] promises.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a promise that is broken ends the test"
)]

use std::sync::Arc;

use contracts::id::{LoginId, UserId};
use contracts::time::UnixSeconds;

use super::{LEEWAY_S, Logins, NewLogin, Renewal};
use crate::digest::SecretDigest;
use crate::users::conformance::new;
use crate::users::{Joined, Role, Users};

/// Every promise, on a catalogue whose logins are empty, with its users.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(logins: Arc<dyn Logins>, users: &dyn Users) {
    a_login_is_of_its_account_as_that_is_now(&*logins, users).await;
    a_token_is_good_for_one_renewal_and_a_moment_more(&*logins, users).await;
    a_token_that_two_hold_ends_the_login(&*logins, users).await;
    those_who_renew_at_once_are_all_served(&logins, users).await;
    who_renews_while_another_ends_the_login_is_answered(&logins, users).await;
    logins_end_alone_together_and_with_the_account(&*logins, users).await;
    what_has_expired_is_forgotten(&*logins, users).await;
}

const NOW: UnixSeconds = UnixSeconds(1000);
const EXPIRES: UnixSeconds = UnixSeconds(2000);

fn digest(token: &str) -> SecretDigest {
    SecretDigest::of(token)
}

async fn account(users: &dyn Users, name: &str) -> UserId {
    match users.create(new(name), NOW).await.expect("create") {
        Joined::New(user) => user.id,
        other => panic!("{other:?}"),
    }
}

/// Begins a login of that name, whose first token is named so as well.
async fn begin(logins: &dyn Logins, user: &UserId, name: &str) -> LoginId {
    let began = begin_by(logins, user, name, &first_password(user)).await;
    began.unwrap_or_else(|| panic!("{name}"))
}

/// The hash that accounts are made with here.
fn first_password(user: &UserId) -> String {
    format!("$argon2id${user}")
}

/// The same by the hash of a password, if that is the account's.
async fn begin_by(
    logins: &dyn Logins,
    user: &UserId,
    name: &str,
    password: &str,
) -> Option<LoginId> {
    let id = LoginId::parse(name).expect("an id");
    let new = NewLogin {
        id: id.clone(),
        user: user.clone(),
        token: digest(name),
        started: NOW,
        expires: EXPIRES,
    };
    let began = logins.begin(new, password).await.expect("begin");
    began.then_some(id)
}

async fn renew(logins: &dyn Logins, token: &str, next: &str, now: u64) -> Renewal {
    let (token, next) = (digest(token), digest(next));
    let renewal = logins.renew(&token, &next, UnixSeconds(now), UnixSeconds(now + 1000));
    renewal.await.expect("renew")
}

async fn role(logins: &dyn Logins, id: &LoginId, now: u64) -> Option<Role> {
    let holder = logins.holder(id, UnixSeconds(now)).await;
    holder.expect("holder").map(|holder| holder.role)
}

async fn a_login_is_of_its_account_as_that_is_now(logins: &dyn Logins, users: &dyn Users) {
    let user = account(users, "lg-now").await;
    let id = begin(logins, &user, "now").await;
    let holder = logins.holder(&id, NOW).await.expect("holder");
    assert_eq!(holder.map(|holder| holder.user), Some(user.clone()));
    let raised = users.set_role(&user, Role::Publisher).await;
    raised.expect("set");
    assert_eq!(role(logins, &id, 1999).await, Some(Role::Publisher));
    assert_eq!(role(logins, &id, 2000).await, None, "it has expired");
    let nobody = UserId::parse("nobody").expect("an id");
    let absent = begin_by(logins, &nobody, "nobody", &first_password(&nobody)).await;
    assert_eq!(absent, None);
}

async fn a_token_is_good_for_one_renewal_and_a_moment_more(logins: &dyn Logins, users: &dyn Users) {
    let user = account(users, "lg-renewed").await;
    let id = begin(logins, &user, "r0").await;
    let unknown = renew(logins, "r9", "x", 1500).await;
    assert_eq!(unknown, Renewal::Unknown);
    let late = renew(logins, "r0", "x", 2000).await;
    assert_eq!(late, Renewal::Unknown, "it has expired");
    let renewed = renew(logins, "r0", "r1", 1500).await;
    let Renewal::Renewed(holder) = renewed else {
        panic!("{renewed:?}");
    };
    assert_eq!((holder.login, holder.user), (id.clone(), user));
    assert_eq!(role(logins, &id, 2400).await, Some(Role::Viewer));
    let again = renew(logins, "r0", "r2", 1500 + LEEWAY_S).await;
    assert!(matches!(again, Renewal::Renewed(_)), "the answer was lost");
    for (token, next) in [("r1", "r3"), ("r2", "r4")] {
        let renewed = renew(logins, token, next, 1600).await;
        assert!(matches!(renewed, Renewal::Renewed(_)), "{token}");
    }
}

async fn a_token_that_two_hold_ends_the_login(logins: &dyn Logins, users: &dyn Users) {
    let user = account(users, "lg-stolen").await;
    let id = begin(logins, &user, "s0").await;
    let other = begin(logins, &user, "s-other").await;
    renew(logins, "s0", "s1", 1100).await;
    renew(logins, "s1", "s2", 1200).await;
    let reused = renew(logins, "s0", "stolen", 1300).await;
    assert_eq!(reused, Renewal::Reused(user));
    assert_eq!(role(logins, &id, 1300).await, None);
    for token in ["s0", "s1", "s2", "stolen"] {
        let after = renew(logins, token, "more", 1301).await;
        assert_eq!(after, Renewal::Unknown, "{token}");
    }
    assert!(role(logins, &other, 1300).await.is_some(), "another device");
}

async fn those_who_renew_at_once_are_all_served(logins: &Arc<dyn Logins>, users: &dyn Users) {
    let user = account(users, "lg-at-once").await;
    begin(&**logins, &user, "a0").await;
    let mut asked = Vec::new();
    for number in 0..6 {
        let logins = Arc::clone(logins);
        asked.push(tokio::spawn(async move {
            renew(&*logins, "a0", &format!("a0-{number}"), 1100).await
        }));
    }
    for one in asked {
        let renewal = one.await.expect("no panic");
        assert!(matches!(renewal, Renewal::Renewed(_)), "{renewal:?}");
    }
}

async fn who_renews_while_another_ends_the_login_is_answered(
    logins: &Arc<dyn Logins>,
    users: &dyn Users,
) {
    let user = account(users, "lg-crossed").await;
    for round in 0..20 {
        let name = |step: &str| format!("c{round}-{step}");
        let (first, last) = (name("0"), name("1"));
        begin(&**logins, &user, &first).await;
        renew(&**logins, &first, &last, 1100).await;
        // The old token ends the login, and with it the new one, which somebody shows at the same time.
        let both = [(first, name("2")), (last, name("3"))].map(|(token, next)| {
            let logins = Arc::clone(logins);
            tokio::spawn(async move { renew(&*logins, &token, &next, 1200).await })
        });
        for one in both {
            let renewal = one.await.expect("an answer, not an error");
            let reused = matches!(&renewal, Renewal::Reused(of) if *of == user);
            assert!(reused || !matches!(renewal, Renewal::Reused(_)));
        }
    }
}

async fn logins_end_alone_together_and_with_the_account(logins: &dyn Logins, users: &dyn Users) {
    let user = account(users, "lg-ended").await;
    let mut ids = Vec::new();
    for name in ["e0", "e1", "e2", "e3"] {
        ids.push(begin(logins, &user, name).await);
    }
    let mut left = ids.iter();
    let mut next = || left.next().expect("four began");
    let first = next();
    logins.end(first).await.expect("end");
    logins.end(first).await.expect("end again");
    assert_eq!(role(logins, first, 1100).await, None);
    logins.end_by(&digest("e1")).await.expect("end");
    logins.end_by(&digest("no token")).await.expect("end");
    assert_eq!(role(logins, next(), 1100).await, None);
    assert_eq!(logins.end_all(&user).await.expect("end"), 2);
    let id = begin(logins, &user, "e4").await;
    users.set_password(&user, "$new").await.expect("set");
    assert_eq!(role(logins, &id, 1100).await, None, "the password changed");
    // Who was asked for the old one when it was changed does not get in by it.
    let late = begin_by(logins, &user, "late", &first_password(&user)).await;
    assert_eq!(late, None);
    let id = begin_by(logins, &user, "e5", "$new").await.expect("begin");
    users.remove(&user).await.expect("remove");
    assert_eq!(role(logins, &id, 1100).await, None);
    assert_eq!(renew(logins, "e5", "x", 1100).await, Renewal::Unknown);
}

async fn what_has_expired_is_forgotten(logins: &dyn Logins, users: &dyn Users) {
    let user = account(users, "lg-forgotten").await;
    begin(logins, &user, "f0").await;
    renew(logins, "f0", "f1", 8000).await;
    let id = LoginId::parse("kept").expect("an id");
    let kept = NewLogin {
        id: id.clone(),
        user: user.clone(),
        token: digest("kept"),
        started: NOW,
        expires: UnixSeconds(9000),
    };
    let password = first_password(&user);
    assert!(logins.begin(kept, &password).await.expect("begin"));
    assert!(logins.forget(UnixSeconds(9000)).await.expect("forget") >= 2);
    assert_eq!(logins.forget(UnixSeconds(9000)).await.expect("forget"), 0);
    assert!(role(logins, &id, 1100).await.is_some());
}
