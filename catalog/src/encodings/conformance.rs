//! What every adapter of [`Encodings`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::asset::{Asset, Image, Kind, Privacy, Rendition, Still, Thumbs};
use contracts::id::{Generation, RenditionId, VideoId};

use super::{Contents, Encodings};

/// Every promise, on a catalogue that knows no film's contents.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(encodings: &dyn Encodings) {
    let film = |name: &str| VideoId::parse(name).expect("a test's id is one");
    let of = async |name| encodings.of(&film(name)).await.expect("of");
    assert_eq!(of("made").await, Contents::default());
    let rendition = |id: &str, kind| {
        let id = RenditionId::parse(id).expect("a test's id is one");
        Rendition::new(id, kind)
    };
    let mut asset = Asset {
        video: film("made"),
        generation: Generation(1),
        title: "Made".into(),
        privacy: Privacy::Public,
        duration_ms: 1000,
        renditions: vec![
            Rendition {
                width: Some(1920),
                height: Some(1080),
                ..rendition("1080p", Kind::Video)
            },
            Rendition {
                language: Some("de".into()),
                ..rendition("audio-de", Kind::Audio)
            },
            Rendition {
                language: Some("en".into()),
                label: Some("Director's comments".into()),
                sha256: Some("ab".repeat(32)),
                ..rendition("text-en", Kind::Text)
            },
        ],
        thumbs: Some(Thumbs {
            width: 160,
            height: 90,
            columns: 5,
            rows: 5,
            interval_ms: 2000,
            tiles: 3,
            sheet_bytes: vec![100],
        }),
        stills: vec![still(0), still(250)],
        protected: false,
    };
    for thumbs in [true, false] {
        encodings.put(&asset).await.expect("put");
        let renditions = asset.renditions.clone();
        let stills = asset.stills.clone();
        let told = Contents {
            renditions,
            thumbs,
            stills,
        };
        assert_eq!(of("made").await, told);
        asset.renditions.pop();
        asset.thumbs = None;
        asset.stills.pop();
    }
    assert_eq!(of("other").await, Contents::default());
}

fn still(at_ms: u64) -> Still {
    let image = |width: u32| Image {
        width,
        height: width / 2,
        bytes: 100 + width,
    };
    Still {
        at_ms,
        small: image(320),
        medium: image(640),
        large: image(1280),
    }
}
