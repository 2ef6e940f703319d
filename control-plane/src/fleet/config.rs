//! `[fleet]`: the nodes that follow the feed, and those that enrol.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::config::{Problems, Span};
use contracts::fleet::Origin;
use serde::{Deserialize, Serialize};

use crate::config::{address, file, span};

/// `[fleet]`: edges and shields that are given orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// Files with the credentials that nodes show when they ask for orders, which are those of their
    /// `upstream.hop_secret_file`. None: nobody is given orders. Default none.
    pub hop_secrets: Vec<String>,
    /// Nodes that wait for orders at one time, 1 to 3000. Default 1000. Those beyond are answered at once and ask
    /// again.
    pub waiting: usize,
    /// How long orders are kept one by one, 1 h to 90 d. Default `7d`. A node that was away for longer takes everything
    /// for purged.
    pub keep_orders: Span,
    /// After how long without a word a node is forgotten, 1 h to 400 d. Default `30d`.
    pub forget_nodes: Span,
    /// Address and port where nodes enrol and are heard, over TLS with certificates of the fleet's own authority. Empty:
    /// nobody can enrol. Default empty.
    pub listen: String,
    /// How nodes reach that listener, `https://host:port`. Needed with `listen`.
    pub public: String,
    /// Connections to that listener at a time from one address, or from one IPv6 network of 64 bits, 4 to 4096. Default
    /// 256. A node keeps two or three. 4096, all of them, where a balancer stands before it and hides the addresses.
    pub per_address: usize,
    /// Folder of the fleet's authority, `authority.pem` and `authority.key`; made at the first start. The same at every
    /// control plane of a site. Needed with `listen`.
    pub authority: String,
    /// How long a node's certificate is good, 1 h to 30 d. Default `7d`. Longer bears with longer absences; shorter
    /// limits what one is worth that is stolen.
    pub certificate_ttl: Span,
    /// How often nodes are asked for a heartbeat, 1 s to 1 m. Default `5s`.
    pub heartbeat: Span,
    /// After how long without a heartbeat viewers go elsewhere, at least three heartbeats, at most 10 m. Default `20s`.
    pub quarantine: Span,
    /// Base URLs of the parents that enrolled edges are given. Needed with `listen`. Default none.
    pub parents: Vec<String>,
    /// PEM file of the authorities of `https` parents' certificates. Empty: the system's. Default empty.
    pub parents_ca: String,
    /// What enrolled edges are given as `zone`, which is that of the house's edges. Default `millrace`.
    pub zone: String,
    /// Whether enrolled edges give films that are public without a token. Default no.
    pub public_without_token: bool,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            hop_secrets: Vec::new(),
            waiting: 1000,
            keep_orders: Span::seconds(7 * 86_400),
            forget_nodes: Span::seconds(30 * 86_400),
            listen: String::new(),
            public: String::new(),
            per_address: 256,
            authority: String::new(),
            certificate_ttl: Span::seconds(7 * 86_400),
            heartbeat: Span::seconds(5),
            quarantine: Span::seconds(20),
            parents: Vec::new(),
            parents_ca: String::new(),
            zone: "millrace".to_owned(),
            public_without_token: false,
        }
    }
}

/// What `[fleet]` means once checked.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Files with credentials.
    pub hop_secrets: Vec<PathBuf>,
    /// Nodes that wait at one time.
    pub waiting: usize,
    /// How long orders are kept one by one.
    pub keep_orders: Duration,
    /// After how long a node is forgotten.
    pub forget_nodes: Duration,
    /// After how long without a heartbeat viewers leave a node that has enrolled.
    pub quarantine: Duration,
    /// How nodes enrol; `None`: they cannot.
    pub enrolment: Option<Enrolment>,
}

/// How nodes enrol, and what they are given.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Where nodes enrol and are heard.
    pub listen: SocketAddr,
    /// How they reach it.
    pub public: Origin,
    /// Connections at a time from one address.
    pub per_address: usize,
    /// The folder of the authority.
    pub authority: PathBuf,
    /// How long a certificate is good.
    pub certificate_ttl: Duration,
    /// How often a heartbeat is wished.
    pub heartbeat: Duration,
    /// After how long without one viewers go elsewhere.
    pub quarantine: Duration,
    /// The parents of enrolled edges.
    pub parents: Vec<Origin>,
    /// The file of their authorities.
    pub parents_ca: Option<PathBuf>,
    /// The zone of enrolled edges.
    pub zone: String,
    /// Whether they give public films without a token.
    pub public_without_token: bool,
}

