//! The first operator: invited at the first start, by a token that is told once.

use std::time::Duration;

use catalog::{Catalog, SecretDigest};
use contracts::time::UnixSeconds;

use super::accounts::INVITATION;
use crate::error::Error;

/// How long the invitation is good. A later start makes another when nobody took it.
pub(crate) const TTL: Duration = Duration::from_secs(86_400);

/// An invitation for an operator, where there is neither one nor such an invitation yet.
pub(crate) async fn invite(catalog: &Catalog, now: UnixSeconds) -> Result<Option<String>, Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    let invitation = format!("{INVITATION}{}", hex::encode(bits));
    let digest = SecretDigest::of(&invitation);
    let expires = now.plus(TTL.as_secs());
    let made = catalog.users.invite_first(&digest, now, expires).await?;
    Ok(made.then_some(invitation))
}
