//! What playlists and manifests say of keys.

use contracts::address::{KeyFormat, Protection as Method};
use packager::protect::{Key, Protection};

use crate::{
    films::film,
    protected::{PICTURE, keys},
};

const ALL: [&str; 5] = ["identity", "clearkey", "widevine", "playready", "fairplay"];

fn with_key<T>(
    systems: &[&str],
    method: Method,
    format: Option<KeyFormat>,
    then: impl FnOnce(&Protection, &Key) -> T,
) -> T {
    let protection = Protection::new(&keys(systems), method, format).unwrap();
    let film = film();
    let key = protection.key(film.rendition("90p").0).unwrap();
    then(&protection, key)
}

fn tags(systems: &[&str], method: Method, format: Option<KeyFormat>) -> Vec<String> {
    with_key(systems, method, format, |protection, key| {
        let tags = protection.hls_keys(key).unwrap_or_default();
        tags.iter()
            .map(packager::protect::signalling::hls::KeyTag::attributes)
            .collect()
    })
}

#[test]
fn each_system_of_a_film_has_its_tag() {
    let tags = tags(&ALL, Method::Cbcs, None);
    let [widevine, playready, fairplay] = tags.as_slice() else {
        panic!("{tags:?}")
    };
    // 12 10 kid 48 varint("cbcs") behind the 32 bytes that a pssh box of version 0 begins with.
    assert_eq!(
        widevine,
        "METHOD=SAMPLE-AES,URI=\"data:text/plain;base64,AAAAOHBzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAABgSEAABAgMEBQYHCAkKCwwNDg9I88aJmwY=\",\
         KEYID=0x000102030405060708090a0b0c0d0e0f,KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\",KEYFORMATVERSIONS=\"1\""
    );
    assert!(
        playready.starts_with("METHOD=SAMPLE-AES,URI=\"data:text/plain;charset=UTF-16;base64,")
    );
    assert!(
        playready.ends_with("\",KEYFORMAT=\"com.microsoft.playready\",KEYFORMATVERSIONS=\"1\"")
    );
    assert_eq!(
        *fairplay,
        format!(
            "METHOD=SAMPLE-AES,URI=\"skd://{}\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\"",
            PICTURE.0
        )
    );
}

#[test]
fn counter_mode_is_not_for_fairplay() {
    let tags = tags(&ALL, Method::Cenc, None);
    assert_eq!(tags.len(), 2);
    assert!(
        tags.iter()
            .all(|tag| tag.starts_with("METHOD=SAMPLE-AES-CTR,"))
    );
}

#[test]
fn a_view_lists_the_one_format_that_it_names() {
    let identity = ["METHOD=SAMPLE-AES,URI=\"content.key\""];
    let clear = [
        "METHOD=SAMPLE-AES,URI=\"data:application/octet-stream;base64,AAECAwQFBgcICQoLDA0ODw==\",\
                  KEYFORMAT=\"org.w3.clearkey\",KEYFORMATVERSIONS=\"1\"",
    ];
    assert_eq!(
        tags(&ALL, Method::Cbcs, Some(KeyFormat::Identity)),
        identity
    );
    assert_eq!(tags(&ALL, Method::Cbcs, Some(KeyFormat::ClearKey)), clear);
    assert_eq!(
        tags(&["clearkey", "identity"], Method::Cbcs, None),
        identity
    );
    assert_eq!(tags(&["clearkey"], Method::Cbcs, None), clear);
    assert_eq!(
        tags(&["clearkey"], Method::Cbcs, Some(KeyFormat::Identity)),
        [""; 0]
    );
}

#[test]
fn encrypted_samples_of_transport_streams_take_the_key_as_it_is() {
    assert_eq!(tags(&["fairplay"], Method::SampleAes, None), [""; 0]);
    let [identity] = &tags(&["identity", "clearkey"], Method::SampleAes, None)[..] else {
        panic!("one tag")
    };
    // The vector follows from the key's name: players of the stream cannot find it elsewhere.
    assert!(identity.starts_with("METHOD=SAMPLE-AES,URI=\"content.key\",IV=0x"));
    assert_eq!(tags(&["clearkey"], Method::SampleAes, None), [""; 0]);
}

#[test]
fn whole_segments_take_the_key_as_it_is() {
    assert_eq!(
        tags(&ALL, Method::Aes128, None),
        ["METHOD=AES-128,URI=\"content.key\""]
    );
    assert_eq!(tags(&["widevine"], Method::Aes128, None), [""; 0]);
    let mut with_vector = keys(&["identity"]);
    with_vector.periods[0].keys[0].iv = Some(contracts::keys::Iv([0x1f; 16]));
    let protection = Protection::new(&with_vector, Method::Aes128, None).unwrap();
    let film = film();
    let tags = protection
        .hls_keys(protection.key(film.rendition("90p").0).unwrap())
        .unwrap();
    assert_eq!(
        tags[0].attributes(),
        format!(
            "METHOD=AES-128,URI=\"content.key\",IV=0x{}",
            "1f".repeat(16)
        )
    );
    assert!(!tags[0].is_for_session());
}

#[test]
fn a_manifest_names_the_key_and_every_system_that_its_players_take() {
    let text = with_key(
        &ALL,
        Method::Cenc,
        None,
        Protection::dash_content_protection,
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "<ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"cenc\" \
         xmlns:cenc=\"urn:mpeg:cenc:2013\" cenc:default_KID=\"00010203-0405-0607-0809-0a0b0c0d0e0f\"/>"
    );
    assert_eq!(
        lines[1],
        "<ContentProtection schemeIdUri=\"urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e\" value=\"ClearKey1.0\"></ContentProtection>"
    );
    assert!(lines[2].contains("urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"));
    assert!(lines[2].contains(">https://licences.example/wv?a=1&amp;b=2</dashif:Laurl>"));
    assert!(lines[3].contains("<mspr:pro xmlns:mspr=\"urn:microsoft:playready\">"));
    assert_eq!(lines.len(), 4);
    let whole = with_key(
        &ALL,
        Method::Aes128,
        None,
        Protection::dash_content_protection,
    );
    assert_eq!(whole, "");
}
