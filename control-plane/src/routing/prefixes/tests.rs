//! Lookups, lines that are wrong, and what nodes announce.

use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn read(text: &str) -> Prefixes {
    Prefixes::read(text.as_bytes()).unwrap()
}

fn faults(text: &str) -> Vec<(usize, String)> {
    let faults = Prefixes::read(text.as_bytes()).unwrap_err();
    faults.into_iter().map(|f| (f.line, f.what)).collect()
}

#[test]
fn the_longest_prefix_wins_as_brute_force_says() {
    let data = include_str!("../../../tests/data/prefix_routing.json");
    let data: Value = serde_json::from_str(data).unwrap();
    let text: String = data["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| {
            let word = |name: &str| route[name].as_str().unwrap();
            format!("{} {}\n", word("prefix"), word("isp"))
        })
        .collect();
    let prefixes = read(&text);
    let lookups = data["lookups"].as_array().unwrap();
    assert_eq!((prefixes.len(), lookups.len()), (191, 185));
    for lookup in lookups {
        let address: IpAddr = lookup["ip"].as_str().unwrap().parse().unwrap();
        let want = lookup["want"]["isp"].as_str();
        assert_eq!(prefixes.site(address), want, "{address}");
    }
}

#[test]
fn a_bad_line_is_told_with_its_number_and_nothing_is_taken() {
    let text = "# sites\n192.0.2.0/24 a\n192.0.2.0 b\n\n192.0.2.1/24 c\n2001:db8::/32 d # good\n\
        10.0.0.0/8\n10.0.0.0/8 a b\n10.0.0.0/8 a/b\n192.0.2.0/24 z\n";
    let lines: Vec<usize> = faults(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [3, 5, 7, 8, 9, 10]);
    assert_eq!(faults(text)[5].1, "the prefix stands in line 2 too");
}

#[test]
fn a_line_without_end_takes_no_memory_and_is_told() {
    let text = "x".repeat(1 << 20);
    assert_eq!(faults(&text)[0], (1, "longer than 512 bytes".to_owned()));
    assert_eq!(faults(&text).len(), MOST_FAULTS);
}

#[test]
fn ipv4_within_ipv6_is_ipv4_in_addresses_and_in_prefixes() {
    let prefixes = read("::ffff:192.0.2.0/120 a\n::/0 rest\n");
    let site = |text: &str| prefixes.site(text.parse().unwrap());
    assert_eq!(site("192.0.2.7"), Some("a"));
    assert_eq!(site("::ffff:192.0.2.7"), Some("a"));
    assert_eq!(site("192.0.3.7"), None);
    assert_eq!(site("2001:db8::1"), Some("rest"));
}

#[test]
fn what_nodes_announce_is_bounded_and_what_is_beyond_takes_nothing_away() {
    let networks = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"];
    let networks = networks.map(|text| (Network::parse(text).unwrap(), "isp"));
    let announced = Prefixes::of_at_most(2, networks);
    let site = |text: &str| announced.site(text.parse().unwrap());
    assert_eq!(announced.len(), 2);
    assert_eq!((site("10.1.0.1"), site("10.3.0.1")), (Some("isp"), None));
}

#[test]
fn of_two_tables_the_longer_prefix_wins_and_the_first_table_s_of_two_as_long() {
    let file = read("10.0.0.0/8 house\n10.1.0.0/16 house\n2001:db8::/32 house\n");
    let network = |text, site| (Network::parse(text).unwrap(), site);
    let announced = Prefixes::of([
        network("10.2.0.0/16", "isp"),
        network("10.1.0.0/16", "isp"),
        network("10.0.0.0/7", "isp"),
        network("::ffff:10.3.0.0/112", "isp"),
        network("10.3.0.0/16", "later"),
    ]);
    assert_eq!(announced.len(), 4);
    for (address, site) in [
        ("10.2.0.1", Some("isp")),
        ("10.1.0.1", Some("house")),
        ("10.3.0.1", Some("isp")),
        ("10.9.0.1", Some("house")),
        ("11.0.0.1", Some("isp")),
        ("12.0.0.1", None),
        ("2001:db8::1", Some("house")),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(file.site_or(&announced, address), site, "{address}");
        let alone = Prefixes::default();
        assert_eq!(file.site_or(&alone, address), file.site(address));
    }
}

#[test]
fn prefixes_reach_to_the_last_address() {
    let prefixes = read("0.0.0.0/0 all\n255.255.255.255/32 last\n::/0 all\nffff::/16 last\n");
    let site = |text: &str| prefixes.site(text.parse().unwrap());
    assert_eq!(site("255.255.255.255"), Some("last"));
    assert_eq!(site("255.255.255.254"), Some("all"));
    assert_eq!(site("0.0.0.0"), Some("all"));
    assert_eq!(
        site("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        Some("last")
    );
    assert_eq!(site("::"), Some("all"));
}

proptest! {
    #[test]
    fn whatever_the_prefixes_the_longest_that_holds_the_address_wins(
        prefixes in proptest::collection::btree_set((0_u32..64, 24_u8..=32), 0..40),
        asked in 0_u32..300,
    ) {
        let at = |low: u32| std::net::Ipv4Addr::from(0x0a00_0000 + low);
        let mut nets: Vec<IpNet> = prefixes
            .iter()
            .map(|(low, length)| format!("{}/{length}", at(*low)).parse::<IpNet>().unwrap().trunc())
            .collect();
        nets.sort();
        nets.dedup();
        let text: String = nets.iter().map(|net| format!("{net} {}\n", net.to_string().replace('/', "_"))).collect();
        let table = read(&text);
        let address = IpAddr::from(at(asked));
        let best = nets.iter().filter(|net| net.contains(&address)).max_by_key(|net| net.prefix_len());
        let best = best.map(|net| net.to_string().replace('/', "_"));
        prop_assert_eq!(table.site(address), best.as_deref());
    }
}
