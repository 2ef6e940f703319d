//! Installing what the project needs and the machine lacks.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::run::{answers, command, output, root, run};

/// A program and the Debian package that brings it.
struct Need {
    probe: &'static str,
    package: &'static str,
}

/// To build and to run the house.
const HOUSE: [Need; 3] = [
    Need {
        probe: "cc --version",
        package: "gcc",
    },
    Need {
        probe: "cmake --version",
        package: "cmake",
    },
    Need {
        probe: "ffmpeg -version",
        package: "ffmpeg",
    },
];

/// To run the tests as well.
const TESTS: [Need; 1] = [Need {
    probe: "chromium --version",
    package: "chromium",
}];

const NEXTEST: &str = "0.9.143";
const DENY: &str = "0.20.2";

/// What `up` needs.
pub(crate) fn house() -> Result<()> {
    packages(&HOUSE)?;
    web()
}

/// What `test` and `check` need.
pub(crate) fn everything() -> Result<()> {
    packages(&HOUSE)?;
    packages(&TESTS)?;
    nextest()?;
    web()
}

fn packages(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !answers(need.probe))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    let update = "apt-get update";
    let install = format!("apt-get install -y --no-install-recommends {names}");
    let by_hand = format!("sudo sh -c '{update} && {install}'");
    if !answers("apt-get --version") {
        bail!("these programs are missing and this is no Debian: please install {names}");
    }
    let sudo = match output("id -u").as_deref().map(str::trim) {
        Some("0") => "",
        _ if answers("sudo -n true") => "sudo -n ",
        _ => bail!(
            "may not install {names}; please run:\n\n    {by_hand}\n\nand then this command again"
        ),
    };
    eprintln!("installing {names} …");
    let mut quiet = command(&format!("{sudo}{update} -qq"));
    run(&mut quiet).with_context(|| format!("please run: {by_hand}"))?;
    let mut install = command(&format!("{sudo}{install} -qq"));
    install
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::process::Stdio::null());
    run(&mut install).with_context(|| format!("please run: {by_hand}"))
}

/// Builds the web page when its sources are younger than what was built.
fn web() -> Result<()> {
    let web = root().join("web");
    if !answers("node --version") || !answers("npm --version") {
        bail!(
            "Node.js 20 or later with npm is missing; please install it and run this command again"
        );
    }
    let lock = web.join("package-lock.json");
    let stamp = web.join("node_modules/.millrace-lock");
    if fs::read(&lock).ok() != fs::read(&stamp).ok() {
        eprintln!("installing the web page's packages …");
        run(command("npm ci --no-audit --no-fund --loglevel=error").current_dir(&web))?;
        fs::copy(&lock, &stamp).context("cannot note which packages were installed")?;
    }
    let built = web.join("dist/.millrace-built");
    if newest(&web.join("src")).max(newest(&lock)) > newest(&built) {
        eprintln!("building the web page …");
        run(command("npm run --silent build").current_dir(&web))?;
        fs::write(&built, b"").context("cannot note that the page was built")?;
    }
    Ok(())
}

/// When the youngest file at or below a path was changed; `None` when there is none.
fn newest(path: &Path) -> Option<std::time::SystemTime> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.is_file() {
        return metadata.modified().ok();
    }
    fs::read_dir(path)
        .ok()?
        .flatten()
        .filter_map(|entry| newest(&entry.path()))
        .max()
}

fn nextest() -> Result<()> {
    if answers("cargo nextest --version") {
        return Ok(());
    }
    eprintln!("installing cargo-nextest …");
    run(&mut command(&format!(
        "cargo install --locked cargo-nextest --version {NEXTEST}"
    )))
}

/// The path of cargo-deny, which is built into the target folder once.
pub(crate) fn deny() -> Result<String> {
    if answers("cargo-deny --version") {
        return Ok("cargo-deny".to_owned());
    }
    let tools = root().join("target/tools");
    let program = tools.join("bin/cargo-deny").display().to_string();
    if !answers(&format!("{program} --version")) {
        eprintln!("building cargo-deny, once …");
        let build = tools.join("build");
        run(&mut command(&format!(
            "cargo install --locked cargo-deny --version {DENY} --root {} --target-dir {}",
            tools.display(),
            build.display(),
        )))?;
        fs::remove_dir_all(build).context("cannot remove cargo-deny's build folder")?;
    }
    Ok(program)
}
