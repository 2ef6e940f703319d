//! `cargo xtask test`: every test of the project.

use anyhow::Result;

use crate::run::{command, root, run as must};
use crate::setup;

pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    setup::everything()?;
    eprintln!("\n== the web page's tests ==");
    must(command("npm test --silent").current_dir(root().join("web")))?;
    eprintln!("\n== doc tests ==");
    must(&mut command("cargo test --workspace --doc --quiet"))?;
    eprintln!("\n== all other tests ==");
    // The scenarios start the built program; building it first keeps compile time out of them.
    must(&mut command("cargo build --package millrace"))?;
    must(&mut command(&format!(
        "cargo nextest run --workspace {}",
        filter.unwrap_or_default()
    )))
}
