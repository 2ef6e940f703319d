//! What a request shows at the gate: one credential, or none.

use super::Request;
use crate::reason::Reason;
use crate::target::{self, Target};

/// The credential of a request.
#[derive(Clone, Copy)]
pub(super) enum Presented<'a> {
    Nothing,
    /// A native token.
    Token(&'a str),
    /// A Common Access Token.
    Cat(&'a str),
    Plain(Plain<'a>),
}

/// The plain form.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub(super) exp: &'a str,
    pub(super) kid: &'a str,
    pub(super) sig: &'a str,
}

/// Finds the credential in target and fields. Two are none: readers might choose differently.
pub(super) fn of_request<'a>(
    target: Target<'a>,
    request: &Request<'a>,
) -> Result<Presented<'a>, Reason> {
    let shown = of_target(target)?;
    match (shown, request.cats) {
        (shown, []) => Ok(shown),
        (Presented::Nothing, [cat]) => Ok(Presented::Cat(cat)),
        _ => Err(Reason::Malformed),
    }
}

/// Finds the credential in a target.
pub(super) fn of_target(target: Target<'_>) -> Result<Presented<'_>, Reason> {
    let in_path = target
        .token
        .map(|token| (token.strip_prefix(CAT_PREFIX), token));
    let (mut cat, mut token) = match in_path {
        Some((Some(cat), _)) => (Some(cat), None),
        Some((None, token)) => (None, Some(token)),
        None => (None, None),
    };
    let (mut exp, mut kid, mut sig) = (None, None, None);
    for (name, value) in target::pairs(target.query) {
        let slot = match name {
            target::CAT => &mut cat,
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
    match (token, cat, exp, kid, sig) {
        (None, None, None, None, None) => Ok(Presented::Nothing),
        (Some(token), None, None, None, None) => Ok(Presented::Token(token)),
        (None, Some(cat), None, None, None) => Ok(Presented::Cat(cat)),
        (None, None, Some(exp), Some(kid), Some(sig)) => {
            Ok(Presented::Plain(Plain { exp, kid, sig }))
        }
        _ => Err(Reason::Malformed),
    }
}

/// Before a Common Access Token in the first path segment: our own carriage, which relative URLs inherit.
const CAT_PREFIX: &str = "cat.";
