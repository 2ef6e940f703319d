//! `millrace sign`: making a signed URL by hand.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use contracts::id::{RenditionId, SessionId};
use contracts::time::UnixSeconds;
use contracts::token::{Claims, Countries, KeyRing};
use runtime::clock::{Clock as _, System};

use crate::cli;
pub(crate) fn run(options: &cli::Sign) -> anyhow::Result<ExitCode> {
    let ring = keyring(&options.keys)?;
    if !options.path.starts_with('/') {
        bail!("a path begins with /, as /v/VIDEO/ does");
    }
    let now = System.now();
    let expires = options
        .expires
        .map_or_else(|| now.plus(options.expires_in.0.as_secs()), UnixSeconds);
    let key = match &options.kid {
        Some(kid) => ring
            .find(kid)
            .with_context(|| format!("no key {kid:?} in the keyring"))?,
        None if options.plain => ring
            .plain_signer(&options.path, now, expires)
            .with_context(|| format!("no living m1 key may sign {}", options.path))?,
        None => ring
            .signer(&options.path, now, expires)
            .with_context(|| format!("no living key may sign {}", options.path))?,
    };
    let base = options.base.trim_end_matches('/');
    if options.plain {
        say!(
            "{base}{}?{}",
            options.path,
            key.sign_path(&options.path, expires)?
        );
    } else {
        say!(
            "{base}/~{}{}",
            key.mint(&claims(options, expires)?)?,
            options.path
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a keyring file.
pub(crate) fn keyring(path: &Path) -> anyhow::Result<KeyRing> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the keyring {}", path.display()))?;
    KeyRing::from_json(&text).with_context(|| format!("the keyring {} is unusable", path.display()))
}

fn claims(options: &cli::Sign, expires: UnixSeconds) -> anyhow::Result<Claims> {
    let mut claims = Claims::new(options.path.as_str(), expires);
    claims.not_before = options.not_before.map(UnixSeconds);
    claims.session = options
        .session
        .as_deref()
        .map(SessionId::parse)
        .transpose()?;
    claims.networks.clone_from(&options.networks);
    claims.renditions = options
        .renditions
        .iter()
        .map(|id| RenditionId::parse(id))
        .collect::<Result<_, _>>()?;
    claims.countries = options.countries.as_deref().map(countries).transpose()?;
    Ok(claims)
}

fn countries(text: &str) -> anyhow::Result<Countries> {
    let (codes, except) = text
        .strip_prefix('!')
        .map_or((text, false), |codes| (codes, true));
    let list: Vec<String> = codes.split(',').map(str::to_owned).collect();
    if list
        .iter()
        .any(|code| code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase()))
    {
        bail!("countries are two capital letters each, as AT,DE or !BY,RU");
    }
    Ok(if except {
        Countries::Except(list)
    } else {
        Countries::Only(list)
    })
}
