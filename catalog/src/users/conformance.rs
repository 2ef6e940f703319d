//! What every adapter of [`Users`] promises.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a promise that is broken ends the test"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use contracts::id::UserId;
use contracts::time::UnixSeconds;

use super::{Joined, NewUser, Role, User, Users};
use crate::digest::SecretDigest;

/// Every promise, on a catalogue that is empty.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(users: Arc<dyn Users>) {
    one_of_several_at_once_invites_the_first_operator(&users).await;
    an_email_address_has_one_account(&*users).await;
    an_invitation_makes_one_account_with_its_role(&users).await;
    an_account_is_changed_listed_and_removed(&*users).await;
}

const NOW: UnixSeconds = UnixSeconds(1000);

/// An account that is to be made, its id and address after its name.
#[must_use]
pub fn new(name: &str) -> NewUser {
    NewUser {
        id: UserId::parse(name).expect("a test's id is one"),
        email: format!("{name}@example.com"),
        name: name.to_owned(),
        role: Role::Viewer,
        password: format!("$argon2id${name}"),
    }
}

async fn make(users: &dyn Users, name: &str) -> User {
    match users.create(new(name), NOW).await.expect("create") {
        Joined::New(user) => user,
        other => panic!("{other:?}"),
    }
}

async fn one_of_several_at_once_invites_the_first_operator(users: &Arc<dyn Users>) {
    let mut asked = Vec::new();
    for number in 0..6 {
        let (users, digest) = (Arc::clone(users), SecretDigest::of(&format!("f{number}")));
        asked.push(tokio::spawn(async move {
            let made = users.invite_first(&digest, NOW, UnixSeconds(2000)).await;
            made.expect("invite").then_some(digest)
        }));
    }
    let mut made = Vec::new();
    for one in asked {
        made.extend(one.await.expect("no panic"));
    }
    assert_eq!(made.len(), 1, "one invitation");
    let late = SecretDigest::of("late");
    let again = users.invite_first(&late, UnixSeconds(2000), UnixSeconds(3000));
    assert!(again.await.expect("invite"), "the one before has expired");
    let joined = users.join(new("first"), &late, UnixSeconds(2001)).await;
    assert!(matches!(joined, Ok(Joined::New(user)) if user.role == Role::Operator));
    let more = SecretDigest::of("more");
    let more = users.invite_first(&more, UnixSeconds(9000), UnixSeconds(9999));
    assert!(!more.await.expect("invite"), "there is an operator");
}

async fn an_email_address_has_one_account(users: &dyn Users) {
    let made = make(users, "alone").await;
    assert_eq!(made.created, NOW);
    let same = NewUser {
        id: UserId::parse("other").expect("an id"),
        ..new("alone")
    };
    let outcome = users.create(same, NOW).await.expect("create");
    assert_eq!(outcome, Joined::EmailTaken);
    let found = users.find_by_email("alone@example.com").await;
    let (found, password) = found.expect("find").expect("it is there");
    assert_eq!((&found, password.as_str()), (&made, "$argon2id$alone"));
    assert_eq!(users.find(&made.id).await.expect("find"), Some(made));
    let absent = users.find_by_email("Alone@example.com").await;
    assert_eq!(absent.expect("find"), None);
}

async fn an_invitation_makes_one_account_with_its_role(users: &Arc<dyn Users>) {
    let digest = SecretDigest::of("invited");
    let expires = UnixSeconds(5000);
    let invited = users.invite(&digest, Role::Publisher, expires).await;
    invited.expect("invite");
    let late = users.join(new("late"), &digest, expires).await;
    assert_eq!(late.expect("join"), Joined::NotInvited);
    make(&**users, "taken").await;
    let taken = users.join(new("taken"), &digest, NOW).await;
    assert_eq!(taken.expect("join"), Joined::EmailTaken);
    let mut asked = Vec::new();
    for number in 0..4 {
        let (users, digest) = (Arc::clone(users), digest.clone());
        let new = new(&format!("invited{number}"));
        asked.push(tokio::spawn(async move {
            users.join(new, &digest, NOW).await.expect("join")
        }));
    }
    let mut made = 0;
    for one in asked {
        match one.await.expect("no panic") {
            Joined::New(user) => {
                assert_eq!(user.role, Role::Publisher);
                made += 1;
            }
            other => assert_eq!(other, Joined::NotInvited),
        }
    }
    assert_eq!(made, 1);
}

async fn an_account_is_changed_listed_and_removed(users: &dyn Users) {
    let made = make(users, "z-changed").await;
    let raised = users.set_role(&made.id, Role::Operator).await;
    let raised = raised.expect("set").expect("it is there");
    assert_eq!(raised.role, Role::Operator);
    assert!(users.set_password(&made.id, "$new").await.expect("set"));
    let found = users.find_by_email(&made.email).await.expect("find");
    assert_eq!(found, Some((raised, "$new".to_owned())));
    let (mut listed, mut after) = (BTreeSet::new(), None);
    loop {
        let page = users.list(after.as_ref(), 2).await.expect("list");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for user in page {
            assert!(listed.insert(user.id), "listed twice");
        }
    }
    assert!(listed.contains(&made.id) && listed.len() >= 4);
    assert!(users.remove(&made.id).await.expect("remove"));
    assert!(!users.remove(&made.id).await.expect("remove again"));
    assert_eq!(users.find(&made.id).await.expect("find"), None);
    let absent = users.set_role(&made.id, Role::Viewer).await;
    assert_eq!(absent.expect("set"), None);
    assert!(!users.set_password(&made.id, "$new").await.expect("set"));
}
