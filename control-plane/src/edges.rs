//! Which edge plays a film, and where it plays when that one fails.

use contracts::id::VideoId;
use sha2::{Digest as _, Sha256};

use crate::config::Edge;

/// A place from which a film can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) base: String,
    /// Whether its edge is a partner's, which verifies with public keys alone.
    pub(crate) partner: bool,
}

/// The places for a film, the best first: its edges in the order of their rendezvous weights, so
/// that each edge keeps a part of the catalogue warm and losing one moves only its films; then the
/// same edges without TLS.
pub(crate) fn ranked(edges: &[Edge], video: &VideoId) -> Vec<Place> {
    let mut order: Vec<&Edge> = edges.iter().collect();
    order.sort_by_key(|edge| std::cmp::Reverse(weight(&edge.name, video)));
    let with_tls = order.iter().map(|edge| Place {
        name: edge.name.clone(),
        base: edge.base.clone(),
        partner: edge.partner,
    });
    let plain = order.iter().filter(|edge| !edge.plain.is_empty());
    let plain = plain.map(|edge| Place {
        name: edge.name.clone(),
        base: edge.plain.clone(),
        partner: edge.partner,
    });
    with_tls.chain(plain).collect()
}

fn weight(edge: &str, video: &VideoId) -> [u8; 32] {
    // The separator is in neither alphabet, so no two pairs share an input.
    Sha256::digest(format!("{edge}\n{video}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(names: &[&str]) -> Vec<Edge> {
        let edge = |name: &&str| Edge {
            name: (*name).to_owned(),
            base: format!("https://{name}"),
            plain: format!("http://{name}"),
            partner: false,
        };
        names.iter().map(edge).collect()
    }

    #[test]
    fn losing_an_edge_moves_only_its_films() {
        let all = edges(&["a", "b", "c"]);
        let fewer = edges(&["a", "c"]);
        let mut moved = 0;
        for number in 0..300 {
            let video = VideoId::parse(&format!("v{number}")).unwrap();
            let (before, after) = (ranked(&all, &video), ranked(&fewer, &video));
            if before[0].name == "b" {
                moved += 1;
                assert_eq!(
                    before[1].name, after[0].name,
                    "the second choice takes over"
                );
            } else {
                assert_eq!(before[0], after[0]);
            }
        }
        assert!((50..150).contains(&moved), "{moved}");
    }

    #[test]
    fn edges_without_tls_come_last() {
        let places = ranked(&edges(&["a", "b"]), &VideoId::parse("v").unwrap());
        let schemes: Vec<bool> = places
            .iter()
            .map(|place| place.base.starts_with("https"))
            .collect();
        assert_eq!(schemes, [true, true, false, false]);
    }
}
