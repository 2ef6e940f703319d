//! `[accounts]` of the configuration.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::config::{Problems, Span};
use catalog::users::Role;
use serde::{Deserialize, Serialize};

/// The section `[accounts]`: who may have one, and whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// Files with the keys of access tokens, one line of at least 32 characters each. The first
    /// signs, all count; the same at every control plane of a site. Empty: there are no accounts.
    /// Default none.
    pub token_keys: Vec<String>,
    /// Who may make an account: `anybody`, or who was `invited`. Default `invited`.
    pub sign_up: SignUp,
    /// How long an access token is good, 1m to 1h. Longer asks less often for another. Default
    /// `10m`.
    pub access_ttl: Span,
    /// How long a login lasts that is not renewed, 1h to 400d. Default `30d`.
    pub refresh_ttl: Span,
    /// Passwords that are hashed at a time, 1 to 64. Each takes 19 MiB and some 50 ms of a core.
    /// Default 2.
    pub hashers: u8,
    /// Requests with one API key a second, 1 to 100000. Default 100.
    pub key_rate: u32,
    /// Requests a second from one address (of an IPv6 address its /64) that shows no credentials, for films, their
    /// logical addresses, channels, sessions (heartbeats), steering and licences, 1 to 100000; ten seconds' worth may
    /// come at once. More lets more viewers be behind one address, and one that floods cost more. Default 500.
    pub address_rate: u32,
    /// Outside issuers whose tokens count; of two entries with one `issuer` the `audience` tells them apart. Default
    /// none.
    pub issuers: Vec<IssuerConfig>,
}

/// Who may make an account without an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Whoever comes; as a viewer.
    Anybody,
    /// Who shows an invitation; with its role.
    Invited,
}

/// One entry of `accounts.issuers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What its tokens say in `iss`.
    pub issuer: String,
    /// What they must say in `aud`.
    pub audience: String,
    /// Its keys as a JWK set: `https://…`, `http://` and a loopback address, or
    /// `file:///absolute/path`.
    pub jwks: String,
    /// What its users may do: `viewer`, `publisher` or `operator`. Default `viewer`.
    #[serde(default = "viewer")]
    pub role: String,
    /// The claim that tells which of its users are publishers: its name, or a JSON pointer (RFC 6901) to it, such as
    /// `/realm_access/roles`. What it says is a word, words with blanks between them, or a list of words. Default none.
    #[serde(default)]
    pub role_claim: String,
    /// The words in `role_claim` any of which makes a user a publisher whose `role` is less. Default none.
    #[serde(default)]
    pub publishers: Vec<String>,
}

fn viewer() -> String {
    Role::Viewer.as_str().to_owned()
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            token_keys: Vec::new(),
            sign_up: SignUp::Invited,
            access_ttl: Span::seconds(600),
            refresh_ttl: Span::seconds(30 * 86_400),
            hashers: 2,
            key_rate: 100,
            address_rate: 500,
            issuers: Vec::new(),
        }
    }
}

/// [`AccountsConfig`], checked.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The files of the keys of access tokens.
    pub token_keys: Vec<PathBuf>,
    /// Who may make an account.
    pub sign_up: SignUp,
    /// How long an access token is good.
    pub access_ttl: Duration,
    /// How long a login lasts that is not renewed.
    pub refresh_ttl: Duration,
    /// Passwords that are hashed at a time.
    pub hashers: u8,
    /// Requests with one API key a second.
    pub key_rate: u32,
    /// Requests without credentials from one address a second.
    pub address_rate: u32,
    /// Outside issuers.
    pub issuers: Vec<Issuer>,
}

/// An outside issuer, checked.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its `iss`.
    pub issuer: String,
    /// The `aud` that is wanted.
    pub audience: String,
    /// Where its keys are.
    pub jwks: Jwks,
    /// What its users may do.
    pub role: Role,
    /// Who of them are publishers, where their tokens tell that.
    pub publishers: Option<Publishers>,
}

impl Issuer {
    /// What tells it from all others: the same `iss` may have several audiences, with a role each. No `iss` has blanks.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.issuer, self.audience)
    }
}

