//! The one place where a request is admitted or refused by what it carries.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use super::NOT_BEFORE_SKEW_S;
use super::claims::{Claims, instant};
use super::keyring::{Key, KeyRing, Version, is_kid};
use super::mint::plain_message;
use crate::id::{RenditionId, SessionId};
use crate::reason::Reason;
use crate::target::{self, MAX_TOKEN, Target};
use crate::time::UnixSeconds;

/// What a request brings to the gate.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The request target as it came: token, path and query.
    pub target: &'a str,
    /// Now.
    pub now: UnixSeconds,
    /// The client's address, when it is known.
    pub client_ip: Option<IpAddr>,
    /// The client's country (ISO 3166-1 alpha-2), when it is known.
    pub country: Option<&'a str>,
}

/// What an admitted request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The path without the token.
    pub path: String,
    /// The path with what is part of an object's identity: delivery directives, and `r` for a list of renditions.
    pub cache_key: String,
    /// The playback session, when the token names one.
    pub session: Option<SessionId>,
    /// The renditions that the token allows; empty: all.
    pub renditions: Vec<RenditionId>,
    /// When what admitted the request ends; `None` when nothing was presented.
    pub expires: Option<UnixSeconds>,
}

impl Accepted {
    fn new(target: Target<'_>) -> Result<Self, Reason> {
        Ok(Self {
            path: target.path.to_owned(),
            cache_key: target::of_viewer(target, &[])?,
            session: None,
            renditions: Vec::new(),
            expires: None,
        })
    }
}

/// Admits a request that carries a token or a plain signature, and refuses every other.
///
/// # Errors
/// The first reason, in the order that the [module](super) gives; [`Reason::Missing`] when the
/// request carries nothing.
pub fn verify(ring: &KeyRing, request: &Request<'_>) -> Result<Accepted, Reason> {
    admit(ring, request)?.ok_or(Reason::Missing)
}

/// As [`verify`], but `None` for a well-formed request that carries nothing: the caller knows
/// whether the object may be had without a token.
///
/// # Errors
/// The first reason for which what the request carries is refused.
pub fn admit(ring: &KeyRing, request: &Request<'_>) -> Result<Option<Accepted>, Reason> {
    let target = target::parse(request.target)?;
    let accepted = Accepted::new(target)?;
    match presented(target)? {
        Presented::Nothing => Ok(None),
        Presented::Token(token) => {
            let accepted = by_token(ring, request, token, accepted)?;
            let cache_key = target::of_viewer(target, &accepted.renditions)?;
            Ok(Some(Accepted {
                cache_key,
                ..accepted
            }))
        }
        Presented::Plain(plain) => by_signature(ring, request.now, &plain, accepted).map(Some),
    }
}

/// What a target names that was admitted before, as [`Accepted::cache_key`] said then. Nothing is verified: this is
/// for a node that asks its parent again on behalf of an admitted request.
///
/// # Errors
/// A target or token that could not have been admitted.
pub fn readmit(target: &str) -> Result<String, Reason> {
    let target = target::parse(target)?;
    let Presented::Token(token) = presented(target)? else {
        return target::of_viewer(target, &[]);
    };
    let claims = token.split('.').nth(2).ok_or(Reason::Malformed)?;
    let claims = Claims::parse(&decode(claims)?)?;
    target::of_viewer(target, &claims.renditions)
}

enum Presented<'a> {
    Nothing,
    Token(&'a str),
    Plain(Plain<'a>),
}

struct Plain<'a> {
    exp: &'a str,
    kid: &'a str,
    sig: &'a str,
}

