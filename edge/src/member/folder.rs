//! What a node keeps of its membership: its key, its certificate, and what the house wishes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use contracts::fleet::{Enrolled, FEED, Origin, Renewed, Settings};
use contracts::id::NodeId;
use rcgen::{CertificateParams, KeyPair};
use runtime::life::Life;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::config::Config;
use crate::gate::Holds;

/// The folder of a node that has joined, or is about to.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// What is known of a node that has joined.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: NodeId,
    pub(super) settings: Settings,
}

/// `node.json`: written last, it says that the rest is there.
#[derive(Serialize, Deserialize)]
struct Mark {
    name: NodeId,
}

impl Folder {
    /// The folder at a path; it is made where there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        made.map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether a node of it has joined.
    ///
    /// # Errors
    /// When nobody can tell: a file is damaged, or cannot be read.
    pub fn has_joined(&self) -> Result<bool, Error> {
        Ok(self.known()?.is_some())
    }

    /// The node, if it has joined.
    pub(super) fn known(&self) -> Result<Option<Known>, Error> {
        let Some(mark) = self.read(MARK)? else {
            return Ok(None);
        };
        let mark: Mark = self.parse(MARK, &mark)?;
        let settings = self.read(SETTINGS)?.unwrap_or_default();
        Ok(Some(Known {
            name: mark.name,
            settings: self.parse(SETTINGS, &settings)?,
        }))
    }

    /// A request for a certificate, with the node's key, which is made where there is none.
    pub(super) fn request(&self) -> Result<String, Error> {
        let no_key = |error: rcgen::Error| Error::Key(error.to_string());
        let key = match self.read(KEY)? {
            Some(pem) => KeyPair::from_pem(&pem)
                .map_err(|_| self.wrong(KEY, "holds no private key in PEM"))?,
            None => {
                let key = KeyPair::generate().map_err(no_key)?;
                self.put(KEY, &key.serialize_pem())?;
                key
            }
        };
        let request = CertificateParams::default().serialize_request(&key);
        let pem = request.and_then(|request| request.pem());
        pem.map_err(no_key)
    }

    /// Keeps what the node was given when it joined.
    pub(super) fn keep(&self, enrolled: &Enrolled) -> Result<(), Error> {
        self.put(AUTHORITY, &enrolled.authority)?;
        self.put(CERTIFICATE, &enrolled.certificate)?;
        self.keep_settings(&enrolled.settings)?;
        let mark = Mark {
            name: enrolled.name.clone(),
        };
        self.put(MARK, &json(&mark))
    }

    /// Keeps another certificate in place of the one before.
    pub(super) fn keep_certificate(&self, renewed: &Renewed) -> Result<(), Error> {
        self.put(CERTIFICATE, &renewed.certificate)
    }

    /// Keeps other settings in place of those before.
    pub(super) fn keep_settings(&self, settings: &Settings) -> Result<(), Error> {
        self.put(KEYRING, &settings.keyring)?;
        self.put(TRUST, &settings.parents_trust)?;
        self.put(SETTINGS, &json(settings))
    }

    /// How long the node's certificate lasts.
    pub(super) fn life(&self) -> Option<Life> {
        Life::of_pem(&self.read(CERTIFICATE).ok()??)
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.0.join(AUTHORITY)
    }

    /// Certificate chain and key.
    pub(super) fn identity(&self) -> (PathBuf, PathBuf) {
        (self.0.join(CERTIFICATE), self.0.join(KEY))
    }

    /// Puts what the house wishes into a configuration, and leaves the rest as the node's operator has written it.
    ///
    /// # Errors
    /// When the node has not joined.
    pub fn adapt(&self, config: &mut Config) -> Result<(), Error> {
        let known = self.known()?;
        let Known { name, settings } = known.ok_or_else(|| Error::NoNode(self.0.clone()))?;
        name.as_str().clone_into(&mut config.name);
        config.zone = settings.zone;
        config.parents = settings.parents.iter().map(with_port).collect();
        config.keyring_file = self.0.join(KEYRING);
        config.keys = Holds::PublicOnly;
        config.public_without_token = settings.public_without_token;
        (config.upstream.certificate, config.upstream.key) = self.identity();
        if is_none(&config.upstream.ca_file) && !settings.parents_trust.is_empty() {
            config.upstream.ca_file = self.0.join(TRUST);
        }
        config.feed.from = format!("{}{FEED}", settings.control);
        config.feed.ca_file = self.authority();
        Self::prepare(&self.0, config);
        if config.fill.fallbacks.is_empty() {
            let fallbacks = settings.fallbacks.iter().map(ToString::to_string);
            config.fill.fallbacks = fallbacks.collect();
        }
        Ok(())
    }

