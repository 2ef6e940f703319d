//! What checkers that others wrote say: the schema of DASH, and two readers of transport streams.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    films::{Film, film, pictures, present, radio, silent},
    late::held,
    properties::{AVC, HEVC, audio, video},
    readers::goldens,
    streams_read::read,
};

/// A film at so many pictures in so many seconds, and sound as long.
fn slow(pictures: u32, seconds: u32) -> Film {
    let gops = [usize::try_from(pictures).unwrap().max(2); 3];
    let (picture, file) = video(AVC, &gops, pictures * 90, seconds * 90, 1, &[900]);
    let length = picture.end() as f64 / f64::from(picture.track().timescale);
    let (sound, recording) = audio(length, 48_000, &[300]);
    Film {
        presentation: present(vec![("pic", picture), ("audio-en", sound)]),
        mezzanines: vec![file, recording],
    }
}

/// A film of which one picture stands for so many seconds, while the sound goes on.
fn still(seconds: u32) -> Film {
    let (picture, file) = video(HEVC, &[50; 6], 12_800, 512, 2, &[900]);
    let picture = held(&picture, 120, seconds * 12_800);
    let (sound, recording) = audio(12.0 + f64::from(seconds), 48_000, &[300]);
    Film {
        presentation: present(vec![("pic", picture), ("audio-en", sound)]),
        mezzanines: vec![file, recording],
    }
}

/// All segments of films of many kinds, joined.
fn streams() -> Vec<(String, Vec<u8>)> {
    let of = |name: &str, film: &Film, id: &str| (name.to_owned(), film.ts(id).concat());
    let mut all = vec![
        of("film", &film(), "54p"),
        of("film", &film().cut_by(2), "90p"),
        of("film's sound", &film(), "audio-en"),
        of("silent", &silent(), "72p"),
        of("radio", &radio(), "audio-en"),
        of("H.265", &pictures("hevc.72p.mp4"), "72p"),
    ];
    for (pictures, seconds) in [(12, 1), (5, 1), (2, 1), (1, 1), (2, 3), (1, 5)] {
        let name = format!("{pictures} pictures in {seconds} s");
        all.push(of(&name, &slow(pictures, seconds), "pic"));
    }
    for seconds in [1, 20] {
        let name = format!("a picture of {seconds} s");
        all.push(of(&name, &still(seconds), "pic"));
    }
    all
}

#[test]
fn tsreport_finds_the_clock_often_enough_and_nothing_that_comes_too_late() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.ts");
    for (name, bytes) in streams() {
        std::fs::write(&file, bytes).unwrap();
        let output = Command::new("tsreport").arg("-b").arg(&file).output();
        let output = output.expect("tstools is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {text}");
        assert!(text.contains("Bad (>.1s) gaps: 0,"), "{name}: {text}");
        // It marks what it complains of so: gaps of the clock, and times that have passed when their bytes arrive.
        assert!(
            !text.contains("###") && !text.contains("!!!"),
            "{name}: {text}"
        );
    }
}

#[test]
fn another_reader_finds_tables_streams_and_no_gap_in_joined_segments() {
    for (name, bytes) in streams() {
        let streams = read(&bytes);
        assert!(!streams.is_empty(), "{name}: no table was believed");
        for (pid, stream) in streams {
            assert!(
                [0x1b, 0x24, 0x0f].contains(&stream.kind),
                "{name}: {pid:#x}"
            );
            assert!(stream.units > 3, "{name}: {pid:#x}");
            assert_eq!(stream.gaps, 0, "{name}: {pid:#x}");
        }
    }
}

#[test]
fn the_other_reader_sees_a_packet_that_is_missing_and_a_table_that_is_damaged() {
    let whole = film().ts("90p").concat();
    let mut torn = whole.clone();
    torn.drain(188 * 20..188 * 21);
    assert!(read(&torn).values().any(|stream| stream.gaps > 0));
    let mut damaged = film().ts("90p").swap_remove(0);
    damaged[188 + 17] ^= 1;
    assert!(read(&damaged).is_empty());
}

/// Where the schema lies: the folder that `DASH_SCHEMA` names, with `DASH-MPD.xsd` in it.
fn schema() -> Option<PathBuf> {
    let folder = std::env::var_os("DASH_SCHEMA");
    folder.map(|folder| Path::new(&folder).join("DASH-MPD.xsd"))
}

/// Validates a manifest. The schema includes that of XLink from the network, which has to stay out: four attributes.
fn validated(schema: &Path, manifest: &Path) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let attribute = |name: &str| format!("<xs:attribute name=\"{name}\" type=\"xs:string\"/>");
    let attributes = ["type", "href", "show", "actuate"].map(attribute).concat();
    let xlink = "http://www.w3.org/1999/xlink";
    let text = format!(
        "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" targetNamespace=\"{xlink}\">{attributes}</xs:schema>"
    );
    std::fs::write(place("xlink.xsd"), text).unwrap();
    let catalog = "<catalog xmlns=\"urn:oasis:names:tc:entity:xmlns:xml:catalog\">\
                   <system systemId=\"http://www.w3.org/XML/2008/06/xlink.xsd\" uri=\"xlink.xsd\"/>\
                   <uri name=\"http://www.w3.org/XML/2008/06/xlink.xsd\" uri=\"xlink.xsd\"/></catalog>";
    std::fs::write(place("catalog.xml"), catalog).unwrap();
    let mut command = Command::new("xmllint");
    command.args(["--nonet", "--noout", "--schema"]);
    command.args([schema, manifest]);
    command.env("XML_CATALOG_FILES", place("catalog.xml"));
    command.output().expect("xmllint is installed")
}

#[test]
fn manifests_are_valid_by_the_schema_of_dash() {
    let Some(schema) = schema() else {
        eprintln!("skipped: DASH_SCHEMA names no folder with DASH-MPD.xsd");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in goldens("mpd") {
        let output = validated(&schema, &path);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        // The check sees what is wrong.
        let wrong = folder.path().join("wrong.mpd");
        std::fs::write(&wrong, text.replace("minBufferTime", "minBuffer")).unwrap();
        assert!(!validated(&schema, &wrong).status.success());
    }
}
