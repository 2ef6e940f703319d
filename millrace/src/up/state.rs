//! The folder that a house lives in: secrets, certificate, ports, logs, stores.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use rcgen::PublicKeyData as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// An opened folder. The lock in it is held as long as this lives.
pub(crate) struct State {
    dir: PathBuf,
    _lock: File,
}

impl State {
    /// Opens a folder, makes what is missing in it, and locks it against a second house.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .and_then(|()| dir.canonicalize());
        let dir = made.with_context(|| format!("cannot make the folder {}", dir.display()))?;
        for part in ["log", "run", "store", "work", "tls"] {
            fs::create_dir_all(dir.join(part))
                .with_context(|| format!("cannot make {part} in {}", dir.display()))?;
        }
        let lock = File::create(dir.join("lock")).context("cannot open the folder's lock")?;
        if lock.try_lock().is_err() {
            bail!(
                "another house lives in {}; stop it first, or choose another --dir",
                dir.display()
            );
        }
        let state = Self { dir, _lock: lock };
        state
            .make_secrets()
            .context("cannot make the house's secrets")?;
        Ok(state)
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The same, as text for a configuration file.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The hash of the certificate's public key by which Chromium can be told to accept it.
    pub(crate) fn spki(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.path("tls/spki.txt"))?
            .trim()
            .to_owned())
    }

    fn make_secrets(&self) -> anyhow::Result<()> {
        let keys = self.path("keys.json");
        if !keys.exists() {
            let key = json!({
                "kid": "k1", "ver": "m1", "key_hex": hex::encode(random()?),
                "scope": ["/v/", "/t/", "/s/"], "nbf": 0, "exp": 4_102_444_800_u64,
            });
            write_secret(
                &keys,
                &serde_json::to_string_pretty(&json!({"keyring": [key]}))?,
            )?;
        }
        for name in ["hop.secret", "keys.secret", "kek.secret"] {
            let path = self.path(name);
            if !path.exists() {
                write_secret(&path, &hex::encode(random()?))?;
            }
        }
        if !self.path("tls/spki.txt").exists() {
            self.make_certificate()?;
        }
        Ok(())
    }

    fn make_certificate(&self) -> anyhow::Result<()> {
        let key = rcgen::KeyPair::generate()?;
        let names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        let mut wish = rcgen::CertificateParams::new(names)?;
        wish.distinguished_name
            .push(rcgen::DnType::CommonName, "Millrace on this machine");
        wish.not_before = rcgen::date_time_ymd(2026, 1, 1);
        wish.not_after = rcgen::date_time_ymd(2036, 1, 1);
        let certificate = wish.self_signed(&key)?;
        fs::write(self.path("tls/cert.pem"), certificate.pem())?;
        write_secret(&self.path("tls/key.pem"), &key.serialize_pem())?;
        fs::write(
            self.path("tls/spki.txt"),
            B64.encode(Sha256::digest(key.subject_public_key_info())),
        )?;
        Ok(())
    }

    /// The ports of the last run, by listener name.
    pub(crate) fn ports(&self) -> BTreeMap<String, u16> {
        let text = fs::read_to_string(self.path("ports.json")).unwrap_or_default();
        // A damaged note only costs the old port numbers.
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Notes the ports for the next run, so that addresses stay the same.
    pub(crate) fn keep_ports(&self, ports: &BTreeMap<String, u16>) -> anyhow::Result<()> {
        fs::write(
            self.path("ports.json"),
            serde_json::to_string_pretty(ports)?,
        )
        .context("cannot note the ports")
    }
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes)
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let half = path.with_extension("half");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(half, path)?;
    Ok(())
}
