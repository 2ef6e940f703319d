//! `millrace remove`: a film is taken away.

use std::process::ExitCode;

use reqwest::Method;

use crate::api::Api;
use crate::cli;

pub(crate) async fn run(options: &cli::Remove) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let path = format!("/v1/videos/{}", options.video);
    let removed = api.json(api.request(Method::DELETE, &path)).await?;
    say!("{removed}");
    Ok(ExitCode::SUCCESS)
}
