//! Speaking to the control plane, as every verb does that needs a running house.

use std::path::Path;

use anyhow::{Context as _, bail};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::cli;

/// Where `millrace up` notes the addresses of its house.
pub(crate) const HOUSE_FILE: &str = "house.json";

/// A client of one control plane.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    key: Option<String>,
    client: reqwest::Client,
}

impl Api {
    /// Finds the control plane from the options, or from the house in `./.millrace`.
    pub(crate) fn find(options: &cli::Api) -> anyhow::Result<Self> {
        let base = match &options.api {
            Some(base) => base.clone(),
            None => from_house(Path::new(".millrace"))?,
        };
        let key = options
            .operator_key
            .as_deref()
            .map(|path| {
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the operator key {}", path.display()))
            })
            .transpose()?
            .map(|text| text.trim().to_owned());
        Self::new(&base, key)
    }

    /// A client of the control plane at `base`.
    pub(crate) fn new(base: &str, key: Option<String>) -> anyhow::Result<Self> {
        // An upload is redirected from the control plane to ingest.
        let client = runtime::http::client()
            .redirect(reqwest::redirect::Policy::limited(4))
            .build()?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            key,
            client,
        })
    }

    /// A request to a path of the API, or to an absolute URL that the API named.
    pub(crate) fn request(&self, method: Method, place: &str) -> RequestBuilder {
        let url = if place.starts_with('/') {
            format!("{}{place}", self.base)
        } else {
            place.to_owned()
        };
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// What an address answers, as text.
    pub(crate) async fn text(&self, url: &str) -> anyhow::Result<String> {
        let response = self.client.get(url).send().await?.error_for_status()?;
        Ok(response.text().await?)
    }

    /// Sends a request and reads its JSON; a problem becomes an error that says what it says.
    pub(crate) async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = request.send().await.with_context(|| {
            format!(
                "cannot reach the control plane at {}; is the house up?",
                self.base
            )
        })?;
        read(response).await
    }
}

async fn read(response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let body = response.bytes().await.context("the answer was cut off")?;
    if status.is_success() && body.is_empty() {
        return Ok(Value::Null);
    }
    let value: Value = serde_json::from_slice(&body)
        .with_context(|| format!("the answer ({status}) is not JSON"))?;
    if status.is_success() {
        return Ok(value);
    }
    let say = |name: &str| value.get(name).and_then(Value::as_str);
    match say("detail").or_else(|| say("title")) {
        Some(text) => bail!("{text} ({status})"),
        None => bail!("refused: {status}"),
    }
}

fn from_house(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join(HOUSE_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "no house in {}; start one with `millrace up`, or name one with --api URL",
            dir.display()
        )
    })?;
    let house: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; start the house again", path.display()))?;
    let base = house.get("api").and_then(Value::as_str);
    Ok(base
        .with_context(|| format!("{} names no api", path.display()))?
        .to_owned())
}
