//! `cargo xtask up`: set up, build, and hand over to `millrace up`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::run;
use crate::setup;

fn start(rest: &[String]) -> Result<std::convert::Infallible> {
    setup::house()?;
    eprintln!("building millrace (the first time this takes some minutes) …");
    run::run(&mut run::command(
        "cargo build --release --package millrace",
    ))?;
    let program = run::target().join("release/millrace");
    let mut up = Command::new(&program);
    up.arg("up")
        .arg("--web")
        .arg(run::root().join("web/dist"))
        .args(rest);
    // The paths that the user gave are relative to where the user stands.
    Err(up.exec()).with_context(|| format!("cannot start {}", program.display()))
}

pub(crate) fn run(rest: &[String]) -> ExitCode {
    match start(rest) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
