//! Who calls: an operator, somebody with an account, a backend, or nobody that is known.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use catalog::SecretDigest;
use catalog::users::Role;
use contracts::header::CLIENT_IP;
use contracts::id::{ApiKeyId, UserId};
use runtime::operator::{bearer, is_asked_at_home};
use runtime::problem::Problem;

use crate::app::App;
use crate::client::Client;
use crate::people::api_keys::API_KEY;
use crate::people::limits::Limit;
use crate::people::network;
use crate::problem::{self, catalogue};

/// The longest token, in bytes.
const LONGEST: usize = 8 * 1024;

/// Who calls. A route that has one among its arguments refuses credentials that are not good (401),
/// and asks it what may be done.
///
/// Who shows nothing is anonymous; where everybody is the operator, as on a loopback address
/// without an operator key, it is the operator, unless a proxy says that it is not on this machine, or a browser that a
/// page of elsewhere sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nothing was shown.
    Anonymous,
    /// Somebody with an account, or whom an outside issuer vouches for.
    User(Person),
    /// A backend with an API key.
    Backend(Backend),
    /// The operator by the operator key.
    Operator,
}

/// Somebody with an account, or whom an outside issuer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) role: Role,
    /// The outside issuer who vouches for them, by its entry's name; none with an account here.
    pub(crate) issuer: Option<String>,
}

/// A backend with an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) key: ApiKeyId,
    pub(crate) scopes: Vec<Scope>,
}

/// What an API key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Playback of any film, for anybody.
    Playback,
    /// Any film's data.
    Videos,
    /// How the site is.
    Status,
    /// Who may watch what: grants and films' rules.
    Grants,
    /// What caches hold.
    Purge,
    /// Taking films away.
    Remove,
    /// Uploading films, for anybody.
    Upload,
}

impl Scope {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Playback,
        Self::Videos,
        Self::Status,
        Self::Grants,
        Self::Purge,
        Self::Remove,
        Self::Upload,
    ];

    /// The word in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Playback => "playback",
            Self::Videos => "videos",
            Self::Status => "status",
            Self::Grants => "grants",
            Self::Purge => "purge",
            Self::Remove => "remove",
            Self::Upload => "upload",
        }
    }

    /// The scope of that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl Caller {
    /// Whether this may be done: operators may do everything, backends what their key is for.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Operator => true,
            Self::User(person) => person.role == Role::Operator,
            Self::Backend(backend) => backend.scopes.contains(&scope),
            Self::Anonymous => false,
        }
    }

    /// Refuses who may not do this.
    pub(crate) fn need(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        Err(self.refused())
    }

    /// Refuses who is no operator.
    pub(crate) fn operator(&self) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::User(person) if person.role == Role::Operator => Ok(()),
            _ => Err(self.refused()),
        }
    }

    /// Who it is, when it is somebody.
    pub(crate) fn person(&self) -> Result<&Person, Problem> {
        match self {
            Self::User(person) => Ok(person),
            Self::Anonymous => Err(problem::credentials_needed()),
            Self::Backend(_) | Self::Operator => Err(problem::account_needed()),
        }
    }

    /// How whoever may not do something is refused.
    pub(crate) fn refused(&self) -> Problem {
        match self {
            Self::Anonymous => problem::credentials_needed(),
            _ => problem::not_allowed(),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Ok(client) = Client::from_request_parts(parts, app).await;
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            let here = app.takes_for_operator(client, &parts.headers);
            return Ok(if here {
                Self::Operator
            } else {
                Self::Anonymous
            });
        }
        let found = match bearer(&parts.headers) {
            Some(shown) => app.who_shows(shown).await?,
            None => None,
        };
        match found {
            Some(caller) => Ok(caller),
            None => {
                let (now, from) = (app.clock.now(), network(client.address));
                app.people.count(Limit::Refused, from, now)?;
                Err(problem::credentials_refused())
            }
        }
    }
}

/// Whether a hop names a client on another machine. To refuse, it need not be one that is trusted.
fn is_for_another(headers: &HeaderMap) -> bool {
    let said = headers.get(CLIENT_IP).map(|said| said.to_str());
    said.is_some_and(|said| {
        let said = said
            .ok()
            .and_then(|said| said.trim().parse::<IpAddr>().ok());
        !said.is_some_and(|said| said.to_canonical().is_loopback())
    })
}

impl App {
    /// Whether who shows nothing is the operator: somebody on this machine, and not a page that they look at.
    fn takes_for_operator(&self, client: Client, headers: &HeaderMap) -> bool {
        self.operator.is_anybody()
            && client.address.is_loopback()
            && !is_for_another(headers)
            && is_asked_at_home(headers, &self.settings.allowed_origins)
    }

    /// Who shows this; `None` when it is nothing that counts.
    async fn who_shows(&self, shown: &str) -> Result<Option<Caller>, Problem> {
        if self.operator.is_key(shown) {
            return Ok(Some(Caller::Operator));
        }
        if shown.len() > LONGEST {
            return Ok(None);
        }
        if shown.starts_with(API_KEY) {
            return self.backend(shown).await;
        }
        self.user(shown).await
    }

    async fn backend(&self, shown: &str) -> Result<Option<Caller>, Problem> {
        let now = self.clock.now();
        let secret = SecretDigest::of(shown);
        let key = self.catalog.api_keys.find(&secret, now);
        let Some(key) = key.await.map_err(catalogue)? else {
            return Ok(None);
        };
        self.people.count(Limit::ApiKey, key.id.as_str(), now)?;
        // A scope of another version of this program gives nothing here.
        let scopes = key.scopes.iter().filter_map(|word| Scope::parse(word));
        Ok(Some(Caller::Backend(Backend {
            scopes: scopes.collect(),
            key: key.id,
        })))
    }

    async fn user(&self, shown: &str) -> Result<Option<Caller>, Problem> {
        let now = self.clock.now();
        if let Some(login) = self.people.own().and_then(|own| own.read(shown, now)) {
            let holder = self.catalog.logins.holder(&login, now).await;
            return Ok(holder.map_err(catalogue)?.map(|holder| {
                Caller::User(Person {
                    id: holder.user,
                    role: holder.role,
                    issuer: None,
                })
            }));
        }
        let vouched = self.people.issuers.read(shown, now).await;
        Ok(vouched.map(|vouched| {
            Caller::User(Person {
                id: vouched.id,
                role: vouched.role,
                issuer: Some(vouched.issuer),
            })
        }))
    }
}
