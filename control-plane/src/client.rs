//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use contracts::header::CLIENT_IP;
use runtime::listen::Peer;

use crate::app::App;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The other end of the connection; behind a trusted hop, what that says.
    pub(crate) address: IpAddr,
}

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.0.to_canonical()
        });
        let trusted = app
            .settings
            .trusted_hops
            .iter()
            .any(|network| network.contains(&peer));
        let said = || {
            let said = parts.headers.get(CLIENT_IP)?.to_str().ok()?;
            let said = said.trim().parse::<IpAddr>().ok()?;
            Some(said.to_canonical())
        };
        let address = trusted.then(said).flatten().unwrap_or(peer);
        Ok(Self { address })
    }
}
