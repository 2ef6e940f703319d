//! The frame that all pictures of a film are brought to, whatever their size becomes on the way. Pure.

use serde::{Deserialize, Serialize};

/// The size and the shape of a film's first pictures, as they are coded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    width: u32,
    height: u32,
    /// How many times as wide as high it is shown.
    shape: f64,
}

impl Frame {
    /// The frame of pictures of this size, where a pixel is shown so many times as wide as high; `None` where they
    /// cannot be put into a frame.
    #[must_use]
    pub(super) fn of(width: u32, height: u32, pixel: f64, format: Option<&str>) -> Option<Self> {
        // Of these, `pad` takes no width but multiples of four.
        let coarse = format.is_some_and(|name| name.contains("410") || name.contains("411"));
        let shape = f64::from(width) / f64::from(height) * pixel;
        (!coarse && width > 1 && height > 1).then_some(Self {
            width: width - width % 2,
            height: height - height % 2,
            shape,
        })
    }

    /// The filters that bring every picture to it. The first kind is left as it is; any other is scaled, keeps its
    /// shape save for a hair, and stands in the middle of black. They must be the first of their graph: `scale` looks
    /// at each picture anew, while others take what comes for what came first.
    #[must_use]
    pub(super) fn filters(self) -> String {
        let Self {
            width,
            height,
            shape,
        } = self;
        let side = |size: u32, by: &str| {
            let half = size / 2;
            format!("2*max(1\\,round({half}*if(gt({by}\\,{ALIKE})\\,1\\,{by})))")
        };
        let across = side(width, &format!("dar/{shape:.6}"));
        let down = side(height, &format!("{shape:.6}/dar"));
        format!(
            "scale=w={across}:h={down}:eval=frame:interl=-1,pad={width}:{height}:-1:-1:eval=frame,"
        )
    }
}

/// What is so nearly of the frame's shape fills it: there shall be no thin edges of black.
const ALIKE: f64 = 0.97;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_put_into_a_frame_has_none() {
        assert!(Frame::of(321, 241, 1.0, Some("yuv420p")).is_some());
        assert!(Frame::of(720, 480, 1.0, Some("yuv411p")).is_none());
        assert!(Frame::of(1, 241, 1.0, None).is_none());
    }

    #[test]
    fn odd_sides_lose_a_pixel_and_a_hair_of_shape_counts_for_nothing() {
        let filters = Frame::of(321, 181, 1.0, None).unwrap().filters();
        assert!(filters.contains("pad=320:180:"), "{filters}");
        assert!(filters.contains("gt(dar/1.773481\\,0.97)"), "{filters}");
    }
}