    /// Puts in what a folder at this path gives whether or not the node has joined.
    pub fn prepare(path: &Path, config: &mut Config) {
        if is_none(&config.feed.state_file) {
            config.feed.state_file = path.join(ORDERS);
        }
    }

    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, name: &str, text: &str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|_| self.wrong(name, "is damaged"))
    }

    fn wrong(&self, name: &str, what: &'static str) -> Error {
        Error::Content {
            path: self.0.join(name),
            what,
        }
    }

    /// Writes a file that only the node may read, whole or not at all.
    fn put(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.0.join(name);
        let put = || -> io::Result<()> {
            let draft = self.0.join(format!(".{name}"));
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.0)?.sync_all()
        };
        put().map_err(|source| Error::File {
            path: path.clone(),
            source,
        })
    }
}

/// A base URL with its port, as parents are written.
fn with_port(origin: &Origin) -> String {
    let uri: Option<http::Uri> = origin.as_str().parse().ok();
    match uri.and_then(|uri| uri.port_u16()) {
        Some(_) => origin.to_string(),
        None => format!("{origin}:{}", if origin.is_secure() { 443 } else { 80 }),
    }
}

fn is_none(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn json<T: Serialize>(value: &T) -> String {
    // Texts under names that are fixed: there is nothing that could fail.
    serde_json::to_string(value).unwrap_or_default()
}

const MARK: &str = "node.json";
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const AUTHORITY: &str = "authority.pem";
const SETTINGS: &str = "settings.json";
const KEYRING: &str = "keyring.json";
/// Authorities of the parents' certificates.
const TRUST: &str = "parents.pem";
/// Orders of the feed that were applied.
const ORDERS: &str = "orders";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings() -> Settings {
        let origin = |text| Origin::parse(text).unwrap();
        Settings {
            version: String::new(),
            control: origin("https://control.example:7300"),
            parents: vec![
                origin("https://shield.example"),
                origin("http://[2001:db8::1]:9001"),
            ],
            parents_trust: String::new(),
            zone: "film-zone".to_owned(),
            keyring: r#"{"keyring":[]}"#.to_owned(),
            fallbacks: vec![origin("https://edge.example")],
            public_without_token: true,
        }
        .sealed()
    }

    fn joined(folder: &Folder) {
        folder.request().unwrap();
        let enrolled = Enrolled {
            name: NodeId::parse("isp-1").unwrap(),
            certificate: "certificate".to_owned(),
            authority: "authority".to_owned(),
            settings: settings(),
        };
        folder.keep(&enrolled).unwrap();
    }

    #[test]
    fn the_key_is_made_once_and_nobody_else_may_read_anything() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("a/node")).unwrap();
        assert!(folder.known().unwrap().is_none());
        joined(&folder);
        let key = folder.read(KEY).unwrap();
        folder.request().unwrap();
        assert_eq!(folder.read(KEY).unwrap(), key);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(mode(&file.path()), 0o600, "{:?}", file.path());
            assert!(
                !file.file_name().to_string_lossy().starts_with('.'),
                "a draft is left"
            );
        }
    }

    #[test]
    fn what_the_house_wishes_counts_and_the_rest_is_the_operators() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut config = Config::default();
        assert!(matches!(folder.adapt(&mut config), Err(Error::NoNode(_))));
        joined(&folder);
        config.listen.https = "0.0.0.0:443".to_owned();
        config.fill.hours = vec!["01:00-07:00".to_owned()];
        folder.adapt(&mut config).unwrap();
        assert_eq!(
            (config.name.as_str(), config.zone.as_str()),
            ("isp-1", "film-zone")
        );
        assert_eq!(
            config.parents,
            ["https://shield.example:443", "http://[2001:db8::1]:9001"]
        );
        assert_eq!(config.keys, Holds::PublicOnly);
        assert_eq!(
            config.feed.from,
            "https://control.example:7300/v1/fleet/feed"
        );
        assert_eq!(config.fill.fallbacks, ["https://edge.example"]);
        assert!(config.public_without_token && config.upstream.ca_file.as_os_str().is_empty());
        assert_eq!(config.listen.https, "0.0.0.0:443");
        assert!(config.check().is_ok());
        let trusting = Settings {
            parents_trust: "an authority".to_owned(),
            ..settings()
        };
        folder.keep_settings(&trusting).unwrap();
        let mut config = Config::default();
        config.fill.fallbacks = vec!["https://other.example".to_owned()];
        folder.adapt(&mut config).unwrap();
        assert_eq!(
            config.fill.fallbacks,
            ["https://other.example"],
            "the operator's count"
        );
        assert_eq!(
            fs::read_to_string(config.upstream.ca_file).unwrap(),
            "an authority"
        );
    }

    #[test]
    fn a_damaged_file_is_named_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        joined(&folder);
        for name in [SETTINGS, KEY] {
            fs::write(dir.path().join(name), "5ecret").unwrap();
        }
        for error in [folder.known().unwrap_err(), folder.request().unwrap_err()] {
            let said = error.to_string();
            assert!(said.contains(".json") || said.contains("key.pem"), "{said}");
            assert!(!said.contains("5ecret"), "{said}");
        }
    }
}
