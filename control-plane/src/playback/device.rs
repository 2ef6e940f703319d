//! Which renditions of a film a device may have: decided without asking anybody.

use catalog::encodings::Contents;
use contracts::address::THUMBS;
use contracts::asset::{Kind, Rendition};
use contracts::id::RenditionId;
use contracts::keys::TrackType;

/// No picture of the film is one that the device may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPicture;

/// The renditions that a device may have; empty for all of them. Where a film's renditions are not known, all are.
///
/// `classes` are those whose keys it gets, of a protected film. `most` is the shorter side of the largest picture
/// that it shows, as it says: where all are larger it gets the smallest.
pub(crate) fn renditions(
    contents: &Contents,
    classes: Option<&[TrackType]>,
    most: Option<u64>,
) -> Result<Vec<RenditionId>, NoPicture> {
    let pictures = || {
        contents
            .renditions
            .iter()
            .filter(|one| one.kind == Kind::Video)
    };
    let opened = |one: &Rendition| classes.is_none_or(|classes| classes.contains(&class(one)));
    let opened: Vec<&Rendition> = pictures().filter(|one| opened(one)).collect();
    if opened.is_empty() && pictures().next().is_some() {
        return Err(NoPicture);
    }
    let smallest = opened.iter().map(|one| side(one)).min().unwrap_or(0);
    let most = most.map_or(u64::MAX, |most| most.max(smallest));
    let shown = |one: &&&Rendition| side(one) <= most;
    let shown: Vec<&RenditionId> = opened.iter().filter(shown).map(|one| &one.id).collect();
    if shown.len() == pictures().count() {
        return Ok(Vec::new());
    }
    let beside = contents
        .renditions
        .iter()
        .filter(|one| one.kind != Kind::Video);
    let mut all: Vec<RenditionId> = shown.into_iter().cloned().collect();
    all.extend(beside.map(|one| one.id.clone()));
    if contents.thumbs {
        all.extend(RenditionId::parse(THUMBS).ok());
    }
    Ok(all)
}

/// The shorter side of a picture, by which its class is told; one that is not known is the smallest.
fn side(rendition: &Rendition) -> u64 {
    let sides = [rendition.width, rendition.height].into_iter().flatten();
    sides.min().map_or(0, u64::from)
}

fn class(rendition: &Rendition) -> TrackType {
    match side(rendition) {
        0..=576 => TrackType::Sd,
        577..=1080 => TrackType::Hd,
        _ => TrackType::Uhd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(sides: &[(u32, u32)]) -> Contents {
        let id = |text: &str| RenditionId::parse(text).unwrap();
        let picture = |(width, height): &(u32, u32)| Rendition {
            width: Some(*width),
            height: Some(*height),
            ..Rendition::new(id(&format!("{height}p")), Kind::Video)
        };
        let mut renditions: Vec<Rendition> = sides.iter().map(picture).collect();
        renditions.push(Rendition::new(id("audio-und"), Kind::Audio));
        renditions.push(Rendition::new(id("text-en"), Kind::Text));
        Contents {
            renditions,
            thumbs: true,
            stills: Vec::new(),
        }
    }

    fn names(
        contents: &Contents,
        classes: Option<&[TrackType]>,
        most: Option<u64>,
    ) -> Result<String, NoPicture> {
        let renditions = renditions(contents, classes, most)?;
        let names: Vec<&str> = renditions.iter().map(RenditionId::as_str).collect();
        Ok(names.join(" "))
    }

    use TrackType::{Audio, Hd, Sd, Uhd};

    #[test]
    fn a_device_gets_what_it_shows_and_what_it_gets_keys_for() {
        let film = film(&[(640, 360), (1280, 720), (1920, 1080), (3840, 2160)]);
        let beside = "audio-und text-en thumbs";
        for (classes, most, wanted) in [
            (None, None, String::new()),
            (None, Some(2160), String::new()),
            (None, Some(1080), format!("360p 720p 1080p {beside}")),
            (None, Some(1), format!("360p {beside}")),
            (
                Some(&[Audio, Sd, Hd][..]),
                None,
                format!("360p 720p 1080p {beside}"),
            ),
            (
                Some(&[Audio, Sd, Hd][..]),
                Some(800),
                format!("360p 720p {beside}"),
            ),
            (Some(&[Audio, Hd][..]), Some(360), format!("720p {beside}")),
            (Some(&[Audio, Sd, Hd, Uhd][..]), None, String::new()),
        ] {
            assert_eq!(
                names(&film, classes, most),
                Ok(wanted),
                "{classes:?} {most:?}"
            );
        }
        assert_eq!(names(&film, Some(&[Audio]), None), Err(NoPicture));
    }

    #[test]
    fn a_picture_on_end_counts_by_its_shorter_side() {
        let film = film(&[(360, 640), (1080, 1920)]);
        let got = names(&film, None, Some(720));
        assert_eq!(got.as_deref(), Ok("640p audio-und text-en thumbs"));
    }

    #[test]
    fn a_film_whose_renditions_are_not_known_is_given_whole() {
        let unknown = Contents::default();
        assert_eq!(
            names(&unknown, Some(&[Audio]), Some(360)),
            Ok(String::new())
        );
    }
}
