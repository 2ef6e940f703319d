//! What a request asks for: an address, and of a film's renditions those that its token names.

use contracts::{address::Address, id::RenditionId, reason::Reason, target};

/// An address and the filter on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) address: Address,
    /// The renditions that a listing may name, sorted; none: all.
    pub(crate) only: Vec<RenditionId>,
}

impl Asked {
    /// The target in its one spelling, without what counts for nothing.
    pub(crate) fn key(&self) -> String {
        let mut key = self.address.path();
        for (at, rendition) in self.only.iter().enumerate() {
            key.push_str(if at == 0 { "?r=" } else { "," });
            key.push_str(rendition.as_str());
        }
        key
    }

    /// Reads a request target. Of the query only the edge's `r` counts: a film on demand has no delivery directives.
    ///
    /// # Errors
    /// [`Reason::Target`] outside the grammar, with a token, or with an `r` that is not spelt in its one way or
    /// stands behind what is no listing; [`Reason::NotFound`] when the path names no media.
    pub(crate) fn parse(text: &str) -> Result<Self, Reason> {
        let target = target::parse(text)?;
        if target.token.is_some() {
            return Err(Reason::Target);
        }
        Ok(Self {
            only: target::renditions(target)?,
            address: Address::parse(target.path).map_err(|_| Reason::NotFound)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_may_be_filtered_and_has_no_token() {
        let asked = Asked::parse("/v/a/@2s/manifest.mpd?_HLS_msn=1&r=360p,audio-en").unwrap();
        let names: Vec<&str> = asked.only.iter().map(RenditionId::as_str).collect();
        assert_eq!(names, ["360p", "audio-en"]);
        assert_eq!(asked.address.path(), "/v/a/@2s/manifest.mpd");
        assert_eq!(asked.key(), "/v/a/@2s/manifest.mpd?r=360p,audio-en");
        assert_eq!(Asked::parse(&asked.key()), Ok(asked));
        assert!(
            Asked::parse("/v/a/master.m3u8?CMCD=x")
                .unwrap()
                .only
                .is_empty()
        );
        for target in ["/~t/v/a/master.m3u8", "/v/a/720p/init.mp4?r=720p"] {
            assert_eq!(Asked::parse(target), Err(Reason::Target), "{target}");
        }
        assert_eq!(Asked::parse("/v/a/x"), Err(Reason::NotFound));
    }
}