/// Finds what the target carries. Two credentials are none: readers might choose differently.
fn presented(target: Target<'_>) -> Result<Presented<'_>, Reason> {
    let mut token = target.token;
    let (mut exp, mut kid, mut sig) = (None, None, None);
    for (name, value) in target::pairs(target.query) {
        let slot = match name {
            "mt" => &mut token,
            "exp" => &mut exp,
            "kid" => &mut kid,
            "sig" => &mut sig,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Reason::Malformed);
        }
    }
    match (token, exp, kid, sig) {
        (None, None, None, None) => Ok(Presented::Nothing),
        (Some(token), None, None, None) => Ok(Presented::Token(token)),
        (None, Some(exp), Some(kid), Some(sig)) => Ok(Presented::Plain(Plain { exp, kid, sig })),
        _ => Err(Reason::Malformed),
    }
}

fn by_token(
    ring: &KeyRing,
    request: &Request<'_>,
    token: &str,
    accepted: Accepted,
) -> Result<Accepted, Reason> {
    if token.len() > MAX_TOKEN {
        return Err(Reason::Malformed);
    }
    let (signed, tag) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
    let mut parts = signed.split('.');
    let (Some(ver), Some(kid), Some(claims), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::Malformed);
    };
    let version = Version::parse(ver).ok_or(Reason::Malformed)?;
    let claims = decode(claims)?;
    let tag = decode(tag)?;
    if !is_kid(kid) || tag.is_empty() {
        return Err(Reason::Malformed);
    }
    let key = living_key(ring, kid, version, request.now)?;
    if tag.len() != version.tag_len() {
        return Err(Reason::Malformed);
    }
    let label = ["millrace/", ver, "\n"].concat();
    if !key.verifies(&[label.as_bytes(), signed.as_bytes()], &tag) {
        return Err(Reason::Mac);
    }
    check_claims(key, Claims::parse(&claims)?, request, accepted)
}

fn check_claims(
    key: &Key,
    claims: Claims,
    request: &Request<'_>,
    accepted: Accepted,
) -> Result<Accepted, Reason> {
    if request.now >= claims.expires {
        return Err(Reason::Expired);
    }
    if claims
        .not_before
        .is_some_and(|start| request.now.plus(NOT_BEFORE_SKEW_S) < start)
    {
        return Err(Reason::NotYetValid);
    }
    if !key.may_sign(&claims.path) {
        return Err(Reason::Scope);
    }
    if !claims.covers(&accepted.path) {
        return Err(Reason::Path);
    }
    if !claims.admits_address(request.client_ip) {
        return Err(Reason::Ip);
    }
    if !claims.admits_country(request.country) {
        return Err(Reason::Geo);
    }
    if !claims.admits_rendition(&accepted.path) {
        return Err(Reason::Rendition);
    }
    Ok(Accepted {
        session: claims.session,
        renditions: claims.renditions,
        expires: Some(claims.expires),
        ..accepted
    })
}

fn by_signature(
    ring: &KeyRing,
    now: UnixSeconds,
    plain: &Plain<'_>,
    accepted: Accepted,
) -> Result<Accepted, Reason> {
    let expires = instant(plain.exp)?;
    let tag = decode(plain.sig)?;
    if !is_kid(plain.kid) || tag.len() != Version::M1.tag_len() {
        return Err(Reason::Malformed);
    }
    let key = living_key(ring, plain.kid, Version::M1, now)?;
    if !key.verifies(&plain_message(plain.kid, plain.exp, &accepted.path), &tag) {
        return Err(Reason::Mac);
    }
    if now >= expires {
        return Err(Reason::Expired);
    }
    if !key.may_sign(&accepted.path) {
        return Err(Reason::Scope);
    }
    Ok(Accepted {
        expires: Some(expires),
        ..accepted
    })
}

fn living_key<'a>(
    ring: &'a KeyRing,
    kid: &str,
    version: Version,
    now: UnixSeconds,
) -> Result<&'a Key, Reason> {
    ring.find(kid)
        .filter(|key| key.version() == version && key.is_alive(now))
        .ok_or(Reason::Kid)
}

/// Unpadded base64url. The decoder refuses stray tail bits, so that a tag has one spelling.
fn decode(text: &str) -> Result<Vec<u8>, Reason> {
    B64.decode(text).map_err(|_| Reason::Malformed)
}
