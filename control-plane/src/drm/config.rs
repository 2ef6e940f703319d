//! `[drm]`: what protected films are encrypted with, and who gets their keys on what terms.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ::config::{Problems, Span};
use contracts::keys::System;
use serde::{Deserialize, Serialize};

use super::policy::{Hdcp, Rules};
use crate::config::{base, file, span};

/// `[drm]`: content keys, which origins ask for at `/v1/keys/{video}`, and licences, which players ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrmConfig {
    /// File with the key under which content keys are sealed in the catalogue, 64 hexadecimal digits. Whoever has
    /// it and the catalogue has every film; without it no sealed key opens again. Empty: there are no content
    /// keys, and protected films are not served. Default empty.
    pub key_encryption_key: String,
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
    /// The file of the key-encryption key.
    pub key_encryption_key: Option<PathBuf>,
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
}

impl Default for DrmConfig {
    fn default() -> Self {
        Self {
            key_encryption_key: String::new(),
            keys_secret: String::new(),
            systems: Vec::new(),
            license_urls: BTreeMap::new(),
            license_keys: String::new(),
            license_ttl: Span::seconds(300),
            policy: PolicyConfig::default(),
        }
    }
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
    pub(crate) fn check(self, problems: &mut Problems) -> Drm {
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
        span(problems, "drm.license_ttl", self.license_ttl, 5..=300);
        Drm {
            key_encryption_key: file(self.key_encryption_key),
            keys_secret: file(self.keys_secret),
            systems,
            license_urls: self.license_urls,
            license_keys: file(self.license_keys),
            license_ttl: self.license_ttl.0,
            rules: self.policy.check(problems),
        }
    }
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
