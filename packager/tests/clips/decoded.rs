//! What ffmpeg decodes from packed bytes is what it decodes from the mezzanine.

use std::{fmt::Write, path::Path, process::Command};

use contracts::address::Protection as Method;
use packager::protect::{Key, Protection, aes128, signalling::hls::KeyTag};

use crate::{
    films::{Film, film, modern, path, pictures, radio, silent, vector},
    protected::keys,
};

/// The hashes of a stream's frames; ffmpeg must not complain about anything.
fn hashes(file: &Path, stream: &str, copy: bool) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-nostdin",
        "-v",
        "error",
        "-xerror",
        "-err_detect",
        "explode",
        "-i",
    ]);
    command.arg(file).args(["-map", stream]);
    if copy {
        command.args(["-c", "copy"]);
    }
    let output = command
        .args(["-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{}: {complaint}",
        file.display()
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

/// What a file sounds like, 16 bits a sample.
fn samples(file: &Path) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:a", "-f", "s16le", "-"])
        .output()
        .expect("ffmpeg is installed");
    assert!(output.status.success() && output.stderr.is_empty());
    output.stdout
}

struct Packed {
    _folder: tempfile::TempDir,
    cmaf: std::path::PathBuf,
    ts: std::path::PathBuf,
}

fn packed(film: &Film, id: &str) -> Packed {
    let folder = tempfile::tempdir().unwrap();
    let (cmaf, ts) = (
        folder.path().join("film.mp4"),
        folder.path().join("film.ts"),
    );
    std::fs::write(&cmaf, film.cmaf(id).concat()).unwrap();
    std::fs::write(&ts, film.ts(id).concat()).unwrap();
    Packed {
        _folder: folder,
        cmaf,
        ts,
    }
}

#[test]
fn decoded_pictures_equal_those_of_the_mezzanine() {
    for (film, id, clip) in [
        (film(), "90p", "film.90p.mp4"),
        (film(), "54p", "film.54p.mp4"),
        (silent(), "72p", "ntsc.72p.mp4"),
    ] {
        let wanted = hashes(&path(clip), "0:v", false);
        let packed = packed(&film, id);
        assert!(wanted.len() > 100);
        assert_eq!(hashes(&packed.cmaf, "0:v", false), wanted, "{id} as CMAF");
        assert_eq!(hashes(&packed.ts, "0:v", false), wanted, "{id} as TS");
    }
}

#[test]
fn pictures_of_newer_codecs_decode_to_those_of_the_mezzanine() {
    for clip in ["hevc.72p.mp4", "av1.72p.mp4", "vp9.72p.mp4"] {
        let wanted = hashes(&path(clip), "0:v", false);
        assert_eq!(wanted.len(), 135, "{clip}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("film.mp4");
        std::fs::write(&file, modern(clip).cmaf("72p").concat()).unwrap();
        assert_eq!(hashes(&file, "0:v", false), wanted, "{clip} as CMAF");
    }
}

#[test]
fn h265_decodes_to_the_same_out_of_a_transport_stream() {
    let wanted = hashes(&path("hevc.72p.mp4"), "0:v", false);
    for film in [pictures("hevc.72p.mp4"), modern("hevc.72p.mp4")] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("film.ts");
        std::fs::write(&file, film.ts("72p").concat()).unwrap();
        assert_eq!(hashes(&file, "0:v", false), wanted);
    }
}

#[test]
fn opus_decodes_to_what_the_mezzanine_sounds_like() {
    let wanted = samples(&path("opus.audio-en.mp4"));
    // 271 frames of two channels without the pre-skip; ffmpeg leaves the encoder's padding at the end.
    assert_eq!(wanted.len(), 2 * 2 * (271 * 960 - 312));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mp4");
    std::fs::write(&file, modern("hevc.72p.mp4").cmaf("audio-en").concat()).unwrap();
    let found = samples(&file);
    assert!(found == wanted, "{} of {}", found.len(), wanted.len());
}

#[test]
fn sound_is_the_mezzanines_without_its_priming() {
    let wanted = hashes(&path("film.audio-en.mp4"), "0:a", true);
    let packed = packed(&film(), "audio-en");
    let found = hashes(&packed.cmaf, "0:a", true);
    assert_eq!(found.len(), 436);
    assert!(wanted.ends_with(&found));
}

#[test]
fn sound_decodes_to_the_same_in_both_flavours() {
    let film = film();
    let alone = packed(&radio(), "audio-en");
    let wanted = hashes(&alone.cmaf, "0:a", false);
    assert_eq!(wanted.len(), 436);
    assert_eq!(hashes(&alone.ts, "0:a", false), wanted);
    assert_eq!(
        hashes(&packed(&film, "90p").ts, "0:a", false),
        wanted,
        "muxed"
    );
}

/// The hashes of a stream's packets that ffmpeg's HLS player takes out of a playlist.
fn played(playlist: &Path, stream: &str) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-allowed_extensions",
            "ALL",
            "-i",
        ])
        .arg(playlist)
        .args(["-map", stream, "-c", "copy", "-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{complaint}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

/// A folder with a playlist of these segments, and the key beside it.
fn playlist(segments: &[Vec<u8>], key: Option<(&KeyTag, &Key)>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text =
        "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:1\n".to_owned();
    if let Some((tag, key)) = key {
        writeln!(text, "#EXT-X-KEY:{}", tag.attributes()).unwrap();
        std::fs::write(folder.path().join("content.key"), key.value().0).unwrap();
    }
    for (segment, number) in segments.iter().zip(1..) {
        writeln!(text, "#EXTINF:4.0,\nsegment_{number}.ts").unwrap();
        std::fs::write(folder.path().join(format!("segment_{number}.ts")), segment).unwrap();
    }
    text.push_str("#EXT-X-ENDLIST\n");
    std::fs::write(folder.path().join("playlist.m3u8"), text).unwrap();
    folder
}

#[test]
fn a_player_decrypts_transport_streams_with_the_key_beside_the_playlist() {
    for (film, id, streams) in [
        (film(), "90p", &["0:v", "0:a"][..]),
        (vector("264"), "any", &["0:v"]),
        (vector("4s"), "any", &["0:v"]),
        (radio(), "audio-en", &["0:a"]),
    ] {
        let clear = film.ts(id);
        let wanted = playlist(&clear, None);
        for method in [Method::Aes128, Method::SampleAes] {
            let protection = Protection::new(&keys(&["identity"]), method, None).unwrap();
            let key = protection.key(film.rendition(id).0).unwrap();
            let tags = protection.hls_keys(key).unwrap();
            let segments: Vec<Vec<u8>> = match method {
                Method::SampleAes => film.ts_with(id, Some(key)),
                _ => (1..)
                    .zip(clear.clone())
                    .map(|(number, segment)| aes128::encrypt(key, number, segment))
                    .collect(),
            };
            assert_ne!(segments, clear);
            let encrypted = playlist(&segments, Some((&tags[0], key)));
            for stream in streams {
                let [mut found, mut wanted] = [&encrypted, &wanted]
                    .map(|folder| played(&folder.path().join("playlist.m3u8"), stream));
                if method == Method::SampleAes {
                    // ffmpeg does not decrypt the packet that it holds when the playlist ends.
                    assert_eq!(
                        (found.pop().is_some(), wanted.pop().is_some()),
                        (true, true)
                    );
                }
                assert!(found.len() > 40);
                let differ = found
                    .iter()
                    .zip(&wanted)
                    .filter(|(found, wanted)| found != wanted);
                assert_eq!(
                    (found.len(), differ.count()),
                    (wanted.len(), 0),
                    "{stream} of {id} in {method:?}"
                );
            }
        }
    }
}
