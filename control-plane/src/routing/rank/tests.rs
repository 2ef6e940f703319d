//! Who is sent where, and who is not.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn node(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        site: String::new(),
        region: String::new(),
        priority: 0,
        weight: 100,
        partner: false,
        m2: false,
        protected: true,
    }
}

fn at(name: &str, site: &str, region: &str) -> Node {
    let (site, region) = (site.to_owned(), region.to_owned());
    Node {
        site,
        region,
        ..node(name)
    }
}

fn ask(asset: &str) -> Ask<'_> {
    Ask {
        site: None,
        asset,
        protected: false,
        m2: true,
        now: NOW,
        draw: u64::MAX / 2,
        current: None,
    }
}

fn names<'a>(fleet: &'a Fleet, conditions: &[Condition], ask: &Ask<'_>) -> Vec<&'a str> {
    let ranked = fleet.rank(conditions, ask);
    let names: Vec<&str> = fleet.nodes().map(|node| node.name.as_str()).collect();
    ranked.into_iter().map(|at| names[at]).collect()
}

fn loaded(load: f64) -> Condition {
    Condition {
        load,
        ..Condition::default()
    }
}

#[test]
fn the_site_comes_first_then_its_region_then_elsewhere() {
    let fleet = Fleet::new(vec![
        at("far", "paris-1", "paris"),
        at("anywhere", "", ""),
        at("sibling", "berlin-2", "berlin"),
        at("regional", "", "berlin"),
        at("here", "berlin-1", "berlin"),
    ]);
    let mut ask = ask("film");
    ask.site = Some("berlin-1");
    let ranked = names(&fleet, &[], &ask);
    assert_eq!(ranked[0], "here");
    let mut next = [ranked[1], ranked[2]];
    next.sort_unstable();
    assert_eq!(next, ["regional", "sibling"]);
    assert_eq!(ranked.len(), 5);
    ask.site = Some("berlin");
    let ranked = names(&fleet, &[], &ask);
    assert!(
        !ranked[..3].contains(&"far"),
        "a prefix may name a region: {ranked:?}"
    );
}

#[test]
fn a_partner_serves_its_own_site_and_region_with_tokens_that_it_can_check() {
    let partner = Node {
        partner: true,
        m2: true,
        ..at("isp", "isp-1", "north")
    };
    let fleet = Fleet::new(vec![partner, node("ours")]);
    let mut ask = ask("film");
    assert_eq!(names(&fleet, &[], &ask), ["ours"]);
    for site in ["isp-1", "north"] {
        ask.site = Some(site);
        assert_eq!(names(&fleet, &[], &ask), ["isp", "ours"]);
    }
    ask.m2 = false;
    assert_eq!(names(&fleet, &[], &ask), ["ours"]);
}

#[test]
fn a_protected_film_stays_away_from_edges_that_may_not_carry_it() {
    let clear = Node {
        protected: false,
        ..node("clear-only")
    };
    let fleet = Fleet::new(vec![clear, node("any")]);
    let mut ask = ask("film");
    assert_eq!(names(&fleet, &[], &ask).len(), 2);
    ask.protected = true;
    assert_eq!(names(&fleet, &[], &ask), ["any"]);
}

#[test]
fn nobody_is_sent_to_what_is_unhealthy_draining_or_without_a_lease() {
    let fleet = Fleet::new(vec![node("a"), node("b"), node("c"), node("d")]);
    let well = Condition::default();
    let lease = |until: u64| Condition {
        lease: Some(UnixSeconds(until)),
        ..well
    };
    let conditions = [
        Condition {
            healthy: false,
            ..well
        },
        Condition {
            draining: true,
            ..well
        },
        lease(NOW.0),
        lease(NOW.0 + 1),
    ];
    assert_eq!(names(&fleet, &conditions, &ask("film")), ["d"]);
}

#[test]
fn when_nothing_seems_well_everything_is_tried_but_what_drains() {
    let fleet = Fleet::new(vec![node("a"), node("b")]);
    let ill = Condition {
        healthy: false,
        ..Condition::default()
    };
    let silent = Condition {
        lease: Some(UnixSeconds(0)),
        ..Condition::default()
    };
    assert_eq!(names(&fleet, &[silent, silent], &ask("film")).len(), 2);
    let leaving = Condition {
        draining: true,
        ..ill
    };
    assert_eq!(names(&fleet, &[ill, leaving], &ask("film")), ["a"]);
}

