//! Who calls: the operator by the key, or whom the control plane knows.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use catalog::{channels::Channel, users::Role};
use contracts::{
    caller::Caller as Known,
    header::CLIENT_IP,
    id::{ChannelId, UserId, VideoId},
    time::UnixSeconds,
};
use runtime::{
    listen::Peer,
    operator::{Operator, is_asked_at_home},
    problem::Problem,
};
use sha2::{Digest as _, Sha256};

use super::{App, problem};
use crate::Error;

/// Who may upload. A route that has one among its arguments refuses everybody else before it reads their body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Whoever manages the site.
    Operator,
    /// Whoever may upload for anybody.
    Any,
    /// Somebody who may upload to channels of their own.
    Publisher(UserId),
}

/// Finds out who calls.
pub(crate) struct Door {
    operator: Operator,
    /// Origins whose pages may ask for whoever looks at them.
    pages: Vec<String>,
    control: Option<Control>,
}

/// The control plane, which knows credentials.
struct Control {
    url: String,
    client: reqwest::Client,
    /// Whose credentials were, by their digests, and until when that is believed.
    known: Mutex<HashMap<[u8; 32], (UnixSeconds, Caller)>>,
}

impl Door {
    /// Asks the control plane at this base about whoever does not show the operator key; without one, nobody else
    /// may upload.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(
        operator: Operator,
        pages: Vec<String>,
        control: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        let control = control.map(|base| {
            // Whoever stands between would see credentials: no proxy is taken from the environment.
            let client = runtime::http::client().no_proxy().timeout(PATIENCE);
            Ok(Control {
                url: format!("{base}/v1/callers/me"),
                client: client.build()?,
                known: Mutex::default(),
            })
        });
        Ok(Self {
            operator,
            pages,
            control: control.transpose()?,
        })
    }

    async fn admit(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
        now: UnixSeconds,
    ) -> Result<Caller, Problem> {
        let admitted = self.operator.admit(headers, &self.pages);
        let Some(control) = &self.control else {
            return admitted.map(|()| Caller::Operator);
        };
        // Where there is no key, who is the operator is the control plane's to say.
        if !self.operator.is_anybody() && admitted.is_ok() {
            return Ok(Caller::Operator);
        }
        let asks = Asks {
            shown: headers.get(header::AUTHORIZATION),
            from,
            at_home: from.is_loopback() && is_asked_at_home(headers, &self.pages),
        };
        control.ask(&asks, now).await
    }
}

/// Who asks, as far as it is told to the control plane.
struct Asks<'a> {
    shown: Option<&'a HeaderValue>,
    from: IpAddr,
    at_home: bool,
}

impl Control {
    async fn ask(&self, asks: &Asks<'_>, now: UnixSeconds) -> Result<Caller, Problem> {
        let shown = asks.shown.map_or(&b""[..], HeaderValue::as_bytes);
        // What is said of one address is not believed of another.
        let digest = Sha256::new().chain_update([u8::from(asks.at_home)]);
        let digest = digest
            .chain_update(asks.from.to_string())
            .chain_update("\n");
        let digest = digest.chain_update(shown).finalize().into();
        if let Some(caller) = self.recall(&digest, now) {
            return Ok(caller);
        }
        let mut request = self
            .client
            .get(&self.url)
            .header(CLIENT_IP, asks.from.to_string());
        if let Some(shown) = asks.shown {
            request = request.header(header::AUTHORIZATION, shown);
        }
        if !asks.at_home {
            // As if a page of elsewhere asked there itself: nobody is the operator because ingest is on this machine.
            request = request.header(header::ORIGIN, "null");
        }
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        let known: Known = match answer.status() {
            StatusCode::OK => answer.json().await.map_err(|error| unreachable(&error))?,
            StatusCode::UNAUTHORIZED => return Err(problem::credentials(asks.shown.is_some())),
            StatusCode::TOO_MANY_REQUESTS => return Err(problem::too_many()),
            status => {
                tracing::error!("the control plane says {status} when it is asked who calls");
                return Err(problem::nobody_to_ask());
            }
        };
        let caller = of(known).ok_or_else(problem::not_allowed)?;
        self.remember(digest, &caller, now);
        Ok(caller)
    }

