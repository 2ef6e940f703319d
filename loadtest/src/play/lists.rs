//! HLS playlists, as far as a player of films on demand needs them (RFC 8216).

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::Uri;
use m3u8_rs::{AlternativeMediaType, Playlist};

/// What a film can be played in, from the lowest rate to the highest.
#[derive(Debug, PartialEq)]
pub(super) struct Ladder {
    pub(super) rungs: Vec<Rung>,
    /// The path of the sound's playlist, where it is apart.
    pub(super) sound: Option<String>,
}

/// A variant.
#[derive(Debug, PartialEq)]
pub(super) struct Rung {
    /// Bits a second; the average where it is told.
    pub(super) rate: f64,
    /// The path of its playlist.
    pub(super) path: String,
}

/// A media playlist.
#[derive(Debug, PartialEq)]
pub(super) struct List {
    /// Path of the initialization segment, if there is one.
    pub(super) map: Option<String>,
    pub(super) segments: Vec<Segment>,
}

/// A segment.
#[derive(Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) path: String,
    pub(super) length: Duration,
}

/// Reads a multivariant playlist that lies at a path of an authority.
pub(super) fn ladder(body: &[u8], at: &Place<'_>) -> Result<Ladder> {
    let Playlist::MasterPlaylist(master) = read(body)? else {
        bail!("a media playlist where a multivariant playlist belongs");
    };
    let variants = master.variants.iter().filter(|one| !one.is_i_frame);
    let mut rungs = Vec::new();
    let mut group = None;
    for variant in variants {
        let rate = variant.average_bandwidth.unwrap_or(variant.bandwidth);
        group = group.or(variant.audio.as_deref());
        rungs.push(Rung {
            rate: f64::from(u32::try_from(rate).context("a rate beyond reason")?),
            path: at.resolve(&variant.uri)?,
        });
    }
    ensure!(
        !rungs.is_empty(),
        "a multivariant playlist without variants"
    );
    rungs.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let sounds = master.alternatives.iter().filter(|media| {
        media.media_type == AlternativeMediaType::Audio && Some(media.group_id.as_str()) == group
    });
    let sound = sounds.max_by_key(|media| media.default);
    let sound = sound.and_then(|media| media.uri.as_deref());
    Ok(Ladder {
        rungs,
        sound: sound.map(|uri| at.resolve(uri)).transpose()?,
    })
}

/// Reads a media playlist that lies at a path of an authority.
pub(super) fn list(body: &[u8], at: &Place<'_>) -> Result<List> {
    let Playlist::MediaPlaylist(media) = read(body)? else {
        bail!("a multivariant playlist where a media playlist belongs");
    };
    let map = media
        .segments
        .iter()
        .find_map(|segment| segment.map.as_ref());
    let segments = media.segments.iter().map(|segment| {
        ensure!(segment.byte_range.is_none(), "byte ranges are not played");
        Ok(Segment {
            path: at.resolve(&segment.uri)?,
            length: Duration::try_from_secs_f32(segment.duration)?,
        })
    });
    Ok(List {
        map: map.map(|map| at.resolve(&map.uri)).transpose()?,
        segments: segments.collect::<Result<_>>()?,
    })
}

fn read(body: &[u8]) -> Result<Playlist> {
    m3u8_rs::parse_playlist_res(body)
        .ok()
        .context("not a playlist")
}

/// Where a playlist lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
}

impl Place<'_> {
    /// A reference of the playlist as a path, its query included (RFC 3986 §5.2).
    fn resolve(&self, reference: &str) -> Result<String> {
        if reference.contains("://") {
            let uri: Uri = reference.parse()?;
            let same = uri.authority().is_some_and(|one| one == self.authority);
            ensure!(same, "a playlist that leads to another server");
            let path = uri.path_and_query().context("an address without a path")?;
            return Ok(path.to_string());
        }
        if reference.starts_with('/') {
            return Ok(reference.to_owned());
        }
        let path = self
            .path
            .split_once('?')
            .map_or(self.path, |(path, _)| path);
        let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut reference = reference;
        while let Some(rest) = reference.strip_prefix("../") {
            reference = rest;
            folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
        }
        Ok(format!("{folder}/{reference}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        authority: "edge:8443",
        path: "/~t.k/v/film/master.m3u8?x=/1",
    };

    #[test]
    fn a_ladder_goes_from_the_lowest_rate_to_the_highest_and_knows_the_sound() {
        let text = "#EXTM3U\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"de\",DEFAULT=NO,URI=\"audio-de/playlist.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"en\",DEFAULT=YES,URI=\"audio-en/playlist.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=5000000,AVERAGE-BANDWIDTH=4000000,AUDIO=\"aac\"\n1080p/playlist.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=800000,AUDIO=\"aac\"\n360p/playlist.m3u8\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=4984,URI=\"54p/iframes.m3u8\"\n";
        let ladder = ladder(text.as_bytes(), &PLACE).unwrap();
        let rates: Vec<f64> = ladder.rungs.iter().map(|rung| rung.rate).collect();
        assert_eq!(rates, [800_000.0, 4_000_000.0]);
        assert_eq!(ladder.rungs[1].path, "/~t.k/v/film/1080p/playlist.m3u8");
        let sound = ladder.sound.as_deref();
        assert_eq!(sound, Some("/~t.k/v/film/audio-en/playlist.m3u8"));
    }

    #[test]
    fn a_media_playlist_tells_its_map_and_its_segments() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n\
            #EXTINF:4.000,\nsegment_1.m4s\n#EXTINF:1.5,\n/v/segment_2.m4s\n#EXT-X-ENDLIST\n";
        let at = Place {
            path: "/v/film/1080p/playlist.m3u8",
            ..PLACE
        };
        let list = list(text.as_bytes(), &at).unwrap();
        assert_eq!(list.map.as_deref(), Some("/v/film/1080p/init.mp4"));
        assert_eq!(list.segments[0].path, "/v/film/1080p/segment_1.m4s");
        assert_eq!(list.segments[1].path, "/v/segment_2.m4s");
        assert_eq!(list.segments[1].length, Duration::from_millis(1500));
    }

    #[test]
    fn references_lead_to_the_same_server_only() {
        let resolved = |reference| PLACE.resolve(reference).ok();
        assert_eq!(resolved("../a?b").as_deref(), Some("/~t.k/v/a?b"));
        assert_eq!(resolved("https://edge:8443/c").as_deref(), Some("/c"));
        assert_eq!(resolved("https://other/c"), None);
        assert_eq!(resolved("../../../../../c").as_deref(), Some("/c"));
    }

    #[test]
    fn what_is_no_playlist_of_the_right_kind_is_refused() {
        let media = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\na.ts\n";
        assert!(ladder(media, &PLACE).is_err());
        assert!(ladder(b"<html>", &PLACE).is_err());
        assert!(list(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", &PLACE).is_err());
    }
}
