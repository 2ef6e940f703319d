//! `[drm]`: what protected films are encrypted with, and who gets their keys on what terms.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ::config::{Problems, Span};
use contracts::keys::System;
use serde::{Deserialize, Deserializer, Serialize};

use super::policy::{Hdcp, Rules};
use crate::config::{base, file, span};

/// `[drm]`: content keys, which origins ask for at `/v1/keys/{video}`, and licences, which players ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrmConfig {
    /// File with the key under which content keys are sealed in the catalogue, 64 hexadecimal digits, or several
    /// files: the first seals, all open. Whoever has it and the catalogue has every film; without it no sealed key
    /// opens again. Empty: there are no content keys, and protected films are not served. Default empty.
    #[serde(deserialize_with = "one_or_several")]
    pub key_encryption_key: Vec<String>,
    /// File with the key that the keys of other packagers' content follow from, 64 hexadecimal digits. Empty: the
    /// last key of `key_encryption_key`. Default empty.
    pub speke_key: String,
    /// File with the credential that origins show in `millrace-hop`. Needed with `key_encryption_key`. Default
    /// empty.
    pub keys_secret: String,
    /// Which systems may give the keys to players: `identity` (whoever may fetch the segments gets the key too),
    /// `clearkey`, `widevine`, `playready`, `fairplay`. Needed with `key_encryption_key`. Default none.
    pub systems: Vec<System>,
    /// Where players ask for licences, by system, when it is not here; manifests say so where the system's way is
    /// to say it. Default none.
    pub license_urls: BTreeMap<System, String>,
    /// File with the keys of licence tokens: a JSON Web Key Set (RFC 7517) of `oct` keys (HS256) and Ed25519 keys
    /// with their private part (EdDSA). The first signs, all verify. Empty: an HS256 key that follows from
    /// `key_encryption_key`. Default empty.
    pub license_keys: String,
    /// How long a licence token is good, 5 s to 5 m. Default `5m`.
    pub license_ttl: Span,
    /// On what terms players get keys.
    pub policy: PolicyConfig,
    /// Who gives Widevine licences.
    pub widevine: VendorConfig,
    /// Who gives PlayReady licences.
    pub playready: VendorConfig,
    /// Who gives FairPlay licences.
    pub fairplay: VendorConfig,
}

/// `[drm.widevine]`, `[drm.playready]`, `[drm.fairplay]`: a vendor's licence service, to which challenges of players
/// are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VendorConfig {
    /// Where it is, `https://…`; a query is kept. Empty: there is none. Default empty.
    pub url: String,
    /// How it is told what the player may have. Default `none`.
    pub adapter: Adapter,
    /// The header, or the member of the query, that tells it. Empty: as the adapter's vendor has it. Needed for
    /// `header` and `query`. Default empty.
    pub name: String,
    /// Who we are: the communication key's id (`axinom`), the merchant (`custom-data`). Default empty.
    pub key_id: String,
    /// File with what is shown: the communication key in base64 (`axinom`), the value (`header`, `query`). Default
    /// empty.
    pub secret_file: String,
    /// Where players fetch the certificate for their challenges (`fairplay`). Empty: they have it. Default empty.
    pub certificate_url: String,
}

/// How a vendor's licence service is told what a player may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adapter {
    /// Not at all: whoever reaches it gets licences.
    #[default]
    None,
    /// An entitlement message as Axinom has it, a JWT in `X-AxDRM-Message`.
    Axinom,
    /// Base64 of JSON with merchant, session and film, as DRMtoday has it, in `x-dt-custom-data`.
    CustomData,
    /// A fixed value in a header.
    Header,
    /// A fixed value in the query.
    Query,
}

/// [`VendorConfig`], checked.
#[derive(Clone, Debug)]
pub(crate) struct Vendor {
    pub(crate) url: String,
    pub(crate) adapter: Adapter,
    pub(crate) name: String,
    pub(crate) key_id: String,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) certificate_url: Option<String>,
}