/// By what a token tells that its user is a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishers {
    /// The claim: a JSON pointer.
    pub claim: String,
    /// The words in it that do.
    pub words: Vec<String>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub enum Jwks {
    /// In a file.
    File(PathBuf),
    /// Behind a URL.
    Url(String),
}

impl AccountsConfig {
    pub(crate) fn check(self, problems: &mut Problems) -> Accounts {
        let mut within = |key: &str, span: Span, low: u64, high: u64| {
            if !(low..=high).contains(&span.0.as_secs()) {
                let (low, high) = (Span::seconds(low), Span::seconds(high));
                problems.add(key, format!("{span} is not between {low} and {high}"));
            }
            span.0
        };
        let access_ttl = within("accounts.access_ttl", self.access_ttl, 60, 3600);
        let refresh_ttl = within("accounts.refresh_ttl", self.refresh_ttl, 3600, 400 * 86_400);
        if !(1..=64).contains(&self.hashers) {
            problems.add("accounts.hashers", "must be 1 to 64");
        }
        if !(1..=100_000).contains(&self.key_rate) {
            problems.add("accounts.key_rate", "must be 1 to 100000");
        }
        if !(1..=100_000).contains(&self.address_rate) {
            problems.add("accounts.address_rate", "must be 1 to 100000");
        }
        let issuers = self.issuers.into_iter();
        let issuers: Vec<Issuer> = issuers.filter_map(|one| one.check(problems)).collect();
        let mut names: Vec<String> = issuers.iter().map(Issuer::name).collect();
        names.sort_unstable();
        if names
            .windows(2)
            .any(|two| matches!(two, [one, next] if one == next))
        {
            let twice = "two entries have the same issuer and audience: only one could count";
            problems.add("accounts.issuers", twice);
        }
        Accounts {
            token_keys: self.token_keys.into_iter().map(PathBuf::from).collect(),
            sign_up: self.sign_up,
            access_ttl,
            refresh_ttl,
            hashers: self.hashers,
            key_rate: self.key_rate,
            address_rate: self.address_rate,
            issuers,
        }
    }
}

impl IssuerConfig {
    fn check(self, problems: &mut Problems) -> Option<Issuer> {
        if self.issuer.is_empty() || self.issuer == super::tokens::ISSUER {
            problems.add("accounts.issuers.issuer", "must name an issuer outside");
        }
        if self.audience.is_empty() {
            problems.add("accounts.issuers.audience", "must not be empty");
        }
        if self.issuer.contains(char::is_whitespace) {
            problems.add("accounts.issuers.issuer", "must not contain blanks");
        }
        if self.role_claim.is_empty() != self.publishers.is_empty() {
            let half = "role_claim and publishers are given together, or neither";
            problems.add("accounts.issuers.role_claim", half);
        }
        if self.publishers.iter().any(|word| word.trim().is_empty()) {
            problems.add("accounts.issuers.publishers", "must be words, none empty");
        }
        let publishers = (!self.role_claim.is_empty()).then(|| Publishers {
            claim: pointer(&self.role_claim),
            words: self.publishers,
        });
        let role = Role::parse(&self.role).ok_or("must be viewer, publisher or operator");
        let role = problems.take("accounts.issuers.role", role);
        let jwks = jwks(&self.jwks)
            .ok_or("must be https://…, http:// with a loopback address, or file:///absolute/path");
        let jwks = problems.take("accounts.issuers.jwks", jwks);
        Some(Issuer {
            issuer: self.issuer,
            audience: self.audience,
            jwks: jwks?,
            role: role?,
            publishers,
        })
    }
}

/// The JSON pointer (RFC 6901) to a claim that is named, or pointed at already.
fn pointer(claim: &str) -> String {
    match claim.starts_with('/') {
        true => claim.to_owned(),
        false => format!("/{}", claim.replace('~', "~0").replace('/', "~1")),
    }
}

fn jwks(text: &str) -> Option<Jwks> {
    if let Some(path) = text.strip_prefix("file://") {
        return path.starts_with('/').then(|| Jwks::File(path.into()));
    }
    let url = reqwest::Url::parse(text).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let near = host
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    let usable = match url.scheme() {
        "https" => true,
        "http" => near,
        _ => false,
    };
    usable.then(|| Jwks::Url(text.to_owned()))
}
