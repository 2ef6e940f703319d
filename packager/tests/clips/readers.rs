//! All golden playlists and manifests, read by parsers that know nothing of how they were written.

use std::path::{Path, PathBuf};

use contracts::address::{Address, Item};
use m3u8_rs::Playlist;

pub(crate) fn goldens(extension: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut wanted: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    wanted.sort();
    assert!(wanted.len() > 3);
    wanted
}

/// What a relative URL names when it stands in a file of a folder of a film.
fn named(folder: &str, url: &str) -> Item {
    let path = format!("/v/film/{folder}{url}");
    let address = Address::parse(&path);
    address
        .unwrap_or_else(|_| panic!("{path} names nothing"))
        .item
}

fn count(text: &str, what: &str) -> usize {
    text.lines().filter(|line| line.starts_with(what)).count()
}

#[test]
fn playlists_are_read_whole_and_every_url_names_media() {
    for (path, text) in goldens("m3u8") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match m3u8_rs::parse_playlist_res(text.as_bytes()) {
            Ok(Playlist::MasterPlaylist(master)) => {
                let frames = master.variants.iter().filter(|one| one.is_i_frame).count();
                assert_eq!(frames, count(&text, "#EXT-X-I-FRAME-STREAM-INF:"), "{name}");
                let streams = count(&text, "#EXT-X-STREAM-INF:");
                assert_eq!(master.variants.len() - frames, streams, "{name}");
                assert_eq!(
                    master.alternatives.len(),
                    count(&text, "#EXT-X-MEDIA:"),
                    "{name}"
                );
                assert!(master.independent_segments);
                let media = master
                    .alternatives
                    .iter()
                    .filter_map(|one| one.uri.as_ref());
                for url in master.variants.iter().map(|one| &one.uri).chain(media) {
                    assert!(matches!(
                        named("", url),
                        Item::Playlist(..) | Item::Iframes(..)
                    ));
                }
                for variant in &master.variants {
                    for group in [&variant.audio, &variant.subtitles].into_iter().flatten() {
                        let members = master.alternatives.iter();
                        assert!(members.clone().any(|one| one.group_id == *group), "{name}");
                    }
                }
            }
            Ok(Playlist::MediaPlaylist(media)) => {
                assert_eq!(media.segments.len(), count(&text, "#EXTINF:"), "{name}");
                assert!(media.end_list && media.version.is_some(), "{name}");
                for segment in &media.segments {
                    assert!(
                        segment.duration.round() as u64 <= media.target_duration,
                        "{name}"
                    );
                    named("54p/", &segment.uri);
                }
                let keys = media.segments.iter().flat_map(|segment| &segment.key);
                for url in keys.filter_map(|key| key.uri.as_ref()) {
                    let elsewhere = ["data:", "skd:"]
                        .iter()
                        .any(|scheme| url.starts_with(scheme));
                    assert!(
                        elsewhere || matches!(named("54p/", url), Item::Key(_)),
                        "{name}"
                    );
                }
                assert_eq!(media.i_frames_only, name.contains(".iframes"), "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn manifests_are_read_whole_and_every_url_names_media() {
    for (path, text) in goldens("mpd") {
        let name = path.display();
        let mpd = dash_mpd_core::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let sets = &mpd.periods[0].adaptations;
        assert_eq!(sets.len(), count(&text, "<AdaptationSet "), "{name}");
        let mut ids: Vec<_> = sets.iter().map(|set| set.id.clone().unwrap()).collect();
        ids.dedup();
        assert_eq!(ids.len(), sets.len(), "{name}");
        for set in sets {
            for representation in &set.representations {
                let id = representation.id.as_deref().unwrap();
                assert!(representation.bandwidth.unwrap() > 0, "{name}");
                let own = representation.SegmentTemplate.as_ref();
                let template = own.or(set.SegmentTemplate.as_ref());
                let Some(template) = template else {
                    named("", &representation.BaseURL[0].base);
                    continue;
                };
                let urls = [template.media.as_ref(), template.initialization.as_ref()];
                for url in urls.into_iter().flatten() {
                    named(
                        "",
                        &url.replace("$RepresentationID$", id)
                            .replace("$Number$", "1"),
                    );
                }
            }
        }
    }
}