    fn recall(&self, digest: &[u8; 32], now: UnixSeconds) -> Option<Caller> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, caller) = known.get(digest)?;
        (now < *until).then(|| caller.clone())
    }

    fn remember(&self, digest: [u8; 32], caller: &Caller, now: UnixSeconds) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() < MOST {
            known.insert(digest, (now.plus(BELIEVED_S), caller.clone()));
        }
    }
}

/// What whoever is known may do here; none: nothing.
fn of(known: Known) -> Option<Caller> {
    match known {
        Known::Operator => Some(Caller::Operator),
        Known::Backend { scopes, .. } => {
            let may = scopes.iter().any(|scope| scope == "upload");
            may.then_some(Caller::Any)
        }
        Known::User { user_id, role } => match Role::parse(&role)? {
            Role::Operator => Some(Caller::Operator),
            Role::Publisher => Some(Caller::Publisher(user_id)),
            Role::Viewer => None,
        },
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>();
        let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        let admitted = app.door.admit(&parts.headers, from, app.clock.now());
        admitted
            .await
            .inspect_err(|problem| app.metrics.refused(problem.kind()))
    }
}

impl App {
    /// Whether this caller may change a film: its publisher is whoever has the channel that it is in.
    pub(crate) async fn may(&self, caller: &Caller, video: &VideoId) -> Result<bool, Problem> {
        let Caller::Publisher(user) = caller else {
            return Ok(true);
        };
        let channel = self.channels.of(video).await.map_err(Error::from)?;
        Ok(channel.is_some_and(|channel| channel.owner == *user))
    }

    /// The channel that a new film is to be in: publishers need one of their own.
    pub(crate) async fn channel(
        &self,
        caller: &Caller,
        wished: Option<&str>,
    ) -> Result<Option<Channel>, Problem> {
        let Some(wished) = wished else {
            return match caller {
                Caller::Operator | Caller::Any => Ok(None),
                Caller::Publisher(_) => Err(problem::channel_needed()),
            };
        };
        let id = ChannelId::parse(wished).map_err(|_| problem::no_channel())?;
        let channel = self.channels.find(&id).await.map_err(Error::from)?;
        let own = |owner: &UserId| match caller {
            Caller::Operator | Caller::Any => true,
            Caller::Publisher(user) => user == owner,
        };
        let channel = channel.filter(|channel| own(&channel.owner));
        channel.map(Some).ok_or_else(problem::no_channel)
    }
}

fn unreachable(error: &reqwest::Error) -> Problem {
    tracing::error!("the control plane cannot be asked who calls: {error}");
    problem::nobody_to_ask()
}

/// How long the control plane has.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is believed, in seconds: a chunk comes after the other.
const BELIEVED_S: u64 = 10;
/// How many credentials are remembered.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use axum::{Json, Router, response::IntoResponse as _, routing::get};
    use serde_json::json;

    use super::*;

    /// A control plane beside ingest without an operator key: who is on its machine is the operator, unless a page of
    /// elsewhere asks.
    async fn control() -> String {
        let answer = async |headers: HeaderMap| {
            if headers.contains_key(header::ORIGIN) {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            Json(json!({"kind": "operator"})).into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/callers/me", get(answer));
        tokio::spawn(axum::serve(listener, router).into_future());
        base
    }

    #[tokio::test]
    async fn whoever_is_elsewhere_is_not_the_operator_because_ingest_is_here() {
        let base = control().await;
        let door = Door::new(Operator::anybody(), Vec::new(), Some(&base)).unwrap();
        let mut garbage = HeaderMap::new();
        garbage.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        for headers in [HeaderMap::new(), garbage] {
            let asks = async |from: &str| {
                let from = from.parse().unwrap();
                door.admit(&headers, from, UnixSeconds(1000)).await
            };
            assert_eq!(asks("127.0.0.1").await.unwrap(), Caller::Operator);
            // Nor because somebody here was a moment before.
            for elsewhere in ["192.0.2.2", "::ffff:192.0.2.2", "2001:db8::1"] {
                assert_eq!(asks(elsewhere).await.unwrap_err().kind(), "unauthorized");
            }
            assert_eq!(asks("::1").await.unwrap(), Caller::Operator);
        }
    }
}
