//! The vectors of tests/data/cenc, byte for byte.

mod damage;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::{
    address::{KeyFormat, Protection as Method},
    id::RenditionId,
    keys::{ContentKeys, KeyId, System},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Ivs, Maps, Protection, Scheme, Subsample, Track, aes128,
    signalling::{guid, playready, pssh, widevine},
    subsamples::Slices,
};
use crate::{Parts, Presentation, Source, boxes, bytes::Reader, fmp4, index};

const KEY: &str = "69eaa802a6763af979e8d1940fb88392";
const KID: &str = "abba271e8bcf552bbd2e86a434a9a5d9";
const FIRST_IV: u64 = 0x0011_2233_4455_6677;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/cenc")
        .join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn vectors(name: &str) -> Value {
    serde_json::from_slice(&file(name)).unwrap()
}

fn document(key: &Value, systems: &Value) -> ContentKeys {
    serde_json::from_value(json!({
        "video": "film", "systems": systems, "periods": [{"start_ms": 0, "keys": [key]}]
    }))
    .unwrap()
}

/// The film of the vectors: its key, its vector, these systems.
fn protection(method: Method, systems: &Value, format: Option<KeyFormat>) -> Protection {
    let key = json!({"kid": KID, "key": KEY, "iv": "00112233445566778899aabbccddeeff"});
    Protection::new(&document(&key, systems), method, format).unwrap()
}

/// A track whose first sample has the first vector of the files.
fn track(protection: &Protection) -> Track<'_> {
    let (key, _) = &protection.keys[0];
    let iv = match protection.scheme() {
        Some(Scheme::Cenc) => Ivs::Each { first: FIRST_IV },
        _ => Ivs::Constant(key.constant_iv()),
    };
    Track {
        protection,
        key,
        iv,
    }
}

fn method(scheme: &str) -> Method {
    if scheme == "cenc" {
        Method::Cenc
    } else {
        Method::Cbcs
    }
}

/// A whole box, wherever it lies.
fn somewhere<'a>(data: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let at = data.windows(4).position(|four| four == kind)? - 4;
    let size = u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
    Some(&data[at..at + size as usize])
}

/// The samples of a file that is one fragment with sizes in its run, which fill its `mdat`.
fn samples(segment: &[u8]) -> Vec<&[u8]> {
    let mut mdat = Reader::new("mdat", boxes::find(segment, b"mdat").unwrap().unwrap());
    let mut run = Reader::new("trun", &somewhere(segment, b"trun").unwrap()[8..]);
    let (_, flags) = run.full_box().unwrap();
    let count = run.u32().unwrap();
    run.skip(4 + if flags & 4 != 0 { 4 } else { 0 }).unwrap();
    let (before, behind) = (flags & 0x100, flags & 0xc00);
    let samples: Vec<&[u8]> = (0..count)
        .map(|_| {
            run.skip(if before != 0 { 4 } else { 0 }).unwrap();
            let size = run.u32().unwrap();
            run.skip(behind.count_ones() as usize * 4).unwrap();
            mdat.take(size as usize).unwrap()
        })
        .collect();
    assert!(mdat.rest().is_empty());
    samples
}

/// What `senc` says: each sample's vector and parts.
fn told(segment: &[u8], vectors: bool) -> Vec<(Option<u64>, Vec<Subsample>)> {
    let mut senc = Reader::new("senc", &somewhere(segment, b"senc").unwrap()[8..]);
    let (_, flags) = senc.full_box().unwrap();
    let count = senc.u32().unwrap();
    (0..count)
        .map(|_| {
            let iv = vectors.then(|| senc.u64().unwrap());
            let count = if flags & 2 != 0 {
                senc.u16().unwrap()
            } else {
                0
            };
            let parts = (0..count).map(|_| Subsample {
                clear: senc.u16().unwrap(),
                protected: senc.u32().unwrap(),
            });
            (iv, parts.collect())
        })
        .collect()
}

/// The slices of a clip's pictures, if it has any.
fn slices(kind: &str) -> Option<Slices> {
    Slices::of(&film(kind).0.renditions()[0].index().track().media).unwrap()
}

#[test]
fn every_sample_of_the_files_is_encrypted_to_the_same_bytes_with_the_same_parts() {
    let mut count = 0;
    for scheme in ["cenc", "cbcs"] {
        let protection = protection(method(scheme), &json!([]), None);
        let track = track(&protection);
        for kind in ["264", "265", "a264", "4s"] {
            let clear = file(&format!("clear-{kind}/1.m4s"));
            let encrypted = file(&format!("{scheme}-{kind}/1.m4s"));
            let clear = samples(&clear);
            let slices = slices(kind);
            let maps = Maps::new(
                slices,
                track.scheme().unwrap(),
                clear
                    .iter()
                    .enumerate()
                    .map(|(at, sample)| Ok((*sample, at == 0))),
            )
            .unwrap();
            let wanted = samples(&encrypted);
            let said = told(&encrypted, scheme == "cenc");
            for (at, (sample, wanted)) in clear.iter().zip(&wanted).enumerate() {
                // Sound in `cbcs` has nothing to say: its entries are empty.
                let said = said.get(at).cloned().unwrap_or_default();
                assert_eq!(
                    (track.sample_iv(at), maps.sample(at)),
                    (said.0, &said.1[..]),
                    "{scheme}-{kind}, sample {at}"
                );
                let mut sample = sample.to_vec();
                track.encrypt(at, &mut sample, maps.sample(at));
                assert!(
                    sample == *wanted,
                    "{scheme}-{kind}: the bytes of sample {at}"
                );
                count += 1;
            }
            assert_eq!(clear.len(), wanted.len());
        }
    }
    assert!(count > 400, "{count}");
}