#[test]
fn priority_counts_before_nearness_and_load_before_both() {
    let near = Node {
        priority: 10,
        ..at("near", "here", "")
    };
    let fleet = Fleet::new(vec![near, node("preferred")]);
    let mut ask = ask("film");
    ask.site = Some("here");
    assert_eq!(names(&fleet, &[], &ask), ["preferred", "near"]);
    let full = [loaded(0.2), loaded(1.0)];
    assert_eq!(names(&fleet, &full, &ask), ["near", "preferred"]);
}

#[test]
fn an_overloaded_edge_gives_viewers_up_to_the_second_choice_the_more_the_fuller_it_is() {
    let fleet = Fleet::new(vec![node("a"), node("b"), node("c")]);
    let order = names(&fleet, &[], &ask("film"));
    let first = fleet
        .nodes()
        .position(|node| node.name == order[0])
        .unwrap();
    let moved = |load: f64| {
        let mut conditions = [Condition::default(); 3];
        conditions[first] = loaded(load);
        let draws = (0..1000_u64).map(|n| mixed(n + 1));
        let ranked = draws.map(|draw| {
            names(
                &fleet,
                &conditions,
                &Ask {
                    draw,
                    ..ask("film")
                },
            )
        });
        let moved: Vec<_> = ranked.filter(|ranked| ranked[0] != order[0]).collect();
        assert!(
            moved
                .iter()
                .all(|ranked| *ranked == [order[1], order[2], order[0]])
        );
        moved.len()
    };
    assert_eq!(moved(0.85), 0);
    assert!((250..420).contains(&moved(0.90)), "{}", moved(0.90));
    assert_eq!(moved(1.0), 1000);
}

#[test]
fn a_viewer_stays_where_it_is_unless_another_edge_is_nearer_or_freer() {
    let fleet = Fleet::new(vec![node("a"), node("b"), at("c", "here", "")]);
    let mut ask = ask("film");
    for current in ["a", "b"] {
        ask.current = Some(current);
        assert_eq!(names(&fleet, &[], &ask)[0], current);
    }
    ask.site = Some("here");
    assert_eq!(names(&fleet, &[], &ask)[0], "c");
    ask.site = None;
    ask.current = Some("a");
    assert_ne!(names(&fleet, &[loaded(1.0)], &ask)[0], "a");
    ask.current = Some("nobody");
    assert_eq!(names(&fleet, &[], &ask).len(), 3);
}

#[test]
fn weights_are_kept_over_many_films() {
    let weighted = |name: &str, weight| Node {
        weight,
        ..node(name)
    };
    let fleet = Fleet::new(vec![
        weighted("a", 100),
        weighted("b", 200),
        weighted("c", 700),
    ]);
    let mut firsts: HashMap<&str, u32> = HashMap::new();
    for number in 0..20_000 {
        let film = format!("v{number}");
        *firsts
            .entry(names(&fleet, &[], &ask(&film))[0])
            .or_default() += 1;
    }
    for (name, share) in [("a", 2_000), ("b", 4_000), ("c", 14_000)] {
        let have = firsts[name];
        assert!(have.abs_diff(share) < share / 10, "{name}: {have} of 20000");
    }
}

proptest! {
    #[test]
    fn losing_an_edge_moves_only_its_films(
        weights in proptest::collection::vec(1_u32..1000, 2..8),
        lost in any::<proptest::sample::Index>(),
        film in "[a-z0-9]{1,12}",
    ) {
        let nodes: Vec<Node> = weights
            .iter()
            .enumerate()
            .map(|(n, weight)| Node { weight: *weight, ..node(&format!("edge-{n}")) })
            .collect();
        let lost = nodes[lost.index(nodes.len())].name.clone();
        let fewer = nodes.iter().filter(|node| node.name != lost).cloned().collect();
        let (all, fewer) = (Fleet::new(nodes), Fleet::new(fewer));
        let mut without = names(&all, &[], &ask(&film));
        without.retain(|name| *name != lost);
        prop_assert_eq!(without, names(&fewer, &[], &ask(&film)));
    }

    #[test]
    fn there_are_three_hosts_where_there_are_so_many(count in 3_usize..40, film in "[a-z]{1,8}") {
        let fleet = Fleet::new((0..count).map(|n| at(&format!("e{n}"), "here", "")).collect());
        let ranked = names(&fleet, &[], &ask(&film));
        prop_assert_eq!(ranked.len(), count.min(MOST));
        let mut hosts = ranked.clone();
        hosts.sort_unstable();
        hosts.dedup();
        prop_assert_eq!(hosts.len(), ranked.len());
    }
}
