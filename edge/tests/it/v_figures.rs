//! Figures are named as Prometheus would have it, carry their help, and are all told of in the documentation.

use tier::Protocol;

use crate::house::{House, signed};
use crate::origin::{Origin, Reply};

const DOCUMENTED: &str = include_str!("../../../docs/operate.md");

#[tokio::test]
async fn every_figure_of_an_edge_and_a_shield_has_a_unit_help_and_a_place_in_the_documentation() {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = origin_shield::config::Config {
        parents: vec![origin.url()],
        ..origin_shield::config::Config::default()
    };
    config.listen.plain = "127.0.0.1:0".to_owned();
    config.listen.internal = "127.0.0.1:0".to_owned();
    let shield = origin_shield::start(config.check().unwrap()).await.unwrap();
    let house = House::before(format!("http://{}", shield.plain), |config| {
        let path = |folder: &tempfile::TempDir, name: &str| folder.path().join(name);
        config.log.access.to = path(&folder, "log").to_string_lossy().into_owned();
        config.feed.state_file = path(&folder, "orders");
        config.cache.memory = config::ByteSize::mib(64);
        config.cache.max_object = config::ByteSize::mib(1);
        config.cache.disk.segment = config::ByteSize::mib(2);
        config.cache.disk.queue = config::ByteSize::mib(4);
        config.cache.disk.directories = vec![tier::settings::Directory {
            path: disk.path().to_owned(),
            size: config::ByteSize::mib(16),
        }];
    })
    .await;
    house.client(Protocol::H3).get(&signed("/v/a/x"), &[]).await;
    let of_edge = check(&house.page("/metrics").await);
    assert!(of_edge > 45, "{of_edge}");
    let of_shield = check(&crate::house::page(shield.internal, "/metrics").await);
    assert!(of_shield > 20 && of_shield < of_edge, "{of_shield}");
}

/// How many figures stand on a page, all of which are in order.
fn check(page: &str) -> usize {
    let told = |prefix: &str| -> Vec<(String, String)> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(prefix));
        let pairs = lines.map(|line| line.split_once(' ').unwrap());
        pairs
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    };
    let (helps, kinds) = (told("# HELP "), told("# TYPE "));
    for ((name, help), (same, kind)) in helps.iter().zip(&kinds) {
        assert_eq!(name, same);
        assert!(
            name.starts_with("millrace_tier_") || name.starts_with("h3_"),
            "{name}"
        );
        let starts = help.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
        assert!(
            starts && help.len() > 10 && !help.ends_with('.'),
            "{name}: {help}"
        );
        let (base, is_total) = name
            .strip_suffix("_total")
            .map_or((name.as_str(), false), |base| (base, true));
        assert_eq!(is_total, kind == "counter", "{name} is a {kind}");
        let words: Vec<&str> = base.split('_').collect();
        let last = words[words.len() - 1];
        for unit in ["seconds", "bytes"] {
            let speaks = words.contains(&unit) || help.to_lowercase().starts_with(unit);
            assert_eq!(speaks, last == unit, "{name}: {help}");
        }
        for wrong in [
            "ms",
            "us",
            "millis",
            "milliseconds",
            "micros",
            "kb",
            "mb",
            "mib",
            "percent",
            "count",
            "kbps",
        ] {
            assert!(!words.contains(&wrong), "{name}");
        }
        assert!(
            kind != "histogram" || matches!(last, "seconds" | "bytes"),
            "{name}"
        );
        assert!(
            DOCUMENTED.contains(&format!("`{name}`")),
            "docs/operate.md does not tell of {name}"
        );
    }
    assert_eq!(helps.len(), kinds.len());
    helps.len()
}
