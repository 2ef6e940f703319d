//! Files that mean harm, or are broken in every way: each ends as failed with a reason for its publisher,
//! reaches nothing that is not its own, and does not keep the worker.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{net::TcpListener, path::Path, process::Command, time::Duration};

use catalog::videos::State;
use config::ByteSize;
use house::{House, film};

/// What a publisher is told of a broken file; never that it is our fault.
const REASONS: [&str; 6] = [
    "not a video file",
    "its index is missing",
    "is truncated",
    "is damaged",
    "no video stream",
    "goes on long after",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_cut_anywhere_has_a_reason_of_its_own_or_is_a_shorter_film() {
    let house = House::new().await;
    let arguments =
        "-f lavfi -i testsrc2=s=64x48:r=25:d=2 -f lavfi -i sine=440:d=2 -preset ultrafast -g 25";
    for (name, more) in [
        ("a.mp4", " -movflags +faststart"),
        ("a.mkv", ""),
        ("a.ts", ""),
    ] {
        let whole = film(&format!("{arguments}{more}"), name);
        for part in [1, 3, 5, 7] {
            let cut = &whole[..whole.len() * part / 8];
            let id = house.upload(cut).await;
            let video = house.settled(&id).await;
            let Some(told) = video.failure else {
                assert_eq!(video.state, State::Ready, "{name} {part}/8");
                continue;
            };
            let known = REASONS.iter().any(|reason| told.contains(reason));
            assert!(known, "{name} {part}/8: {told}");
        }
        for bytes in [1, 8, 40] {
            let told = house.fail(&whole[..bytes]).await;
            let known = REASONS.iter().any(|reason| told.contains(reason));
            assert!(known, "{name} {bytes} bytes: {told}");
        }
        house.publish(&whole).await;
    }
}

/// What ffprobe makes of a file when nothing is forbidden to it, asked for the pictures that it can decode.
fn unbound(file: &Path, more: &[&str]) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=nb_read_frames"])
        .args(more)
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_other_files_is_no_film_whatever_it_is_called() {
    let house = House::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let beside = folder.path().join("beside.ts");
    house::ffmpeg(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -preset ultrafast",
        &beside,
    );
    let name = beside.display();
    // Where nothing forbids it, another's film is read for these: they would be films.
    let lists = [
        (
            "a.ffconcat",
            true,
            format!("ffconcat version 1.0\nfile '{name}'\n"),
        ),
        (
            "a.m3u8",
            true,
            format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{name}\n#EXT-X-ENDLIST\n"
            ),
        ),
        (
            "master.m3u8",
            true,
            format!(
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n",
                folder.path().join("a.m3u8").display()
            ),
        ),
        (
            "a.mpd",
            // Not by every ffmpeg.
            false,
            format!(
                "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
                 mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet contentType=\"video\">\
                 <Representation id=\"1\" bandwidth=\"1\"><BaseURL>{name}</BaseURL><SegmentBase/>\
                 </Representation></AdaptationSet></Period></MPD>"
            ),
        ),
        (
            "a.pls",
            false,
            format!("[playlist]\nFile1={name}\nNumberOfEntries=1\n"),
        ),
    ];
    for (file, is_read, list) in &lists {
        let file = folder.path().join(file);
        std::fs::write(&file, list).unwrap();
        let read = unbound(&file, &["-safe", "0"]) + &unbound(&file, &[]);
        assert!(read.contains("25") || !is_read, "{list}: {read}");
        let told = house.fail(list.as_bytes()).await;
        assert!(told.contains("not a video file"), "{list}: {told}");
    }
    let elsewhere = [
        format!("ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.ts\n"),
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"
        ),
        format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ),
    ];
    for list in elsewhere {
        let told = house.fail(list.as_bytes()).await;
        assert!(told.contains("not a video file"), "{list}: {told}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody came");
}

/// A box of ISO/IEC 14496-12 §4.2.
fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes()[..], kind, body].concat()
}

