//! The edges and the sites of clients, as the configuration has them.

use std::collections::BTreeSet;

use ::config::Problems;
use serde::{Deserialize, Serialize};

use crate::config::origin;
use crate::routing::prefixes::is_name;
use crate::routing::rank::Node;

/// One entry of `edges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edge {
    /// As it calls itself in `Cache-Status`, and the name of its pathway in manifests: 1 to 64 letters, digits, `.`,
    /// `-` and `_`.
    pub name: String,
    /// How viewers reach it, such as `https://edge-1.example`.
    pub base: String,
    /// The same edge without TLS, for players that do not trust its certificate. Default empty.
    pub plain: String,
    /// The site that it stands in. Default empty: none in particular.
    pub site: String,
    /// The region of its site. Default empty: none in particular.
    pub region: String,
    /// Smaller comes first, wherever it stands, 0 to 1000. Default 0.
    pub priority: u32,
    /// Its capacity beside those of others, 1 to 1000000. Default 100.
    pub weight: u32,
    /// Whether a partner runs it: it gets `m2` tokens alone, and viewers of its site and region alone. Default no.
    pub partner: bool,
    /// Whether protected films may come from it. Default yes.
    pub protected: bool,
    /// What is asked with HEAD to find out whether it is well: an edge's `/healthz`, or any object of an outside CDN.
    /// Default empty: it is taken to be well.
    pub probe: String,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            name: String::new(),
            base: String::new(),
            plain: String::new(),
            site: String::new(),
            region: String::new(),
            priority: 0,
            weight: 100,
            partner: false,
            protected: true,
            probe: String::new(),
        }
    }
}

impl Edge {
    pub(crate) fn check(&mut self, problems: &mut Problems) {
        self.base = origin(problems, "edges.base", &self.base);
        if !is_name(&self.name) {
            problems.add("edges.name", not_a_name(&self.name));
        }
        if !self.plain.is_empty() {
            self.plain = origin(problems, "edges.plain", &self.plain);
        }
        for (key, text) in [("edges.site", &self.site), ("edges.region", &self.region)] {
            if !text.is_empty() && !is_name(text) {
                problems.add(key, not_a_name(text));
            }
        }
        if self.priority > 1000 {
            problems.add(
                "edges.priority",
                format!("{} is not 0 to 1000", self.priority),
            );
        }
        if !(1..=1_000_000).contains(&self.weight) {
            problems.add(
                "edges.weight",
                format!("{} is not 1 to 1000000", self.weight),
            );
        }
        let asked = reqwest::Url::parse(&self.probe);
        let usable = asked.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !self.probe.is_empty() && !usable {
            let what = format!(
                "{:?} is not like \"http://10.0.0.5:9100/healthz\"",
                self.probe
            );
            problems.add("edges.probe", what);
        }
    }

    pub(crate) fn node(&self) -> Node {
        Node {
            name: self.name.clone(),
            site: self.site.clone(),
            region: self.region.clone(),
            priority: self.priority,
            weight: self.weight,
            partner: self.partner,
            m2: self.partner,
            protected: self.protected,
        }
    }
}

/// Checks every edge, and that no two have a name.
pub(crate) fn check(edges: &mut [Edge], problems: &mut Problems) {
    let mut names = BTreeSet::new();
    let mut repeated = false;
    for edge in edges {
        edge.check(problems);
        repeated |= !names.insert(edge.name.clone());
    }
    if repeated {
        problems.add("edges.name", "two edges have the same name");
    }
}

fn not_a_name(text: &str) -> String {
    format!("{text:?} is not 1 to 64 letters, digits, \".\", \"-\" and \"_\"")
}
