//! A protected film whose keys are replaced: what is encrypted with a set of keys is under addresses that name it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, http::StatusCode};

use crate::house::{House, TEXT};

const FILM: &str = "locked";

/// Who knows the keys: the sets that count, the one that replaced the others first, and the newest order.
#[derive(Clone, Default)]
struct Vault {
    sets: Arc<Mutex<Vec<u8>>>,
    head: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

impl Vault {
    /// From now on these sets count, and the order to forget the film has this number.
    fn rotate(&self, sets: &[u8], head: u64) {
        *self.sets.lock().unwrap() = sets.to_vec();
        self.head.store(head, Ordering::SeqCst);
    }

    fn document(&self) -> String {
        let sets = self.sets.lock().unwrap();
        let keys = |set: &u8| {
            let periods = format!(
                r#"[{{"start_ms":0,"keys":[{{"kid":"{0}","key":"{0}"}}]}}]"#,
                format!("{set:02x}").repeat(16)
            );
            format!(r#""set":{set},"periods":{periods}"#)
        };
        let (first, rest) = sets.split_first().unwrap();
        let retired = rest.iter().map(|set| format!("{{{}}}", keys(set)));
        let retired: Vec<String> = retired.collect();
        format!(
            r#"{{"video":"{FILM}","systems":["identity","clearkey"],{},"retired":[{}]}}"#,
            keys(first),
            retired.join(",")
        )
    }

    async fn serve(&self) -> String {
        let vault = self.clone();
        let answer = async move || {
            vault.asked.fetch_add(1, Ordering::SeqCst);
            let head = vault.head.load(Ordering::SeqCst).to_string();
            ([("millrace-seq", head)], vault.document())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer);
        tokio::spawn(axum::serve(listener, router).into_future());
        format!("http://{address}/v1/keys")
    }

    /// A house with a protected film that has texts and sheets.
    async fn house(&self) -> House {
        let url = self.serve().await;
        let house = House::with(|config| config.keys = url).await;
        let text = house.put_text(FILM, "text-en", TEXT).await;
        let thumbs = house.put_sheets(FILM).await;
        let protect = |asset: &mut contracts::asset::Asset| {
            asset.protected = true;
            asset.renditions.push(text);
            asset.thumbs = Some(thumbs);
        };
        house.publish_with(FILM, 1, protect).await;
        house
    }
}

/// What a request that must have nothing older than an order is answered.
async fn since(house: &House, path: &str, order: u64) -> (StatusCode, String) {
    let request = house.client.get(house.url(path));
    let request = request.header("millrace-min-seq", order);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let bytes = answer.bytes().await.unwrap();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// All that is told of a film in a listing, relative to it.
fn named(listing: &str) -> Vec<String> {
    let lines = listing.lines();
    let lines = lines.filter_map(|line| {
        let quoted = line.split_once("URI=\"").map(|(_, rest)| rest);
        let quoted = quoted.and_then(|rest| rest.split('"').next());
        let plain = (!line.starts_with('#')).then_some(line);
        quoted.or(plain).map(str::to_owned)
    });
    lines.collect()
}

#[tokio::test]
async fn what_lists_a_film_leads_to_the_keys_that_count_and_the_rest_stays_what_it_was() {
    let vault = Vault::default();
    vault.rotate(&[1], 1);
    let house = vault.house().await;
    let film = format!("/v/{FILM}");
    let old = house.text(&format!("{film}/@clearkey/master.m3u8")).await;
    assert!(!old.contains("@k") && !old.contains(".."), "{old}");
    let segment = house.bytes(&format!("{film}/90p/segment_1.m4s")).await;
    let tag = house.tag(&format!("{film}/90p/segment_1.m4s")).await;
    vault.rotate(&[2, 1], 2);
    let master = format!("{film}/@clearkey/master.m3u8");
    let (status, listing) = since(&house, &master, 2).await;
    assert_eq!(status, 200);
    let folder = "../@clearkey,k2/";
    let all = named(&listing);
    assert!(all.iter().all(|name| name.starts_with(folder)), "{all:?}");
    assert_eq!(all.len(), named(&old).len());
    for name in all {
        let below = name.strip_prefix("../").unwrap();
        house.bytes(&format!("{film}/{below}")).await;
    }
    // What was begun goes on with what it was begun with, byte by byte.
    assert_eq!(
        house.bytes(&format!("{film}/90p/segment_1.m4s")).await,
        segment
    );
    assert_eq!(house.tag(&format!("{film}/90p/segment_1.m4s")).await, tag);
    let new = house.bytes(&format!("{film}/@k2/90p/segment_1.m4s")).await;
    assert_eq!(new.len(), segment.len());
    assert_ne!(new, segment);
    let init = house.bytes(&format!("{film}/@k2/90p/init.mp4")).await;
    let names = |set: u8| init.windows(16).any(|bytes| bytes == [set; 16]);
    assert!(names(2) && !names(1));
    let key = house.bytes(&format!("{film}/@k2/90p/content.key")).await;
    assert_eq!(&key[..], [2; 16]);
}

#[tokio::test]
async fn whoever_knows_of_the_rotation_gets_nothing_from_before_it() {
    let vault = Vault::default();
    vault.rotate(&[1], 1);
    let house = vault.house().await;
    let (master, segment) = (
        format!("/v/{FILM}/master.m3u8"),
        format!("/v/{FILM}/90p/segment_1.m4s"),
    );
    assert!(!house.text(&master).await.contains("@k2"));
    vault.rotate(&[2], 7);
    // Those who know of no order are given what is remembered, for a while.
    assert_eq!(house.get(&segment).await.status(), 200);
    assert_eq!(vault.asked.load(Ordering::SeqCst), 1);
    assert_eq!(since(&house, &segment, 7).await.0, 404);
    assert!(since(&house, &master, 7).await.1.contains("@k2/"));
    assert!(house.text(&master).await.contains("@k2/"));
    assert_eq!(house.get(&segment).await.status(), 404);
    assert_eq!(vault.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_set_that_does_not_count_has_no_address_not_even_for_what_is_clear() {
    let vault = Vault::default();
    vault.rotate(&[3, 2], 1);
    let house = vault.house().await;
    for (path, status) in [
        ("@k2/90p/init.mp4", 200),
        ("@k3/90p/init.mp4", 200),
        ("90p/init.mp4", 404),
        ("@k4/90p/init.mp4", 404),
        ("@k4/master.m3u8", 404),
        ("@k2/manifest.mpd", 200),
        ("@k3/thumbs/sheet_1.jpg", 200),
        ("@k4/thumbs/sheet_1.jpg", 404),
        ("@k4/text-en/playlist.m3u8", 404),
        ("thumbs/sheet_1.jpg", 200),
        ("text-en/playlist.m3u8", 200),
    ] {
        let answer = house.get(&format!("/v/{FILM}/{path}")).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    let clear = house.get("/v/film_1/@k2/master.m3u8").await;
    assert_eq!(clear.status(), 404);
}
