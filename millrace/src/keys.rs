//! `millrace keys`: keys are replaced, those of a film or the one that all are sealed with.

use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli::{self, Keys};

pub(crate) async fn run(verb: &Keys) -> anyhow::Result<ExitCode> {
    match verb {
        Keys::Rotate(options) => rotate(options).await,
        Keys::Reseal(options) => reseal(&Api::find(options)?).await,
    }
}

async fn rotate(options: &cli::Rotate) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let path = format!("/v1/videos/{}/keys/rotate", options.video);
    let wish = match options.grace {
        Some(grace) => json!({ "grace_s": grace.0.as_secs() }),
        None => json!({}),
    };
    let rotated = api.json(api.request(Method::POST, &path).json(&wish));
    say!("{}", rotated.await?);
    Ok(ExitCode::SUCCESS)
}

/// Passes over all films until a pass finds none that another key sealed: others may have been added meanwhile.
async fn reseal(api: &Api) -> anyhow::Result<ExitCode> {
    let mut total = 0;
    loop {
        let (resealed, shut) = pass(api).await?;
        total += resealed;
        if resealed > 0 {
            continue;
        }
        say!("{}", json!({ "resealed": total, "shut": shut }));
        return Ok(match shut.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
}

/// How many films' keys were sealed anew, and which open with no key.
async fn pass(api: &Api) -> anyhow::Result<(u64, Vec<Value>)> {
    let (mut resealed, mut shut, mut wish) = (0, Vec::new(), json!({}));
    loop {
        let asked = api.request(Method::POST, "/v1/vault/reseal").json(&wish);
        let answer = api.json(asked).await?;
        let count = answer.get("resealed").and_then(Value::as_u64);
        resealed += count.context("the house does not say how many")?;
        let closed = answer.get("shut").and_then(Value::as_array);
        shut.extend(closed.into_iter().flatten().cloned());
        match answer.get("next") {
            Some(next) => wish = json!({ "after": next }),
            None => return Ok((resealed, shut)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::routing::post;
    use axum::{Json, Router};

    use super::*;

    /// A house in which the films that another key sealed are of these kinds; each answer is about two of them.
    async fn house(films: &[(&'static str, bool)]) -> Api {
        let left = Arc::new(Mutex::new(films.to_vec()));
        let answer = async move |Json(wish): Json<Value>| {
            let mut left = left.lock().unwrap();
            let after = wish["after"].as_str().unwrap_or_default();
            let beyond = left.iter().filter(|(film, _)| *film > after);
            let page: Vec<_> = beyond.take(2).copied().collect();
            left.retain(|film| !page.contains(film) || !film.1);
            let shut: Vec<_> = page.iter().filter(|film| !film.1).collect();
            let shut: Vec<_> = shut.iter().map(|film| film.0).collect();
            let mut told = json!({"resealed": page.len() - shut.len(), "shut": shut});
            if page.len() == 2 {
                told["next"] = page[1].0.into();
            }
            Json(told)
        };
        let router = Router::new().route("/v1/vault/reseal", post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Api::new(&base, None).unwrap()
    }

    #[tokio::test]
    async fn everything_is_sealed_anew_and_what_does_not_open_is_named_once() {
        let films = [
            ("a", true),
            ("b", false),
            ("c", true),
            ("d", true),
            ("e", true),
        ];
        let api = house(&films).await;
        assert_eq!(pass(&api).await.unwrap(), (4, vec![json!("b")]));
        assert_eq!(pass(&api).await.unwrap(), (0, vec![json!("b")]));
        assert_eq!(reseal(&api).await.unwrap(), ExitCode::FAILURE);
        let api = house(&[("a", true)]).await;
        assert_eq!(reseal(&api).await.unwrap(), ExitCode::SUCCESS);
    }
}
