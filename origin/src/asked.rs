//! What a request asks for: an address, and of a film's renditions those that its token names.

use contracts::{address::Address, id::RenditionId, reason::Reason, target};

/// An address and the filter on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) address: Address,
    /// The renditions that a listing may name, sorted; none: all.
    pub(crate) only: Option<Vec<RenditionId>>,
}

impl Asked {
    /// Reads a request target. The query may be the edge's `r=` on a listing; what else stands there has no meaning
    /// here, as a film on demand has no delivery directives.
    ///
    /// # Errors
    /// [`Reason::Target`] outside the grammar, with a token, or with an `r=` that is not spelt in its one way;
    /// [`Reason::NotFound`] when the path names no media, or cannot be filtered.
    pub(crate) fn parse(text: &str) -> Result<Self, Reason> {
        let target = target::parse(text)?;
        if target.token.is_some() {
            return Err(Reason::Target);
        }
        let address = Address::parse(target.path).map_err(|_| Reason::NotFound)?;
        let mut only = None;
        for pair in target.query.unwrap_or_default().split('&') {
            let Some(list) = pair.strip_prefix("r=") else {
                continue;
            };
            let read = renditions(list).ok_or(Reason::Target)?;
            if only.replace(read).is_some() {
                return Err(Reason::Target);
            }
        }
        if only.is_some() && !address.item.lists_renditions() {
            return Err(Reason::NotFound);
        }
        Ok(Self { address, only })
    }
}

/// Names in rising order, none twice: every set has one spelling, and one place in the caches before us.
fn renditions(list: &str) -> Option<Vec<RenditionId>> {
    let mut names = Vec::new();
    for name in list.split(',') {
        let name = RenditionId::parse(name).ok()?;
        if names.last().is_some_and(|last| *last >= name) {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(target: &str) -> Result<Option<Vec<String>>, Reason> {
        let asked = Asked::parse(target)?;
        let names = |names: Vec<RenditionId>| names.iter().map(|name| name.to_string()).collect();
        Ok(asked.only.map(names))
    }

    #[test]
    fn a_listing_may_be_filtered_by_a_canonical_set() {
        let list = |names: &[&str]| Ok(Some(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(only("/v/a/master.m3u8?r=720p"), list(&["720p"]));
        assert_eq!(
            only("/v/a/@2s/manifest.mpd?_HLS_msn=1&r=360p,audio-en"),
            list(&["360p", "audio-en"])
        );
        assert_eq!(only("/v/a/master.m3u8?CMCD=x"), Ok(None));
        assert_eq!(only("/v/a/master.m3u8"), Ok(None));
    }

    #[test]
    fn another_spelling_is_refused_and_nothing_else_can_be_filtered() {
        for query in [
            "r=",
            "r=720p,",
            "r=720p,360p",
            "r=720p,720p",
            "r=720P",
            "r=a&r=b",
            "r=..",
            "r=720p%2c",
        ] {
            let target = format!("/v/a/master.m3u8?{query}");
            assert_eq!(only(&target), Err(Reason::Target), "{query}");
        }
        let segment = "/v/a/720p/segment_1.m4s?r=720p";
        assert_eq!(only(segment), Err(Reason::NotFound));
        assert_eq!(
            only("/v/a/720p/playlist.m3u8?r=720p"),
            Err(Reason::NotFound)
        );
    }
}
