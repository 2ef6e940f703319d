//! Where films may be watched, on which devices, and what their tokens say of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use config::Span;
use contracts::asset::{Asset, Kind, Privacy, Rendition, Thumbs};
use contracts::id::{Generation, RenditionId, VideoId};
use contracts::keys::System;
use contracts::token::Claims;
use control_plane::config::{Bound, Config};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::callers::key;
use crate::drm::{HOP, write};
use crate::house::{House, KEYS, NOW, OPERATOR, at_the_edge, json, mark, problem, split};
use crate::people::configured;

const START: &str = "/v1/playback/start";
/// Documentation networks in countries: 192.0.2.0/24 is the US's, 198.51.100.0/24 is DE's.
const GEO: &[u8] = include_bytes!("../data/geo_test.mmdb");

/// A house that knows countries, and an API key of its that plays.
async fn house(change: impl FnOnce(&mut Config)) -> (House, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geo.mmdb");
    std::fs::write(&path, GEO).unwrap();
    let house = configured(None, |config| {
        config.playback.geo_file = path.display().to_string();
        change(config);
    })
    .await;
    house.film("film", Privacy::Unlisted).await;
    let made = key(&house, json!(["playback"]), Value::Null).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    (house, secret, folder)
}

async fn start(house: &House, secret: &str, more: Value) -> Response {
    let mut wish = json!({"video_id": "film"});
    for (name, value) in more.as_object().unwrap() {
        wish[name] = value.clone();
    }
    let request = house.post(START, &wish);
    let request = match secret {
        "" => request,
        secret => request.bearer_auth(secret),
    };
    request.send().await.unwrap()
}

/// What the token of a manifest's address says.
fn claims(playback: &Value) -> Claims {
    let target = split(playback["manifest_url"].as_str().unwrap()).1;
    let body = target.split('.').nth(2).unwrap();
    Claims::parse(&B64.decode(body).unwrap()).unwrap()
}

fn picture(height: u32) -> Rendition {
    let id = RenditionId::parse(&format!("{height}p")).unwrap();
    Rendition {
        width: Some(height * 16 / 9),
        height: Some(height),
        ..Rendition::new(id, Kind::Video)
    }
}

/// Tells the catalogue what a film consists of, as ingest does.
pub(crate) async fn publish(house: &House, film: &str) {
    let beside = |id: &str, kind, language: Option<&str>| Rendition {
        language: language.map(str::to_owned),
        ..Rendition::new(RenditionId::parse(id).unwrap(), kind)
    };
    let asset = Asset {
        video: VideoId::parse(film).unwrap(),
        generation: Generation(1),
        title: "Film".to_owned(),
        privacy: Privacy::Unlisted,
        duration_ms: 10_001,
        renditions: vec![
            picture(360),
            picture(720),
            picture(2160),
            beside("audio-und", Kind::Audio, None),
            beside("text-de", Kind::Text, Some("de")),
        ],
        thumbs: Some(Thumbs {
            width: 160,
            height: 90,
            columns: 5,
            rows: 5,
            interval_ms: 2000,
            tiles: 5,
            sheet_bytes: vec![100],
        }),
        stills: Vec::new(),
        protected: false,
    };
    house.catalog.encodings.put(&asset).await.unwrap();
}

#[tokio::test]
async fn a_film_is_watched_where_the_site_and_its_own_rule_let_it_be() {
    let (house, secret, _folder) = house(|config| {
        config.playback.countries = vec!["!US".to_owned(), "!ZZ".to_owned()];
    })
    .await;
    let at = async |ip: &str| start(&house, &secret, json!({"viewer_ip": ip})).await;
    json(at("198.51.100.7").await, 201).await;
    json(at("::ffff:198.51.100.7").await, 201).await;
    let blocked = problem(at("192.0.2.7").await, 403, "geo_blocked").await;
    assert_eq!(blocked["country"], "US");
    let unknown = problem(at("127.0.0.1").await, 403, "geo_blocked").await;
    assert_eq!(unknown["country"], "ZZ");
    // Where nobody says where the viewer is, it is where the request comes from.
    problem(start(&house, &secret, json!({})).await, 403, "geo_blocked").await;
    problem(house.get("/v/film/master.m3u8").await, 403, "geo_blocked").await;
    let rule = async |countries: Value| {
        let rules = json!({"audience": "everybody", "countries": countries});
        let put = house
            .request(Method::PUT, "/v1/videos/film/rules")
            .json(&rules);
        put.bearer_auth(OPERATOR).send().await.unwrap()
    };
    json(rule(json!({"only": ["US", "FR"]})).await, 200).await;
    problem(at("198.51.100.7").await, 403, "geo_blocked").await;
    problem(at("192.0.2.7").await, 403, "geo_blocked").await;
    let told = json(rule(json!({"except": ["FR"]})).await, 200).await;
    assert_eq!(
        told,
        json!({"audience": "everybody", "countries": {"except": ["FR"]}})
    );
    json(at("198.51.100.7").await, 201).await;
    for wrong in [
        json!({"only": ["de"]}),
        json!({"only": []}),
        json!({"never": ["DE"]}),
    ] {
        problem(rule(wrong).await, 400, "bad-request").await;
    }
}

