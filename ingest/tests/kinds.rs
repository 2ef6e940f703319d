//! Films as cameras, archives and phones make them: fields, high dynamic range, many channels, covers,
//! subtitles inside; what comes out is what a common player shows.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{path::Path, process::Command};

use contracts::asset::{Asset, Kind};
use house::{House, ffmpeg, ffprobe, film};
use ingest::Config;
use serde_json::json;
use store::layout;

fn names(asset: &Asset) -> String {
    let names: Vec<&str> = asset.renditions.iter().map(|r| r.id.as_str()).collect();
    names.join(" ")
}

/// What ffmpeg makes of a file with these arguments, as bytes.
fn decoded(file: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(arguments.split_whitespace())
        .arg("-")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The brightness of the pixel in the middle of the first picture.
fn middle(file: &Path) -> u8 {
    let picture = decoded(file, "-frames:v 1 -f rawvideo -pix_fmt gray");
    picture[picture.len() / 2]
}

/// The mean size of samples of each of two channels.
fn levels(file: &Path) -> [f64; 2] {
    let samples = decoded(file, "-f s16le -ac 2 -ar 48000");
    let mut sums = [0.0; 2];
    for (at, sample) in samples.chunks_exact(2).enumerate() {
        sums[at % 2] += f64::from(i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs());
    }
    sums.map(|sum| sum / (samples.len() as f64 / 4.0))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_an_interlaced_film_are_not_left_in_its_pictures() {
    let house = House::new().await;
    // Every other line is of another moment: bars that run, 8 pixels a field.
    let moving = "-f lavfi -i color=black:s=256x144:r=50:d=2 -f lavfi -i color=white:s=32x144:r=50:d=2 \
                  -filter_complex overlay=x=mod(n*8\\,256),interlace=lowpass=0";
    let source = film(
        &format!("{moving} -c:v mpeg2video -q:v 2 -flags +ilme+ildct"),
        "a.ts",
    );
    let asset = house.publish(&source).await;
    let file = house.mezzanine(&asset, 0);
    let picture = decoded(&file, "-ss 1 -frames:v 1 -f rawvideo -pix_fmt gray");
    // A comb is a line that differs from both its neighbours, which are alike.
    let combed = |x: usize, y: usize| {
        let at = |y: usize| i32::from(picture[y * 256 + x]);
        (at(y) - at(y - 1)).abs() > 100 && (at(y - 1) - at(y + 1)).abs() < 50
    };
    let count = (1..143)
        .flat_map(|y| (0..256).map(move |x| (x, y)))
        .filter(|&(x, y)| combed(x, y))
        .count();
    assert!(count < 20, "{count} pixels of a comb");
    assert_eq!(ffprobe(&file, "stream=nb_read_packets"), ["50"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn films_of_high_dynamic_range_are_shown_in_the_colours_of_a_common_screen() {
    let house = House::new().await;
    // The white of a page: 203 cd/m2 by BT.2408.
    for (white, transfer, number) in [
        ("0x949494", "smpte2084", 16),
        ("0xBFBFBF", "arib-std-b67", 18),
    ] {
        let source = film(
            &format!(
                "-f lavfi -i color=c={white}:s=256x144:r=25:d=1 -vf format=yuv420p10le -c:v libx265 \
                 -x265-params log-level=error:colorprim=9:transfer={number}:colormatrix=9"
            ),
            "a.mp4",
        );
        let asset = house.publish(&source).await;
        let file = house.mezzanine(&asset, 0);
        let told = ffprobe(
            &file,
            "stream=pix_fmt,color_space,color_transfer,color_primaries",
        );
        assert_eq!(told, ["yuv420p,bt709,bt709,bt709"], "{transfer}");
        let white = middle(&file);
        assert!((180..=205).contains(&white), "{transfer}: {white}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_channels_are_mixed_down_to_their_sides_and_the_lowest_is_left_out() {
    let house = House::new().await;
    let source = |at: usize| {
        let channel = |channel| if channel == at { "c0" } else { "0*c0" };
        let channels: Vec<String> = (0..6).map(|n| format!("c{n}={}", channel(n))).collect();
        film(
            &format!(
                "-f lavfi -i testsrc2=s=64x48:r=25:d=2 -f lavfi -i sine=440:d=2:r=48000 \
                 -af pan=5.1|{} -c:a flac -preset ultrafast",
                channels.join("|")
            ),
            "a.mkv",
        )
    };
    // Left, centre, low frequencies, left behind.
    for (channel, left, right) in [
        (0, true, false),
        (2, true, true),
        (3, false, false),
        (4, true, false),
    ] {
        let asset = house.publish(&source(channel)).await;
        assert_eq!(names(&asset), "144p audio-und");
        let file = house.mezzanine(&asset, 1);
        assert_eq!(ffprobe(&file, "stream=channels"), ["2"]);
        let heard = levels(&file).map(|level| level > 100.0);
        assert_eq!(
            heard,
            [left, right],
            "channel {channel}: {:?}",
            levels(&file)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_loud_each_sound_is_stands_in_what_is_published() {
    let house = House::new().await;
    let source = film(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=4 -f lavfi -i sine=1000:d=4:r=48000 -f lavfi -i anullsrc=d=4 \
         -map 0 -map 1 -map 2 -metadata:s:a:0 language=eng -metadata:s:a:1 language=ger \
         -filter:a:0 volume=5dB -preset ultrafast",
        "a.mp4",
    );
    let asset = house.publish(&source).await;
    assert_eq!(names(&asset), "144p audio-en audio-de");
    let told: Vec<_> = asset.renditions.iter().map(|r| r.loudness).collect();
    // ffmpeg's tone is at -18.06 dBFS; one channel at 1 kHz is told 3 LU below that (BS.1770).
    let loud = told[1].unwrap();
    assert!(
        (-18_000..=-15_000).contains(&loud.integrated_mlufs),
        "{loud:?}"
    );
    assert!(
        (-14_000..=-9_000).contains(&loud.true_peak_mdbtp),
        "{loud:?}"
    );
    assert_eq!((told[0], told[2]), (None, None), "nothing is heard in them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_with_a_cover_becomes_a_film_that_shows_it_to_its_end() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let cover = folder.path().join("cover.jpg");
    ffmpeg("-f lavfi -i color=red:s=300x300 -frames:v 1", &cover);
    for (name, codec) in [
        ("a.m4a", "aac"),
        ("a.mp3", "libmp3lame"),
        ("a.flac", "flac"),
    ] {
        let source = film(
            &format!(
                "-f lavfi -i sine=440:d=5:r=44100 -i {} -map 0 -map 1 -c:a {codec} -c:v copy \
                 -disposition:v attached_pic",
                cover.display()
            ),
            name,
        );
        let asset = house.publish(&source).await;
        assert_eq!(names(&asset), "144p 240p 300p audio-und", "{name}");
        let file = house.mezzanine(&asset, 1);
        let told = ffprobe(&file, "stream=width,height,r_frame_rate");
        assert_eq!(told, ["240,240,5/1"], "{name}");
        let pictures: usize = ffprobe(&file, "stream=nb_read_packets")[0].parse().unwrap();
        assert!((25..=26).contains(&pictures), "{name}: {pictures}");
        let stills = asset.stills.iter().map(|still| still.large);
        let sizes: Vec<_> = stills.map(|image| (image.width, image.height)).collect();
        assert_eq!(sizes, [(300, 300); 4], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_first_is_filled_up_until_the_other_ends() {
    let house = House::new().await;
    for (picture_s, sound_s, wanted_s) in [(6.0, 1.0, 6.0), (1.0, 6.0, 6.0), (0.04, 9.0, 9.0)] {
        for name in ["a.mp4", "a.mkv"] {
            let source = film(
                &format!(
                    "-f lavfi -i testsrc2=s=64x48:r=25:d={picture_s} \
                     -f lavfi -i sine=440:d={sound_s}:r=48000 -c:a aac -preset ultrafast"
                ),
                name,
            );
            let asset = house.publish(&source).await;
            for at in 0..2 {
                let told = ffprobe(&house.mezzanine(&asset, at), "format=duration");
                let lasts: f64 = told[0].parse().unwrap();
                let what = format!("{name} of {picture_s} and {sound_s} s: {at} lasts {lasts} s");
                assert!((lasts - wanted_s).abs() < 0.1, "{what}");
            }
            assert_eq!(asset.stills.len(), 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_begin_apart_or_are_several_end_together_all_the_same() {
    let house = House::new().await;
    let picture = |seconds| format!("-f lavfi -i testsrc2=s=64x48:r=25:d={seconds}");
    let sound = |seconds| format!("-f lavfi -i sine=440:d={seconds}:r=48000");
    // The picture begins late and ends with the sound, or after it; the sound does; one of two sounds ends the film.
    let both = format!("{} {} {}", picture(2), sound(6), sound(1));
    let films: [(String, &[&str]); 4] = [
        (
            format!("{} -itsoffset 2 {}", sound(6), picture(4)),
            &["a.ts", "a.mkv"],
        ),
        (
            format!("{} -itsoffset 2 {}", sound(4), picture(4)),
            &["a.mp4"],
        ),
        (
            format!("{} -itsoffset 2 {}", picture(4), sound(4)),
            &["a.mp4", "a.ts", "a.mkv"],
        ),
        (
            format!("{both} -map 0 -map 1 -map 2 -metadata:s:a:1 language=ger"),
            &["a.mkv"],
        ),
    ];
    for (inputs, names) in films {
        for name in names {
            let source = film(&format!("{inputs} -c:a aac -preset ultrafast"), name);
            let asset = house.publish(&source).await;
            for at in 0..asset.renditions.len() {
                let told = ffprobe(&house.mezzanine(&asset, at), "format=duration");
                let lasts: f64 = told[0].parse().unwrap();
                let what = format!("{inputs} as {name}: {at} lasts {lasts} s");
                // Transport streams are told to end where their last packet begins, which may have several frames.
                let near = if name.ends_with("ts") { 0.4 } else { 0.1 };
                assert!((lasts - 6.0).abs() < near, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_of_a_sound_is_not_made_up_for_by_its_last_picture() {
    let house = House::new().await;
    let source = film(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=440:d=20:r=48000 -c:a aac \
         -preset ultrafast -movflags +faststart",
        "a.mp4",
    );
    let why = house.fail(&source[..source.len() * 2 / 3]).await;
    assert!(why.contains("truncated: it announces 20.0 s"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subtitle_that_stays_after_the_last_picture_is_no_sign_that_something_is_missing() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.srt");
    std::fs::write(&text, "1\n00:00:01,000 --> 00:00:09,000\nThe end\n").unwrap();
    let made = "-f lavfi -i testsrc2=s=64x48:r=25:d=2 -f lavfi -i sine=440:d=2:r=48000";
    for (name, codec) in [("a.mkv", "srt"), ("a.mp4", "mov_text")] {
        let inputs = format!("{made} -i {} -map 0 -map 1 -map 2", text.display());
        let source = film(
            &format!("{inputs} -c:a aac -c:s {codec} -preset ultrafast"),
            name,
        );
        let asset = house.publish(&source).await;
        assert!((2000..2100).contains(&asset.duration_ms), "{name}");
    }
}

/// The brightness of a corner, and of the middle, one and a half seconds into a film of this width.
fn corner_and_middle(file: &Path, width: usize) -> [u8; 2] {
    let picture = decoded(file, "-ss 1.5 -frames:v 1 -f rawvideo -pix_fmt gray");
    let middle = (picture.len() / width / 2) * width + width / 2;
    [picture[width + 1], picture[middle]]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_changes_its_size_or_shape_on_the_way_is_fitted_into_the_first() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let part = |size: &str, more: &str, name: &str| {
        let into = folder.path().join(name);
        let white = format!("-f lavfi -i color=white:s={size}:r=25:d=1 {more}");
        ffmpeg(&white, &into);
        std::fs::read(into).unwrap()
    };
    let mut films = Vec::new();
    // Larger, and of another shape: by its sides, and by those of its pixels, as television does it.
    let mpeg = "-c:v mpeg2video -q:v 2 -output_ts_offset";
    for (size, aspect, corner) in [
        ("128x96", "4:3", 255),
        ("48x96", "1:2", 0),
        ("64x48", "16:9", 0),
    ] {
        let second = part(size, &format!("-aspect {aspect} {mpeg} 1"), "2.ts");
        let joined = [part("64x48", &format!("{mpeg} 0"), "1.ts"), second].concat();
        films.push((size, joined, corner));
    }
    // What browsers record of a window.
    let vp8 = "-c:v libvpx -deadline realtime -cpu-used 8";
    part("64x48", vp8, "1.webm");
    part("128x96", vp8, "2.webm");
    let list = folder.path().join("list");
    std::fs::write(&list, "file 1.webm\nfile 2.webm\n").unwrap();
    let joined = film(
        &format!("-f concat -i {} -c copy", list.display()),
        "a.webm",
    );
    films.push(("webm", joined, 255));
    for (what, source, corner) in films {
        let asset = house.publish(&source).await;
        let file = house.mezzanine(&asset, 0);
        let told = ffprobe(&file, "stream=width,height");
        assert_eq!(told, ["64,48"], "{what}");
        // Where parts are joined, one picture may take another's place.
        let lasts = asset.duration_ms;
        assert!((1_960..=2_040).contains(&lasts), "{what}: {lasts} ms");
        let seen = corner_and_middle(&file, 64);
        let near = [corner, 255]
            .iter()
            .zip(seen)
            .all(|(wanted, seen)| seen.abs_diff(*wanted) < 5);
        assert!(near, "{what}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_that_changes_its_form_on_the_way_is_heard_from_its_begin_to_its_end() {
    let house = House::new().await;
    // The sound begins half a second after the picture.
    let first = "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -itsoffset 0.5 -f lavfi -i sine=440:d=0.5:r=48000 \
                 -preset ultrafast -c:a ac3 -ac 2";
    for form in ["-ac 6 -ar 48000", "-ac 2 -ar 44100"] {
        let second = format!(
            "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=440:d=1:r=48000 -preset ultrafast -c:a ac3 {form} \
             -output_ts_offset 1"
        );
        let source = [film(first, "a.ts"), film(&second, "a.ts")].concat();
        let asset = house.publish(&source).await;
        assert_eq!(names(&asset), "144p audio-und", "{form}");
        let lasts = asset.duration_ms;
        assert!((1_960..=2_100).contains(&lasts), "{form}: {lasts} ms");
        let file = house.mezzanine(&asset, 1);
        let heard = ["-t 0.4", "-ss 0.6 -t 0.3", "-ss 1.1 -t 0.8"].map(|part| {
            let samples = decoded(&file, &format!("{part} -f s16le -ac 1 -ar 8000"));
            samples
                .chunks_exact(2)
                .any(|two| i16::from_le_bytes([two[0], two[1]]).unsigned_abs() > 500)
        });
        assert_eq!(heard, [false, true, true], "{form}");
        let lasting: Vec<u32> = ffprobe(&file, "packet=duration")
            .iter()
            .filter_map(|line| line.parse().ok())
            .collect();
        let (_, but_last) = lasting.split_last().unwrap();
        let right = but_last.iter().all(|&ticks| ticks == 1024);
        assert!(
            right && (93..=97).contains(&lasting.len()),
            "{form}: {lasting:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_may_be_one_picture_long_or_hours() {
    let house = House::new().await;
    let one = film(
        "-f lavfi -i testsrc2=s=64x48:r=25 -frames:v 1 -preset ultrafast",
        "a.mp4",
    );
    let asset = house.publish(&one).await;
    assert_eq!(asset.duration_ms, 40);
    let short =
        "-f lavfi -i testsrc2=s=64x48:r=25:d=0.6 -f lavfi -i sine=440:d=0.6 -preset ultrafast";
    let asset = house.publish(&film(short, "a.mp4")).await;
    assert!((600..700).contains(&asset.duration_ms), "{asset:?}");
    let hours = film(
        "-f lavfi -i testsrc2=s=64x48:r=1:d=10800 -preset ultrafast -g 10",
        "a.mp4",
    );
    let asset = house.publish(&hours).await;
    assert_eq!(asset.duration_ms, 10_800_000);
    assert_eq!(asset.thumbs.unwrap().tiles, 1080);
}

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_inside_a_film_are_offered_beside_it_and_give_way_to_those_that_were_put() {
    let mut house = House::with(|config| config.workers = 0).await;
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.srt");
    std::fs::write(
        &text,
        "1\n00:00:00,500 --> 00:00:01,500\nHello <i>you</i>\n",
    )
    .unwrap();
    let inputs = format!("-i {0} -i {0} -i {0}", text.display());
    let maps = "-map 0 -map 1 -map 2 -map 3 -metadata:s:s:0 language=ger \
                -metadata:s:s:1 language=eng -metadata:s:s:2 language=fre -preset ultrafast";
    let picture = "-f lavfi -i testsrc2=s=64x48:r=25:d=2";
    let mkv = format!("{picture} {inputs} {maps} -c:s:0 ass -c:s:1 srt -c:s:2 webvtt");
    let mp4 = format!("{picture} {inputs} {maps} -c:s mov_text");
    for (arguments, name) in [(mkv, "a.mkv"), (mp4, "a.mp4")] {
        let id = house.upload(&film(&arguments, name)).await;
        let put = house.url(&format!("/v1/videos/{id}/subtitles/en"));
        let own = "WEBVTT\n\n00:00.000 --> 00:01.000\nBy hand\n";
        let answer = house.client.put(put).body(own).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        house.config.workers = 1;
        house.restart().await;
        let video = house.settled(&id).await;
        let asset = house.asset(&id).await.unwrap();
        assert_eq!(names(&asset), "144p text-de text-en text-fr", "{video:?}");
        for rendition in asset.renditions.iter().filter(|r| r.kind == Kind::Text) {
            let key = layout::subtitles(&id, &rendition.id);
            let bytes = house.store.read(&key).await.unwrap().unwrap();
            let words = String::from_utf8(bytes.to_vec()).unwrap();
            let wanted = if rendition.id.as_str() == "text-en" {
                "00:00.000 --> 00:00:01.000\nBy hand"
            } else {
                "00:00.500 --> 00:00:01.500\nHello <i>you</i>"
            };
            assert!(words.contains(wanted), "{name} {words}");
        }
        house.config.workers = 0;
        house.restart().await;
    }
}

fn all_codecs(config: &mut Config) {
    config.codecs = serde_json::from_value(json!(["h264", "hevc", "av1"])).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_operator_asks_every_rung_is_there_in_each_codec_on_the_same_grid() {
    let house = House::with(all_codecs).await;
    let source = film(
        "-f lavfi -i testsrc2=s=426x240:r=30000/1001:d=5 -f lavfi -i sine=440:d=5 -preset ultrafast",
        "a.mp4",
    );
    let asset = house.publish(&source).await;
    let asset = house.comes_to_have(&asset.video, "240p-av1").await;
    let wanted = "144p 240p 144p-hevc 240p-hevc 144p-av1 240p-av1 audio-und";
    assert_eq!(names(&asset), wanted);
    for (at, codec) in ["h264", "h264", "hevc", "hevc", "av1", "av1"]
        .into_iter()
        .enumerate()
    {
        let file = house.mezzanine(&asset, at);
        assert_eq!(ffprobe(&file, "stream=codec_name"), [codec]);
        let packets = ffprobe(&file, "packet=flags");
        let keys: Vec<usize> = (0..packets.len())
            .filter(|at| packets[*at].contains('K'))
            .collect();
        assert_eq!((packets.len(), keys), (150, vec![0, 60, 120]), "{codec}");
    }
}
