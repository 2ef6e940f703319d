//! Speaking to the control plane, as every verb does that needs a running house.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::cli;

/// Where `millrace up` notes the addresses of its house.
pub(crate) const HOUSE_FILE: &str = "house.json";

/// How long an answer may be silent: completing an upload reads the whole film once more.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A server that wants to be asked later is asked after so long, in seconds.
const LONGEST_WAIT_S: u64 = 60;
/// Hosts that are this machine.
const LOOPBACK: [&str; 3] = ["//127.0.0.1", "//localhost", "//[::1]"];

/// The house understood and said no: asking again is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// The house cannot now, and took nothing: it is to be asked again.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Away {
    message: String,
    /// After how long.
    pub(crate) wait: Duration,
}

/// A client of one control plane.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    key: Option<String>,
    /// Where the key was read.
    shown: Option<PathBuf>,
    client: reqwest::Client,
}

impl Api {
    /// Finds the control plane from the options, or from the house in `./.millrace`.
    pub(crate) fn find(options: &cli::Api) -> anyhow::Result<Self> {
        let base = match &options.api {
            Some(base) => {
                is_base(base)?;
                base.clone()
            }
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
        let found = Self::new(&base, key)?;
        Ok(Self {
            shown: options.operator_key.clone(),
            ..found
        })
    }

    /// A client of the control plane at `base`.
    pub(crate) fn new(base: &str, key: Option<String>) -> anyhow::Result<Self> {
        let mut client = runtime::http::client().read_timeout(PATIENCE);
        if LOOPBACK.iter().any(|host| base.contains(host)) {
            // A proxy for the world outside must not be asked for this machine.
            client = client.no_proxy();
        }
        let client = client.build()?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            key,
            shown: None,
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
        self.read(self.send(request).await?).await
    }

    /// Sends a request and, where the control plane points to ingest, sends it there as well. The
    /// key goes along: it is the same house, named by the control plane that we were told to trust.
    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let again = request.try_clone();
        let request = request.build().context("the request cannot be made")?;
        let at = request.url().clone();
        let sent = self.client.execute(request).await;
        let response = sent
            .map_err(reqwest::Error::without_url)
            .with_context(|| self.unreached(&at))?;
        let moved = matches!(response.status().as_u16(), 307 | 308);
        let place = response
            .headers()
            .get("location")
            .and_then(|place| place.to_str().ok());
        match (moved, place, again) {
            (true, Some(place), Some(again)) => {
                let mut request = again.build().context("the request cannot be repeated")?;
                *request.url_mut() = place.parse().context("the house points to no address")?;
                let at = request.url().clone();
                let sent = self.client.execute(request).await;
                sent.map_err(reqwest::Error::without_url)
                    .with_context(|| self.unreached(&at))
            }
            _ => Ok(response),
        }
    }

    /// Says who was not reached: the control plane, or whoever it pointed to. What follows the host may be a secret.
    fn unreached(&self, at: &reqwest::Url) -> String {
        let base = reqwest::Url::parse(&self.base).ok();
        let there = at.origin();
        if base.is_some_and(|base| base.origin() == there) {
            return format!("cannot reach the house at {}; is it up?", self.base);
        }
        let there = there.ascii_serialization();
        format!(
            "cannot reach {there}, where the house at {} has uploads go; is ingest up?",
            self.base
        )
    }

    /// What helps with a status.
    fn hint(&self, status: u16) -> String {
        match (&self.shown, status) {
            (None, 401) => "; name the key's file with --operator-key".to_owned(),
            (Some(file), 401) => format!(
                "; what stands in {} is neither the operator key of {} nor an API key of it",
                file.display(),
                self.base
            ),
            (Some(file), 403) => format!("; that is for the key in {}", file.display()),
            _ => String::new(),
        }
    }

    async fn read(&self, response: Response) -> anyhow::Result<Value> {
        let status = response.status();
        let wait = retry_after(&response);
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
        let text = say("detail").or_else(|| say("title")).unwrap_or("refused");
        let hint = self.hint(status.as_u16());
        let message = format!("{text} ({status}){hint}");
        if status.is_client_error() {
            return Err(Refused(message).into());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(Away { message, wait }.into());
        }
        bail!("{message}")
    }
}

