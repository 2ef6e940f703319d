//! The session of a licence token, as control planes alone read it: licence servers elsewhere get the token too, and
//! whoever knows a session's id acts for its player.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use contracts::id::SessionId;

use super::token::Licence;
use crate::vault::Vault;

/// Seals and opens the sessions of licence tokens, with a key that follows from each of the vault's: the first seals.
pub(crate) struct Seal(Vec<Aes256Gcm>);

impl Seal {
    pub(crate) fn of(vault: &Vault) -> Self {
        let key = |secret: [u8; 32]| Aes256Gcm::new(&secret.into());
        let roots = vault.roots();
        let secrets = roots.map(|root| root.derive(b"millrace sessions of licence tokens 1"));
        Self(secrets.map(key).collect())
    }

    /// Puts the session into its token; none where the cipher refuses. The token's own name is the nonce: it is drawn
    /// for each.
    pub(crate) fn seal(&self, mut licence: Licence, session: &SessionId) -> Option<Licence> {
        let cipher = self.0.first()?;
        let nonce = Nonce::from(nonce(&licence)?);
        let sealed = cipher.encrypt(&nonce, payload(&licence, session.as_str().as_bytes()));
        licence.own = B64.encode(sealed.ok()?);
        Some(licence)
    }

    /// The session of a token; none where it was not sealed here for this token.
    pub(crate) fn open(&self, licence: &Licence) -> Option<SessionId> {
        let sealed = B64.decode(&licence.own).ok()?;
        let nonce = Nonce::from(nonce(licence)?);
        let mut ciphers = self.0.iter();
        let opened =
            ciphers.find_map(|cipher| cipher.decrypt(&nonce, payload(licence, &sealed)).ok());
        let session = SessionId::parse(std::str::from_utf8(&opened?).ok()?).ok()?;
        (session.mark() == licence.sid).then_some(session)
    }
}

fn nonce(licence: &Licence) -> Option<[u8; 12]> {
    let name = hex::decode(&licence.jti).ok()?;
    name.first_chunk().copied()
}

fn payload<'a>(licence: &'a Licence, msg: &'a [u8]) -> Payload<'a, 'a> {
    Payload {
        msg,
        aad: licence.jti.as_bytes(),
    }
}
