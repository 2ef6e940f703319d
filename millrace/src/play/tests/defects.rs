//! Whole films pass; each seeded defect is found, and named.

use super::site::Site;
use super::{plain, problems};

/// Plays `path` of a spoilt site, and expects a problem that holds `text`.
async fn finds(site: Site, path: &str, text: &str) {
    let server = site.serve().await;
    let report = plain(&server.url(path)).await;
    assert!(!report.ok(), "nothing was found");
    assert_eq!(report.exit_code(), 1);
    let problems = problems(&report);
    assert!(problems.contains(text), "\"{text}\" is not in:\n{problems}");
}

#[tokio::test]
async fn whole_films_pass_in_every_format() {
    for (site, path, kind, renditions) in [
        (Site::ts(), "/master.m3u8", "hls-multivariant", 1),
        (Site::ts(), "/playlist.m3u8", "hls-media", 1),
        (Site::sealed(), "/master.m3u8", "hls-multivariant", 1),
        (Site::fmp4(), "/master.m3u8", "hls-multivariant", 2),
        (Site::dash(), "/manifest.mpd", "dash", 2),
    ] {
        let server = site.serve().await;
        let report = plain(&server.url(path)).await;
        assert_eq!(problems(&report), "", "{path}");
        let json = report.to_json();
        assert_eq!(json["ok"], true);
        assert_eq!(json["url_kind"], kind);
        assert_eq!(json["protocol"], "h1");
        assert_eq!(json["renditions"].as_array().unwrap().len(), renditions);
        assert_eq!(json["renditions"][0]["segments"], 3);
        assert_eq!(json["hits"], json["requests"]);
        assert!(json["started_ms"].as_f64().unwrap() > 0.0);
        assert!(
            report
                .table()
                .contains("Everything is as the manifest promises")
        );
    }
}

#[tokio::test]
async fn a_logical_address_is_followed_and_its_token_is_never_shown() {
    let mut site = Site::fmp4();
    site.remove("/90p/segment_2.m4s");
    let server = site.serve().await;
    let report = plain(&server.url("/logical/master.m3u8")).await;
    let everything = format!("{}{}", report.table(), report.to_json());
    assert!(everything.contains("The segment /~…/90p/segment_2.m4s was answered with status 404"));
    assert!(!everything.contains("secret"));
    assert_eq!(report.to_json()["renditions"][0]["ok"], true);
    assert_eq!(report.to_json()["renditions"][1]["ok"], false);
}

#[tokio::test]
async fn defects_of_transport_streams_are_found() {
    let whole = Site::ts();
    let spoilt = |edit: fn(&mut Vec<u8>)| {
        let mut site = whole.clone();
        site.edit("/segment_1.ts", edit);
        site
    };
    let cases: [(Site, &str); 8] = [
        (
            spoilt(|ts| ts.truncate(ts.len() - 1)),
            "no whole number of 188-byte packets",
        ),
        (
            spoilt(|ts| ts[188 * 5] = 0),
            "no sync byte at packet 5, byte 940",
        ),
        (
            spoilt(|ts| drop(ts.drain(188 * 20..188 * 21))),
            "has a continuity counter",
        ),
        (
            spoilt(|ts| drop(ts.drain(..188 * 3))),
            "no program map table",
        ),
        (spoilt(|ts| ts[188 + 10] ^= 1), "with a wrong CRC"),
        (
            spoilt(|ts| ts.rotate_left(188 * 3)),
            "does not begin with its program tables",
        ),
        (spoilt(|ts| ts.clear()), "is empty"),
        (spoilt(cut_in_half), "plays 0."),
    ];
    for (site, text) in cases {
        finds(site, "/playlist.m3u8", text).await;
    }
    let mut swapped = whole.clone();
    let first = swapped.file("/segment_0.ts").unwrap().to_vec();
    swapped.edit("/segment_1.ts", |ts| *ts = first);
    finds(
        swapped.clone(),
        "/playlist.m3u8",
        "away from the end of the segment before it",
    )
    .await;
    finds(
        swapped,
        "/playlist.m3u8",
        "follows from the segment before it",
    )
    .await;
}

