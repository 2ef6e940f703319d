//! What is deployed beside the roles speaks of figures that they tell, in a form that its reader takes.
#![expect(clippy::unwrap_used, reason = "files that cannot be read end the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a histogram adds to its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The files below `folder` whose names end so.
fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ends));
        } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
            found.push(path);
        }
    }
    found
}

/// The figures that a text names: `millrace_…` and `h3_…`.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c| !word(c))
        .filter(|word| word.starts_with("millrace_") || word.starts_with("h3_"))
        .collect()
}

#[test]
fn rules_and_dashboards_name_figures_that_a_role_tells() {
    let root = root();
    let mut told = BTreeSet::new();
    for room in [
        "tier",
        "edge",
        "origin-shield",
        "origin",
        "control-plane",
        "ingest",
    ] {
        for source in files(&root.join(room).join("src"), &[".rs"]) {
            let source = fs::read_to_string(source).unwrap();
            let literals = source.split('"').skip(1).step_by(2);
            told.extend(literals.map(str::to_owned));
        }
    }
    let deployed = files(&root.join("deploy"), &[".yml", ".json"]);
    assert!(deployed.len() >= 3, "rules, scrape and a dashboard");
    let mut seen = 0;
    for file in deployed {
        let text = fs::read_to_string(&file).unwrap();
        for name in names(&text) {
            let of_histogram = PARTS.iter().find_map(|part| name.strip_suffix(part));
            let known = [Some(name), of_histogram];
            assert!(
                known.into_iter().flatten().any(|name| told.contains(name)),
                "{} speaks of {name}, which no role tells",
                file.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} figures were found");
}

#[test]
fn prometheus_itself_takes_the_rules_where_it_is_found() {
    let promtool = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let rules = root().join("deploy/prometheus");
    for (what, file) in [("rules", "rules.yml"), ("config", "scrape.yml")] {
        let check = Command::new(&promtool)
            .args(["check", what])
            .arg(rules.join(file))
            .output();
        let Ok(said) = check else {
            println!("skipped: there is no {promtool}");
            return;
        };
        let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{text}");
    }
}
