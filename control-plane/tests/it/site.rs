//! The site as a whole: its status, its description, other sites' pages, health.

use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::json;

use crate::house::{House, KEYS, NOW, json};

#[tokio::test]
async fn the_status_counts_films_and_sessions_and_names_the_edges() {
    let house = House::start().await;
    house.film("a", Privacy::Public).await;
    house.film("b", Privacy::Private).await;
    house.upload("c", Privacy::Public).await;
    let wish = json!({"video_id": "a"});
    house
        .post("/v1/playback/start", &wish)
        .send()
        .await
        .unwrap();
    let site = json(house.get("/v1/status").await, 200).await;
    assert_eq!(site["videos"], json!({"ready": 2, "uploading": 1}));
    assert_eq!(site["sessions"], 1);
    let edge = |base: &str| json!({"base": base, "health": "well", "used": 0.0});
    let edges =
        json!({"edge-1": edge("https://127.0.0.1:8443"), "edge-2": edge("https://127.0.0.1:8444")});
    assert_eq!(site["edges"], edges);
    assert_eq!(site["ingest"], "http://127.0.0.1:7777");
    assert_eq!(site["catalog"], "reachable");
}

/// Every route, with its method.
const ROUTES: [&str; 79] = [
    "delete /v1/api-keys/{id}",
    "delete /v1/fleet/joins/{id}",
    "delete /v1/fleet/nodes/{name}",
    "delete /v1/grants/{id}",
    "delete /v1/playback/{session}",
    "delete /v1/users/{id}",
    "delete /v1/videos/upload/{rest}",
    "delete /v1/videos/{id}",
    "delete /v1/videos/{id}/subtitles/{lang}",
    "get /.well-known/jwks.json",
    "get /v/{id}/{file}",
    "get /v1/api-keys",
    "get /v1/callers/me",
    "get /v1/channels",
    "get /v1/channels/{id}",
    "get /v1/events",
    "get /v1/fleet/feed",
    "get /v1/fleet/joins",
    "get /v1/fleet/nodes",
    "get /v1/fleet/nodes/{name}",
    "get /v1/grants",
    "get /v1/grants/{id}",
    "get /v1/keys/{video}",
    "get /v1/openapi.json",
    "get /v1/purge/{seq}",
    "get /v1/qoe",
    "get /v1/status",
    "get /v1/steering/{session}",
    "get /v1/steering/{session}/{file}",
    "get /v1/steering/{session}/{view}/{file}",
    "get /v1/users",
    "get /v1/users/me",
    "get /v1/users/{id}/quota",
    "get /v1/users/{id}/streams",
    "get /v1/videos",
    "get /v1/videos/upload/{rest}",
    "get /v1/videos/{id}",
    "get /v1/videos/{id}/cpix",
    "get /v1/videos/{id}/rules",
    "get /v1/videos/{id}/stats",
    "get /v1/videos/{id}/status",
    "get /v1/videos/{id}/subtitles",
    "head /v1/videos/upload/{rest}",
    "patch /v1/fleet/nodes/{name}",
    "patch /v1/videos/upload/{rest}",
    "post /v1/api-keys",
    "post /v1/auth/login",
    "post /v1/auth/logout",
    "post /v1/auth/refresh",
    "post /v1/channels",
    "post /v1/drm/clearkey/license",
    "post /v1/drm/fairplay/license",
    "post /v1/drm/playready/license",
    "post /v1/drm/token",
    "post /v1/drm/widevine/license",
    "post /v1/fleet/feed/renew",
    "post /v1/fleet/joins",
    "post /v1/grants",
    "post /v1/invitations",
    "post /v1/playback/cmcd",
    "post /v1/playback/events",
    "post /v1/playback/start",
    "post /v1/playback/{session}/heartbeat",
    "post /v1/playback/{session}/stop",
    "post /v1/purge",
    "post /v1/speke",
    "post /v1/users",
    "post /v1/users/{id}/role",
    "post /v1/vault/reseal",
    "post /v1/videos/upload/{rest}",
    "post /v1/videos/{id}/keys/rotate",
    "post /v1/videos/{id}/retry",
    "put /v1/users/me/password",
    "put /v1/users/{id}/quota",
    "put /v1/users/{id}/streams",
    "put /v1/videos/upload/{rest}",
    "put /v1/videos/{id}/channel",
    "put /v1/videos/{id}/rules",
    "put /v1/videos/{id}/subtitles/{lang}",
];

#[tokio::test]
async fn every_route_is_in_the_description_and_answers() {
    let house = crate::drm::house().await;
    let document = json(house.get("/v1/openapi.json").await, 200).await;
    assert_eq!(
        document,
        json(house.get("/api/v1/openapi.json").await, 200).await
    );
    let paths = document["paths"].as_object().unwrap();
    let mut have = Vec::new();
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            have.push(format!("{method} {path}"));
            // Whatever a route says to nonsense, it is not that there is no such route.
            let url = path.replace(['{', '}'], "");
            let url = url.replace("/v/id/file", "/v/id/master.m3u8");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = house.request(method, &url).send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert_ne!(status, 405, "{path}");
            assert!(!text.contains("urn:millrace:not-found"), "{path} {text}");
        }
    }
    have.sort();
    assert_eq!(have, ROUTES);
}

#[tokio::test]
async fn pages_of_other_sites_may_call_only_when_they_are_listed() {
    let listed = "https://site.example";
    let house = House::with(|config, _| config.allowed_origins = vec![listed.into()]).await;
    for (origin, allowed) in [(listed, true), ("https://other.example", false)] {
        let asked = house
            .request(Method::OPTIONS, "/v1/playback/start")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        let answer = asked.send().await.unwrap();
        let header = answer.headers().get("access-control-allow-origin");
        assert_eq!(
            header.map(|header| header.to_str().unwrap()),
            allowed.then_some(origin)
        );
    }
}

#[tokio::test]
async fn the_internal_port_tells_health_and_counts_requests_by_route() {
    let house = House::start().await;
    for path in ["/v1/videos/absent", "/v1/videos/film-that-is-absent-too"] {
        house.get(path).await;
    }
    let health = house
        .get(&format!("http://{}/healthz", house.running.internal))
        .await;
    assert_eq!(health.status(), 200);
    let line = r#"millrace_control_requests_total{route="/v1/videos/{id}",status="404"}"#;
    assert_eq!(house.counter(line).await, 2);
}

#[tokio::test]
async fn before_the_last_key_that_signs_ends_it_is_told() {
    let week = 7 * 86_400;
    for (expires, told) in [
        (NOW, "degraded: keyring: no key of the keyring signs now"),
        (
            NOW + week,
            "degraded: keyring: no key of the keyring signs a week from now",
        ),
    ] {
        let house = House::with(|config, dir| {
            let keys = KEYS.replace("4102444800", &expires.to_string());
            config.keys = crate::drm::write(dir.path(), "ending.json", &keys);
        })
        .await;
        let health = format!("http://{}/healthz", house.running.internal);
        let says = async || house.get(&health).await.text().await.unwrap();
        crate::joining::until("it is told", async || says().await.contains(told)).await;
        // Another that lasts is read by itself.
        std::fs::write(house.dir.path().join("ending.json"), KEYS).unwrap();
        house.clock.advance(1);
        crate::joining::until("it is over", async || says().await == "ok\n").await;
    }
}

#[tokio::test]
async fn stopping_ends_the_listener() {
    let house = House::start().await;
    let address = house.running.listen;
    house.running.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
