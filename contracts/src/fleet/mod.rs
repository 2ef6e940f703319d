//! What nodes and the control plane say to each other: who a node is, how it joins, how it fares, what it is to do.
//!
//! 1. [`JoinToken`] is what an operator hands to whoever sets a node up. It says where the control plane listens for
//!    nodes, by which authority it is known there, and a secret that counts once.
//! 2. [`Enrol`] asks for a certificate with that secret; [`Enrolled`] brings it, and [`Settings`]. [`Renew`] asks for
//!    the next one before it ends.
//! 3. [`Heartbeat`] says every few seconds how the node is; [`Orders`] says what it is to do, and whether there are new
//!    settings.
//! 4. [`Question`] asks the feed for orders to purge and to revoke.
//!
//! All of it is asked by the node. Members that are not known are passed over, so that nodes and control planes need
//! not be renewed together.

mod announce;
mod enrol;
mod heartbeat;
mod join;
mod limits;
mod question;
mod settings;

pub use announce::{Announce, MAX_PREFIXES, Network, NoNetwork, NoOrigin, Origin};
pub use enrol::{Enrol, Enrolled, MAX_CSR, Renew, Renewed};
pub use heartbeat::{CacheUse, FillUse, Heartbeat, Load, Orders};
pub use join::{JoinSecret, JoinToken, NoJoinToken};
pub use question::{Kind, Question};
pub use settings::{MAX_SETTINGS, Settings};

use crate::id::NodeId;

/// Where a node enrols: [`Enrol`] is posted, 201 [`Enrolled`].
pub const ENROL: &str = "/v1/fleet/enroll";
/// Where it gets its next certificate: [`Renew`] is posted, 200 [`Renewed`].
pub const CERTIFICATE: &str = "/v1/fleet/certificate";
/// Where it says how it is: [`Heartbeat`] is posted, 200 [`Orders`].
pub const HEARTBEAT: &str = "/v1/fleet/heartbeat";
/// Where its settings are: 200 [`Settings`].
pub const SETTINGS: &str = "/v1/fleet/settings";
/// Where the feed is: 200 [`crate::feed::Page`].
pub const FEED: &str = "/v1/fleet/feed";

/// The longest body that a node may send, in bytes.
pub const MAX_BODY: usize = 128 << 10;

/// How a node is named in its certificate: a URI among the subject's alternative names (RFC 5280 §4.2.1.6).
#[must_use]
pub fn uri(node: &NodeId) -> String {
    format!("{URI}{node}")
}

/// The node that such a URI names.
#[must_use]
pub fn named(uri: &str) -> Option<NodeId> {
    NodeId::parse(uri.strip_prefix(URI)?).ok()
}

const URI: &str = "millrace://node/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_a_node_by_a_uri_and_nothing_else() {
        let node = NodeId::parse("isp-1").unwrap();
        assert_eq!(uri(&node), "millrace://node/isp-1");
        assert_eq!(named("millrace://node/isp-1"), Some(node));
        for other in ["millrace://node/", "millrace://node/isp-1/x", "isp-1"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
