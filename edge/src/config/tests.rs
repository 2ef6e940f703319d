//! What a configuration may say, and what is said of its faults.

use std::path::Path;

use config::{ByteSize, Span};

use super::*;
use crate::member::Folder;

#[test]
fn what_may_be_reloaded_is_there_and_the_guide_names_it() {
    let guide = include_str!("../../../docs/operate.md");
    assert_eq!(
        config::guide::unnamed::<Config>(&reloaded(), guide),
        [""; 0]
    );
}

#[test]
fn the_annotated_file_equals_the_defaults() {
    let file = include_str!("../../../config/edge.toml");
    assert_eq!(config::guide::shows_defaults::<Config>(file), Ok(()));
}

#[test]
fn every_fault_is_reported_with_its_key() {
    let mut config = Config {
        name: "Edge 1".to_owned(),
        parents: vec!["nonsense".to_owned()],
        trusted_hops: vec!["all".to_owned()],
        ..Config::default()
    };
    config.listen.https = "8443".to_owned();
    config.site.heuristic = Span::seconds(31 * 86_400);
    config.site.hosts = vec!["a.example:443".to_owned()];
    config.clients.max_connections = 0;
    config.cache.disk.admit_after = 0;
    config.upstream.read_timeout = Span::seconds(31);
    config.listen.plain_proxied_by = vec!["10.0.0.0/33".to_owned()];
    config.rates.ipv4_prefix = 33;
    config.rates.burst = Span::millis(1);
    let problems = config.check().unwrap_err();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    let expected = [
        "name",
        "listen.https",
        "site.heuristic",
        "site.hosts",
        "listen.plain_proxied_by",
        "trusted_hops",
        "rates.burst",
        "rates.ipv4_prefix",
        "parents",
        "clients.max_connections",
        "cache.disk.admit_after",
        "cache.fill_wait",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn an_unknown_key_of_a_disk_is_told_with_its_line() {
    let lines = |text: &str| {
        let file = Some((Path::new("edge.toml"), text));
        let read = config::load::<Config>("edge", file, []);
        read.map_err(|problems| problems[0].to_string())
    };
    let good = "[cache.disk]\ndirectories = [{ path = \"/a\", size = \"1GiB\" }]\n";
    let directory = &lines(good).unwrap().cache.disk.directories[0];
    assert_eq!(directory.size, ByteSize::mib(1024));
    for (bad, line, key) in [
        ("[cache.disk]\nsegments = 4\n", "edge.toml:2", "segments"),
        (
            "[cache.disk]\ndirectories = [{ path = \"/a\" }]\n",
            "edge.toml:2",
            "size",
        ),
        ("[cache.disk]\n\nretry = 30\n", "edge.toml:3", "`30`"),
    ] {
        let said = lines(bad).unwrap_err();
        assert!(said.contains(line) && said.contains(key), "{said}");
    }
}

#[test]
fn disks_want_a_feed_or_a_file_for_what_is_purged_by_hand() {
    let said = |feed: &str| {
        let disk = "[cache.disk]\ndirectories = [{ path = \"/a\", size = \"1GiB\" }]";
        let config: Config = toml::from_str(&format!("{disk}\n[feed]\n{feed}")).unwrap();
        config.check().map(drop).map_err(|said| said[0].to_string())
    };
    let refused = said("").unwrap_err();
    assert!(
        refused.starts_with("feed.state_file: must name a file"),
        "{refused}"
    );
    assert_eq!(said("state_file = \"/b\""), Ok(()));
    assert_eq!(said("from = \"file:/c\""), Ok(()));
}

#[test]
fn the_defaults_are_in_order() {
    assert!(Config::default().check().is_ok());
}

#[test]
fn the_file_for_a_nodes_operator_is_right_and_joins() {
    let file = include_str!("../../../config/isp.toml");
    let config: Config = toml::from_str(file).unwrap();
    let mut joined = config;
    Folder::prepare(Path::new("/var/lib/millrace/node"), &mut joined);
    // Before a token is used up.
    assert!(joined.clone().check().is_ok());
    // What the house gives.
    joined.feed.from = "https://control.example:7300/v1/fleet/feed".to_owned();
    let settings = joined.check().unwrap();
    let announce = settings.announce.unwrap();
    assert_eq!(announce.capacity_bps, 10_000_000_000);
    assert!(announce.withholds, "nobody is sent here by others");
    assert!(settings.tier.fill.hours.is_some() && settings.tier.disk.is_some());
}
