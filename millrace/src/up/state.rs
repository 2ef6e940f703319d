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
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What the house's key signs: films, pictures, subtitles.
const SCOPE: [&str; 3] = ["/v/", "/t/", "/s/"];
/// What it signed when there were no subtitles.
const EARLIER_SCOPE: [&str; 2] = ["/v/", "/t/"];

/// Where the address of the house's store is noted.
const STORE: &str = "store.address";
/// Which films the house has published.
pub(super) const FILMS: &str = "films.json";
/// What is noted where that is in the folder itself.
const HERE: &str = "its own folder";

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
        if keys.exists() {
            widen(&keys).with_context(|| format!("the keyring {}", keys.display()))?;
        } else {
            let key = json!({
                "kid": "k1", "ver": "m1", "key_hex": hex::encode(random()?),
                "scope": SCOPE, "nbf": 0, "exp": 4_102_444_800_u64,
            });
            write_secret(
                &keys,
                &serde_json::to_string_pretty(&json!({"keyring": [key]}))?,
            )?;
        }
        for name in ["hop.secret", "keys.secret", "kek.secret", "token.secret"] {
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

    /// Refuses another store than the one that the house's films lie in: all of them would be listed, and none play.
    pub(crate) fn is_store(&self, wished: Option<&str>) -> anyhow::Result<()> {
        let note = self.path(STORE);
        let Ok(before) = fs::read_to_string(&note) else {
            return Ok(());
        };
        let (before, now) = (before.trim(), place(wished));
        if before == now {
            return Ok(());
        }
        let again = match before {
            HERE => "without --store".to_owned(),
            before => format!("with --store {before}"),
        };
        bail!(
            "the films of this house lie in {before}, and are not in {now}: start it {again}, or choose another --dir; \
             where the store itself has moved, remove {} first",
            note.display()
        )
    }

    /// Notes where the house's films lie, for the next run. Where there are some, and nobody noted it, another place than
    /// its own folder may be a slip of the pen.
    pub(crate) fn keep_store(&self, wished: Option<&str>) -> anyhow::Result<()> {
        let note = self.path(STORE);
        if wished.is_some() && self.path(FILMS).exists() && !note.exists() {
            return Ok(());
        }
        fs::write(note, place(wished)).context("cannot note the store")
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

/// Where a store is, whatever it is reached with: its address without the file of its credentials.
fn place(wished: Option<&str>) -> String {
    let Some(address) = wished else {
        return HERE.to_owned();
    };
    let Some((place, query)) = address.split_once('?') else {
        return address.to_owned();
    };
    let mut rest: Vec<&str> = query.split('&').collect();
    rest.retain(|pair| !pair.starts_with("credentials="));
    rest.sort_unstable();
    match rest.is_empty() {
        true => place.to_owned(),
        false => format!("{place}?{}", rest.join("&")),
    }
}

/// Lets the keys of a house that an earlier `up` made sign whatever this one serves. A key whose
/// scope is not the one of such a house was changed by its owner, and stays as it is.
fn widen(keyring: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(keyring).context("it cannot be read")?;
    // No part of it is told: it may be a key.
    let damaged = || anyhow::anyhow!("it is damaged; mend it, or remove it to have a new one");
    let mut file: Value = serde_json::from_str(&text).map_err(|_| damaged())?;
    let keys = file.get_mut("keyring").and_then(Value::as_array_mut);
    let earlier = json!(EARLIER_SCOPE);
    let scopes = keys.ok_or_else(damaged)?.iter_mut();
    let narrow: Vec<&mut Value> = scopes
        .filter_map(|key| key.get_mut("scope"))
        .filter(|scope| **scope == earlier)
        .collect();
    if narrow.is_empty() {
        return Ok(());
    }
    for scope in narrow {
        *scope = json!(SCOPE);
    }
    write_secret(keyring, &serde_json::to_string_pretty(&file)?)?;
    eprintln!(
        "the house's keyring was from before there were subtitles below /s/; it signs for them now"
    );
    Ok(())
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

#[cfg(test)]
mod tests {
    use contracts::time::UnixSeconds;
    use contracts::token::KeyRing;

    use super::*;

    fn signs(folder: &Path, path: &str) -> bool {
        let text = fs::read_to_string(folder.join("keys.json")).unwrap();
        let ring = KeyRing::from_json(&text).unwrap();
        let (now, until) = (UnixSeconds(100), UnixSeconds(200));
        ring.signer(path, now, until).is_some()
    }

    fn keyring(scope: &[&str]) -> String {
        let key = json!({"kid": "k1", "ver": "m1", "key_hex": "0f".repeat(32), "scope": scope,
            "nbf": 0, "exp": 4_102_444_800_u64});
        json!({"keyring": [key]}).to_string()
    }

    #[test]
    fn the_keyring_of_an_earlier_house_signs_subtitles_with_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        fs::write(&file, keyring(&["/v/", "/t/"])).unwrap();
        assert!(!signs(folder.path(), "/s/film/en.vtt"));
        drop(State::open(folder.path()).unwrap());
        for path in ["/v/film/", "/t/film/default.jpg", "/s/film/en.vtt"] {
            assert!(signs(folder.path(), path), "{path}");
        }
        assert!(
            fs::read_to_string(&file)
                .unwrap()
                .contains(&"0f".repeat(32))
        );
    }

    #[test]
    fn a_keyring_that_its_owner_changed_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let narrow = keyring(&["/v/film/"]);
        fs::write(&file, &narrow).unwrap();
        drop(State::open(folder.path()).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), narrow);
    }

    #[test]
    fn a_damaged_keyring_is_named_and_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        for damaged in ["0f0f0f0f", "{\"keyring\": \"0f0f0f0f\"}", "{0f0f0f0f"] {
            fs::write(&file, damaged).unwrap();
            let error = format!("{:#}", State::open(folder.path()).err().unwrap());
            assert!(error.contains("keys.json"), "{error}");
            assert!(!error.contains("0f0f"), "{error}");
        }
    }

    #[test]
    fn a_house_is_not_started_with_another_store_than_its_films_lie_in() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let bucket = "s3://films/h?endpoint=http://127.0.0.1:9000&credentials=/etc/s3";
        let moved = "s3://films/h?credentials=/run/s3&endpoint=http://127.0.0.1:9000";
        state.is_store(Some(bucket)).unwrap();
        state.keep_store(Some(bucket)).unwrap();
        for same in [bucket, moved] {
            state.is_store(Some(same)).unwrap();
        }
        for (other, named) in [
            (
                None,
                "not in its own folder: start it with --store s3://films/h?endpoint=",
            ),
            (
                Some("s3://films/other"),
                "not in s3://films/other: start it with",
            ),
        ] {
            let refused = state.is_store(other).unwrap_err().to_string();
            assert!(refused.contains(named), "{refused}");
            assert!(refused.contains("store.address first"), "{refused}");
            assert!(!refused.contains("/etc/s3"), "{refused}");
        }
        let note = folder.path().join("store.address");
        fs::remove_file(&note).unwrap();
        // A house from before places were noted, and an address that may be mistyped.
        fs::write(folder.path().join("films.json"), "{}").unwrap();
        state.keep_store(Some("s3://typo/h")).unwrap();
        assert!(!note.exists());
        state.is_store(None).unwrap();
        state.keep_store(None).unwrap();
        let refused = state.is_store(Some(bucket)).unwrap_err().to_string();
        assert!(refused.contains("start it without --store"), "{refused}");
    }

    #[test]
    fn a_new_house_signs_everything_that_it_serves() {
        let folder = tempfile::tempdir().unwrap();
        drop(State::open(folder.path()).unwrap());
        for path in ["/v/film/", "/t/film/default.jpg", "/s/film/en.vtt"] {
            assert!(signs(folder.path(), path), "{path}");
        }
    }
}
