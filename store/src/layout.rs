//! Where each thing lies in the store; the only place that spells these paths.

use contracts::{
    asset::StillSize,
    id::{Generation, RenditionId, UploadId, VideoId},
};

use crate::{Key, key::KeyError};

/// The description of a published video, written last: `encoded/{video}/asset.json`.
#[must_use]
pub fn asset(video: &VideoId) -> Key {
    Key::trusted(format!("encoded/{video}/asset.json"))
}

/// Everything encoded for a video, of every generation: `encoded/{video}`.
#[must_use]
pub fn encoded(video: &VideoId) -> Key {
    Key::trusted(format!("encoded/{video}"))
}

/// Everything of one generation of a video: `encoded/{video}/{generation}`.
#[must_use]
pub fn generation(video: &VideoId, generation: Generation) -> Key {
    Key::trusted(format!("encoded/{video}/{}", generation.0))
}

/// The CMAF file of one rendition: `encoded/{video}/{generation}/{rendition}.mp4`.
#[must_use]
pub fn mezzanine(video: &VideoId, generation: Generation, rendition: &RenditionId) -> Key {
    Key::trusted(format!("encoded/{video}/{}/{rendition}.mp4", generation.0))
}

/// The packager's index of a mezzanine: `encoded/{video}/{generation}/{rendition}.index`.
#[must_use]
pub fn index(video: &VideoId, generation: Generation, rendition: &RenditionId) -> Key {
    Key::trusted(format!(
        "encoded/{video}/{}/{rendition}.index",
        generation.0
    ))
}

/// What is made of a video before it is joined, of every attempt: `pieces/{video}`.
#[must_use]
pub fn pieces(video: &VideoId) -> Key {
    Key::trusted(format!("pieces/{video}"))
}

/// The plan of the pieces of one attempt: `pieces/{video}/{attempt}/plan.json`.
#[must_use]
pub fn plan(video: &VideoId, attempt: u32) -> Key {
    Key::trusted(format!("pieces/{video}/{attempt}/plan.json"))
}

/// What one piece is: `pieces/{video}/{attempt}/{step}_{part}.json`.
#[must_use]
pub fn piece(video: &VideoId, attempt: u32, step: &str, part: u32) -> Key {
    Key::trusted(format!("pieces/{video}/{attempt}/{step}_{part}.json"))
}

/// One rendition of a piece: `pieces/{video}/{attempt}/{step}_{part}_{rendition}.mp4`.
#[must_use]
pub fn piece_of(
    video: &VideoId,
    attempt: u32,
    (step, part): (&str, u32),
    rendition: &RenditionId,
) -> Key {
    Key::trusted(format!(
        "pieces/{video}/{attempt}/{step}_{part}_{rendition}.mp4"
    ))
}

/// The still image of a video: `thumbnails/{video}/default.jpg`.
#[must_use]
pub fn poster(video: &VideoId) -> Key {
    Key::trusted(format!("thumbnails/{video}/default.jpg"))
}

/// Every image of a video: `thumbnails/{video}`.
#[must_use]
pub fn thumbnails(video: &VideoId) -> Key {
    Key::trusted(format!("thumbnails/{video}"))
}

/// One sheet of small pictures, counted from 1: `encoded/{video}/{generation}/sheet_{n}.jpg`.
#[must_use]
pub fn sheet(video: &VideoId, generation: Generation, number: u32) -> Key {
    Key::trusted(format!(
        "encoded/{video}/{}/sheet_{number}.jpg",
        generation.0
    ))
}

/// One still, counted from 1, in a size: `encoded/{video}/{generation}/thumb_{n}_{size}.jpg`.
#[must_use]
pub fn still(video: &VideoId, generation: Generation, (number, size): (u32, StillSize)) -> Key {
    Key::trusted(format!(
        "encoded/{video}/{}/thumb_{number}_{}.jpg",
        generation.0,
        size.as_str()
    ))
}

/// Subtitles or captions, named by their rendition: `subtitles/{video}/{text}.vtt`.
#[must_use]
pub fn subtitles(video: &VideoId, text: &RenditionId) -> Key {
    Key::trusted(format!("subtitles/{video}/{text}.vtt"))
}