/// `[drm.policy]`: on what terms players get keys. A licence token says them, and vendors' licences are asked for
/// with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Whether players may keep licences. Default no.
    pub persist: bool,
    /// How long a kept licence waits for its first play, up to 365 d; 0: without end. Default `0s`.
    pub rental: Span,
    /// How long a licence plays once the film has begun, up to 365 d; 0: without end. Default `0s`.
    pub playback: Span,
    /// How robust the player's content decryption must be, in the words of its system (`HW_SECURE_ALL`, `3000`).
    /// At most 64 characters. Empty: as the vendor has it. Default empty.
    pub robustness: String,
    /// The least HDCP of the way to the screen, by class of pictures.
    pub hdcp: HdcpConfig,
}

/// `[drm.policy.hdcp]`: `1.0` to `2.3`; empty: none is asked for. A device that does not say that it has it gets
/// no key for such pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HdcpConfig {
    /// For pictures whose shorter side is up to 576. Default empty.
    pub sd: String,
    /// For pictures above that, up to 1080. Default empty.
    pub hd: String,
    /// For pictures above that. Default empty.
    pub uhd: String,
}

/// [`DrmConfig`], checked.
#[derive(Clone, Debug)]
pub struct Drm {
    /// The files of the key-encryption keys.
    pub key_encryption_keys: Vec<PathBuf>,
    /// The file of the key that keys of other packagers' content follow from.
    pub speke_key: Option<PathBuf>,
    /// The file of the credential that origins show.
    pub keys_secret: Option<PathBuf>,
    /// Which systems may give the keys to players.
    pub systems: Vec<System>,
    /// Where players ask for licences.
    pub license_urls: BTreeMap<System, String>,
    /// The file of the keys of licence tokens.
    pub license_keys: Option<PathBuf>,
    /// How long a licence token is good.
    pub license_ttl: Duration,
    /// On what terms players get keys.
    pub(crate) rules: Rules,
    /// To whom challenges are passed on.
    pub(crate) vendors: BTreeMap<System, Vendor>,
}

impl Default for DrmConfig {
    fn default() -> Self {
        Self {
            key_encryption_key: Vec::new(),
            speke_key: String::new(),
            keys_secret: String::new(),
            systems: Vec::new(),
            license_urls: BTreeMap::new(),
            license_keys: String::new(),
            license_ttl: Span::seconds(300),
            policy: PolicyConfig::default(),
            widevine: VendorConfig::default(),
            playready: VendorConfig::default(),
            fairplay: VendorConfig::default(),
        }
    }
}

/// A text, or a list of texts.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Said::deserialize(deserializer)? {
        Said::One(path) => vec![path],
        Said::Several(paths) => paths,
    })
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            persist: false,
            rental: Span::seconds(0),
            playback: Span::seconds(0),
            robustness: String::new(),
            hdcp: HdcpConfig::default(),
        }
    }
}

impl DrmConfig {
    pub(crate) fn check(mut self, problems: &mut Problems) -> Drm {
        self.key_encryption_key.retain(|path| !path.is_empty());
        if self.key_encryption_key.is_empty() != self.keys_secret.is_empty() {
            problems.add(
                "drm.keys_secret",
                "and `drm.key_encryption_key` belong together: give both or none",
            );
        }
        let mut systems = self.systems;
        if systems.is_empty() && !self.key_encryption_key.is_empty() {
            problems.add("drm.systems", "must name a system: identity, clearkey, …");
        }
        systems.sort_unstable();
        systems.dedup();
        for (system, url) in &self.license_urls {
            if !systems.contains(system) {
                problems.add(
                    "drm.license_urls",
                    "names a system that is not in `drm.systems`",
                );
            }
            base(problems, "drm.license_urls", url);
        }
        let mut vendors = BTreeMap::new();
        for (system, vendor) in [
            (System::Widevine, self.widevine),
            (System::PlayReady, self.playready),
            (System::FairPlay, self.fairplay),
        ] {
            let key = format!("drm.{}", system.as_str());
            let vendor = vendor.check(&key, problems);
            if vendor.is_some() && !systems.contains(&system) {
                problems.add(&key, "is of a system that is not in `drm.systems`");
            }
            vendors.extend(vendor.map(|vendor| (system, vendor)));
        }
        span(problems, "drm.license_ttl", self.license_ttl, 5..=300);
        Drm {
            key_encryption_keys: self
                .key_encryption_key
                .into_iter()
                .map(Into::into)
                .collect(),
            speke_key: file(self.speke_key),
            keys_secret: file(self.keys_secret),
            systems,
            license_urls: self.license_urls,
            license_keys: file(self.license_keys),
            license_ttl: self.license_ttl.0,
            rules: self.policy.check(problems),
            vendors,
        }
    }
}

