//! A node of somebody else's: it joins, serves, is lost, comes back, is drained, keeps to its hours and its rate, and is
//! dismissed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use runtime::clock::{Clock as _, System};
use serde_json::{Value, json};

use crate::house::{House, Stage, millrace};
use crate::joinable::{QUARANTINE, Role, Site};

/// How long a condition may take that no test is about.
const PATIENCE: Duration = Duration::from_secs(40);
const RATE: u64 = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_with_one_token_and_serves_until_it_is_dismissed() {
    let stage = Stage::new();
    let house = stage.house();
    let site = Site::beside(&stage, &house);
    let token = site.invite();
    let node = site.node("isp", Some(&token)).expect("it joins");
    until("it is sent viewers", async || {
        site.state().await == "active"
    })
    .await;
    let url = it_plays(&stage, &house, &site).await;
    let second = site
        .node("other", Some(&token))
        .expect_err("it counts once");
    assert!(second.contains("was used"), "{second}");

    let mut node = killed_it_is_left_and_taken_back(&site, &house, &node).await;
    drained_it_keeps_whom_it_has(&site, &house, &url).await;
    closed_it_sends_viewers_elsewhere(&site, &house, &node, &url).await;
    open_it_keeps_to_its_rate(&site, &house, &node, &url).await;

    // Asked to end, it says so before it does.
    node.signal("-TERM");
    assert!(node.child.wait().unwrap().success());
    let said = site.node_of(&house).await;
    assert_eq!(said["enrolled"]["heartbeat"]["draining"], true, "{said}");
    let node = site.node("isp", None).expect("it has joined");
    until("it is taken back after its end", async || {
        is_sent(&site, &house).await
    })
    .await;
    dismissed_it_is_refused(&site, &house, &node, &url).await;
}

/// Whether viewers are sent to the node.
async fn is_sent(site: &Site, house: &House) -> bool {
    site.session(house).await.starts_with(&site.node_base)
}

/// The film plays through the node, by a token that the node can verify and not make; gives its playlist.
async fn it_plays(stage: &Stage, house: &House, site: &Site) -> String {
    let url = site.session(house).await;
    assert!(
        url.starts_with(&site.node_base) && url.contains("/~m2."),
        "{url}"
    );
    let played = millrace(&["play", "--insecure", "--json", &url]);
    let told = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{told}");
    let keyring = std::fs::read_to_string(stage.path("isp/keyring.json")).unwrap();
    assert!(
        !keyring.contains("seed_hex") && !keyring.contains("key_hex"),
        "{keyring}"
    );
    url
}

/// Killed, viewers are sent elsewhere; started again without the token, it is taken back.
async fn killed_it_is_left_and_taken_back(site: &Site, house: &House, node: &Role) -> Role {
    node.signal("-KILL");
    let killed = Instant::now();
    until("it is found silent", async || {
        site.state().await == "quarantined"
    })
    .await;
    assert!(
        killed.elapsed() < QUARANTINE + Duration::from_secs(10),
        "{:?}",
        killed.elapsed()
    );
    until("viewers go elsewhere", async || !is_sent(site, house).await).await;
    let node = site.node("isp", None).unwrap();
    until("it is taken back", async || is_sent(site, house).await).await;
    node
}

/// Drained, it gets nobody new.
async fn drained_it_keeps_whom_it_has(site: &Site, house: &House, url: &str) {
    let drain = async |drain: bool| {
        let wish = json!({"drain": drain});
        let path = "/v1/fleet/nodes/isp-1";
        site.api(house, Method::PATCH, path, &wish).await
    };
    drain(true).await;
    until("nobody new is sent to it", async || {
        !is_sent(site, house).await
    })
    .await;
    assert_eq!(status(house, url).await, 200);
    drain(false).await;
    until("viewers are sent to it again", async || {
        is_sent(site, house).await
    })
    .await;
}