/// Every text of a video: `subtitles/{video}`.
#[must_use]
pub fn all_subtitles(video: &VideoId) -> Key {
    Key::trusted(format!("subtitles/{video}"))
}

/// One chunk of an upload under way: `uploads/{upload}/chunk_{n}`, counted from 0.
#[must_use]
pub fn chunk(upload: &UploadId, index: u32) -> Key {
    Key::trusted(format!("uploads/{upload}/chunk_{index}"))
}

/// A piece of an upload whose bytes come in order, as one of those who wrote it drew it:
/// `uploads/{upload}/from_{start}_{drawn}`.
#[must_use]
pub fn piece_from(upload: &UploadId, start_bytes: u64, drawn: [u8; 8]) -> Key {
    let drawn = u64::from_be_bytes(drawn);
    Key::trusted(format!("uploads/{upload}/from_{start_bytes}_{drawn:016x}"))
}

/// Every chunk of an upload: `uploads/{upload}`.
#[must_use]
pub fn upload(upload: &UploadId) -> Key {
    Key::trusted(format!("uploads/{upload}"))
}

/// The film as the publisher sent it: `originals/{video}/original.{extension}`.
///
/// # Errors
/// [`KeyError`] when the extension has anything but 1 to 16 letters and digits.
pub fn original(video: &VideoId, extension: &str) -> Result<Key, KeyError> {
    if extension.is_empty() {
        return Err(KeyError::Empty);
    }
    if extension.len() > 16 {
        return Err(KeyError::TooLong);
    }
    if !extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(KeyError::Character);
    }
    Key::parse(&format!("originals/{video}/original.{extension}"))
}

/// Everything kept of what the publisher sent: `originals/{video}`.
#[must_use]
pub fn originals(video: &VideoId) -> Key {
    Key::trusted(format!("originals/{video}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_lies_where_the_design_says() {
        let video = VideoId::parse("-a_B9").unwrap();
        let upload_id = UploadId::parse("u1").unwrap();
        let rung = RenditionId::parse("720p").unwrap();
        assert_eq!(asset(&video).as_str(), "encoded/-a_B9/asset.json");
        assert_eq!(
            mezzanine(&video, Generation(2), &rung).as_str(),
            "encoded/-a_B9/2/720p.mp4"
        );
        assert_eq!(
            index(&video, Generation(2), &rung).as_str(),
            "encoded/-a_B9/2/720p.index"
        );
        let text = RenditionId::parse("text-en").unwrap();
        assert_eq!(
            sheet(&video, Generation(2), 3).as_str(),
            "encoded/-a_B9/2/sheet_3.jpg"
        );
        assert_eq!(
            subtitles(&video, &text).as_str(),
            "subtitles/-a_B9/text-en.vtt"
        );
        assert_eq!(poster(&video).as_str(), "thumbnails/-a_B9/default.jpg");
        let step = ("chunk", 4);
        assert_eq!(plan(&video, 3).as_str(), "pieces/-a_B9/3/plan.json");
        assert_eq!(
            piece(&video, 3, step.0, step.1).as_str(),
            "pieces/-a_B9/3/chunk_4.json"
        );
        assert_eq!(
            piece_of(&video, 3, step, &rung).as_str(),
            "pieces/-a_B9/3/chunk_4_720p.mp4"
        );
        assert_eq!(chunk(&upload_id, 7).as_str(), "uploads/u1/chunk_7");
        assert_eq!(
            piece_from(&upload_id, 70, [0, 0, 0, 0, 0, 0, 1, 0xab]).as_str(),
            "uploads/u1/from_70_00000000000001ab"
        );
        assert_eq!(
            original(&video, "mp4").unwrap().as_str(),
            "originals/-a_B9/original.mp4"
        );
    }

    #[test]
    fn an_extension_cannot_lead_elsewhere() {
        let video = VideoId::parse("v").unwrap();
        for extension in ["", "../x", "a/b", "mp4.", "a-very-long-extension"] {
            assert!(original(&video, extension).is_err(), "{extension}");
        }
    }
}