impl VendorConfig {
    fn check(self, key: &str, problems: &mut Problems) -> Option<Vendor> {
        if self.url.is_empty() {
            if self != Self::default() {
                problems.add(&format!("{key}.url"), "must be given with the others");
            }
            return None;
        }
        let known = match self.adapter {
            Adapter::Axinom => "X-AxDRM-Message",
            Adapter::CustomData => "x-dt-custom-data",
            Adapter::None | Adapter::Header | Adapter::Query => "",
        };
        let name = Some(self.name).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| known.to_owned());
        let certificate = Some(self.certificate_url).filter(|url| !url.is_empty());
        let says_who = matches!(self.adapter, Adapter::Axinom | Adapter::CustomData);
        let shows = !matches!(self.adapter, Adapter::None | Adapter::CustomData);
        let url = "is not like \"https://vendor.example/license\"";
        let needed = "is needed with this adapter";
        let rules = [
            ("url", is_url(&self.url), url),
            (
                "name",
                self.adapter == Adapter::None || is_word(&name),
                "must be letters, digits, - and _",
            ),
            ("key_id", !(says_who && self.key_id.is_empty()), needed),
            (
                "secret_file",
                !(shows && self.secret_file.is_empty()),
                needed,
            ),
            (
                "certificate_url",
                certificate.as_deref().is_none_or(is_url),
                url,
            ),
        ];
        for (member, _, rule) in rules.iter().filter(|(_, holds, _)| !holds) {
            problems.add(&format!("{key}.{member}"), *rule);
        }
        Some(Vendor {
            url: self.url,
            adapter: self.adapter,
            name,
            key_id: self.key_id,
            secret_file: file(self.secret_file),
            certificate_url: certificate,
        })
    }
}

fn is_word(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !text.is_empty() && text.bytes().all(letter)
}

/// An address that may have a query.
fn is_url(url: &str) -> bool {
    let https = url.strip_prefix("https://");
    let authority = https.or_else(|| url.strip_prefix("http://"));
    authority.is_some_and(|rest| {
        rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
            && !rest.contains(['#', '@', '"', '\\'])
    })
}

impl PolicyConfig {
    fn check(self, problems: &mut Problems) -> Rules {
        span(problems, "drm.policy.rental", self.rental, 0..=YEAR);
        span(problems, "drm.policy.playback", self.playback, 0..=YEAR);
        let words = self.robustness.bytes();
        if self.robustness.len() > 64 || !{ words }.all(|byte| byte.is_ascii_graphic()) {
            problems.add(
                "drm.policy.robustness",
                "must be a word of at most 64 characters",
            );
        }
        let mut hdcp = |class: &str, text: &str| {
            let key = format!("drm.policy.hdcp.{class}");
            (!text.is_empty())
                .then(|| problems.take(&key, text.parse::<Hdcp>()))
                .flatten()
        };
        let seconds = |span: Span| Some(span.0.as_secs()).filter(|seconds| *seconds > 0);
        Rules {
            persist: self.persist,
            rental_s: seconds(self.rental),
            playback_s: seconds(self.playback),
            hdcp_sd: hdcp("sd", &self.hdcp.sd),
            hdcp_hd: hdcp("hd", &self.hdcp.hd),
            hdcp_uhd: hdcp("uhd", &self.hdcp.uhd),
            robustness: Some(self.robustness).filter(|word| !word.is_empty()),
        }
    }
}

/// In seconds.
const YEAR: u64 = 365 * 86_400;
