//! The claims of a Common Access Token that are understood.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ciborium::Value;
use ipnet::IpNet;

use super::uri::{Condition, Location};
use super::{Issuer, cose, net, uri};
use crate::id::SessionId;
use crate::reason::Reason;
use crate::time::UnixSeconds;
use crate::token::NOT_BEFORE_SKEW_S;

/// What a token grants; see `docs/tokens.md` for each claim.
#[derive(Debug, Default)]
pub(in crate::token) struct Claims {
    issuer: Option<String>,
    audience: Option<Vec<String>>,
    expires: Option<UnixSeconds>,
    not_before: Option<UnixSeconds>,
    networks: Option<Vec<IpNet>>,
    conditions: Vec<Condition>,
    methods: Option<Vec<String>>,
    countries: Option<Vec<String>>,
    session: Option<SessionId>,
}

/// What is asked for, and by whom.
pub(in crate::token) struct Asked<'a> {
    pub(in crate::token) location: Location<'a>,
    pub(in crate::token) method: &'a str,
    pub(in crate::token) client_ip: Option<IpAddr>,
    pub(in crate::token) country: Option<&'a str>,
}

impl Claims {
    /// Reads the claims set: a map whose keys are integers, none twice (RFC 8392 §3).
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Reason> {
        let mut claims = Self::default();
        for (label, value) in entries(cose::whole(payload)?)? {
            claims.set(label, value)?;
        }
        if claims.expires.is_none() {
            return Err(Reason::Malformed);
        }
        Ok(claims)
    }

    fn set(&mut self, label: i128, value: Value) -> Result<(), Reason> {
        match label {
            ISS => self.issuer = Some(text(value)?),
            AUD => {
                self.audience = Some(match value {
                    Value::Text(one) => vec![one],
                    several => texts(several)?,
                });
            }
            EXP => self.expires = Some(UnixSeconds(number(&value)?)),
            NBF => self.not_before = Some(UnixSeconds(number(&value)?)),
            IAT => _ = number(&value)?,
            CTI => self.session = Some(session(value)?),
            CATV if number(&value)? == 1 => {}
            // "Any number of uses"; whoever forbids or counts them needs a memory that an edge does not have.
            CATREPLAY if number(&value)? == 0 => {}
            CATNIP => self.networks = Some(net::networks(value)?),
            CATU => self.conditions = uri::conditions(value)?,
            CATM => self.methods = Some(texts(value)?),
            CATGEOISO3166 => {
                let countries = texts(value)?;
                if !countries.iter().all(|code| is_region(code)) {
                    return Err(Reason::Malformed);
                }
                self.countries = Some(countries);
            }
            CATR => check_renewal(value)?,
            _ => return Err(Reason::Malformed),
        }
        Ok(())
    }

    /// Whether the token is by this issuer and for this audience. One without an audience is for all (RFC 7519
    /// §4.1.3, which RFC 8392 §3.1.3 takes over).
    pub(super) fn is_by(&self, issuer: &Issuer) -> bool {
        let is_ours = |names: &Vec<String>| {
            let ours = issuer.audience.as_ref();
            ours.is_some_and(|ours| names.contains(ours))
        };
        self.issuer.as_deref() == Some(issuer.name.as_str())
            && self.audience.as_ref().is_none_or(is_ours)
    }

    /// Says whether the token is good at an instant.
    pub(in crate::token) fn check_time(&self, now: UnixSeconds) -> Result<(), Reason> {
        if self.expires.is_none_or(|end| now >= end) {
            return Err(Reason::Expired);
        }
        if (self.not_before).is_some_and(|start| now.plus(NOT_BEFORE_SKEW_S) < start) {
            return Err(Reason::NotYetValid);
        }
        Ok(())
    }

    /// Says why a request is not granted, if it is not; the time apart.
    pub(in crate::token) fn check(&self, asked: &Asked<'_>) -> Result<(), Reason> {
        let holds = |condition: &Condition| condition.holds(&asked.location);
        if !self.conditions.iter().all(holds) || !admits(self.methods.as_ref(), asked.method) {
            return Err(Reason::Path);
        }
        if let Some(networks) = &self.networks {
            let client = asked.client_ip.map(|ip| ip.to_canonical());
            if !client.is_some_and(|ip| networks.iter().any(|network| network.contains(&ip))) {
                return Err(Reason::Ip);
            }
        }
        if !admits(self.countries.as_ref(), asked.country.unwrap_or("ZZ")) {
            return Err(Reason::Geo);
        }
        Ok(())
    }