impl FleetConfig {
    /// Checks it; faults are added to `problems`.
    pub(crate) fn check(self, problems: &mut Problems) -> FleetSettings {
        if !(1..=3000).contains(&self.waiting) {
            problems.add("fleet.waiting", "must be 1 to 3000");
        }
        let bounds = 3600..=90 * 86_400;
        span(problems, "fleet.keep_orders", self.keep_orders, bounds);
        let bounds = 3600..=400 * 86_400;
        span(problems, "fleet.forget_nodes", self.forget_nodes, bounds);
        let enrolment = self.enrolment(problems);
        FleetSettings {
            hop_secrets: self.hop_secrets.into_iter().map(PathBuf::from).collect(),
            waiting: self.waiting,
            keep_orders: self.keep_orders.0,
            forget_nodes: self.forget_nodes.0,
            quarantine: self.quarantine.0,
            enrolment,
        }
    }

    fn enrolment(&self, problems: &mut Problems) -> Option<Enrolment> {
        let bounds = 3600..=30 * 86_400;
        let ttl = self.certificate_ttl;
        span(problems, "fleet.certificate_ttl", ttl, bounds);
        span(problems, "fleet.heartbeat", self.heartbeat, 1..=60);
        span(problems, "fleet.quarantine", self.quarantine, 3..=600);
        if self.quarantine.0 < 3 * self.heartbeat.0 {
            problems.add("fleet.quarantine", "must be at least three heartbeats");
        }
        let origin = |text: &String| Origin::parse(text).map_err(|no| format!("{text:?} is {no}"));
        let parents = self.parents.iter().map(origin);
        let parents = parents.filter_map(|parent| problems.take("fleet.parents", parent));
        let parents = parents.collect();
        if !(4..=4096).contains(&self.per_address) {
            problems.add("fleet.per_address", "must be 4 to 4096");
        }
        if self.zone.is_empty() || self.zone.len() > 64 {
            problems.add("fleet.zone", "must have 1 to 64 characters");
        }
        if self.listen.is_empty() {
            return None;
        }
        let public = problems.take("fleet.public", origin(&self.public));
        if public.as_ref().is_some_and(|public| !public.is_secure()) {
            problems.add("fleet.public", "must begin with https://");
        }
        if self.authority.is_empty() {
            problems.add("fleet.authority", "is needed with fleet.listen");
        }
        if self.parents.is_empty() {
            problems.add(
                "fleet.parents",
                "must name a shield with fleet.listen: nodes would have nobody to fetch from",
            );
        }
        Some(Enrolment {
            listen: address(problems, "fleet.listen", &self.listen),
            public: public?,
            per_address: self.per_address,
            authority: PathBuf::from(&self.authority),
            certificate_ttl: self.certificate_ttl.0,
            heartbeat: self.heartbeat.0,
            quarantine: self.quarantine.0,
            parents,
            parents_ca: file(self.parents_ca.clone()),
            zone: self.zone.clone(),
            public_without_token: self.public_without_token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(config: FleetConfig) -> Vec<String> {
        let mut problems = Problems::default();
        let settings = config.check(&mut problems);
        match problems.or(settings) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_iter().map(|fault| fault.key).collect(),
        }
    }

    #[test]
    fn a_listener_of_nodes_needs_an_address_for_them_and_an_authority() {
        let listens = FleetConfig {
            listen: "127.0.0.1:0".to_owned(),
            ..FleetConfig::default()
        };
        let wanted = ["fleet.public", "fleet.authority", "fleet.parents"];
        assert_eq!(faults(listens.clone()), wanted);
        let whole = FleetConfig {
            parents: vec!["https://shield.example".to_owned()],
            public: "https://control.example:7300".to_owned(),
            authority: "/var/lib/millrace/authority".to_owned(),
            ..listens
        };
        assert!(faults(whole.clone()).is_empty());
        let plain = FleetConfig {
            public: "http://control.example".to_owned(),
            parents: vec!["shield.example".to_owned()],
            quarantine: Span::seconds(14),
            per_address: 3,
            ..whole
        };
        let wanted = [
            "fleet.quarantine",
            "fleet.parents",
            "fleet.per_address",
            "fleet.public",
        ];
        assert_eq!(faults(plain), wanted);
    }
}
