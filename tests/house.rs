//! The house stands as ARCHITECTURE.md draws it: floors, nevers, and where engines may be named.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a house that cannot be looked at ends the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every crate of the house and its floor: a crate imports only from floors below its own.
const FLOORS: [(&str, u8); 14] = [
    ("contracts", 1),
    ("config", 1),
    ("runtime", 2),
    ("store", 3),
    ("packager", 3),
    ("tier", 3),
    ("catalog", 3),
    ("edge", 4),
    ("origin-shield", 4),
    ("origin", 4),
    ("ingest", 4),
    ("telemetry", 4),
    ("control-plane", 5),
    ("millrace", 6),
];

/// What a whole tree of dependencies must never hold.
const NEVER_BENEATH: [(&str, &[&str]); 5] = [
    // Caches know nothing of media, stores or databases: a partner's node builds without them.
    (
        "edge",
        &[
            "packager",
            "store",
            "catalog",
            "sea-orm",
            "sqlx",
            "axum-extra",
        ],
    ),
    (
        "origin-shield",
        &["packager", "store", "catalog", "sea-orm", "sqlx"],
    ),
    // Pure rooms have no async.
    ("contracts", &["tokio", "reqwest", "axum"]),
    ("packager", &["tokio", "reqwest", "axum"]),
    // No video byte passes the control plane; of the packager it uses what is said of keys.
    ("control-plane", &["store", "tier", "origin"]),
];

/// Drivers of engines, and the files that may name them.
const DRIVERS: [(&str, &[&str]); 4] = [
    (
        "sea_orm",
        &["sql.rs", "open.rs", "catalog/src/migrations/", "schema.rs"],
    ),
    ("sqlx", &["catalog/src/open.rs"]),
    ("object_store", &["store/src/objects/s3/"]),
    ("pingora", &["tier/", "edge/", "origin-shield/"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

struct House {
    /// Package name by id.
    names: BTreeMap<String, String>,
    /// Direct dependencies (normal and build) by package id.
    arrows: BTreeMap<String, BTreeSet<String>>,
}

impl House {
    fn look() -> Self {
        // Only what this machine builds is downloaded: crates of other systems are left out.
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .args(["--filter-platform", &host()])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let names = metadata["packages"].as_array().unwrap();
        let names = names
            .iter()
            .map(|p| (text(&p["id"]), text(&p["name"])))
            .collect();
        let mut arrows = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().unwrap() {
            let kept = node["deps"].as_array().unwrap().iter().filter(|dep| {
                dep["dep_kinds"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|kind| kind["kind"] != "dev")
            });
            arrows.insert(
                text(&node["id"]),
                kept.map(|dep| text(&dep["pkg"])).collect(),
            );
        }
        Self { names, arrows }
    }

    fn id(&self, name: &str) -> &str {
        let root = root().display().to_string();
        let mut ids = self
            .names
            .iter()
            .filter(|(id, n)| *n == name && id.contains(&root));
        ids.next()
            .unwrap_or_else(|| panic!("no crate {name} in the house"))
            .0
    }

    fn beneath(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.id(name)];
        while let Some(id) = open.pop() {
            for next in &self.arrows[id] {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen.iter().map(|id| self.names[*id].as_str()).collect()
    }
}

#[test]
fn a_crate_imports_only_from_floors_below_its_own() {
    let house = House::look();
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    for (name, floor) in FLOORS {
        for id in &house.arrows[house.id(name)] {
            let below = house.names[id].as_str();
            if let Some(other) = floors.get(below).filter(|_| house.id_is_ours(id)) {
                assert!(
                    *other < floor,
                    "{name} (floor {floor}) imports {below} (floor {other})"
                );
            }
        }
    }
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

impl House {
    fn id_is_ours(&self, id: &str) -> bool {
        id.contains(&root().display().to_string())
    }
}

#[test]
fn every_crate_of_the_workspace_has_a_floor_or_is_a_tool() {
    let house = House::look();
    let known: BTreeSet<&str> = FLOORS
        .iter()
        .map(|(name, _)| *name)
        .chain(["tests", "test-postgres", "test-s3", "loadtest", "xtask"])
        .collect();
    for (id, name) in &house.names {
        assert!(
            !house.id_is_ours(id) || known.contains(name.as_str()),
            "{name} stands on no floor"
        );
    }
}

#[test]
fn what_must_never_be_beneath_a_room_is_not() {
    let house = House::look();
    for (name, nevers) in NEVER_BENEATH {
        let beneath = house.beneath(name);
        for never in nevers {
            assert!(!beneath.contains(never), "{name} reaches {never}");
        }
    }
}

#[test]
fn drivers_are_named_only_where_their_engine_is_opened_or_adapted() {
    for (driver, allowed) in DRIVERS {
        for file in sources() {
            let shown = file.strip_prefix(root()).unwrap().display().to_string();
            if allowed
                .iter()
                .any(|place| shown.ends_with(place) || shown.starts_with(place))
            {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let named = code
                .into_iter()
                .find(|line| line.contains(&format!("{driver}::")));
            assert!(
                named.is_none(),
                "{shown} names {driver}: {}",
                named.unwrap_or_default()
            );
        }
    }
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_for_and_can_be_read_in_one_sitting() {
    for file in sources() {
        let shown = file.display();
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{shown} does not begin with its purpose"
        );
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        assert!(
            code.lines().count() <= 800,
            "{shown} has more than 800 lines"
        );
    }
}

#[test]
fn only_the_clock_reads_the_clock_and_nothing_is_left_to_do_without_a_number() {
    for file in sources() {
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let reads = text.contains("SystemTime::now()");
        assert!(
            !reads || shown == "runtime/src/clock.rs",
            "{shown} reads the clock"
        );
        let todo = ["TO", "DO"].concat();
        assert!(!text.contains(&todo), "{shown} leaves something to do");
    }
}

/// Every Rust source of the house, without tests and tools.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = FLOORS
        .iter()
        .map(|(name, _)| root().join(name).join("src"))
        .collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 50, "the house has lost its sources");
    files
}

/// Two shapes of one name are one shape in an API's description: the later one.
#[test]
fn every_shape_in_the_description_of_an_api_has_a_name_of_its_own() {
    for role in ["control-plane", "ingest"] {
        let mut named = BTreeMap::new();
        let within = root().join(role).join("src");
        for file in sources()
            .into_iter()
            .filter(|file| file.starts_with(&within))
        {
            let text = fs::read_to_string(&file).unwrap();
            for name in shapes(&text) {
                let other = named.insert(name.clone(), file.clone());
                assert_eq!(other, None, "{name} of {}", file.display());
            }
        }
        assert!(named.len() > 5, "{role}: {named:?}");
    }
}

/// The names of the shapes that a file describes.
fn shapes(text: &str) -> Vec<String> {
    let described = text.split("#[derive(").skip(1);
    let described = described.filter(|rest| rest.split(')').next().unwrap().contains("ToSchema"));
    let name = |rest: &str| {
        let mut lines = rest.lines().skip(1).map(str::trim);
        let declared = lines.find_map(|line| {
            let given = line.strip_prefix("#[schema(as = ");
            let own = line
                .trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ");
            let own = own
                .strip_prefix("struct ")
                .or_else(|| own.strip_prefix("enum "));
            given.or(own)
        });
        let letter = |c: char| c.is_alphanumeric();
        let declared = declared.unwrap();
        declared.chars().take_while(|c| letter(*c)).collect()
    };
    described.map(name).collect()
}
