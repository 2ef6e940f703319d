//! Where a node sends viewers for whom it fetches nothing: edges that everybody may be sent to, and that fetch at all
//! times themselves.

use catalog::members::Member;
use contracts::fleet::Origin;
use contracts::time::UnixSeconds;

use crate::routing::Target;
use crate::routing::rank::Condition;

/// As many as help.
const MOST: usize = 8;

/// The edges that stand in for a node, the nearest first. When none seems well all do: it may be here that nothing is
/// heard of them.
pub(super) fn of(
    member: &Member,
    edges: Vec<(Target, Condition)>,
    now: UnixSeconds,
) -> Vec<Origin> {
    let terms = &member.terms;
    let mut able = edges;
    able.retain(|(edge, condition)| {
        let node = &edge.node;
        let as_secure = edge.base.starts_with("https://") || !member.announce.base.is_secure();
        let may_play = (node.protected || !terms.protected) && !node.partner;
        let is_other = node.name != member.name.as_str();
        is_other && may_play && as_secure && !edge.withholds && !condition.draining
    });
    if able.iter().any(|(_, condition)| condition.is_well(now)) {
        able.retain(|(_, condition)| condition.is_well(now));
    }
    let distance = |site: &str, region: &str| match () {
        () if site == terms.site => 0,
        () if !region.is_empty() && region == terms.region => 1,
        () => 2,
    };
    able.sort_by_cached_key(|(edge, _)| {
        let node = &edge.node;
        let distance = distance(&node.site, &node.region);
        (distance, node.priority, node.name.clone())
    });
    let bases = able.iter().map(|(edge, _)| Origin::parse(&edge.base));
    bases.filter_map(Result::ok).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::member;
    use super::*;
    use crate::routing::rank::Node;

    const NOW: UnixSeconds = UnixSeconds(1000);

    fn edge(name: &str, change: impl FnOnce(&mut Target)) -> (Target, Condition) {
        let mut target = Target {
            node: Node {
                name: name.to_owned(),
                site: String::new(),
                region: String::new(),
                priority: 0,
                weight: 100,
                partner: false,
                m2: true,
                protected: true,
            },
            base: format!("https://{name}.example"),
            plain: String::new(),
            withholds: false,
        };
        change(&mut target);
        (target, Condition::default())
    }

    fn names(member: &Member, edges: Vec<(Target, Condition)>) -> Vec<String> {
        let bases = of(member, edges, NOW);
        let name = |base: Origin| base.host().trim_end_matches(".example").to_owned();
        bases.into_iter().map(name).collect()
    }

    #[test]
    fn whoever_may_not_fetch_either_is_no_fallback() {
        let mut node = member("isp-1");
        node.terms.protected = true;
        let leaving = edge("leaving", |_| {});
        let draining = Condition {
            draining: true,
            ..leaving.1
        };
        let edges = vec![
            edge("isp-1", |_| {}),
            edge("withholds", |edge| edge.withholds = true),
            edge("partner", |edge| edge.node.partner = true),
            edge("clear-only", |edge| edge.node.protected = false),
            edge("plain", |edge| {
                edge.base = "http://plain.example".to_owned()
            }),
            (leaving.0, draining),
            edge("far", |_| {}),
            edge("near", |edge| edge.node.site = "isp-1".to_owned()),
        ];
        assert_eq!(names(&node, edges), ["near", "far"]);
    }

    #[test]
    fn who_is_not_well_is_asked_when_nobody_is() {
        let node = member("isp-1");
        let unwell = |name: &str, lease: Option<u64>| {
            let ill = Condition {
                healthy: lease.is_some(),
                lease: lease.map(UnixSeconds),
                ..Condition::default()
            };
            (edge(name, |_| {}).0, ill)
        };
        let ill = || vec![unwell("ill", None), unwell("silent", Some(NOW.0))];
        assert_eq!(names(&node, ill()), ["ill", "silent"]);
        let mut one_is = ill();
        one_is.push(edge("well", |_| {}));
        assert_eq!(names(&node, one_is), ["well"]);
    }
}
