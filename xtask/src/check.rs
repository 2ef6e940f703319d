//! `cargo xtask check`: what must hold before a change lands.

use anyhow::{Result, bail};

use crate::run::{answers, command, root, run as must};
use crate::setup;

pub(crate) fn run() -> Result<()> {
    setup::everything()?;
    for part in ["fmt", "clippy"] {
        if !answers(&format!("cargo {part} --version")) {
            bail!("cargo {part} is missing; please run: rustup component add rustfmt clippy");
        }
    }
    must(&mut command("cargo fmt --all --check"))?;
    must(&mut command(
        "cargo clippy --workspace --all-targets --quiet -- -D warnings",
    ))?;
    must(command("cargo doc --workspace --no-deps --quiet").env("RUSTDOCFLAGS", "-D warnings"))?;
    must(command("npm run --silent check").current_dir(root().join("web")))?;
    must(&mut command(
        "cargo nextest run --package tests --test house",
    ))?;
    dependencies()
}

/// Licences, sources and duplicates are judged from the lock file. Advisories need the RustSec
/// database: where it cannot be fetched, that is said, and the rest still counts.
fn dependencies() -> Result<()> {
    let deny = setup::deny()?;
    must(&mut command(&format!(
        "{deny} --log-level error check bans licenses sources"
    )))?;
    if command(&format!("{deny} --log-level off fetch db"))
        .status()
        .is_ok_and(|status| status.success())
    {
        must(&mut command(&format!(
            "{deny} --log-level error check advisories"
        )))
    } else {
        eprintln!(
            "note: the RustSec advisory database cannot be fetched here; advisories were NOT checked"
        );
        Ok(())
    }
}
