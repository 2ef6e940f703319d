//! Who watches: whose session it is that begins, and where they are.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use catalog::sessions::Seat;
use contracts::id::UserId;
use runtime::problem::Problem;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::client::Client;
use crate::people::network;

/// The longest name of a viewer, in bytes.
const LONGEST: usize = 255;

/// Somebody who wishes to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Viewer {
    /// Whose streams it is among; none where nobody is known.
    pub(crate) account: Option<UserId>,
    /// The outside issuer who vouches for them, if one does.
    pub(crate) issuer: Option<String>,
    /// Where they are.
    pub(crate) address: IpAddr,
}

impl Viewer {
    /// Whoever calls; or whom a backend names, and where it says they are.
    pub(crate) fn of(
        caller: &Caller,
        client: Client,
        named: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Self, Problem> {
        if named.is_some() || address.is_some() {
            // A person is itself, whatever its role.
            if matches!(caller, Caller::User(_)) {
                return Err(crate::problem::not_allowed());
            }
            caller.need(Scope::Playback)?;
        }
        let account = match (caller, named) {
            (_, Some(name)) => Some(account(name)?),
            (Caller::User(person), None) => Some(person.id.clone()),
            _ => None,
        };
        let issuer = match caller {
            Caller::User(person) => person.issuer.clone(),
            _ => None,
        };
        let address = address.map_or(client.address, |address| address.to_canonical());
        Ok(Self {
            account,
            issuer,
            address,
        })
    }

    /// What a session of theirs counts among.
    pub(crate) fn seat(&self, app: &App) -> Option<Seat> {
        self.account.clone().map(|account| Seat {
            account,
            limit: app.settings.playback.streams,
        })
    }
}

/// The account of a viewer whom backends call so. Ids of accounts here have no `-`, and those of outside issuers
/// begin otherwise: no name can be chosen that is one of those.
pub(crate) fn account(name: &str) -> Result<UserId, Problem> {
    let sound = (1..=LONGEST).contains(&name.len()) && !name.chars().any(char::is_control);
    let digest = Sha256::digest(format!("millrace viewer\n{name}"));
    let half = digest.get(..16).unwrap_or_default();
    let id = UserId::parse(&format!("v-{}", B64.encode(half)));
    id.ok().filter(|_| sound).ok_or_else(|| {
        Problem::bad_request(format!(
            "viewer must be 1 to {LONGEST} bytes without control characters"
        ))
    })
}

/// Whether an account is that of a viewer whom a backend named.
pub(crate) fn is_named(account: &UserId) -> bool {
    account.as_str().starts_with("v-")
}

/// Whether an account is of a user of an outside issuer, or of a viewer whom a backend named: nothing is kept of either
/// before they come.
pub(crate) fn is_elsewhere(account: &UserId) -> bool {
    is_named(account) || account.as_str().starts_with("x-")
}

/// Whose an `Idempotency-Key` is: two callers may have the same. Of whom nothing is shown, a network tells.
pub(crate) fn owner(caller: &Caller, client: Client) -> String {
    match caller {
        Caller::Anonymous => format!("@{}", network(client.address)),
        Caller::User(person) => person.id.to_string(),
        Caller::Backend(backend) => format!(":{}", backend.key),
        Caller::Operator => ":".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use catalog::users::Role;
    use contracts::id::ApiKeyId;

    use super::*;
    use crate::caller::{Backend, Person};

    const HERE: Client = Client {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };

    fn backend(scope: Scope) -> Caller {
        Caller::Backend(Backend {
            key: ApiKeyId::parse("key").unwrap(),
            scopes: vec![scope],
        })
    }

    fn person(role: Role) -> Caller {
        Caller::User(Person {
            id: UserId::parse("ann").unwrap(),
            role,
            issuer: None,
        })
    }

    #[test]
    fn backends_name_viewers_and_persons_are_themselves() {
        let of = |caller: &Caller, name: Option<&str>| Viewer::of(caller, HERE, name, None);
        let account = |caller: &Caller, name| of(caller, name).unwrap().account;
        let player = backend(Scope::Playback);
        let named = account(&player, Some("customer 7")).unwrap();
        assert_eq!(
            account(&Caller::Operator, Some("customer 7")),
            Some(named.clone())
        );
        assert!(named.as_str().starts_with("v-") && named.as_str().len() == 24);
        assert_eq!(account(&player, None), None);
        assert_eq!(account(&Caller::Anonymous, None), None);
        let ann = account(&person(Role::Viewer), None).unwrap();
        assert_eq!(ann.as_str(), "ann");
        assert_ne!(account(&player, Some("ann")), Some(ann));
        for caller in [
            Caller::Anonymous,
            backend(Scope::Status),
            person(Role::Viewer),
            person(Role::Operator),
        ] {
            assert!(of(&caller, Some("customer 7")).is_err(), "{caller:?}");
            let elsewhere = Viewer::of(&caller, HERE, None, Some(HERE.address));
            assert!(elsewhere.is_err(), "{caller:?}");
        }
        for name in ["", "a\nb", &"x".repeat(256)] {
            assert!(of(&player, Some(name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_backend_says_where_its_viewer_is() {
        let player = backend(Scope::Playback);
        let clothed = "::ffff:192.0.2.7".parse().unwrap();
        let there = Viewer::of(&player, HERE, None, Some(clothed)).unwrap();
        assert_eq!(there.address, IpAddr::from([192, 0, 2, 7]));
        let here = Viewer::of(&player, HERE, None, None).unwrap();
        assert_eq!(here.address, HERE.address);
    }

    #[test]
    fn no_two_callers_share_their_idempotency_keys() {
        let callers = [
            Caller::Anonymous,
            Caller::Operator,
            person(Role::Viewer),
            backend(Scope::Playback),
        ];
        let at = |text: &str| Client {
            address: text.parse().unwrap(),
        };
        let owners = callers.iter().map(|caller| owner(caller, HERE));
        let owners: std::collections::BTreeSet<_> = owners.collect();
        assert_eq!(owners.len(), 4);
        let nobody = |text| owner(&Caller::Anonymous, at(text));
        assert_ne!(nobody("198.51.100.7"), nobody("198.51.100.8"));
        assert_eq!(nobody("2001:db8::7"), nobody("2001:db8::8"));
        let person = person(Role::Viewer);
        assert_eq!(
            owner(&person, at("198.51.100.7")),
            owner(&person, at("198.51.100.8"))
        );
    }
}