#[tokio::test]
async fn defects_of_what_is_encrypted_whole_are_found() {
    let whole = Site::sealed();
    let key = "/master.m3u8.key";
    let spoilt = |path: &str, edit: fn(&mut Vec<u8>)| {
        let mut site = whole.clone();
        site.edit(path, edit);
        site
    };
    let mut keyless = whole.clone();
    keyless.remove(key);
    for (site, text) in [
        (
            keyless,
            "The key /master.m3u8.key was answered with status 404",
        ),
        (
            spoilt(key, |key| key.truncate(15)),
            "has 15 bytes, where a key",
        ),
        (spoilt(key, |key| key[0] ^= 1), "does not open with its key"),
        (
            spoilt("/segment_1.ts", |ts| ts.truncate(ts.len() - 1)),
            "The segment /segment_1.ts does not open with its key",
        ),
        // A bit spoils its block, and the same bit of the next one: the padding is right, the sync byte is not.
        (
            spoilt("/segment_1.ts", |ts| ts[188 - 16] ^= 1),
            "no sync byte at packet 1",
        ),
    ] {
        finds(site, "/playlist.m3u8", text).await;
    }
}

/// Drops the second half of a segment.
fn cut_in_half(ts: &mut Vec<u8>) {
    ts.truncate(ts.len() / 188 / 2 * 188);
}

/// Where a box's type stands.
fn find(bytes: &[u8], kind: &[u8]) -> usize {
    bytes.windows(4).position(|four| four == kind).unwrap()
}

#[tokio::test]
async fn defects_of_fragmented_mp4_are_found() {
    let whole = Site::fmp4();
    let spoilt = |edit: fn(&mut Vec<u8>)| {
        let mut site = whole.clone();
        site.edit("/90p/segment_1.m4s", edit);
        site
    };
    let cases: [(Site, &str); 7] = [
        (
            spoilt(|mp4| mp4.truncate(mp4.len() - 9)),
            "has a broken box at byte",
        ),
        (
            spoilt(|mp4| {
                let at = find(mp4, b"tfdt");
                mp4[at + 11] ^= 0x10;
                mp4[at + 15] ^= 0x10;
            }),
            "away from the end of the segment before it",
        ),
        (
            spoilt(|mp4| {
                let at = find(mp4, b"tfdt");
                mp4[at..at + 4].copy_from_slice(b"free");
            }),
            "without a tfdt",
        ),
        (
            spoilt(|mp4| {
                let at = find(mp4, b"trun");
                mp4[at + 12] = 0x7f;
            }),
            "outside its mdat",
        ),
        (
            spoilt(|mp4| {
                let at = find(mp4, b"tfhd");
                mp4[at + 11] = 9;
            }),
            "of track 9",
        ),
        (
            spoilt(|mp4| {
                let at = find(mp4, b"mdat");
                mp4[at + 4..].fill(0);
            }),
            "not an IDR picture",
        ),
        (
            spoilt(|mp4| {
                let at = find(mp4, b"moof");
                mp4[at..at + 4].copy_from_slice(b"free");
            }),
            "no moof box",
        ),
    ];
    for (site, text) in cases {
        finds(site, "/master.m3u8", text).await;
    }
    let mut other = whole.clone();
    other.edit("/90p/segment_1.m4s", |mp4| clear_sync(mp4));
    finds(other, "/master.m3u8", "does not begin with a sync sample").await;
}

/// Sets `sample_is_non_sync_sample` in the first sample flags of the first run.
fn clear_sync(mp4: &mut [u8]) {
    let at = find(mp4, b"trun");
    assert_eq!(
        mp4[at + 7] & 0x5,
        0x5,
        "data offset and first sample flags are there"
    );
    mp4[at + 4 + 4 + 4 + 4 + 1] |= 0x1;
}

#[tokio::test]
async fn an_init_that_is_not_as_promised_is_found() {
    let whole = Site::fmp4();
    let with = |path: &str, old: &str, new: &str| {
        let mut site = whole.clone();
        site.replace(path, old, new);
        site
    };
    let size = with("/master.m3u8", "RESOLUTION=320x180", "RESOLUTION=640x360");
    finds(
        size,
        "/master.m3u8",
        "pictures of 320x180 where the manifest says 640x360",
    )
    .await;
    let codecs = with("/master.m3u8", "avc1.4d400c", "avc1.640028");
    finds(codecs, "/master.m3u8", "holds avc1.4d400c where").await;
    let mut broken = whole.clone();
    broken.edit("/90p/init_1.mp4", |mp4| mp4.truncate(60));
    finds(
        broken,
        "/master.m3u8",
        "The init segment /90p/init_1.mp4 has a broken box",
    )
    .await;
}