#[test]
fn every_single_sample_of_the_vectors_is_encrypted_to_the_same_bytes() {
    let mut count = 0;
    for case in vectors("cenc_samples.json")["tracks"].as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let bytes = |value: &Value| hex::decode(text(value)).unwrap();
        let scheme = text(&case["scheme"]);
        let protection = protection(method(&scheme), &json!([]), None);
        let track = track(&protection);
        let kind = match case["codec"].as_str().unwrap() {
            "avc1" => "264",
            "mp4a" => "a264",
            "hvc1" => "265",
            _ => "4s",
        };
        let mut slices = slices(kind);
        for vector in case["vectors"].as_array().unwrap() {
            let mut sample = bytes(&vector["clear_hex"]);
            let at = usize::try_from(vector["sample"].as_u64().unwrap()).unwrap();
            let mut parts = Vec::new();
            if let Some(slices) = &mut slices {
                slices
                    .map(&sample, track.scheme().unwrap(), &mut parts)
                    .unwrap();
            }
            track.encrypt(at, &mut sample, &parts);
            let pairs: Vec<_> = parts
                .iter()
                .map(|part| json!([part.clear, part.protected]))
                .collect();
            assert_eq!(Value::from(pairs), vector["subsamples_clear_enc"]);
            let iv = track.sample_iv(at).map_or_else(
                || hex::encode(track.constant_iv().unwrap()),
                |iv| format!("{iv:016x}"),
            );
            assert!(text(&vector["iv_hex"]).starts_with(&iv));
            assert_eq!(sample, bytes(&vector["encrypted_hex"]));
            count += 1;
        }
    }
    assert_eq!(count, 28);
}

/// A film of one rendition out of a head and a segment.
fn film(kind: &str) -> (Presentation, Bytes) {
    let bytes = [
        file(&format!("clear-{kind}/init.mp4")),
        file(&format!("clear-{kind}/1.m4s")),
    ]
    .concat();
    let source = Source {
        id: RenditionId::parse("any").unwrap(),
        language: None,
        label: None,
        index: Arc::new(index::build(std::io::Cursor::new(&bytes)).unwrap()),
    };
    (
        Presentation::new(
            Parts {
                sources: vec![source],
                ..Parts::default()
            },
            Duration::from_secs(4),
        )
        .unwrap(),
        bytes.into(),
    )
}

#[test]
fn heads_and_segments_say_of_encryption_what_the_files_say() {
    for case in vectors("cenc_samples.json")["tracks"].as_array().unwrap() {
        let scheme = case["scheme"].as_str().unwrap();
        let kind = match case["codec"].as_str().unwrap() {
            "avc1" => "264",
            "mp4a" => "a264",
            "hvc1" => "265",
            _ => "4s",
        };
        let (film, mezzanine) = film(kind);
        let protection = protection(method(scheme), &json!([]), None);
        let mut track = track(&protection);
        let rendition = &film.renditions()[0];
        // The priming of the sound is not part of a film: its first frames are left out.
        let dropped = samples(&mezzanine).len() - rendition.index().samples().len();
        if let Ivs::Each { first } = &mut track.iv {
            *first += dropped as u64;
        }
        let init = fmp4::init(rendition.index(), Some(&track));
        let tenc = hex::encode(somewhere(&init, b"tenc").unwrap());
        assert_eq!(tenc, case["tenc_hex"].as_str().unwrap(), "{scheme}-{kind}");
        let theirs = file(&format!("{scheme}-{kind}/init.mp4"));
        assert_eq!(somewhere(&init, b"sinf"), somewhere(&theirs, b"sinf"));

        let segment = rendition.segment(1).unwrap();
        let start = usize::try_from(segment.bytes.start).unwrap();
        let end = usize::try_from(segment.bytes.end).unwrap();
        let packed = fmp4::segment(
            rendition.index(),
            &segment,
            &mezzanine.slice(start..end),
            Some(&track),
        )
        .unwrap();
        let bound = fmp4::segment_length(rendition.index(), &segment, Some(&track));
        assert!(packed.length() <= bound);
        let ours = packed.into_bytes();
        let theirs = file(&format!("{scheme}-{kind}/1.m4s"));
        let count = segment.samples.len();
        let wanted = samples(&theirs);
        assert_eq!(samples(&ours), wanted[dropped..][..count]);
        if (scheme, kind) == ("cbcs", "a264") {
            assert!(somewhere(&ours, b"saio").is_none() && somewhere(&ours, b"saiz").is_none());
            assert_eq!(told(&ours, false), vec![(None, Vec::new()); count]);
            assert_eq!(bound, ours.len() as u64);
            continue;
        }
        assert_eq!(
            told(&ours, scheme == "cenc"),
            told(&theirs, scheme == "cenc")[dropped..][..count]
        );
        // saio leads to the first entry, counted from moof.
        let moof = somewhere(&ours, b"moof").unwrap();
        let saio = somewhere(moof, b"saio").unwrap();
        let offset = u32::from_be_bytes(saio[16..20].try_into().unwrap()) as usize;
        let senc = somewhere(moof, b"senc").unwrap();
        assert_eq!(moof[offset..][..senc.len() - 16], senc[16..]);
        // saiz adds up to them.
        let saiz = somewhere(moof, b"saiz").unwrap();
        let total: usize = match saiz[12] {
            0 => saiz[17..].iter().map(|size| usize::from(*size)).sum(),
            same => usize::from(same) * count,
        };
        assert_eq!(total, senc.len() - 16);
    }
}

