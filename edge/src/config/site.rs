//! How a site is served.

use config::{Problems, Span};
use serde::{Deserialize, Serialize};
use tier::policy::{self, Policy};

/// What an edge serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serve {
    /// Films, behind the gate.
    Films,
    /// Any HTTP origin, to everybody.
    Site,
}

/// `[site]`: what RFC 9111 leaves to the operator; of no effect on films.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// The hosts that are served, without ports; others are answered 421. None: any, and then every name that a client
    /// makes up is fetched and kept for itself. Default none.
    pub hosts: Vec<String>,
    /// The longest time for which a response is taken for fresh that does not say so, but says when it was last
    /// changed: a tenth of the time since then, at most this. At most `30d`; `0s`: it is validated each time. Default
    /// `1d`. More spares the origin and shows changes later.
    pub heuristic: Span,
    /// How long a stale response answers while the origin cannot be reached, unless it forbids that. At most `30d`.
    /// Default `1d`.
    pub disconnected: Span,
    /// Whether clients may ask for fresher or staler responses by `Cache-Control` (`no-cache`, `max-age`,
    /// `only-if-cached` and so on). Default `false`. With `true` every client can make the origin work.
    pub client_control: bool,
    /// Whether everybody gets the cookies (`Set-Cookie`) of an answer that says for how long it is fresh, and not that
    /// it is for all (`public`, `s-maxage`). RFC 9111 §7.3 lets a cache do so. Default `false`: who asked first gets
    /// them. With `true` a session may be given to all.
    pub share_cookies: bool,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            heuristic: Span::seconds(86_400),
            disconnected: Span::seconds(86_400),
            client_control: false,
            share_cookies: false,
        }
    }
}

impl Site {
    pub(super) fn hosts(&self, problems: &mut Problems) -> Vec<String> {
        let plain = |host: &&String| {
            let read = host.parse::<http::uri::Authority>();
            let bare = read.is_ok_and(|read| read.host() == host.as_str());
            bare && !host.ends_with('.')
        };
        for odd in self.hosts.iter().filter(|host| !plain(host)) {
            problems.add(
                "site.hosts",
                format!("{odd:?} must be a host without a port"),
            );
        }
        self.hosts.clone()
    }

    pub(super) fn policy(&self, serve: Serve, problems: &mut Problems) -> Policy {
        let spans = [
            ("site.heuristic", self.heuristic),
            ("site.disconnected", self.disconnected),
        ];
        for (key, span) in spans {
            if span > LONGEST {
                problems.add(key, format!("must be at most {LONGEST}"));
            }
        }
        match serve {
            Serve::Films => Policy::Films,
            Serve::Site => Policy::Site(policy::Site {
                heuristic: self.heuristic.0,
                disconnected: self.disconnected.0,
                obeys_clients: self.client_control,
                shares_cookies: self.share_cookies,
            }),
        }
    }
}

const LONGEST: Span = Span::seconds(30 * 86_400);
