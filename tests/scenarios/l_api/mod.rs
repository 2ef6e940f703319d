//! What is asked of the APIs, right or wrong, they answer as their descriptions say: schemathesis makes the requests up
//! and judges.

mod living;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::house::root;
use crate::site::Site;

/// Requests that are made up for each route, beside those at its bounds. `API_EXAMPLES` asks for more.
const EXAMPLES: &str = "15";
/// `API_SEED` asks for others.
const SEED: &str = "5";

#[tokio::test]
async fn the_control_plane_answers_as_its_description_says_whatever_it_is_asked() {
    let Some(judge) = judge() else { return };
    let site = Site::new();
    let (ingest, control) = (site.ingest(), site.control());
    let living = living::made(&site, &control, &ingest).await;
    let log = judged(&judge, &site, ("control", &control.at("http")), &living);
    answered(
        &log,
        &[
            "POST /v1/fleet/joins 201",
            "PATCH /v1/fleet/nodes/{name} 200",
            "DELETE /v1/fleet/nodes/{name} 200",
            "DELETE /v1/fleet/joins/{id} 204",
        ],
    );
}

#[tokio::test]
async fn the_listener_of_nodes_answers_as_its_description_says_whatever_it_is_asked() {
    let Some(judge) = judge() else { return };
    let site = Site::new();
    let (ingest, control) = (site.ingest(), site.control());
    let living = living::made(&site, &control, &ingest).await;
    let log = judged(&judge, &site, ("door", &control.door()), &living);
    answered(
        &log,
        &[
            "POST /v1/fleet/enroll 201",
            "POST /v1/fleet/enroll 403",
            "POST /v1/fleet/certificate 200",
            "POST /v1/fleet/heartbeat 200",
            "POST /v1/fleet/heartbeat 401",
            "POST /v1/fleet/heartbeat 403",
            "GET /v1/fleet/settings 200",
            "GET /v1/fleet/feed 200",
        ],
    );
}

#[tokio::test]
async fn ingest_answers_as_its_description_says_whatever_it_is_asked() {
    let Some(judge) = judge() else { return };
    let site = Site::new();
    let (ingest, control) = (site.ingest(), site.control());
    let living = living::made(&site, &control, &ingest).await;
    judged(&judge, &site, ("ingest", &ingest.at("http")), &living);
}

/// Where `cargo xtask` puts schemathesis; without it says so, and fails where nothing may be skipped (`NO_SKIPS`).
fn judge() -> Option<PathBuf> {
    let judge = root().join("target/tools/schemathesis/bin/st");
    if judge.exists() {
        return Some(judge);
    }
    println!("skipped: there is no schemathesis; `cargo xtask setup` gets it");
    assert!(
        std::env::var_os("NO_SKIPS").is_none(),
        "nothing may be skipped"
    );
    None
}

/// Has schemathesis ask a listener, of a name and an address, and fails with what it found; gives what the control plane
/// logged meanwhile.
fn judged(judge: &Path, site: &Site, (name, base): (&str, &str), living: &Value) -> String {
    let logged = |role: &str| std::fs::read_to_string(site.path(&format!("{role}.log"))).unwrap();
    let before = logged("control").len();
    let file = site.path("living.json");
    std::fs::write(&file, living.to_string()).unwrap();
    let (told, tells) = (site.path("told"), site.path("told"));
    let wish =
        |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let seed = wish("API_SEED", SEED);
    let asked = Command::new(judge)
        .arg("--config-file")
        .arg(root().join("tests/scenarios/l_api/schemathesis.toml"))
        .args(["run", &format!("{base}/v1/openapi.json")])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &wish("API_EXAMPLES", EXAMPLES)])
        .args(["--seed", &seed, "--workers", "1", "--max-redirects", "0"])
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"])
        .args(["--generation-database", "none", "--request-timeout", "30"])
        .args(["--suppress-health-check", "all", "--tls-verify"])
        .arg(site.path("authority/authority.pem"))
        .env(
            "SCHEMATHESIS_HOOKS",
            root().join("tests/scenarios/l_api/hooks.py"),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LIVING", file)
        .env("LISTENER", name)
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
        let log = logged(role);
        assert!(log.lines().count() > 1, "{role} logs nothing: {log}");
        for secret in &secrets {
            assert!(!log.contains(secret), "{secret} is in the log of {role}");
        }
    }
    // What was asked, for whoever reads the test's output.
    println!("{told}");
    logged("control").split_off(before)
}

/// Holds what was asked to what makes it worth something: that some of it was right, and some was refused for what was
/// shown.
fn answered(log: &str, wanted: &[&str]) {
    for answer in wanted {
        assert!(log.contains(answer), "nobody was answered: {answer}");
    }
}