#[test]
fn a_whole_segment_is_encrypted_to_the_same_bytes() {
    let vectors = vectors("hls_aes128.json");
    let plain = file("clear-264/1.m4s");
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    assert_eq!(digest(&plain), vectors["plain_sha256"]);
    let explicit = protection(Method::Aes128, &json!([]), None);
    let implicit = document(&json!({"kid": KID, "key": KEY}), &json!([]));
    let implicit = Protection::new(&implicit, Method::Aes128, None).unwrap();
    let cases = [(&explicit, 77), (&implicit, 1), (&implicit, 4_294_967_296)];
    for (case, (protection, number)) in vectors["cases"].as_array().unwrap().iter().zip(cases) {
        let encrypted = aes128::encrypt(&protection.keys[0].0, number, plain.clone());
        assert_eq!(digest(&encrypted), case["sha256"], "{}", case["iv"]);
        assert_eq!(
            encrypted.len() as u64,
            aes128::encrypted_length(plain.len() as u64)
        );
        // However it is cut into pieces: empty ones, ones that end amid a block, ones longer than a window.
        for sizes in [&[0, 1, 15, 17, 40_000][..], &[16, 16_384], &[]] {
            let mut rest = plain.as_slice();
            let mut pieces: Vec<&[u8]> = Vec::new();
            for size in sizes {
                let (piece, left) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            pieces.push(rest);
            let key = &protection.keys[0].0;
            assert!(aes128::encrypt_pieces(key, number, &pieces) == encrypted);
        }
    }
}

#[test]
fn what_systems_want_to_know_is_the_same_bytes() {
    let vectors = vectors("drm_signalling.json");
    let key = json!({"kid": KID, "key": KEY});
    let keys = document(
        &key,
        &json!(["clearkey", "playready", "widevine", "fairplay", "identity"]),
    );
    for (name, scheme) in [("cenc", Scheme::Cenc), ("cbcs", Scheme::Cbcs)] {
        let protection = Protection::new(&keys, method(name), None).unwrap();
        let key = &protection.keys[0].0;
        let wanted =
            |system: &str, field: &str| vectors[name][system][field].as_str().unwrap().to_owned();
        assert_eq!(
            hex::encode(pssh::common(&[key.id()])),
            wanted("w3c_common", "pssh_hex")
        );
        assert_eq!(
            hex::encode(playready::pssh(key, scheme, None)),
            wanted("playready", "pssh_hex")
        );
        assert_eq!(
            hex::encode(playready::object(key, scheme, None)),
            wanted("playready", "data_hex")
        );
        assert_eq!(
            hex::encode(widevine::pssh(key.id(), scheme)),
            wanted("widevine", "pssh_hex")
        );
        let all: Vec<String> = pssh::all(&protection, key)
            .iter()
            .map(hex::encode)
            .collect();
        let systems = ["w3c_common", "playready", "widevine"];
        assert_eq!(all, systems.map(|system| wanted(system, "pssh_hex")));
        // shaka-packager writes them in this order too: the heads of its files end with the same boxes.
        let theirs = hex::encode(file(&format!("{name}-264/init.mp4")));
        assert!(theirs.ends_with(&all.concat()));
    }
    for case in vectors["kid_byte_order"].as_array().unwrap() {
        let id: KeyId = serde_json::from_value(case["kid_hex"].clone()).unwrap();
        assert_eq!(hex::encode(guid(id)), case["guid_le_hex"]);
    }
}

#[test]
fn the_files_know_every_system_that_has_a_box() {
    let systems = json!(["identity", "fairplay"]);
    let protection = protection(Method::Cbcs, &systems, None);
    assert!(pssh::all(&protection, &protection.keys[0].0).is_empty());
    assert_eq!(protection.systems(), [System::Identity, System::FairPlay]);
}
