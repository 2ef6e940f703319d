//! What is asked of the APIs, right or wrong, they answer as their descriptions say: schemathesis makes the requests up
//! and judges.

mod living;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::house::root;
use crate::role::Role;
use crate::site::Site;

/// Requests that are made up for each route, beside those at its bounds. `API_EXAMPLES` asks for more.
const EXAMPLES: &str = "15";
/// `API_SEED` asks for others.
const SEED: &str = "5";

#[tokio::test]
async fn the_control_plane_answers_as_its_description_says_whatever_it_is_asked() {
    let Some(judge) = judge() else { return };
    let site = Site::new();
    let (ingest, control) = (site.ingest(), site.control(""));
    let living = living::made(&site, &control, &ingest).await;
    judged(&judge, &site, &control, &living);
}

#[tokio::test]
async fn ingest_answers_as_its_description_says_whatever_it_is_asked() {
    let Some(judge) = judge() else { return };
    let site = Site::new();
    let (ingest, control) = (site.ingest(), site.control(""));
    let living = living::made(&site, &control, &ingest).await;
    judged(&judge, &site, &ingest, &living);
}

/// Where `cargo xtask` puts schemathesis.
fn judge() -> Option<PathBuf> {
    let judge = root().join("target/tools/schemathesis/bin/st");
    if judge.exists() {
        return Some(judge);
    }
    println!("skipped: there is no schemathesis; `cargo xtask setup` gets it");
    None
}

/// Has schemathesis ask a role, and fails with what it found.
fn judged(judge: &Path, site: &Site, role: &Role, living: &Value) {
    let file = site.path("living.json");
    std::fs::write(&file, living.to_string()).unwrap();
    let (told, tells) = (site.path("told"), site.path("told"));
    let wish =
        |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let seed = wish("API_SEED", SEED);
    let asked = Command::new(judge)
        .arg("--config-file")
        .arg(root().join("tests/scenarios/l_api/schemathesis.toml"))
        .args(["run", &format!("{}/v1/openapi.json", role.at("http"))])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &wish("API_EXAMPLES", EXAMPLES)])
        .args(["--seed", &seed, "--workers", "1", "--max-redirects", "0"])
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"])
        .args(["--generation-database", "none", "--request-timeout", "30"])
        .args(["--suppress-health-check", "all"])
        .env(
            "SCHEMATHESIS_HOOKS",
            root().join("tests/scenarios/l_api/hooks.py"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LIVING", file)
        .env("SEED", &seed)
        .current_dir(site.path("work"))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(tells).unwrap())
        .status()
        .unwrap();
    let told = std::fs::read_to_string(told).unwrap();
    assert!(asked.success(), "{told}");
    let secrets = living::secrets(living);
    for role in ["control", "ingest"] {
        let log = std::fs::read_to_string(site.path(&format!("{role}.log"))).unwrap();
        assert!(log.lines().count() > 1, "{role} logs nothing: {log}");
        for secret in &secrets {
            assert!(!log.contains(secret), "{secret} is in the log of {role}");
        }
    }
    // What was asked, for whoever reads the test's output.
    println!("{told}");
}
