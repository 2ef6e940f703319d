//! The public HTTP-cache suite against an edge that serves a site.

use std::path::PathBuf;
use std::process::Stdio;

use edge::config::Serve;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::house::House;

/// Of 157 required in this edition of the suite, and of 86 optimal; docs/http-cache.md says what becomes of the others.
const REQUIRED: u64 = 151;
const OPTIMAL: u64 = 80;

#[tokio::test]
async fn the_public_cache_suite_finds_little_to_object_to() {
    let web = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../web"));
    if !web.join("node_modules/http-cache-tests").exists() {
        eprintln!("skipped: http-cache-tests is not installed (cargo xtask setup)");
        return;
    }
    let (mut server, url) = origin(&web).await;
    let house = House::before(url, |config| {
        config.serve = Serve::Site;
        config.site.client_control = true;
        config.site.share_cookies = true;
        config.listen.plain = "127.0.0.1:0".to_owned();
    })
    .await;
    let base = format!("http://{}", house.edge.plain.unwrap());
    let run = Command::new("node")
        .args(["--no-warnings", "e2e/http-cache.mjs", &base])
        .current_dir(&web)
        .kill_on_drop(true)
        .output();
    let output = run.await.unwrap();
    server.kill().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    println!("{text}");
    let score: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for (kind, least) in [("required", REQUIRED), ("optimal", OPTIMAL)] {
        let passed = score[kind]["passed"].as_u64().unwrap();
        assert!(passed >= least, "{passed} {kind}, not {least}: {text}");
    }
}

/// The suite's own origin, on a free port.
async fn origin(web: &std::path::Path) -> (Child, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new("node")
        .arg("--no-warnings")
        .arg(web.join("node_modules/http-cache-tests/server/server.mjs"))
        .env("npm_config_protocol", "http")
        .env("npm_config_port", "0")
        .env("npm_config_pidfile", folder.path().join("pid"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("it says where it listens");
        if line.starts_with("Listening on ") {
            break line;
        }
    };
    // It goes on talking; an unread pipe would stop it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let port = line.trim_end_matches('/').rsplit(':').next().unwrap();
    (server, format!("http://localhost:{port}"))
}