#[tokio::test]
async fn tokens_are_bound_to_a_country_and_a_network_where_that_is_wished() {
    let (house, secret, _folder) = house(|_| {}).await;
    let playback = json(start(&house, &secret, json!({})).await, 201).await;
    let free = claims(&playback);
    assert!(free.countries.is_none() && free.networks.is_empty() && free.renditions.is_empty());
    let (house, secret, _folder) = self::house(|config| {
        config.playback.bind = vec![Bound::Country, Bound::Network];
    })
    .await;
    for (ip, country, network) in [
        ("198.51.100.7", "DE", "198.51.100.0/24"),
        ("::ffff:198.51.100.7", "DE", "198.51.100.0/24"),
        ("2001:db8:ffff:1::7", "ZZ", "2001:db8:ffff::/48"),
    ] {
        let playback = start(&house, &secret, json!({"viewer_ip": ip})).await;
        let bound = claims(&json(playback, 201).await);
        let networks: Vec<String> = bound.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, [network]);
        assert!(bound.admits_country(Some(country)), "{country}");
        assert!(!bound.admits_country(Some("FR")));
    }
}

#[tokio::test]
async fn what_a_proxy_takes_for_ipv6_is_the_ipv4_network_that_it_is() {
    let (house, _secret, _folder) = house(|config| {
        config.playback.bind = vec![Bound::Network];
        config.trusted_hops = vec!["127.0.0.0/8".into()];
    })
    .await;
    let wish = json!({"video_id": "film"});
    let asked = house.post("/v1/playback/start", &wish);
    let asked = asked.header("millrace-client-ip", "::ffff:198.51.100.7");
    let playback = json(asked.send().await.unwrap(), 201).await;
    let networks: Vec<String> = claims(&playback)
        .networks
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["198.51.100.0/24"]);
}

