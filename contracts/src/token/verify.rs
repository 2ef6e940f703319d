//! The one place where a request is admitted or refused by what it carries.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use super::NOT_BEFORE_SKEW_S;
use super::cat::{self, Asked};
use super::claims::{Claims, instant};
use super::keyring::{Key, KeyRing, Version, is_kid};
use super::memory::{Grant, Opened};
use super::mint::plain_message;
use super::presented::{self, Plain, Presented};
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
    /// The method.
    pub method: &'a str,
    /// `https` or `http`, as the client sees it.
    pub scheme: &'a str,
    /// The host that the client asks, with its port where there is one.
    pub authority: &'a str,
    /// The Common Access Tokens in header fields and cookies.
    pub cats: &'a [&'a str],
}

/// What an admitted request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The path without the token.
    pub path: String,
    /// The path with what is part of an object's identity: delivery directives, and `r` for a list of renditions.
    pub cache_key: String,
    /// The playback session, when the token names one; of a Common Access Token its id (`cti`), base64url.
    pub session: Option<SessionId>,
    /// The renditions that the token allows; empty: all.
    pub renditions: Vec<RenditionId>,
    /// When what admitted the request ends; `None` when nothing was presented.
    pub expires: Option<UnixSeconds>,
    /// The id of the key that signed; `None` when nothing was presented.
    pub kid: Option<Arc<str>>,
}

impl<'a> Request<'a> {
    /// A GET over HTTPS that carries nothing but its target, from nobody knows where.
    #[must_use]
    pub const fn new(target: &'a str, now: UnixSeconds) -> Self {
        Self {
            target,
            now,
            client_ip: None,
            country: None,
            method: "GET",
            scheme: "https",
            authority: "",
            cats: &[],
        }
    }
}

impl Accepted {
    fn new(target: Target<'_>) -> Result<Self, Reason> {
        Ok(Self {
            path: target.path.to_owned(),
            cache_key: target::of_viewer(target, &[])?,
            session: None,
            renditions: Vec::new(),
            expires: None,
            kid: None,
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
    match presented::of_request(target, request)? {
        Presented::Nothing => Ok(None),
        Presented::Token(token) => {
            let (key, opened) = opened(ring, token, request.now, open)?;
            grant(key, &opened, request, target, accepted).map(Some)
        }
        Presented::Cat(token) => {
            let (key, opened) = opened(ring, token, request.now, open_cat)?;
            grant(key, &opened, request, target, accepted).map(Some)
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
    let Presented::Token(token) = presented::of_target(target)? else {
        return target::of_viewer(target, &[]);
    };
    let claims = token.split('.').nth(2).ok_or(Reason::Malformed)?;
    let claims = Claims::parse(&decode(claims)?)?;
    target::of_viewer(target, &claims.renditions)
}

type Open<'a> = fn(&'a KeyRing, &str, UnixSeconds) -> Result<(&'a Key, Grant), Reason>;

/// Verifies a token, or finds that it was verified within the last minute. Its key must live in either case.
fn opened<'a>(
    ring: &'a KeyRing,
    token: &str,
    now: UnixSeconds,
    open: Open<'a>,
) -> Result<(&'a Key, Arc<Opened>), Reason> {
    let memory = ring.memory();
    if let Some(opened) = memory.and_then(|memory| memory.find(token, now)) {
        let key = ring.find(&opened.kid).filter(|key| key.is_alive(now));
        return Ok((key.ok_or(Reason::Kid)?, opened));
    }
    let (key, grant) = open(ring, token, now)?;
    let opened = Arc::new(Opened {
        kid: key.shared_id(),
        grant,
    });
    // An HMAC over a short text costs less than looking it up.
    if let Some(memory) = memory.filter(|_| key.version() != Version::M1) {
        memory.keep(token, &opened, now);
    }
    Ok((key, opened))
}

fn open<'a>(ring: &'a KeyRing, token: &str, now: UnixSeconds) -> Result<(&'a Key, Grant), Reason> {
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
    let key = living_key(ring, kid, version, now)?;
    if tag.len() != version.tag_len() {
        return Err(Reason::Malformed);
    }
    let label = ["millrace/", ver, "\n"];
    let [a, b, c] = label.map(str::as_bytes);
    if !key.verifies(&[a, b, c, signed.as_bytes()], &tag) {
        return Err(Reason::Mac);
    }
    Ok((key, Grant::Native(Claims::parse(&claims)?)))
}

fn open_cat<'a>(
    ring: &'a KeyRing,
    token: &str,
    now: UnixSeconds,
) -> Result<(&'a Key, Grant), Reason> {
    let (key, claims) = cat::open(ring, token, now)?;
    Ok((key, Grant::Cat(claims)))
}

/// Looks at what depends on the request: the time, the path, the client.
fn grant(
    key: &Key,
    opened: &Opened,
    request: &Request<'_>,
    target: Target<'_>,
    accepted: Accepted,
) -> Result<Accepted, Reason> {
    let kid = Some(Arc::clone(&opened.kid));
    match &opened.grant {
        Grant::Native(claims) => {
            check_claims(key, claims, request, target.path)?;
            let cache_key = if claims.renditions.is_empty() {
                accepted.cache_key
            } else {
                target::of_viewer(target, &claims.renditions)?
            };
            Ok(Accepted {
                path: accepted.path,
                cache_key,
                session: claims.session.clone(),
                renditions: claims.renditions.clone(),
                expires: Some(claims.expires),
                kid,
            })
        }
        Grant::Cat(claims) => {
            claims.check_time(request.now)?;
            if !key.may_sign(target.path) {
                return Err(Reason::Scope);
            }
            claims.check(&asked(request, target))?;
            Ok(Accepted {
                session: claims.session().cloned(),
                expires: claims.expires(),
                kid,
                ..accepted
            })
        }
    }
}

fn asked<'a>(request: &Request<'a>, target: Target<'a>) -> Asked<'a> {
    Asked {
        location: cat::Location {
            scheme: request.scheme,
            authority: request.authority,
            path: target.path,
            query: target.query,
        },
        method: request.method,
        client_ip: request.client_ip,
        country: request.country,
    }
}

fn check_claims(
    key: &Key,
    claims: &Claims,
    request: &Request<'_>,
    path: &str,
) -> Result<(), Reason> {
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
    if !claims.covers(path) {
        return Err(Reason::Path);
    }
    if !claims.admits_address(request.client_ip) {
        return Err(Reason::Ip);
    }
    if !claims.admits_country(request.country) {
        return Err(Reason::Geo);
    }
    if !claims.admits_rendition(path) {
        return Err(Reason::Rendition);
    }
    Ok(())
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
        kid: Some(key.shared_id()),
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
