//! What a film has no form of is not there: nothing is read for it, and nothing counts as damage.

use config::Span;
use contracts::id::Generation;
use packager::index::{Index, Sample};
use store::layout;

use crate::house::{House, assert_problem, clip, rendition, video};

const FILM: &str = "wide";
const READ: &str = "millrace_origin_read_bytes_total";
const LOOKED: &str = "millrace_origin_index_lookups_total{result=\"miss\"}";
const CORRUPT: &str = "millrace_origin_faults_total{reason=\"corrupt\"}";

/// Asks for what is not there when the film is known, and sees that nobody looked further.
async fn assert_absent(house: &House, paths: &[&str]) {
    for path in paths {
        let lines = [READ, LOOKED, CORRUPT];
        let mut before = Vec::new();
        for line in lines {
            before.push(house.counter(line).await);
        }
        assert_problem(house.get(path).await, 404, "not_found").await;
        for (line, before) in lines.into_iter().zip(before) {
            assert_eq!(house.counter(line).await, before, "{line} {path}");
        }
    }
}

#[tokio::test]
async fn h265_whose_samples_have_no_encrypted_form_in_a_transport_stream_is_404_before_a_byte_is_read()
 {
    let folder = tempfile::tempdir().unwrap();
    let keys = format!(
        r#"{{"video":"{FILM}","systems":["identity"],"periods":[{{"start_ms":0,"keys":[{{"kid":"{}","key":"{}"}}]}}]}}"#,
        "00".repeat(16),
        "01".repeat(16)
    );
    std::fs::write(folder.path().join(format!("{FILM}.json")), keys).unwrap();
    let address = format!("file://{}", folder.path().display());
    let house = House::with(|config| {
        config.keys = address;
        // What is asked for again is looked at again.
        config.asset_ttl = Span::seconds(60);
    })
    .await;
    let picture = house.put_clip(FILM, "72p", &clip("hevc.72p.mp4")).await;
    house
        .publish_with(FILM, 1, |asset| {
            asset.protected = true;
            asset.renditions = vec![picture, asset.renditions[2].clone()];
        })
        .await;
    // In other ways it is served.
    for file in [
        "72p/segment_1.ts",
        "72p/segment_1.m4s",
        "@sampleaes/audio-en/segment_1.ts",
    ] {
        house.bytes(&format!("/v/{FILM}/{file}")).await;
    }
    let paths = [
        "segment_1.ts",
        "iframe_1.ts",
        "playlist_ts.m3u8",
        "iframes_ts.m3u8",
    ];
    let paths = paths.map(|file| format!("/v/{FILM}/@sampleaes/72p/{file}"));
    assert_absent(&house, &paths.each_ref().map(String::as_str)).await;
}

#[tokio::test]
async fn pictures_too_deeply_reordered_for_a_transport_stream_are_not_offered_in_one() {
    let house = House::start().await;
    let picture = house.put_clip(FILM, "90p", &clip("film.90p.mp4")).await;
    let key = layout::index(&video(FILM), Generation(1), &rendition("90p"));
    let index = house.store.read(&key).await.unwrap().unwrap();
    let index = deeper(&Index::decode(&index).unwrap());
    house
        .publish_with(FILM, 1, |asset| asset.renditions = vec![picture])
        .await;
    house.store.put(&key, index.encode().into()).await.unwrap();
    house.bytes(&format!("/v/{FILM}/master.m3u8")).await;
    house.bytes(&format!("/v/{FILM}/90p/playlist.m3u8")).await;
    let paths = [
        "master_ts.m3u8",
        "90p/playlist_ts.m3u8",
        "90p/segment_1.ts",
        "90p/iframe_1.ts",
    ];
    let paths = paths.map(|file| format!("/v/{FILM}/{file}"));
    assert_absent(&house, &paths.each_ref().map(String::as_str)).await;
}

/// The second picture is decoded ten seconds after it is shown.
fn deeper(index: &Index) -> Index {
    let mut samples = index.samples().to_vec();
    let late = 10 * index.track().timescale;
    let shift = |sample: &mut Sample| {
        sample.dts += u64::from(late);
        sample.cts -= i32::try_from(late).unwrap();
    };
    samples[0].duration += late;
    samples.iter_mut().skip(1).for_each(shift);
    Index::new(index.track().clone(), samples, *index.file()).unwrap()
}
