//! What a session's tokens say beside its film, from its start to its end.

use catalog::rules::Rules;
use contracts::id::{RenditionId, SessionId};
use contracts::keys::System;
use contracts::token::{Claims, Countries};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::config::Bound;
use super::device::renditions;
use super::geo;
use super::viewer::Viewer;
use super::watching::Admitted;
use crate::app::App;
use crate::drm::policy::Device;
use crate::problem::{self, catalogue};
use runtime::problem::Problem;

/// What is decided when a session begins, and kept with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Terms {
    /// The system that it gets licences of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<System>,
    /// The renditions that it may have; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) renditions: Vec<RenditionId>,
    /// The country that its tokens are bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
    /// The network that its tokens are bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
    /// The outside issuer that vouched for whoever began it, by its entry's name: of its users nothing else is kept here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// Whether whoever began it may watch every film, where nobody is known who watches; untold of sessions from
    /// before that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) house: Option<bool>,
}

impl Terms {
    /// Reads what was kept; of a session from before terms were kept there are none.
    pub(crate) fn read(kept: Option<&str>) -> Self {
        let read = kept.and_then(|kept| serde_json::from_str(kept).ok());
        read.unwrap_or_default()
    }

    /// Writes what is to be kept.
    pub(crate) fn written(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// The claims of a session's token for a path.
    pub(crate) fn claims(&self, claims: Claims, session: &SessionId) -> Claims {
        let mut claims = self.bounded(claims);
        claims.session = Some(session.mark());
        claims
    }

    /// The claims of a token for a path, without a session.
    pub(crate) fn bounded(&self, mut claims: Claims) -> Claims {
        claims.renditions.clone_from(&self.renditions);
        claims.countries = self
            .country
            .clone()
            .map(|country| Countries::Only(vec![country]));
        let network = self.network.as_deref().map(str::parse::<IpNet>);
        claims.networks = network.into_iter().flatten().collect();
        claims
    }
}

impl App {
    /// Refuses where a film may not be watched; tells where the viewer is.
    pub(crate) fn here(&self, rules: &Rules, viewer: &Viewer) -> Result<Option<String>, Problem> {
        let country = self.geo.country(viewer.address);
        let site = self.settings.playback.countries.as_ref();
        if geo::admits(&[site, rules.countries.as_ref()], country.as_deref()) {
            Ok(country)
        } else {
            Err(problem::geo_blocked(country.as_deref()))
        }
    }

    /// What a token for a film that somebody may watch is bound to, wherever the film may be watched.
    pub(crate) fn bounds(&self, rules: &Rules, viewer: &Viewer) -> Result<Terms, Problem> {
        let country = self.here(rules, viewer)?;
        let bind = &self.settings.playback.bind;
        let country = country.unwrap_or_else(|| "ZZ".to_owned());
        Ok(Terms {
            country: bind.contains(&Bound::Country).then_some(country),
            network: bind
                .contains(&Bound::Network)
                .then(|| network(viewer))
                .flatten(),
            ..Terms::default()
        })
    }

    /// The terms of a session for a film that somebody may watch, on this device.
    pub(super) async fn terms(
        &self,
        admitted: &Admitted,
        viewer: &Viewer,
        device: Device,
        system: Option<System>,
    ) -> Result<Terms, Problem> {
        let bounds = self.bounds(&admitted.rules, viewer)?;
        let video = &admitted.video;
        let keys = self.keys.as_ref().filter(|_| video.protected);
        let classes = match (keys, system) {
            (Some(keys), Some(_)) => Some(keys.licensing.tracks(device)),
            _ => None,
        };
        let contents = self.catalog.encodings.of(&video.id).await;
        let contents = contents.map_err(catalogue)?;
        let renditions = renditions(&contents, classes.as_deref(), device.max_height);
        let renditions = renditions.map_err(|_| problem::no_picture())?;
        Ok(Terms {
            system,
            renditions,
            issuer: viewer.issuer.clone(),
            house: viewer.account.is_none().then_some(admitted.is_house),
            ..bounds
        })
    }
}

/// The network that somebody is in: an IPv4 /24, an IPv6 /48.
fn network(viewer: &Viewer) -> Option<String> {
    let length = if viewer.address.is_ipv4() { 24 } else { 48 };
    let network = IpNet::new(viewer.address, length).ok()?;
    Some(network.trunc().to_string())
}
