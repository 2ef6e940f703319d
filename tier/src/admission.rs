//! Who is let in: asked once per request, before the cache is looked at.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use contracts::reason::Reason;
use contracts::time::UnixSeconds;
use http::HeaderMap;

/// What a request shows at the door.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The request target, byte for byte as it came.
    pub target: &'a str,
    /// The method.
    pub method: &'a str,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The host that is asked, with its port where the request has one.
    pub authority: &'a str,
    /// The other end of the connection, or who is there by the PROXY protocol.
    pub peer: Option<IpAddr>,
    /// All fields, private ones included.
    pub headers: &'a HeaderMap,
    /// The node that the connection's certificate names, where one was asked for and found good.
    pub child: Option<Child<'a>>,
}

/// A node of the fleet at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// Its name.
    pub node: &'a str,
    /// When its certificate ends: a connection may last for longer.
    pub until: UnixSeconds,
}

/// Who asks, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visitor {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Where that is.
    pub country: Option<Country>,
}

/// A country: ISO 3166-1 alpha-2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two capital letters.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        let is_code = code.iter().all(u8::is_ascii_uppercase);
        is_code.then_some(Self(code))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The path, and the delivery directives that belong to it: all that keys and parents see.
    pub address: String,
    /// The playback session, when there is one.
    pub session: Option<String>,
    /// Under which condition the object may be given.
    pub condition: Condition,
}

/// A request that was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why; the client sees its status only.
    pub reason: Reason,
    /// After which time it is worth asking again, where that is known.
    pub retry_after: Option<Duration>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }
}

/// What must hold for the object that an admitted request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing more.
    None,
    /// The object must declare itself public: the request showed no token.
    Public,
}

/// The rule of a role. Decides from the request alone; never waits for anything.
pub trait Admission: Send + Sync + 'static {
    /// Finds out who asks: the connection's other end, unless the role knows better.
    fn meet(&self, facts: &Facts<'_>) -> Visitor {
        Visitor {
            client: facts.peer.map(|peer| peer.to_canonical()),
            country: None,
        }
    }

    /// Admits a request of `visitor`, as [`Admission::meet`] found them, or says why not.
    ///
    /// # Errors
    /// The reason, which goes into logs and metrics; the client sees its status only.
    fn admit(&self, facts: &Facts<'_>, visitor: Visitor) -> Result<Admitted, Refused>;

    /// Reads the address out of the target of a request that was admitted before, without asking whether it may be
    /// fetched: for what this node asks of its parents on behalf of the request.
    ///
    /// # Errors
    /// A target that could not have been admitted.
    fn readmit(&self, target: &str) -> Result<Admitted, Reason>;

    /// Hears how many bytes of a body an admitted request was sent.
    fn sent(&self, _admitted: &Admitted, _visitor: Visitor, _bytes: u64) {}
}

impl Admitted {
    /// An address that may be given without further condition, outside of any session.
    #[must_use]
    pub const fn to(address: String) -> Self {
        Self {
            address,
            session: None,
            condition: Condition::None,
        }
    }
}
