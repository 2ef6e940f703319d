//! Films of every kind go in; what comes out is aligned, complete and playable, or has a reason.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::sync::Arc;

use catalog::videos::State;
use config::Span;
use contracts::asset::{Asset, Kind};
use house::{House, ffmpeg, ffprobe, film, write_program};
use runtime::clock::System;
use sea_orm::ConnectionTrait as _;
use store::layout;

const TONE: &str = "-f lavfi -i sine=440:d=2.6:r=44100";

fn picture(size: &str, rate: &str) -> String {
    format!("-f lavfi -i testsrc2=s={size}:r={rate}:d=2.6")
}

fn names(asset: &Asset) -> String {
    let names: Vec<&str> = asset.renditions.iter().map(|r| r.id.as_str()).collect();
    names.join(" ")
}

fn start_s(house: &House, asset: &Asset, at: usize) -> f64 {
    ffprobe(&house.mezzanine(asset, at), "stream=start_time")[0]
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_rate_keeps_its_frames_and_aligns_its_key_pictures_across_rungs() {
    let house = House::new().await;
    for (rate, frames, gop, clock) in [
        ("15", 39, 30, "1/15000"),
        ("24", 63, 48, "1/24000"),
        ("25", 65, 50, "1/25000"),
        ("30000/1001", 78, 60, "1/30000"),
        ("50", 130, 100, "1/50000"),
    ] {
        let source = film(
            &format!(
                "{} {TONE} -c:v libx264 -preset ultrafast -c:a aac",
                picture("426x240", rate)
            ),
            "a.mp4",
        );
        let asset = house.publish(&source).await;
        assert_eq!(names(&asset), "144p 240p audio-und", "{rate}");
        let mut keys = Vec::new();
        for at in 0..2 {
            let file = house.mezzanine(&asset, at);
            let stream = ffprobe(&file, "stream=time_base,nb_read_packets");
            assert_eq!(stream, [format!("{clock},{frames}")], "{rate}");
            let packets = ffprobe(&file, "packet=pts,flags");
            let places: Vec<usize> = (0..packets.len())
                .filter(|at| packets[*at].contains('K'))
                .collect();
            assert_eq!(
                places,
                (0..frames).step_by(gop).collect::<Vec<_>>(),
                "{rate}"
            );
            keys.push(
                packets
                    .into_iter()
                    .filter(|packet| packet.contains('K'))
                    .collect::<Vec<_>>(),
            );
            assert!(start_s(&house, &asset, at).abs() < 1e-9, "{rate}");
        }
        assert_eq!(keys[0], keys[1], "{rate}");
        // The encoder's priming, one frame of sound, lies before 0 and is left out when packing.
        let sound = start_s(&house, &asset, 2);
        assert!(
            (-1024.0 / 48_000.0 - 1e-6..=0.0).contains(&sound),
            "{sound}"
        );
        assert!(
            (2500..=2750).contains(&asset.duration_ms),
            "{}",
            asset.duration_ms
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_and_poster_stand_beside_the_mezzanines() {
    let house = House::new().await;
    let asset = house
        .publish(&film(
            &format!("{} {TONE}", picture("426x240", "25")),
            "a.mp4",
        ))
        .await;
    for rendition in &asset.renditions {
        let key = layout::index(&asset.video, asset.generation, &rendition.id);
        let bytes = house.store.read(&key).await.unwrap().unwrap();
        let index = packager::index::Index::decode(&bytes).unwrap();
        let key = layout::mezzanine(&asset.video, asset.generation, &rendition.id);
        assert_eq!(
            house.store.size(&key).await.unwrap(),
            Some(index.file().length)
        );
        assert_eq!(index.samples()[0].pts(), 0, "{}", rendition.id);
        assert_eq!(rendition.width.is_some(), rendition.kind == Kind::Video);
    }
    let poster = house
        .folder
        .path()
        .join("store")
        .join(layout::poster(&asset.video).as_str());
    assert_eq!(
        ffprobe(&poster, "stream=codec_name,width,height"),
        ["mjpeg,426,240"]
    );
    house
        .counted("millrace_ingest_jobs_ended_total{how=\"done\"} 1")
        .await;
    let work = house.folder.path().join("work");
    while std::fs::read_dir(&work).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
}

const SHORT: &str = "-preset ultrafast -t 1";

/// Publishes each film; wants these renditions, and this size of the smallest.
async fn expect(films: Vec<(Vec<u8>, &str, &str)>) {
    let house = House::new().await;
    for (source, wanted, size) in films {
        let asset = house.publish(&source).await;
        assert_eq!(names(&asset), wanted);
        let file = house.mezzanine(&asset, 0);
        assert_eq!(ffprobe(&file, "stream=width,height"), [size], "{wanted}");
        let coding = ffprobe(&file, "stream=codec_name,pix_fmt");
        assert_eq!(coding, ["h264,yuv420p"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_every_shape_become_films() {
    let shape = |size: &str, more: &str, name: &str| {
        film(&format!("{} {SHORT} {more}", picture(size, "25")), name)
    };
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat.mp4");
    ffmpeg(&format!("{} {SHORT}", picture("320x180", "25")), &flat);
    let turn = format!("-i {} -c copy -metadata:s:v rotate=90", flat.display());
    expect(vec![
        (shape("180x320", "", "a.mp4"), "144p 180p", "144,256"),
        (film(&turn, "a.mp4"), "144p 180p", "144,256"),
        (
            shape("333x187", "-pix_fmt yuv444p", "a.mkv"),
            "144p 187p",
            "256,144",
        ),
        (
            shape("240x240", "-vf setsar=2", "a.mp4"),
            "144p 240p",
            "256,128",
        ),
        (shape("64x48", "", "a.mp4"), "144p", "64,48"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codecs_containers_and_sounds_of_every_kind_become_films() {
    let small = |rate: &str, more: &str, name: &str| {
        film(
            &format!("{} {more} {SHORT}", picture("256x144", rate)),
            name,
        )
    };
    let hevc = "-c:v libx265 -x265-params log-level=error";
    let unsteady = "-vf select='not(eq(mod(n,3),1))' -vsync vfr";
    let mono = format!("{TONE} -ac 1 -c:a aac");
    let surround = format!("{TONE} -af pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0 -c:a aac");
    let languages = "-f lavfi -i sine=300:d=1 -f lavfi -i sine=600:d=1 -map 0 -map 1 -map 2 \
                     -metadata:s:a:0 language=eng -metadata:s:a:1 language=ger";
    let size = "256,144";
    expect(vec![
        (small("25", hevc, "a.mp4"), "144p", size),
        (small("30", unsteady, "a.mkv"), "144p", size),
        (small("25", &mono, "a.ts"), "144p audio-und", size),
        (small("25", &surround, "a.mp4"), "144p audio-und", size),
        (
            small("25", languages, "a.mp4"),
            "144p audio-en audio-de",
            size,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_begins_later_or_earlier_than_the_picture_stays_in_step() {
    let house = House::new().await;
    for offsets in ["-itsoffset 0.4", ""] {
        let other = if offsets.is_empty() {
            "-itsoffset 0.4"
        } else {
            ""
        };
        let arguments = format!(
            "{offsets} -f lavfi -i testsrc2=s=256x144:r=25:d=2 {other} -f lavfi -i sine=440:d=2 -c:a aac -preset ultrafast"
        );
        let asset = house.publish(&film(&arguments, "late.mkv")).await;
        assert!(start_s(&house, &asset, 0).abs() < 1e-9);
        assert!(start_s(&house, &asset, 1).abs() < 0.04);
        let long = |at| {
            ffprobe(&house.mezzanine(&asset, at), "stream=duration")[0]
                .parse::<f64>()
                .unwrap()
        };
        // What began earlier is filled up until the other ends.
        for at in 0..2 {
            assert!((long(at) - 2.4).abs() < 0.09, "{at}: {}", long(at));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_film_fails_with_a_reason_of_its_own_and_the_worker_goes_on() {
    let house = House::new().await;
    let whole = film(
        &format!("{} {TONE} -movflags +faststart", picture("256x144", "25")),
        "a.mp4",
    );
    let index_last = film(&format!("{} {TONE}", picture("256x144", "25")), "a.mp4");
    let sound = film(&format!("{TONE} -c:a aac"), "sound.mp4");
    let mut spoilt = whole.clone();
    let media = spoilt.len() / 3;
    for byte in &mut spoilt[media..] {
        *byte = byte.wrapping_mul(31).wrapping_add(7);
    }
    let key = "00112233445566778899aabbccddeeff";
    let locked =
        format!("-encryption_scheme cenc-aes-ctr -encryption_key {key} -encryption_kid {key}");
    let locked = film(&format!("{} {locked}", picture("256x144", "25")), "a.mp4");
    // Each JPEG says how large it is, and so does the index.
    let mut huge = film("-f lavfi -i testsrc2=s=640x360:r=5:d=1 -c:v mjpeg", "a.mov");
    let size = |height: u16, width: u16| [height.to_be_bytes(), width.to_be_bytes()].concat();
    for (was, is) in [
        (size(360, 640), size(30_000, 30_000)),
        (size(640, 360), size(30_000, 30_000)),
    ] {
        for at in 0..huge.len() - 4 {
            if huge[at..at + 4] == was {
                huge[at..at + 4].copy_from_slice(&is);
            }
        }
    }
    let playlist =
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";
    for (source, reason) in [
        (b"hello, this is text".to_vec(), "not a video file"),
        (playlist.to_vec(), "not a video file"),
        (
            index_last[..index_last.len() / 2].to_vec(),
            "its index is missing",
        ),
        (
            whole[..whole.len() / 2].to_vec(),
            "truncated: it announces 2.6 s",
        ),
        // Of too few pictures one too many is broken.
        (whole[..whole.len() / 10].to_vec(), "truncated: its end is"),
        (spoilt, "damaged"),
        (locked, "is encrypted"),
        (huge, "the picture is 30000x30000"),
        (sound, "sound but no picture"),
    ] {
        let told = house.fail(&source).await;
        assert!(told.contains(reason), "{told:?} should say {reason:?}");
    }
    for reason in [
        "not_video\"} 2",
        "headless\"} 1",
        "truncated\"} 2",
        "encrypted\"} 1",
        "dimensions\"} 1",
        "damaged\"} 1",
        "sound_only\"} 1",
    ] {
        house.counted(reason).await;
    }
    house.publish(&whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_is_killed_is_started_again_and_nothing_of_the_first_try_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    let script = "#!/bin/sh\ncase \"$PWD $*\" in *.1/room*progress*) kill -9 $$;; esac\nexec ffmpeg \"$@\"\n";
    write_program(&program, script);
    let house = House::with(|config| config.ffmpeg = program.display().to_string()).await;
    let asset = house
        .publish(&film(&picture("256x144", "25"), "a.mp4"))
        .await;
    assert_eq!(asset.generation.0, 2, "the second attempt's files");
    let first = layout::mezzanine(
        &asset.video,
        contracts::id::Generation(1),
        &asset.renditions[0].id,
    );
    assert_eq!(house.store.size(&first).await.unwrap(), None);
    assert!(house.metrics().await.contains("{how=\"retried\"} 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_this_machine_never_manages_is_given_up_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    write_program(
        &program,
        "#!/bin/sh\ncase \"$*\" in *progress*) kill -9 $$;; esac\nexec ffmpeg \"$@\"\n",
    );
    let house = House::with(|config| config.ffmpeg = program.display().to_string()).await;
    let reason = house.fail(&film(&picture("256x144", "25"), "a.mp4")).await;
    assert!(reason.contains("on our side"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_ingest_gives_its_film_back_and_the_next_one_finishes_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    // The first encoder never ends by itself.
    let script = "#!/bin/sh\ncase \"$PWD $*\" in *.1/room*progress*) : > begun; exec cat /dev/zero;; esac\nexec ffmpeg \"$@\"\n";
    write_program(&program, script);
    let mut house = House::with(|config| config.ffmpeg = program.display().to_string()).await;
    let id = house
        .upload(&film(&picture("256x144", "25"), "a.mp4"))
        .await;
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(10));
    let mark = format!("work/{id}.publish.0.1/room/begun");
    while !house.folder.path().join(&mark).exists() {
        looks.tick().await;
    }
    house.restart().await;
    let video = house.settled(&id).await;
    assert_eq!(video.state, State::Ready, "{:?}", video.failure);
    assert_eq!(house.asset(&id).await.unwrap().generation.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_film_is_taken_over_when_its_lease_is_over_and_not_before() {
    let mut house = House::with(|config| config.workers = 0).await;
    let id = house
        .upload(&film(&picture("256x144", "25"), "a.mp4"))
        .await;
    // What a worker leaves that is killed with its process.
    let taken =
        "UPDATE ingest_jobs SET state = 'running', attempt = 1, due_unix_s = unixepoch() + 3600";
    let database = house.catalog.connection().clone();
    database.execute_unprepared(taken).await.unwrap();
    house.stop().await;
    house.config.workers = 1;
    house.start(Arc::new(System)).await;
    house.counted("jobs{state=\"running\"} 1").await;
    let video = house.catalog.videos.find(&id).await.unwrap().unwrap();
    assert_eq!((video.state, video.progress), (State::Processing, 0));
    let work = house.folder.path().join("work");
    assert_eq!(std::fs::read_dir(work).unwrap().count(), 0, "nobody works");
    let over = "UPDATE ingest_jobs SET due_unix_s = unixepoch()";
    database.execute_unprepared(over).await.unwrap();
    assert_eq!(house.settled(&id).await.state, State::Ready);
    assert_eq!(house.asset(&id).await.unwrap().generation.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_times_lead_far_away_does_not_keep_the_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffprobe");
    // Whatever the file says, it announces one second.
    let script = "#!/bin/sh\nffprobe \"$@\" | \
        sed -e 's/\"duration\": \"[^\"]*\"/\"duration\": \"1.0\"/' -e 's/\"DURATION\"/\"none\"/'\n";
    write_program(&program, script);
    let far = film(
        "-itsoffset 400 -f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=440:d=1 \
         -c:a aac -preset ultrafast",
        "far.mkv",
    );
    let mut house = House::with(|config| config.max_duration = Span::seconds(300)).await;
    let told = house.fail(&far).await;
    assert!(told.contains("longer than the 5 minutes"), "{told}");
    house.config.ffprobe = program.display().to_string();
    house.restart().await;
    let told = house.fail(&far).await;
    assert!(
        told.contains("announces 1.0 s, but goes on long after"),
        "{told}"
    );
    house.counted("reason=\"overrun\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_published_where_the_catalogue_is_a_server_too() {
    let Some(address) = test_postgres::database() else {
        return;
    };
    let house = House::with(|config| config.catalog = address.as_str().into()).await;
    let encoded = "-c:v libx264 -preset ultrafast -c:a aac";
    let source = format!("{} {TONE} {encoded}", picture("256x144", "25"));
    let asset = house.publish(&film(&source, "a.mp4")).await;
    assert_eq!(names(&asset), "144p audio-und");
    house.counted("{how=\"done\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_does_not_take_back_what_a_later_attempt_shows() {
    let mut house = House::with(|config| config.workers = 0).await;
    let id = house.upload(&film(&picture("64x48", "25"), "a.mp4")).await;
    let later = Asset {
        video: id.clone(),
        generation: contracts::id::Generation(2),
        title: "later".to_owned(),
        privacy: contracts::asset::Privacy::Public,
        duration_ms: 1,
        renditions: Vec::new(),
        thumbs: None,
        stills: Vec::new(),
        protected: false,
    };
    let json = serde_json::to_vec(&later).unwrap();
    let key = layout::asset(&id);
    house.store.put(&key, json.into()).await.unwrap();
    house.config.workers = 1;
    house.restart().await;
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
    while !house.metrics().await.contains("jobs_ended_total") {
        looks.tick().await;
    }
    let metrics = house.metrics().await;
    assert!(metrics.contains("{how=\"lost\"} 1"), "{metrics}");
    assert_eq!(house.asset(&id).await.unwrap().title, "later");
}
