//! Making tokens and signed URLs: what a backend does that lets its viewers in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use super::claims::{Claims, instant, is_scope};
use super::keyring::{Key, Version};
use crate::target::{MAX_TOKEN, is_path};
use crate::time::UnixSeconds;

/// A token cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The key can only verify.
    #[error("the key can only verify, or is not for native tokens")]
    VerifyOnly,
    /// The path is outside the key's scope.
    #[error("the key may not sign this path")]
    Scope,
    /// The claims are outside the grammar or make the token too long.
    #[error("the claims are outside the token grammar, or make the token longer than 1500 bytes")]
    Claims,
}

impl Key {
    /// Makes the token that says `claims`; it goes into a URL as `/~{token}{path}`.
    ///
    /// # Errors
    /// See [`MintError`].
    pub fn mint(&self, claims: &Claims) -> Result<String, MintError> {
        if !is_scope(&claims.path) {
            return Err(MintError::Claims);
        }
        if !self.may_sign(&claims.path) {
            return Err(MintError::Scope);
        }
        let text = claims.encode();
        if Claims::parse(text.as_bytes()).as_ref() != Ok(claims) {
            return Err(MintError::Claims);
        }
        if self.version() == Version::Cat {
            return Err(MintError::VerifyOnly);
        }
        let version = self.version().as_str();
        let signed = format!("{version}.{}.{}", self.id(), B64.encode(text));
        let label = format!("millrace/{version}\n");
        let tag = self
            .sign(&[label.as_bytes(), signed.as_bytes()])
            .ok_or(MintError::VerifyOnly)?;
        let token = format!("{signed}.{}", B64.encode(tag));
        if token.len() > MAX_TOKEN {
            Err(MintError::Claims)
        } else {
            Ok(token)
        }
    }

    /// Makes the query of the plain form, `exp=…&kid=…&sig=…`, for one exact path.
    ///
    /// # Errors
    /// See [`MintError`].
    pub fn sign_path(&self, path: &str, expires: UnixSeconds) -> Result<String, MintError> {
        if !is_path(path) {
            return Err(MintError::Claims);
        }
        if !self.may_sign(path) {
            return Err(MintError::Scope);
        }
        if self.version() != Version::M1 {
            return Err(MintError::VerifyOnly);
        }
        let (kid, exp) = (self.id(), expires.to_string());
        instant(&exp).map_err(|_| MintError::Claims)?;
        let tag = self
            .sign(&plain_message(kid, &exp, path))
            .ok_or(MintError::VerifyOnly)?;
        Ok(format!("exp={exp}&kid={kid}&sig={}", B64.encode(tag)))
    }
}

/// What the plain form signs.
pub(super) fn plain_message<'a>(kid: &'a str, exp: &'a str, path: &'a str) -> [&'a [u8]; 6] {
    [
        b"millrace/q1\n",
        kid.as_bytes(),
        b"\n",
        exp.as_bytes(),
        b"\n",
        path.as_bytes(),
    ]
}