/// The same boxes, of which one is another; those that it lies in grow or shrink with it.
fn with(boxes: &[u8], path: &[&[u8; 4]], other: &[u8]) -> Vec<u8> {
    let (mut made, mut rest) = (Vec::new(), boxes);
    while let Some(size) = rest.first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        let (one, after) = rest.split_at(size);
        match path {
            [kind] if one[4..8] == **kind => made.extend(other),
            [kind, further @ ..] if one[4..8] == **kind && !further.is_empty() => {
                made.extend(boxed(kind, &with(&one[8..], further, other)));
            }
            _ => made.extend(one),
        }
        rest = after;
    }
    made
}

/// A reference to the media as `QuickTime` has it: an alias record that names a file in the same folder.
fn alias(name: &str) -> Vec<u8> {
    let path = format!(":{name}").into_bytes();
    let mut record = vec![0; 4 + 10];
    record.extend([0; 1 + 27]);
    record.extend([0; 12]);
    record.extend([0; 1 + 63]);
    record.extend([0; 16]);
    // Up from the alias, and down to the target: the same folder.
    record.extend([0, 1, 0, 1]);
    record.extend([0; 16]);
    record.extend(2_u16.to_be_bytes());
    record.extend(u16::try_from(path.len()).unwrap().to_be_bytes());
    record.extend(&path);
    record.resize(record.len() + path.len() % 2, 0);
    record.extend([0xff, 0xff, 0, 0]);
    let one = boxed(b"alis", &record);
    boxed(b"dref", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &one].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_media_lies_in_another_file_does_not_get_it() {
    let other = film(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -preset ultrafast",
        "other.mov",
    );
    let path = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"];
    let whole = with(&other, &path, &alias("other"));
    let index = whole.windows(4).position(|four| four == b"moov").unwrap() - 4;
    let kept = whole.windows(4).position(|four| four == b"mdat").unwrap() - 4;
    let hostile = [&whole[..kept], &whole[index..]].concat();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("source");
    std::fs::write(&file, &hostile).unwrap();
    std::fs::write(folder.path().join("other"), &other).unwrap();
    let read = unbound(&file, &["-enable_drefs", "1"]);
    assert!(read.contains("25"), "it would be a film: {read}");

    // A house whose ffprobe waits until the other film lies beside this one.
    let program = folder.path().join("ffprobe");
    house::write_program(
        &program,
        "#!/bin/sh\ncase \"$*\" in *source*) : > begun\n\
         while [ ! -e \"${0%/*}/open\" ]; do sleep 0.02; done;; esac\nexec ffprobe \"$@\"\n",
    );
    let house = House::with(|config| config.ffprobe = program.display().to_string()).await;
    let id = house.upload(&hostile).await;
    let room = house.folder.path().join(format!("work/{id}.publish.0.1"));
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while !room.join("room/begun").exists() {
        looks.tick().await;
    }
    std::fs::write(room.join("other"), &other).unwrap();
    std::fs::write(folder.path().join("open"), "").unwrap();
    let video = house.settled(&id).await;
    assert_eq!(video.state, State::Failed);
    let told = video.failure.unwrap();
    let known = REASONS.iter().any(|reason| told.contains(reason));
    assert!(known, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_too_large_for_any_screen_are_refused_before_one_is_decoded() {
    let house = House::with(|config| config.encode_memory = ByteSize::mib(512)).await;
    let wide = film(
        "-f lavfi -i color=s=17000x16:r=1:d=1 -c:v png -pix_fmt gray",
        "a.mkv",
    );
    let told = house.fail(&wide).await;
    assert!(told.contains("17000x16"), "{told}");
    // Some kilobytes that become a hundred million pixels.
    let bomb = film(
        "-f lavfi -i color=s=10000x10000:r=1:d=1 -c:v png -pix_fmt gray",
        "a.mkv",
    );
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let told = house.fail(&bomb).await;
    assert!(told.contains("10000x10000"), "{told}");
}
