//! What a player says of itself when it asks where to go.

use crate::routing::prefixes::is_name;

/// The longest query that is looked at, in bytes.
const LONGEST: usize = 2048;
/// The greatest throughput that is believed, in bits a second.
const FASTEST: u64 = 1_000_000_000_000;

/// What of it can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// `hls`, `dash`, or `other` of one that says nothing.
    pub(super) by: &'static str,
    /// The pathway that it has.
    pub(super) pathway: Option<String>,
    /// What it measured, in bits a second.
    pub(super) throughput_bps: Option<u64>,
}

impl Said {
    /// Reads a query; what is no name or no number does not count.
    pub(super) fn read(query: &str) -> Self {
        let mut said = Self {
            by: "other",
            pathway: None,
            throughput_bps: None,
        };
        if query.len() > LONGEST {
            return said;
        }
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let (by, is_pathway) = match name {
                "_HLS_pathway" => ("hls", true),
                "_HLS_throughput" => ("hls", false),
                "_DASH_pathway" => ("dash", true),
                "_DASH_throughput" => ("dash", false),
                _ => continue,
            };
            said.by = by;
            if is_pathway {
                // DASH players put the name in quotes, of which a URL has the escapes.
                let name = value.trim_start_matches("%22").trim_end_matches("%22");
                let name = name.trim_matches('"');
                said.pathway = is_name(name).then(|| name.to_owned());
            } else {
                let bits = value.parse().ok();
                said.throughput_bps = bits.filter(|bits| *bits <= FASTEST);
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_says_where_it_is_and_how_fast_in_either_way() {
        let said = Said::read("_HLS_pathway=edge-1&_HLS_throughput=5140000");
        let pathway = |said: &Said| said.pathway.clone();
        assert_eq!(
            (said.by, pathway(&said).as_deref()),
            ("hls", Some("edge-1"))
        );
        assert_eq!(said.throughput_bps, Some(5_140_000));
        for quoted in ["%22edge-1%22", "\"edge-1\"", "edge-1"] {
            let said = Said::read(&format!("a=b&_DASH_pathway={quoted}&_DASH_throughput=1"));
            assert_eq!(
                (said.by, pathway(&said).as_deref()),
                ("dash", Some("edge-1"))
            );
        }
    }

    #[test]
    fn what_is_no_name_no_number_or_too_long_does_not_count() {
        for query in [
            "",
            "_HLS_pathway",
            "_HLS_pathway=a%0Ab&_HLS_throughput=fast",
            "_HLS_throughput=1000000000001",
            "_HLS_throughput=-1",
        ] {
            let said = Said::read(query);
            assert_eq!((said.pathway, said.throughput_bps), (None, None), "{query}");
        }
        let long = format!("_HLS_pathway=edge-1&x={}", "y".repeat(LONGEST));
        assert_eq!(Said::read(&long).by, "other");
    }
}
