//! `millrace check`: the gate's verdict on one request target.

use std::process::ExitCode;

use contracts::time::UnixSeconds;
use contracts::token::{Request, verify};
use runtime::clock::{Clock as _, System};
use serde_json::json;

use crate::{USAGE, cli, sign};
pub(crate) fn run(options: &cli::Check) -> anyhow::Result<ExitCode> {
    let ring = match sign::keyring(&options.keys) {
        Ok(ring) => ring,
        Err(error) => {
            // Not 1, which says that the request is refused.
            eprintln!("error: {}", crate::told(&error));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let now = options.now.map_or_else(|| System.now(), UnixSeconds);
    let request = Request {
        client_ip: options.client_ip,
        country: options.country.as_deref(),
        ..Request::new(&options.target, now)
    };
    let (answer, code) = match verify(&ring, &request) {
        Ok(accepted) => (
            json!({
                "verdict": "accept",
                "reason": null,
                "path": accepted.path,
                "cache_key": accepted.cache_key,
            }),
            ExitCode::SUCCESS,
        ),
        Err(reason) => (
            json!({"verdict": "reject", "reason": reason.code(), "path": null, "cache_key": null}),
            ExitCode::FAILURE,
        ),
    };
    say!("{answer}");
    Ok(code)
}
