//! `millrace retry`: a film that could not be made is tried once more.

use std::process::ExitCode;

use reqwest::Method;

use crate::api::Api;
use crate::cli;

pub(crate) async fn run(options: &cli::Retry) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let path = format!("/v1/videos/{}/retry", options.video);
    let queued = api.json(api.request(Method::POST, &path)).await?;
    say!("{queued}");
    Ok(ExitCode::SUCCESS)
}
