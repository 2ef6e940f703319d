//! An nginx that speaks HTTP/3, built from sources that crates carry: Debian's does not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{fresh, only_file};
use crate::run::{answers, command};

/// Builds it once. Takes some minutes, a C compiler, make and perl.
pub(super) fn built(tools: &Path) -> Result<PathBuf> {
    let folder = tools.join(format!("nginx-{NGINX}-openssl-{OPENSSL}"));
    let program = folder.join("nginx");
    if program.exists() {
        return Ok(program);
    }
    for tool in ["cc --version", "make --version", "perl --version"] {
        ensure!(answers(tool), "`{tool}` does not answer");
    }
    eprintln!("building an nginx with HTTP/3, this once (some minutes) …");
    let work = tools.join("nginx-h3-build");
    fresh(&work)?;
    let vendor = sources(&work)?;
    let tls = work.join("openssl");
    openssl(&work, &vendor.join("openssl-src/openssl"), &tls)?;
    let pcre = pcre(&work)?;
    let made = nginx(&work, &vendor.join("nginx-src/nginx"), [&tls, &pcre])?;
    fs::create_dir_all(&folder).context("cannot make a folder for nginx")?;
    fs::rename(made, &program).context("cannot keep the nginx that was built")?;
    fs::remove_dir_all(&work).context("cannot remove what nginx was built from")?;
    Ok(program)
}

/// Has cargo fetch and unpack the crates. Their own build scripts, which would download, are not run.
fn sources(work: &Path) -> Result<PathBuf> {
    let manifest = format!(
        "[package]\nname = \"sources\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"none.rs\"\n\
         [workspace]\n[dependencies]\nnginx-src = \"={NGINX}\"\nopenssl-src = \"={OPENSSL}\"\n"
    );
    fs::write(work.join("Cargo.toml"), manifest).context("cannot say which sources are wanted")?;
    fs::write(work.join("none.rs"), "").context("cannot say which sources are wanted")?;
    told(
        work,
        "cargo",
        command("cargo vendor vendor").current_dir(work),
    )?;
    Ok(work.join("vendor"))
}

fn openssl(work: &Path, source: &Path, into: &Path) -> Result<()> {
    let mut configure = command("perl Configure --libdir=lib");
    configure
        .arg(format!("--prefix={}", into.display()))
        .args("no-shared no-tests no-docs no-apps no-module".split(' '));
    told(work, "openssl-configure", configure.current_dir(source))?;
    let mut make = command("make -s -j2 build_sw");
    told(work, "openssl", make.current_dir(source))?;
    let mut install = command("make -s install_dev");
    told(work, "openssl-install", install.current_dir(source))
}

/// Debian's, without installing it: nginx has no `if` without this library.
fn pcre(work: &Path) -> Result<PathBuf> {
    let fetched = work.join("fetched");
    fresh(&fetched)?;
    told(
        work,
        "pcre",
        command("apt-get download -q libpcre2-dev").current_dir(&fetched),
    )?;
    let package = only_file(&fetched)?;
    let folder = work.join("pcre");
    told(
        work,
        "pcre-unpack",
        command("dpkg-deb -x").arg(package).arg(&folder),
    )?;
    let usr = folder.join("usr");
    // its libraries lie in a folder that is named after the machine
    let library = only_file(&usr.join("lib"))?;
    fs::rename(library, usr.join("lib/library")).context("cannot find the library")?;
    Ok(usr)
}

/// Only what the bench asks for.
fn nginx(work: &Path, source: &Path, libraries: [&Path; 2]) -> Result<PathBuf> {
    let [tls, pcre] = libraries.map(|folder| folder.display().to_string());
    let mut configure = command("sh auto/configure --without-http_gzip_module");
    configure
        .args(
            ["ssl", "v2", "v3", "secure_link"].map(|module| format!("--with-http_{module}_module")),
        )
        .arg(format!(
            "--with-cc-opt=-O2 -I{tls}/include -I{pcre}/include"
        ))
        .arg(format!("--with-ld-opt=-L{tls}/lib -L{pcre}/lib/library"));
    told(work, "nginx-configure", configure.current_dir(source))?;
    told(work, "nginx", command("make -s -j2").current_dir(source))?;
    Ok(source.join("objs/nginx"))
}

/// Runs a step. What it prints goes to a file, which its failure names.
fn told(work: &Path, step: &str, command: &mut Command) -> Result<()> {
    let log = work.join(format!("{step}.log"));
    let file = File::create(&log).context("cannot write what a step prints")?;
    let both = file
        .try_clone()
        .context("cannot write what a step prints")?;
    let status = command.stdout(file).stderr(both).status();
    let status = status.with_context(|| format!("cannot start the step `{step}`"))?;
    ensure!(
        status.success(),
        "the step `{step}` failed ({status}): {}",
        log.display()
    );
    Ok(())
}

/// Versions of the crates; the parts behind the dots are nginx 1.28.3 and OpenSSL 3.6.3.
const NGINX: &str = "1.28.5";
const OPENSSL: &str = "300.6.1";
