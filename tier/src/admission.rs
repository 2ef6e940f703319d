//! Who is let in: asked once per request, before the cache is looked at.

use std::net::IpAddr;

use contracts::reason::Reason;
use http::HeaderMap;

/// What a request shows at the door.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The request target, byte for byte as it came.
    pub target: &'a str,
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// All fields, private ones included.
    pub headers: &'a HeaderMap,
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
    /// Admits a request or says why not.
    ///
    /// # Errors
    /// The reason, which goes into logs and metrics; the client sees its status only.
    fn admit(&self, facts: &Facts<'_>) -> Result<Admitted, Reason>;

    /// Reads the address out of the target of a request that was admitted before, without asking whether it may be
    /// fetched: for what this node asks of its parents on behalf of the request.
    ///
    /// # Errors
    /// A target that could not have been admitted.
    fn readmit(&self, target: &str) -> Result<Admitted, Reason>;
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
