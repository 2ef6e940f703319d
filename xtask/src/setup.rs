//! Installing what the project needs and the machine lacks.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::run::{answers, command, output, root, run};

/// A program and the Debian packages that bring it.
struct Need {
    probe: &'static str,
    packages: &'static str,
}

/// To build and to run the house. Cargo itself needs a linker to get here.
const HOUSE: [Need; 4] = [
    Need {
        probe: "c++ --version",
        packages: "g++ libc6-dev",
    },
    Need {
        probe: "make --version",
        packages: "make",
    },
    Need {
        probe: "cmake --version",
        packages: "cmake",
    },
    Need {
        probe: "ffmpeg -version",
        packages: "ffmpeg",
    },
];

/// To run the tests as well.
const TESTS: [Need; 5] = [
    Need {
        probe: "chromium --version",
        packages: "chromium",
    },
    // Each test process runs a server of its own, from where Debian has its programs.
    Need {
        probe: "grep -rqs --include=initdb . /usr/lib/postgresql",
        packages: "postgresql",
    },
    // Judges transport streams.
    Need {
        probe: "tsreport -help",
        packages: "tstools",
    },
    // Judges manifests.
    Need {
        probe: "xmllint --version",
        packages: "libxml2-utils",
    },
    // Runs what judges the APIs.
    Need {
        probe: "python3 -m ensurepip --version",
        packages: "python3-venv",
    },
];

/// What the web page is built from.
const SOURCES: [&str; 4] = ["src", "package.json", "package-lock.json", "vite.config.ts"];

const NEXTEST: &str = "0.9.143";
const DENY: &str = "0.20.2";

/// What `up` needs.
pub(crate) fn house() -> Result<()> {
    packages(&HOUSE)?;
    web()
}

/// What `bench` needs.
pub(crate) fn programs() -> Result<()> {
    packages(&HOUSE)
}

/// What `test` and `check` need.
pub(crate) fn everything() -> Result<()> {
    packages(&HOUSE)?;
    packages(&TESTS)?;
    nextest()?;
    // It judges the APIs in two tests, which say that they were skipped without it.
    if let Err(error) = python("schemathesis") {
        eprintln!(
            "note: schemathesis cannot be had here; the APIs are NOT judged by it: {error:#}"
        );
    }
    // It uploads in two tests, which say so too.
    if let Err(error) = python("tuspy") {
        eprintln!("note: tuspy cannot be had here; NOTHING is uploaded with it: {error:#}");
    }
    // It looks into a bucket in one.
    if let Err(error) = python("boto3") {
        eprintln!("note: boto3 cannot be had here; NO bucket is looked into with it: {error:#}");
    }
    web()?;
    node_packages(
        &root().join("ingest/tests/clients"),
        "what uploads in tests",
    )
}

fn packages(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !answers(need.probe))
        .map(|need| need.packages)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    let update = "apt-get update";
    let install = format!("apt-get install -y --no-install-recommends {names}");
    if !answers("apt-get --version") {
        bail!("these programs are missing and this is no Debian: please install {names}");
    }
    let root = output("id -u").is_some_and(|id| id.trim() == "0");
    let sudo = match (root, answers("sudo -n true")) {
        (true, _) => "",
        (false, true) => "sudo -n ",
        (false, false) => bail!(
            "may not install {names}; please run as root, or with sudo:\n\n    {update} && {install}\n\nand then this command again"
        ),
    };
    eprintln!("installing {names} …");
    let by_hand = || format!("please run as root: {update} && {install}");
    run(&mut command(&format!("{sudo}{update} -qq"))).with_context(by_hand)?;
    // `env` because sudo keeps no variables.
    let install = format!("{sudo}env DEBIAN_FRONTEND=noninteractive {install} -qq");
    run(&mut command(&install)).with_context(by_hand)
}

/// Builds the web page when its sources are younger than what was built.
fn web() -> Result<()> {
    let web = root().join("web");
    node()?;
    node_packages(&web, "the web page's packages")?;
    let built = web.join("dist/.millrace-built");
    if SOURCES
        .iter()
        .map(|source| newest(&web.join(source)))
        .max()
        .flatten()
        > newest(&built)
    {
        eprintln!("building the web page …");
        run(command("npm run --silent build").current_dir(&web))?;
        fs::write(&built, b"").context("cannot note that the page was built")?;
    }
    Ok(())
}

/// Installs the packages that a folder's lock file names, when they are others than before.
fn node_packages(folder: &Path, what: &str) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let stamp = folder.join("node_modules/.millrace-lock");
    if fs::read(&lock).ok() == fs::read(&stamp).ok() {
        return Ok(());
    }
    eprintln!("installing {what} …");
    run(command("npm ci --no-audit --no-fund --loglevel=error").current_dir(folder))?;
    fs::copy(&lock, &stamp).context("cannot note which packages were installed")?;
    Ok(())
}

/// The oldest Node.js that builds the page.
const NODE: (u32, u32) = (20, 19);

fn node() -> Result<()> {
    let told = output("node --version").unwrap_or_default();
    let mut numbers = told
        .trim()
        .trim_start_matches('v')
        .split('.')
        .map(str::parse::<u32>);
    let version = (numbers.next(), numbers.next());
    let fits = matches!(version, (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= NODE);
    if !fits || !answers("npm --version") {
        let (major, minor) = NODE;
        bail!(
            "Node.js {major}.{minor} or later with npm is needed; please install it and run this command again"
        );
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

/// Installs a program of PyPI, with what it needs in the versions that it was tried with, into a folder of its own.
fn python(name: &str) -> Result<()> {
    let folder = root().join("target/tools").join(name);
    let wanted = root().join("xtask").join(name).with_extension("txt");
    let stamp = folder.join("wanted");
    if fs::read(&wanted).ok() == fs::read(&stamp).ok() {
        return Ok(());
    }
    eprintln!("installing {name} …");
    run(command("python3 -m venv --clear").arg(&folder))?;
    let pip = folder.join("bin/python");
    let quietly =
        "-m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement";
    run(command(&pip.display().to_string())
        .args(quietly.split(' '))
        .arg(&wanted))?;
    fs::copy(&wanted, &stamp).with_context(|| format!("cannot note which {name} is installed"))?;
    Ok(())
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
