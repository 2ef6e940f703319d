//! Telling the operator's webhook what becomes of films, as Standard Webhooks 1.0 has it: each event once at least, in
//! their order, by one control plane at a time.
//!
//! How far it was told stands in the catalogue, and moves once the webhook has said that it took an event. Who dies in
//! between tells it again: its number is the same.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::events::Event;
use contracts::time::UnixSeconds;
use hmac::{Hmac, KeyInit as _, Mac as _};
use runtime::http::causes;
use runtime::secret::{Secret, Unusable};
use runtime::shutdown::Shutdown;
use sha2::Sha256;

use super::Notice;
use super::config::Webhook;
use crate::app::App;
use crate::error::Error;

/// A webhook, and what it takes to reach it.
pub(crate) struct Hook {
    webhook: Webhook,
    key: Hmac<Sha256>,
    client: reqwest::Client,
    /// Which control plane this is.
    holder: String,
}

/// What came of an attempt to tell the next event.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// There is none, or another control plane tells it.
    Idle,
    /// It needs not be told any more.
    Done,
    /// The webhook did not take it.
    Refused,
}

impl Hook {
    /// Reads the secret of the webhook that the settings name.
    pub(crate) fn load(webhook: &Webhook) -> Result<Self, Error> {
        let key = key(webhook)?;
        Ok(Self {
            webhook: webhook.clone(),
            key,
            client: runtime::http::client().timeout(PATIENCE).build()?,
            holder: format!("{:016x}", getrandom::u64()?),
        })
    }

    /// Whether the secret can be used.
    pub(crate) fn inspect(webhook: &Webhook) -> Result<(), Unusable> {
        key(webhook).map(drop)
    }

    /// Tells events until shutdown.
    pub(crate) async fn follow(self, app: Arc<App>, mut shutdown: Shutdown) {
        let mut refused = 0_u32;
        loop {
            let outcome = tokio::select! {
                () = shutdown.requested() => break,
                outcome = self.step(&app) => outcome,
            };
            let wait = match outcome {
                Ok(Outcome::Done) => {
                    refused = 0;
                    continue;
                }
                Ok(Outcome::Idle) => LOOK,
                Ok(Outcome::Refused) => {
                    refused = refused.saturating_add(1);
                    LONGEST.min(FIRST * 2_u32.saturating_pow(refused - 1))
                }
                Err(error) => {
                    tracing::warn!("events are told later: {error}");
                    LOOK
                }
            };
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        // Another may go on at once; should this fail, when the lease ends.
        let now = app.clock.now();
        let _ = app.catalog.events.take(&self.holder, now, now).await;
    }

    async fn step(&self, app: &App) -> Result<Outcome, catalog::Error> {
        let (events, now) = (&app.catalog.events, app.clock.now());
        let Some(told) = events.take(&self.holder, now, now.plus(LEASE_S)).await? else {
            return Ok(Outcome::Idle);
        };
        let Some(event) = events.after(told, None, 1, now).await?.pop() else {
            return Ok(Outcome::Idle);
        };
        let id = event.id;
        if event.at.plus(KEPT_S) < now {
            let limit = UnixSeconds(now.0.saturating_sub(KEPT_S));
            let passed = events.pass_over(&self.holder, limit).await?;
            tracing::warn!(
                passed,
                "{passed} events are too old to be told to the webhook; GET /v1/events has them"
            );
            app.metrics
                .told
                .with_label_values(&["passed"])
                .inc_by(passed);
            return Ok(Outcome::Done);
        }
        if let Err(fault) = self.post(event, now).await {
            app.metrics.told.with_label_values(&["refused"]).inc();
            tracing::warn!(
                event.id = id,
                "the webhook did not take event {id}, which is tried again: {fault}"
            );
            return Ok(Outcome::Refused);
        }
        app.metrics.told.with_label_values(&["taken"]).inc();
        events.told(&self.holder, id).await?;
        Ok(Outcome::Done)
    }

    /// Posts an event; what is said does not name the address, which may tell a secret.
    async fn post(&self, event: Event, now: UnixSeconds) -> Result<(), String> {
        let id = event.id.to_string();
        let body =
            serde_json::to_string(&Notice::from(event)).map_err(|error| error.to_string())?;
        let request = self
            .client
            .post(self.webhook.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", now.0.to_string())
            .header("webhook-signature", signature(&self.key, &id, now, &body))
            .body(body);
        let answer = request.send().await;
        let status = answer
            .map_err(|error| causes(&error.without_url()))?
            .status();
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("it answered {}", status.as_u16())),
        }
    }
}

fn key(webhook: &Webhook) -> Result<Hmac<Sha256>, Unusable> {
    let secret = Secret::read(&webhook.secret, 1)?;
    let text = secret.as_str();
    let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text));
    let key = key.ok().filter(|key| (24..=64).contains(&key.len()));
    let key = key.and_then(|key| Hmac::new_from_slice(&key).ok());
    key.ok_or_else(|| {
        let rule = "a webhook's secret is 24 to 64 bytes in base64";
        Unusable::new(&webhook.secret, rule)
    })
}

fn signature(key: &Hmac<Sha256>, id: &str, now: UnixSeconds, body: &str) -> String {
    let mut mac = key.clone();
    mac.update(format!("{id}.{}.{body}", now.0).as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// How often is looked for events.
const LOOK: Duration = Duration::from_secs(2);
/// How long the webhook may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// For how long a control plane that tells events is not relieved, in seconds: more than it takes to tell one.
const LEASE_S: u64 = 60;
/// The first pause after an event was not taken; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// How long it is tried to tell an event, in seconds: three days.
const KEPT_S: u64 = 3 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_signed_as_standard_webhooks_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let webhook = Webhook {
            url: "https://cms.example/".parse().unwrap(),
            secret: path.clone(),
        };
        // The example that the libraries of Standard Webhooks are tested with.
        let signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        for secret in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            std::fs::write(&path, secret).unwrap();
            let key = key(&webhook).unwrap();
            let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
            assert_eq!(
                signature(&key, id, UnixSeconds(1_614_265_330), body),
                signed
            );
        }
        for unusable in [
            "",
            "whsec_short",
            "whsec_AAAA",
            "not base64 at all, but long enough for it",
        ] {
            std::fs::write(&path, unusable).unwrap();
            assert!(Hook::inspect(&webhook).is_err(), "{unusable}");
        }
    }
}
