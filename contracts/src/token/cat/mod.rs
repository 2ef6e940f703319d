//! Common Access Tokens (CTA-5007): a CWT (RFC 8392) in `COSE_Mac0` or `COSE_Sign1` (RFC 9052), base64url.
//!
//! What is not known for certain to be harmless is refused: a claim, a part of the address or a kind of match that
//! is not listed in `docs/tokens.md`, a header parameter that is not `alg` or `kid`, bytes after the end.

mod claims;
mod cose;
mod net;
mod uri;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

pub(super) use claims::{Asked, Claims};
pub(super) use cose::Algorithm;
pub(super) use uri::Location;

use super::keyring::{Key, KeyRing};
use crate::reason::Reason;
use crate::time::UnixSeconds;

/// Whose tokens a key verifies.
#[derive(Clone)]
pub(super) struct Issuer {
    /// The key id as COSE has it.
    pub(super) kid: Vec<u8>,
    /// The only algorithm that the key is for.
    pub(super) algorithm: Algorithm,
    /// What `iss` must say.
    pub(super) name: String,
    /// What `aud` must name where there is one.
    pub(super) audience: Option<String>,
}

/// Verifies a token, and reads what it grants. Nothing that depends on the request is looked at.
pub(super) fn open<'a>(
    ring: &'a KeyRing,
    token: &str,
    now: UnixSeconds,
) -> Result<(&'a Key, Claims), Reason> {
    if token.len() > MAX_CAT {
        return Err(Reason::Malformed);
    }
    let bytes = B64.decode(token).map_err(|_| Reason::Malformed)?;
    let envelope = cose::Envelope::parse(&bytes)?;
    let key = ring
        .find_cose(&envelope.kid)
        .filter(|key| key.is_alive(now));
    let Some((key, issuer)) = key.and_then(|key| Some((key, key.issuer()?))) else {
        return Err(Reason::Kid);
    };
    if issuer.algorithm != envelope.algorithm {
        return Err(Reason::Kid);
    }
    if !key.verifies(&[&envelope.message], &envelope.tag) {
        return Err(Reason::Mac);
    }
    let claims = Claims::parse(&envelope.payload)?;
    if !claims.is_by(issuer) {
        return Err(Reason::Scope);
    }
    Ok((key, claims))
}

/// The longest token in a field, in bytes of its text.
const MAX_CAT: usize = 4096;