#[tokio::test]
async fn a_start_names_texts_and_pictures_as_the_origin_has_them() {
    let (house, secret, _folder) = house(|_| {}).await;
    publish(&house, "film").await;
    let playback = json(start(&house, &secret, json!({})).await, 201).await;
    let text = &playback["subtitles"][0];
    assert_eq!(text["language"], "de");
    let sprite = &playback["thumbnails"]["sprite_vtt"];
    for (url, path) in [
        (&text["url"], "/v/film/text-de/subtitles.vtt"),
        (sprite, "/v/film/thumbs/sprite.vtt"),
    ] {
        let accepted = at_the_edge(KEYS, url.as_str().unwrap(), NOW).unwrap();
        assert_eq!(accepted.path, path);
        assert_eq!(accepted.session.unwrap().as_str(), mark(&playback));
    }
    assert_eq!(playback["subtitles"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_is_for_the_renditions_that_the_device_shows() {
    let (house, secret, _folder) = house(|_| {}).await;
    publish(&house, "film").await;
    let on = async |device: Value| {
        let playback = start(&house, &secret, json!({ "device": device })).await;
        json(playback, 201).await
    };
    let playback = on(json!({"max_height": 1080})).await;
    let url = playback["manifest_url"].as_str().unwrap();
    for (file, wanted) in [
        ("720p/segment_1.m4s", Ok(())),
        ("audio-und/init.mp4", Ok(())),
        ("text-de/subtitles.vtt", Ok(())),
        ("thumbs/sprite.vtt", Ok(())),
        ("2160p/segment_1.m4s", Err("rendition")),
    ] {
        let at = url.replace("master.m3u8", file);
        assert_eq!(at_the_edge(KEYS, &at, NOW).map(drop), wanted, "{file}");
    }
    assert!(
        claims(&on(json!({"max_height": 2160})).await)
            .renditions
            .is_empty()
    );
    let smallest = claims(&on(json!({"max_height": 1})).await);
    assert_eq!(smallest.renditions[0].as_str(), "360p");
    // A bound that is not understood is none that may be passed over.
    let slip = json!({"device": {"max_height": "1080"}});
    let slip = problem(start(&house, &secret, slip).await, 400, "bad-request").await;
    let detail = slip["detail"].as_str().unwrap();
    assert!(detail.starts_with("device.max_height "), "{detail}");
}

#[tokio::test]
async fn a_device_that_can_play_nothing_is_told_so() {
    let house = House::with(|config, dir| {
        config.drm.key_encryption_key = vec![write(dir.path(), "kek", &"5a".repeat(32))];
        config.drm.systems = vec![System::ClearKey];
        config.drm.keys_secret = write(dir.path(), "hop", HOP);
        config.drm.policy.hdcp.sd = "1.4".to_owned();
        config.drm.policy.hdcp.hd = "1.4".to_owned();
        config.drm.policy.hdcp.uhd = "2.2".to_owned();
    })
    .await;
    house.protected_film("film").await;
    publish(&house, "film").await;
    let on = async |device: Value| start(&house, "", json!({ "device": device })).await;
    let bare = problem(on(json!({"drm": ["clearkey"]})).await, 403, "device_policy").await;
    assert_eq!(bare["reason"], "hdcp");
    let other = problem(on(json!({"drm": ["widevine"]})).await, 403, "device_policy").await;
    assert_eq!(
        (&other["reason"], &other["systems"]),
        (&json!("drm"), &json!(["clearkey"]))
    );
    let good = json!({"drm": ["clearkey"], "hdcp": "1.4"});
    let names = claims(&json(on(good).await, 201).await).renditions;
    let names: Vec<&str> = names.iter().map(RenditionId::as_str).collect();
    assert_eq!(names, ["360p", "720p", "audio-und", "text-de", "thumbs"]);
    assert_eq!(house.counter("millrace_control_sessions_total").await, 1);
}

#[tokio::test]
async fn a_heartbeat_near_the_end_of_a_token_gets_the_next_one() {
    let (house, secret, _folder) = house(|config| {
        config.playback.token_ttl = Span::seconds(300);
        config.playback.bind = vec![Bound::Network];
    })
    .await;
    let wish = json!({"viewer_ip": "198.51.100.7", "viewer": "customer 7"});
    let playback = json(start(&house, &secret, wish).await, 201).await;
    assert_eq!(playback["expires_at"], NOW + 300);
    let beat = async || {
        let url = playback["heartbeat"]["url"].as_str().unwrap();
        let answer = house.post(url, &json!({})).send().await.unwrap();
        json(answer, 200).await
    };
    let mut last = (NOW + 300, claims(&playback));
    let mut renewals = 0;
    for _ in 0..100 {
        house.clock.advance(30);
        let answer = beat().await;
        assert_eq!(answer["action"], "continue");
        let Some(url) = answer["manifest_url"].as_str() else {
            assert!(answer.get("manifests").is_none());
            assert_eq!(answer["expires_at"], last.0);
            continue;
        };
        assert_eq!(answer["manifest_url"], answer["manifests"]["hls"]);
        let (before, fresh) = (last.1.clone(), claims(&answer));
        assert_eq!(
            (&fresh.session, &fresh.networks),
            (&before.session, &before.networks)
        );
        assert!(fresh.expires > before.expires);
        assert_eq!(answer["expires_at"], fresh.expires.0);
        assert!(url.ends_with("/v/film/master.m3u8"), "{url}");
        last = (fresh.expires.0, fresh);
        renewals += 1;
    }
    assert_eq!(renewals, 14, "every 210 s");
    house.clock.advance(300);
    let url = playback["heartbeat"]["url"].as_str().unwrap();
    let over = house.post(url, &json!({})).send().await.unwrap();
    problem(over, 410, "session-over").await;
}

#[tokio::test]
async fn a_grant_that_ends_is_the_end_whatever_the_heartbeats() {
    let (house, secret, _folder) = house(|config| {
        config.playback.token_ttl = Span::seconds(300);
    })
    .await;
    let rules = json!({"audience": "granted"});
    let put = house
        .request(Method::PUT, "/v1/videos/film/rules")
        .json(&rules);
    json(put.bearer_auth(OPERATOR).send().await.unwrap(), 200).await;
    let wish = json!({"viewer": "customer 7", "video_id": "film", "until": NOW + 400});
    let granted = house.post("/v1/grants", &wish).bearer_auth(OPERATOR);
    json(granted.send().await.unwrap(), 201).await;
    let playback = json(
        start(&house, &secret, json!({"viewer": "customer 7"})).await,
        201,
    )
    .await;
    let url = playback["heartbeat"]["url"].as_str().unwrap();
    let beat = async || house.post(url, &json!({})).send().await.unwrap();
    house.clock.advance(250);
    assert_eq!(json(beat().await, 200).await["expires_at"], NOW + 400);
    house.clock.advance(149);
    let last = json(beat().await, 200).await;
    assert_eq!(
        (&last["expires_at"], last.get("manifest_url")),
        (&json!(NOW + 400), None)
    );
    house.clock.advance(1);
    problem(beat().await, 410, "session-over").await;
}

#[tokio::test]
async fn who_is_nobody_goes_on_only_while_the_film_is_for_everybody() {
    let (house, secret, _folder) = house(|config| {
        config.playback.token_ttl = Span::seconds(300);
    })
    .await;
    let nobody = json(start(&house, "", json!({})).await, 201).await;
    let backend = json(start(&house, &secret, json!({})).await, 201).await;
    let beat = async |playback: &Value| {
        let url = playback["heartbeat"]["url"].as_str().unwrap();
        let answer = house.post(url, &json!({})).send().await.unwrap();
        json(answer, 200).await["action"].clone()
    };
    house.clock.advance(250);
    assert_eq!(beat(&nobody).await, "continue");
    let rules = json!({"audience": "granted"});
    let put = house
        .request(Method::PUT, "/v1/videos/film/rules")
        .json(&rules);
    json(put.bearer_auth(OPERATOR).send().await.unwrap(), 200).await;
    house.clock.advance(40);
    assert_eq!(beat(&nobody).await, "continue", "its token lasts");
    house.clock.advance(210);
    assert_eq!(beat(&nobody).await, "stop");
    let over = house.get("/v/film/master.m3u8").await;
    problem(over, 403, "not_entitled").await;
    // A backend answers for whom it lets watch.
    let again = json(start(&house, &secret, json!({})).await, 201).await;
    assert_eq!(beat(&again).await, "continue");
    drop(backend);
}

#[tokio::test]
async fn a_logical_address_gives_no_more_than_a_session_does() {
    let (house, _secret, _folder) = house(|config| {
        config.playback.bind = vec![Bound::Country, Bound::Network];
    })
    .await;
    let to = house.get("/v/film/master.m3u8").await;
    let to = to.headers()["location"].to_str().unwrap();
    let bound = claims(&json!({"manifest_url": to}));
    let networks: Vec<String> = bound.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["127.0.0.0/24"]);
    assert!(bound.admits_country(Some("ZZ")) && !bound.admits_country(Some("FR")));
    assert_eq!(bound.session, None);
    let (house, _secret, _folder) = self::house(|config| {
        config.playback.token_ttl = Span::seconds(300);
    })
    .await;
    let unrenewed = house.get("/v/film/master.m3u8").await;
    problem(unrenewed, 403, "session-needed").await;
}

#[tokio::test]
async fn a_partner_s_edge_gets_tokens_that_it_cannot_make() {
    const BOTH: &str = r#"{"keyring":[
        {"kid":"k1","ver":"m1","key_hex":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","scope":["/v/","/t/"],"nbf":0,"exp":4102444800},
        {"kid":"p1","ver":"m2","seed_hex":"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60","scope":["/v/","/t/"],"nbf":0,"exp":4102444800}]}"#;
    const PUBLIC: &str = r#"{"keyring":[{"kid":"p1","ver":"m2","pub_hex":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a","scope":["/v/","/t/"],"nbf":0,"exp":4102444800}]}"#;
    let partner = |config: &mut Config, dir: &TempDir| {
        config.keys = write(dir.path(), "both.json", BOTH);
        for edge in &mut config.edges {
            edge.partner = edge.name == "edge-2";
        }
    };
    let house = House::with(partner).await;
    house.film("film", Privacy::Public).await;
    let playback = json(start(&house, "", json!({})).await, 201).await;
    let alternative = &playback["alternatives"][0]["manifests"]["hls"];
    let urls = [&playback["manifest_url"], alternative].map(|url| url.as_str().unwrap());
    for url in urls {
        let is_partner = split(url).0.ends_with(":8444");
        let version = if is_partner { "/~m2.p1." } else { "/~" };
        assert!(url.contains(version), "{url}");
        assert!(at_the_edge(BOTH, url, NOW).is_ok());
        assert!(!is_partner || at_the_edge(PUBLIC, url, NOW).is_ok());
    }
    // Without a key that partners verify, their edges are left out.
    let house = House::with(|config, dir| {
        partner(config, dir);
        config.keys = write(dir.path(), "own.json", KEYS);
    })
    .await;
    house.film("film", Privacy::Public).await;
    let playback = json(start(&house, "", json!({})).await, 201).await;
    assert_eq!(playback["alternatives"], json!([]));
    assert!(
        playback["manifest_url"]
            .as_str()
            .unwrap()
            .contains(":8443/")
    );
}
