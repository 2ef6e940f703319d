//! What colours a picture has, and what makes those of a common screen of them (ITU-R BT.709). Pure.

use serde::{Deserialize, Serialize};

/// The kind of a picture's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colour {
    /// As common screens show them, or nothing is told of them.
    Plain,
    /// More colours than a common screen has (ITU-R BT.2020), at common brightness.
    Wide,
    /// High dynamic range by absolute brightness (SMPTE ST 2084).
    Pq,
    /// High dynamic range by the screen's brightness (ARIB STD-B67).
    Hlg,
}

impl Colour {
    /// Finds the kind by ffmpeg's words for transfer and primaries.
    #[must_use]
    pub fn of(transfer: Option<&str>, primaries: Option<&str>) -> Self {
        match (transfer, primaries) {
            (Some("smpte2084"), _) => Self::Pq,
            (Some("arib-std-b67"), _) => Self::Hlg,
            (_, Some("bt2020")) => Self::Wide,
            _ => Self::Plain,
        }
    }

    /// The filters that make common colours of these, for a picture of that size; empty when they are.
    ///
    /// What is brighter than a common screen is pressed into its upper range: the white of a page
    /// (203 cd/m², ITU-R BT.2408) keeps three quarters of the range, and 1000 cd/m² is the end of it.
    /// What single films say of their brightness is not looked at, so that cuts between them fit.
    #[must_use]
    pub fn filters(self, width: u32, height: u32) -> String {
        let transfer = match self {
            Self::Plain => return String::new(),
            Self::Wide => {
                return format!(
                    "zscale=w={width}:h={height}:f=bicubic:tin=bt709:pin=bt2020:min=bt2020nc:\
                     p=bt709:t=bt709:m=bt709:r=tv,format=yuv420p,"
                );
            }
            Self::Pq => "smpte2084",
            Self::Hlg => "arib-std-b67",
        };
        format!(
            "zscale=w={width}:h={height}:f=bicubic:tin={transfer}:pin=bt2020:min=bt2020nc:t=linear:npl=100,\
             format=gbrpf32le,zscale=p=bt709,tonemap=hable:peak=10:desat=0,\
             zscale=t=bt709:m=bt709:r=tv,format=yuv420p,"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_common_screen_does_not_show_is_changed() {
        for (transfer, primaries, colour) in [
            (None, None, Colour::Plain),
            (Some("bt709"), Some("bt709"), Colour::Plain),
            (Some("bt2020-10"), Some("bt2020"), Colour::Wide),
            (Some("smpte2084"), Some("bt2020"), Colour::Pq),
            (Some("arib-std-b67"), Some("bt2020"), Colour::Hlg),
        ] {
            assert_eq!(Colour::of(transfer, primaries), colour);
            let changed = !colour.filters(64, 48).is_empty();
            assert_eq!(changed, colour != Colour::Plain);
        }
    }
}
