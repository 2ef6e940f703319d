//! What it costs to find the edges for a client: `cargo bench -p control-plane --bench routing`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a bench prints, and ends where something is broken"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use contracts::fleet::Network;
use contracts::time::UnixSeconds;
use control_plane::routing::prefixes::Prefixes;
use control_plane::routing::rank::{Ask, Condition, Fleet, Node};

const PREFIXES: u32 = 1_000_000;
const SITES: u32 = 300;
const LOOKUPS: usize = 500_000;

fn main() {
    let (text, addresses) = network();
    let began = Instant::now();
    let prefixes = Prefixes::read(text.as_bytes()).unwrap();
    let read = began.elapsed();
    println!(
        "{} prefixes ({} MB of text) are read in {:.2} s and take {:.1} MB",
        prefixes.len(),
        text.len() / 1_000_000,
        read.as_secs_f64(),
        prefixes.size_bytes() as f64 / 1e6
    );
    report("site of an address", &addresses, |address| {
        black_box(prefixes.site(*address));
    });
    let began = Instant::now();
    let announced = announced(&text);
    println!(
        "{} announced prefixes are put in place in {:.2} s",
        announced.len(),
        began.elapsed().as_secs_f64()
    );
    report(
        "site of an address, with what is announced",
        &addresses,
        |address| {
            black_box(prefixes.site_or(&announced, *address));
        },
    );
    for (ours, partners) in [(4, 0), (50, 0), (100, 900)] {
        let fleet = fleet(ours, partners);
        let conditions: Vec<Condition> = (0..ours + partners)
            .map(|n| Condition {
                healthy: n % 50 != 49,
                load: f64::from(n % 10) / 10.0,
                ..Condition::default()
            })
            .collect();
        let films: Vec<String> = (0..997).map(|n| format!("film-{n}")).collect();
        let mut turn = 0_u64;
        let name = format!("ranked list, {ours} edges of ours and {partners} of partners");
        report(&name, &addresses, |address| {
            turn += 1;
            let ask = Ask {
                site: prefixes.site_or(&announced, *address),
                asset: &films[turn as usize % films.len()],
                protected: turn.is_multiple_of(2),
                m2: true,
                now: UnixSeconds(1_800_000_000),
                draw: turn.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                current: None,
            };
            black_box(fleet.rank(&conditions, &ask));
        });
    }
}

/// Nested prefixes of IPv4 and IPv6, and addresses within and outside of them.
fn network() -> (String, Vec<IpAddr>) {
    let mut text = String::new();
    let mut bits = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = move || {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        bits
    };
    let mut seen = std::collections::HashSet::new();
    while seen.len() < PREFIXES as usize {
        let (random, site) = (draw(), draw() % u64::from(SITES));
        // Seven in ten are IPv4, of lengths as they are announced: most are /24.
        let net = if random % 10 < 7 {
            let length = [24, 24, 24, 23, 22, 20, 16, 12][(random >> 8) as usize % 8];
            let address = (draw() as u32) & (u32::MAX << (32 - length));
            format!("{}/{length}", std::net::Ipv4Addr::from(address))
        } else {
            let length = [48, 48, 44, 40, 32, 29][(random >> 8) as usize % 6];
            let address = u128::from(0x2000_u64 << 48 | draw() >> 3) << 64;
            let address = address & (u128::MAX << (128 - length));
            format!("{}/{length}", std::net::Ipv6Addr::from(address))
        };
        if seen.insert(net.clone()) {
            writeln!(text, "{net} site-{site}").unwrap();
        }
    }
    let addresses = (0..LOOKUPS).map(|n| match n % 10 {
        0..7 => IpAddr::from((draw() as u32).to_be_bytes()),
        _ => IpAddr::from((u128::from(0x2000_u64 << 48 | draw() >> 3) << 64).to_be_bytes()),
    });
    let addresses = addresses.collect();
    (text, addresses)
}

/// A tenth of the networks, as nodes announce them: of other sites.
fn announced(text: &str) -> Prefixes {
    let tenth = text.lines().step_by(10);
    let tenth = tenth.filter_map(|line| line.split(' ').next());
    let networks = tenth.map(|network| Network::parse(network).unwrap());
    let sites: Vec<String> = (0..SITES).map(|n| format!("site-{n}")).collect();
    let at = |n: usize| sites[n % sites.len()].as_str();
    Prefixes::of(networks.enumerate().map(|(n, network)| (network, at(n))))
}

/// Partners' edges stand in sites, three a site; a tenth of ours in regions.
fn fleet(ours: u32, partners: u32) -> Fleet {
    let node = |number: u32, partner: bool| Node {
        name: format!("edge-{number}"),
        site: if partner {
            format!("site-{}", number % SITES)
        } else {
            String::new()
        },
        region: format!("region-{}", number % 12),
        priority: 0,
        weight: 50 + number % 100,
        partner,
        m2: partner,
        protected: true,
    };
    let all = (0..ours)
        .map(|n| node(n, false))
        .chain((ours..ours + partners).map(|n| node(n, true)));
    Fleet::new(all.collect())
}

fn report(name: &str, addresses: &[IpAddr], mut once: impl FnMut(&IpAddr)) {
    for address in addresses.iter().take(10_000) {
        once(address);
    }
    let mut took: Vec<Duration> = addresses
        .iter()
        .map(|address| {
            let began = Instant::now();
            once(address);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |permille: usize| took[took.len() * permille / 1000].as_nanos() as f64 / 1000.0;
    println!(
        "{name}: median {:.2} µs, p99 {:.2} µs, p99.9 {:.2} µs",
        at(500),
        at(990),
        at(999)
    );
}