/// Dismissed, it is refused by the control plane and the shield.
async fn dismissed_it_is_refused(site: &Site, house: &House, node: &Role, url: &str) {
    let dismissed = Instant::now();
    site.api(house, Method::DELETE, "/v1/fleet/nodes/isp-1", &Value::Null)
        .await;
    until("the shield refuses it", async || {
        status(house, &nothing(house, url, 2000)).await == 502
            && site.shield_refusals(house).await > 0.0
    })
    .await;
    assert!(
        dismissed.elapsed() < Duration::from_secs(10),
        "{:?}",
        dismissed.elapsed()
    );
    until("the control plane refuses it", async || {
        node.health(house)
            .await
            .contains("degraded: control plane: it refuses isp-1")
    })
    .await;
    until("viewers leave it", async || {
        !site.session(house).await.starts_with(&site.node_base)
    })
    .await;
}

/// Outside of its hours it gives what it has, and sends viewers to an edge of the house for the rest.
async fn closed_it_sends_viewers_elsewhere(site: &Site, house: &House, node: &Role, url: &str) {
    // Open half a day from now; there it is 14 hours later than in UTC.
    let hour = System.now().0 / 3600 + 14 + 12;
    let (from, to) = (hour % 24, (hour + 1) % 24);
    site.write(&format!(
        "hours = [\"{from:02}:00-{to:02}:00\"]\nzone = \"Pacific/Kiritimati\""
    ));
    node.signal("-HUP");
    let asked = AtomicUsize::new(1000);
    until("it takes its hours", async || {
        let next = asked.fetch_add(1, Ordering::Relaxed);
        status(house, &nothing(house, url, next)).await == 307
    })
    .await;
    let absent = beside(url, "manifest.mpd");
    assert_eq!(status(house, url).await, 200, "that is cached");
    let answer = house.http.get(&absent).send().await.unwrap();
    let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(field("cache-status"), "isp-1; detail=fill_hours");
    let elsewhere = field("location");
    let own = absent.strip_prefix(&site.node_base).unwrap();
    let bases = [0, 1].map(|edge| house.fact(&format!("/edges/{edge}/https")).to_owned());
    assert!(
        bases
            .iter()
            .any(|base| elsewhere == format!("{base}{own}?millrace-sent=1")),
        "{elsewhere}"
    );
    assert_eq!(status(house, &elsewhere).await, 200);
}

/// What comes from its parents keeps to the rate, by counted bytes.
async fn open_it_keeps_to_its_rate(site: &Site, house: &House, node: &Role, url: &str) {
    site.write(&format!("rate = \"{RATE}B\"\nlongest_wait = \"30s\""));
    node.signal("-HUP");
    until("it takes its rate", async || {
        status(house, &beside(url, "manifest.mpd")).await == 200
    })
    .await;
    let counted = async || node.metric(house, "millrace_tier_intake_bytes_total").await;
    let (before, begun) = (counted().await, Instant::now());
    for (rendition, _) in house.mezzanines() {
        for segment in 1..=2 {
            // Where there is none for a transport stream, the answer is short.
            let path = beside(url, &format!("{rendition}/segment_{segment}.ts"));
            assert_ne!(status(house, &path).await, 307);
        }
    }
    let (came, took) = (counted().await - before, begun.elapsed());
    assert!(came > 1.5 * RATE as f64, "too little to tell: {came}");
    // The last piece is not waited for.
    let may = RATE as f64 * (took.as_secs_f64() + 0.1) + 65_536.0;
    assert!(came <= may, "{came} bytes in {took:?}");
}

/// Another object of the film whose playlist has this address.
fn beside(playlist: &str, path: &str) -> String {
    let (folder, _) = playlist.rsplit_once('/').unwrap();
    format!("{folder}/{path}")
}

/// A segment that the film does not have, and nobody has asked for.
fn nothing(house: &House, playlist: &str, number: usize) -> String {
    let rendition = house.mezzanines().remove(0).0;
    beside(playlist, &format!("{rendition}/segment_{number}.m4s"))
}

/// Of a whole answer; 0: there was none.
async fn status(house: &House, url: &str) -> u16 {
    let Ok(answer) = house.http.get(url).send().await else {
        return 0;
    };
    let status = answer.status().as_u16();
    answer.bytes().await.map_or(0, |_| status)
}

/// Asks again and again until it is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let asked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, asked).await;
    assert!(waited.is_ok(), "in vain: {what}");
}
