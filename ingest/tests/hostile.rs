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

use std::net::TcpListener;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_other_files_is_no_film_whatever_it_is_called() {
    let house = House::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lists = [
        "ffconcat version 1.0\nfile /etc/passwd\n".to_owned(),
        format!("ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.ts\n"),
        format!("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"),
        "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n".to_owned(),
        format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ),
        format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\">\
             <Period><AdaptationSet><Representation id=\"1\"><BaseURL>http://127.0.0.1:{port}/a.mp4\
             </BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        "[playlist]\nFile1=/etc/passwd\nNumberOfEntries=1\n".to_owned(),
    ];
    for list in lists {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_media_lies_in_another_file_does_not_get_it() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, vec![b'x'; 100_000]).unwrap();
    let mut bytes = film(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -preset ultrafast -movflags +faststart",
        "a.mov",
    );
    // `url ` with the flag that the media is here becomes an `alis` or `url ` that names another file.
    let at = bytes.windows(4).position(|four| four == b"url ").unwrap();
    bytes[at + 7] = 0;
    let media = bytes.windows(4).position(|four| four == b"mdat").unwrap();
    bytes.truncate(media - 4);
    bytes.extend(boxed(b"free", other.display().to_string().as_bytes()));
    let told = house.fail(&bytes).await;
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
