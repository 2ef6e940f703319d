//! `millrace feed`: the feed of orders begins anew.

use std::process::ExitCode;

use reqwest::Method;

use crate::api::Api;
use crate::cli;

pub(crate) async fn renew(options: &cli::Api) -> anyhow::Result<ExitCode> {
    let api = Api::find(options)?;
    let renewed = api.json(api.request(Method::POST, "/v1/fleet/feed/renew"));
    say!("{}", renewed.await?);
    Ok(ExitCode::SUCCESS)
}