/// When to come again (RFC 9110 §10.2.3), in seconds; a date is not waited for.
fn retry_after(response: &Response) -> Duration {
    let told = response.headers().get("retry-after");
    let told = told.and_then(|told| told.to_str().ok()?.parse().ok());
    Duration::from_secs(told.unwrap_or(1).clamp(1, LONGEST_WAIT_S))
}

/// Refuses what cannot be where a control plane is.
fn is_base(text: &str) -> anyhow::Result<()> {
    let url = reqwest::Url::parse(text).ok();
    let good = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !url.as_ref().is_some_and(good) {
        bail!("--api (MILLRACE_API) must be like https://control.example, not {text:?}");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::routing::post;
    use serde_json::json;

    use super::*;

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        base
    }

    #[tokio::test]
    async fn the_operator_key_goes_along_when_an_upload_is_redirected() {
        let ingest = async |headers: HeaderMap, body: String| {
            let shown = headers
                .get(header::AUTHORIZATION)
                .map(|value| value.to_str().unwrap().to_owned());
            axum::Json(json!({"shown": shown, "body": body}))
        };
        let ingest = serve(Router::new().route("/v1/x", post(ingest))).await;
        let place = format!("{ingest}/v1/x");
        let control = async move || {
            (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, place.clone())],
            )
        };
        let control = serve(Router::new().route("/v1/x", post(control))).await;
        let api = Api::new(&control, Some("a-long-operator-key".to_owned())).unwrap();
        let answer = api
            .json(api.request(Method::POST, "/v1/x").body("film"))
            .await
            .unwrap();
        assert_eq!(
            answer,
            json!({"shown": "Bearer a-long-operator-key", "body": "film"})
        );
    }

    #[tokio::test]
    async fn a_refusal_says_what_the_problem_says_and_an_absent_house_what_to_do() {
        let refuse = async || {
            (
                StatusCode::CONFLICT,
                r#"{"detail": "chunks 3 and 4 are missing"}"#,
            )
        };
        let control = serve(Router::new().route("/v1/x", post(refuse))).await;
        let api = Api::new(&control, None).unwrap();
        let error = api
            .json(api.request(Method::POST, "/v1/x"))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("chunks 3 and 4 are missing"),
            "{error}"
        );
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let api = Api::new(&gone, None).unwrap();
        let error = api
            .json(api.request(Method::POST, "/v1/x"))
            .await
            .unwrap_err();
        let wanted = format!("cannot reach the house at {gone}; is it up?");
        assert_eq!(error.to_string(), wanted);
        // Another place, that it has named before.
        let control = serve(Router::new()).await;
        let api = Api::new(&control, None).unwrap();
        let place = format!("{gone}/v1/videos/upload/1/chunk?index=0&token=5ecret");
        let error = api.json(api.request(Method::PUT, &place)).await;
        let said = crate::told(&error.unwrap_err());
        assert!(
            said.starts_with(&format!(
                "cannot reach {gone}, where the house at {control}"
            )),
            "{said}"
        );
        assert!(!said.contains("5ecret"), "{said}");
    }

    #[tokio::test]
    async fn a_key_that_does_not_count_is_told_by_its_file_and_so_is_an_address_that_is_none() {
        let control = serve(Router::new().route("/v1/x", post(async || StatusCode::UNAUTHORIZED)));
        let control = control.await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "a-key-of-another-house\n").unwrap();
        let ask = async |operator_key: Option<PathBuf>| {
            let api = Some(control.clone());
            let api = Api::find(&cli::Api { api, operator_key }).unwrap();
            api.hint(401)
        };
        assert!(ask(None).await.contains("--operator-key"));
        let said = ask(Some(file.clone())).await;
        assert!(said.contains(&file.display().to_string()), "{said}");
        assert!(said.contains(&control), "{said}");
        assert!(!said.contains("a-key-of-another-house"), "{said}");
        for bad in [
            "control.example",
            "control.example:8080",
            "ftp://control",
            "http://",
        ] {
            let options = cli::Api {
                api: Some(bad.to_owned()),
                operator_key: None,
            };
            let said = Api::find(&options).err().unwrap().to_string();
            assert!(said.contains("https://control.example"), "{bad}: {said}");
        }
    }
}
