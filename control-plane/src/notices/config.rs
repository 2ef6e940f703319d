//! `[events]`: who is told what becomes of films.

use std::path::PathBuf;

use ::config::Problems;
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// `[events]`: who is told what becomes of films.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Where events of films are posted, such as `https://cms.example/millrace`: each once at least, in their order.
    /// Empty: nowhere. Default empty.
    pub webhook: String,
    /// File with the secret that they are signed with: 24 to 64 bytes in base64, `whsec_` before them or not. Needed
    /// with `webhook`. Default empty.
    pub webhook_secret: String,
}

/// Where events are posted, and the file of the secret that they are signed with.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where; it may tell a secret.
    pub url: Url,
    /// The file.
    pub secret: PathBuf,
}

impl EventsConfig {
    /// Checks it; faults are added to `problems`.
    pub(crate) fn check(self, problems: &mut Problems) -> Option<Webhook> {
        if self.webhook.is_empty() {
            return None;
        }
        if self.webhook_secret.is_empty() {
            problems.add("events.webhook_secret", "needed with `events.webhook`");
        }
        let url = Url::parse(&self.webhook).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            problems.add(
                "events.webhook",
                "is not like \"https://cms.example/millrace\"",
            );
            return None;
        };
        Some(Webhook {
            url,
            secret: self.webhook_secret.into(),
        })
    }
}