    /// The token's id, by which it can be revoked.
    pub(in crate::token) const fn session(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }

    pub(in crate::token) const fn expires(&self) -> Option<UnixSeconds> {
        self.expires
    }
}

fn admits(list: Option<&Vec<String>>, value: &str) -> bool {
    list.is_none_or(|list| list.iter().any(|item| item == value))
}

/// The entries of a map whose keys are integers, none of which may stand twice (RFC 8949 §5.6).
pub(super) fn entries(value: Value) -> Result<Vec<(i128, Value)>, Reason> {
    let Value::Map(map) = value else {
        return Err(Reason::Malformed);
    };
    let mut entries: Vec<(i128, Value)> = Vec::with_capacity(map.len());
    for (label, value) in map {
        let label = i128::from(label.as_integer().ok_or(Reason::Malformed)?);
        if entries.iter().any(|(other, _)| *other == label) {
            return Err(Reason::Malformed);
        }
        entries.push((label, value));
    }
    Ok(entries)
}

pub(super) fn text(value: Value) -> Result<String, Reason> {
    value.into_text().map_err(|_| Reason::Malformed)
}

/// A list that is not empty: what admits nobody was not meant so.
pub(super) fn items(value: Value) -> Result<Vec<Value>, Reason> {
    let list = value.into_array().map_err(|_| Reason::Malformed)?;
    if list.is_empty() {
        Err(Reason::Malformed)
    } else {
        Ok(list)
    }
}

fn texts(value: Value) -> Result<Vec<String>, Reason> {
    items(value)?.into_iter().map(text).collect()
}

/// A whole number that is not negative. RFC 8392 §2 would allow fractions of a second; nobody needs them.
fn number(value: &Value) -> Result<u64, Reason> {
    let number = value.as_integer().ok_or(Reason::Malformed)?;
    number.try_into().map_err(|_| Reason::Malformed)
}

/// The token's id as text, base64url: it becomes a session's name, in logs and revocations.
fn session(value: Value) -> Result<SessionId, Reason> {
    let id = value.into_bytes().map_err(|_| Reason::Malformed)?;
    SessionId::parse(&B64.encode(id)).map_err(|_| Reason::Malformed)
}

/// ISO 3166-1 alpha-2, or a subdivision by ISO 3166-2, which no client is ever found in.
fn is_region(code: &str) -> bool {
    let (country, part) = match code.split_once('-') {
        Some((country, part)) => (country, Some(part)),
        None => (code, None),
    };
    country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
        && part.is_none_or(|part| {
            matches!(part.len(), 1..=3)
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
}

/// A renewal by header is read and not done: an edge only verifies, and the token ends when it says. The other ways
/// would change what a client sends or where it goes.
fn check_renewal(value: Value) -> Result<(), Reason> {
    let mut by_header = false;
    for (label, value) in entries(value)? {
        match label {
            RENEWAL_TYPE => by_header = number(&value)? == RENEWAL_HEADER,
            RENEWAL_ADD | RENEWAL_DEADLINE => _ = number(&value)?,
            RENEWAL_HEADER_NAME => _ = text(value)?,
            RENEWAL_HEADER_PARAMS => _ = texts(value)?,
            _ => return Err(Reason::Malformed),
        }
    }
    if by_header {
        Ok(())
    } else {
        Err(Reason::Malformed)
    }
}

/// Labels: RFC 8392 §4 and CTA-5007.
const ISS: i128 = 1;
const AUD: i128 = 3;
const EXP: i128 = 4;
const NBF: i128 = 5;
const IAT: i128 = 6;
const CTI: i128 = 7;
const CATREPLAY: i128 = 308;
const CATV: i128 = 310;
const CATNIP: i128 = 311;
const CATU: i128 = 312;
const CATM: i128 = 313;
const CATGEOISO3166: i128 = 316;
const CATR: i128 = 323;

const RENEWAL_TYPE: i128 = 0;
const RENEWAL_ADD: i128 = 1;
const RENEWAL_DEADLINE: i128 = 2;
const RENEWAL_HEADER_NAME: i128 = 4;
const RENEWAL_HEADER_PARAMS: i128 = 6;
const RENEWAL_HEADER: u64 = 2;