#[tokio::test]
async fn a_playlist_that_promises_wrongly_is_found() {
    let whole = Site::fmp4();
    for (path, old, new, text) in [
        (
            "/90p/playlist.m3u8",
            "#EXT-X-ENDLIST",
            "",
            "no EXT-X-ENDLIST",
        ),
        (
            "/90p/playlist.m3u8",
            "EXTINF:1.000000",
            "EXTINF:1.010000",
            "plays 1.000000 s where the manifest says 1.010000 s",
        ),
        (
            "/90p/playlist.m3u8",
            "EXTINF:1.000000",
            "EXTINF:1.600000",
            "has a target duration of 1 s and a segment 1 of 1.6 s",
        ),
        (
            "/90p/playlist.m3u8",
            "VERSION:7",
            "VERSION:3",
            "a version below 6",
        ),
        (
            "/90p/playlist.m3u8",
            "#EXTM3U",
            "#EXT",
            "does not begin with #EXTM3U",
        ),
        (
            "/90p/playlist.m3u8",
            "#EXTINF:1.000000,\nsegment_2.m4s\n",
            "",
            "has 2 segments where 180p has 3",
        ),
        (
            "/master.m3u8",
            "BANDWIDTH=",
            "BANDWIDTH=1,AVERAGE-BANDWIDTH=",
            "where its BANDWIDTH is 1",
        ),
    ] {
        let mut site = whole.clone();
        site.replace(path, old, new);
        finds(site, "/master.m3u8", text).await;
    }
    let mut shifted = whole.clone();
    for number in 0..2 {
        let next = shifted
            .file(&format!("/90p/segment_{}.m4s", number + 1))
            .unwrap()
            .to_vec();
        shifted.edit(&format!("/90p/segment_{number}.m4s"), |mp4| *mp4 = next);
    }
    finds(
        shifted,
        "/master.m3u8",
        "Segment 1 of the rendition 90p begins +1.000000 s away",
    )
    .await;
}

#[tokio::test]
async fn an_mpd_that_promises_wrongly_is_found() {
    let whole = Site::dash();
    for (old, new, text) in [
        ("PT3.0S", "PT5.0S", "says that it lasts 5.000 s"),
        ("type=\"static\"", "type=\"dynamic\"", "not of type static"),
        (
            "<S t=\"0\" d=\"12800\"",
            "<S t=\"0\" d=\"12900\"",
            "plays 1.000000 s where the manifest says 1.007812 s",
        ),
        (
            "<S t=\"0\" d=\"12800\"",
            "<S t=\"64\" d=\"12800\"",
            "begins at 0.000000 s where the manifest says 0.005000 s",
        ),
        (
            "bandwidth=\"600000\"",
            "bandwidth=\"60000\"",
            "where its bandwidth is 60000",
        ),
        ("startNumber=\"1\"", "startNumber=\"2\"", "status 404"),
        ("</MPD>", "", "cannot be parsed as an MPD"),
    ] {
        let mut site = whole.clone();
        site.replace("/manifest.mpd", old, new);
        finds(site, "/manifest.mpd", text).await;
    }
    let mut late = whole.clone();
    for number in 1..=4 {
        // Half a second more on the sound's clock.
        late.edit(&format!("/chunk-stream1-0000{number}.m4s"), |mp4| {
            let at = find(mp4, b"tfdt") + 8;
            let time = u64::from_be_bytes(mp4[at..at + 8].try_into().unwrap()) + 24_000;
            mp4[at..at + 8].copy_from_slice(&time.to_be_bytes());
        });
    }
    finds(
        late,
        "/manifest.mpd",
        "The sound of the rendition 1 begins +0.4",
    )
    .await;
}

#[tokio::test]
async fn what_is_no_manifest_is_refused_with_advice() {
    let whole = Site::ts();
    finds(
        whole.clone(),
        "/segment_0.ts",
        "neither an HLS playlist nor a DASH MPD",
    )
    .await;
    finds(whole, "/nowhere.m3u8", "status 404").await;
    for url in ["ftp://edge.example/x", "no address", ""] {
        let report = plain(url).await;
        assert_eq!(report.exit_code(), 64);
        assert!(problems(&report).contains("give the whole address"));
    }
}
