//! What the servers share: a certificate and the keys of tokens.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::gate::Signer;
use super::round::NAME;

/// Where it lies.
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    pub(super) keyring: PathBuf,
}

impl Files {
    /// Makes a fresh certificate (ECDSA P-256) and the keyring.
    pub(super) fn make(folder: &Path, signer: &Signer) -> Result<Self> {
        fs::create_dir_all(folder).context("cannot make a folder for the bench")?;
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])
            .context("cannot make a certificate")?;
        let files = Self {
            folder: folder.to_owned(),
            chain: folder.join("chain.pem"),
            key: folder.join("key.pem"),
            keyring: folder.join("keyring.json"),
        };
        fs::write(&files.chain, made.cert.pem())?;
        fs::write(&files.key, made.signing_key.serialize_pem())?;
        fs::write(&files.keyring, signer.keyring())?;
        Ok(files)
    }
}
