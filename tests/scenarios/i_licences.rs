//! Protected films through the whole house, in Chromium: start, licence, play; and who gets no licence.
//!
//! Needs what `f_browser` and `h_players` need: Chromium, Node.js, the page's packages, and the built page.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::f_browser::watch;
use crate::house::{House, Stage, millrace, program};
use crate::players::{player, seen, together};

/// A session of a protected film, as `playback/start` gives it.
struct Session(Value);

impl Session {
    async fn start(api: &str, film: &str) -> Self {
        let wish = json!({"video_id": film, "drm": "clearkey"});
        Self::wish(api, &wish).await.unwrap()
    }

    /// One for somebody whom a backend names.
    async fn of(api: &str, film: &str, viewer: &str) -> Result<Self, Value> {
        let wish = json!({"video_id": film, "drm": "clearkey", "viewer": viewer});
        Self::wish(api, &wish).await
    }

    /// A session, or why there is none.
    async fn wish(api: &str, wish: &Value) -> Result<Self, Value> {
        let start = client().post(format!("{api}/v1/playback/start"));
        let started = start.json(wish).send().await.unwrap();
        let begun = started.status() == 201;
        let told = started.json().await.unwrap();
        if begun { Ok(Self(told)) } else { Err(told) }
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap()
    }

    /// Where a player that sets no header asks for licences.
    fn license(&self) -> String {
        let (url, token) = (self.text("/drm/license_url"), self.text("/drm/token"));
        format!("{url}?token={token}")
    }

    async fn stop(&self) {
        let beat = self.text("/heartbeat/url");
        let session = beat.strip_suffix("/heartbeat").unwrap();
        let stopped = client().delete(session).send().await.unwrap();
        assert_eq!(stopped.status(), 204);
    }

    /// Why no licence is given. What is asked for is of no film, so that nothing is consumed.
    async fn reason(&self) -> Value {
        let foreign = json!({"kids": ["AAAAAAAAAAAAAAAAAAAAAA"]});
        let answer = client().post(self.license()).json(&foreign).send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 403);
        answer.json::<Value>().await.unwrap()["reason"].clone()
    }

    /// Waits until the token has ended.
    async fn expire(&self) {
        let mut look = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..600 {
            look.tick().await;
            let reason = self.reason().await;
            if reason == "expired" {
                return;
            }
            assert_eq!(reason, "keys");
        }
        panic!("the token does not end");
    }

    /// What a player sees of the film when it asks for licences at an address.
    fn play(&self, house: &House, name: &str, license: &str) -> Value {
        let manifest = if name == "hls.js" { "hls" } else { "dash" };
        let manifest = self.text(&format!("/manifests/{manifest}"));
        let mut player = player(house, name, manifest, "play,ended");
        player.args(["--license", license]);
        seen(player)
    }
}

/// Players play a film to the end, each with the licence of a session of its own.
async fn all_play(house: &House, film: &str, players: &[&str]) {
    let mut seats = Vec::new();
    for player in players {
        seats.push((player, Session::start(house.fact("/api"), film).await));
    }
    together(&seats, |(player, session)| {
        plays(&session.play(house, player, &session.license()));
    });
}

/// A client that keeps no connection: while a player plays, nobody here would notice that the other end closed it.
fn client() -> reqwest::Client {
    let client = runtime::http::client().pool_max_idle_per_host(0);
    client.build().unwrap()
}

/// A second control plane of the house, with something of its own.
struct Second {
    child: Child,
    api: String,
}

impl Second {
    fn start(stage: &Stage, own: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program())
            .args(["control", "--leash", "--config"])
            .arg(stage.path("house/run/control.toml"))
            .env("MILLRACE_CONTROL__LISTEN", "127.0.0.1:0")
            .env("MILLRACE_CONTROL__INTERNAL", "127.0.0.1:0")
            .envs(own.iter().copied())
            // The house's own control plane has the log.
            .env("MILLRACE_CONTROL__TELEMETRY__LOG", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let api = format!("http://{}", ready["listen"]["http"].as_str().unwrap());
        Self { child, api }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // Its leash ends it too, should it outlive this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn plays(seen: &Value) {
    assert_eq!(seen["ok"], true, "{seen}");
    assert_eq!(seen["encrypted"], true, "{seen}");
    assert!(seen["requests"]["license"].as_u64().unwrap() >= 1, "{seen}");
    assert!(seen["requests"].get("key").is_none(), "{seen}");
}

fn is_refused(seen: &Value, status: u16) {
    assert_eq!(seen["ok"], false, "{seen}");
    let refused = seen["refused"].as_array().unwrap();
    let wanted = format!("{status} /v1/drm/clearkey/license");
    assert!(refused.iter().any(|line| *line == wanted), "{seen}");
    assert_eq!(seen["frames"].as_u64().unwrap_or(0), 0, "{seen}");
}

#[tokio::test]
async fn three_players_play_with_licences_of_their_session_and_without_one_none_does() {
    let stage = Stage::new();
    let house = stage.house();
    let film = house.add(&stage.path("film.mp4"), &["--protected"]);
    let other = house.add(&stage.path("film.mp4"), &["--protected"]);
    let api = house.fact("/api");
    let hasty = Second::start(&stage, &[("MILLRACE_CONTROL__DRM__LICENSE_TTL", "5s")]);
    let brief = Session::start(&hasty.api, &film).await;
    all_play(&house, &film, &["hls.js", "shaka", "dash.js"]).await;
    let session = Session::start(api, &film).await;
    let elsewhere = Session::start(api, &other).await;
    brief.expire().await;
    let bare = session.text("/drm/license_url").to_owned();
    let refused = [
        ("hls.js", &session, bare, 401),
        ("dash.js", &session, elsewhere.license(), 403),
        ("hls.js", &brief, brief.license(), 403),
    ];
    together(&refused, |(player, session, license, status)| {
        is_refused(&session.play(&house, player, license), *status);
    });
    session.stop().await;
    // Edges refuse it too, so that no player comes as far as asking.
    assert_eq!(session.reason().await, "session-over");
    for film in [&film, &other] {
        house.hides(house.content_key_texts(film).await);
    }
    for session in [&session, &elsewhere] {
        let tokens = ["/drm/token", "/drm/renewal/token", "/session_id"];
        let tokens = tokens.map(|pointer| session.text(pointer));
        house.hides(tokens.map(|token| &token[token.len() / 2..]));
        house.hides(tokens);
    }
}

#[tokio::test]
async fn who_watches_too_much_already_or_may_no_longer_sees_nothing() {
    let stage = Stage::new();
    let house = stage.house();
    let film = house.add(
        &stage.path("film.mp4"),
        &["--protected", "--privacy", "private"],
    );
    let own = [
        ("MILLRACE_CONTROL__PLAYBACK__STREAMS", "1"),
        ("MILLRACE_CONTROL__PLAYBACK__LEASE", "10s"),
        ("MILLRACE_CONTROL__HEARTBEAT", "5s"),
    ];
    let strict = Second::start(&stage, &own);
    let (ann, ben) = ("customer 1", "customer 2");
    let ask = async |method, path: &str, body: Value| {
        let request = client().request(method, format!("{}/v1/{path}", strict.api));
        request.json(&body).send().await.unwrap()
    };
    let rules = json!({"audience": "granted"});
    let ruled = ask(Method::PUT, &format!("videos/{film}/rules"), rules).await;
    assert!(ruled.status().is_success(), "{ruled:?}");
    for viewer in [ann, ben] {
        let none = Session::of(&strict.api, &film, viewer).await.err().unwrap();
        assert_eq!(none["type"], "urn:millrace:not_entitled");
        let grant =
            json!({"grant_id": viewer.replace(' ', "-"), "viewer": viewer, "video_id": film});
        assert_eq!(ask(Method::POST, "grants", grant).await.status(), 201);
    }
    // The first is silent, and loses its stream.
    let first = Session::of(&strict.api, &film, ann).await.unwrap();
    let mut look = tokio::time::interval(Duration::from_millis(200));
    let second = loop {
        look.tick().await;
        match Session::of(&strict.api, &film, ann).await {
            Ok(second) => break second,
            Err(told) => assert_eq!(told["type"], "urn:millrace:concurrency_limit"),
        }
    };
    is_refused(&second.play(&house, "hls.js", &first.license()), 403);
    let session = Session::of(&strict.api, &film, ben).await.unwrap();
    let gone = ask(Method::DELETE, "grants/customer-2", Value::Null).await;
    assert_eq!(gone.status(), 204);
    assert_eq!(session.reason().await, "session-over");
    let seen = session.play(&house, "dash.js", &session.license());
    assert_eq!(
        (&seen["ok"], seen["frames"].as_u64().unwrap_or(0)),
        (&json!(false), 0),
        "{seen}"
    );
}

/// The names of the keys that an edge's init segment of the film tells players, and what the edge's cache said.
async fn told(house: &House, film: &str, folder: &str) -> (u16, Vec<String>, String) {
    let path = format!("/v/{film}/{folder}audio-und/init.mp4");
    let answer = house.http.get(house.signed(0, &path)).send().await.unwrap();
    let said = answer.headers().get("cache-status");
    let said = said.map(|said| said.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let init = answer.bytes().await.unwrap();
    let keys = house.content_keys(film).await;
    let sets = keys.retired.iter().map(|old| &old.periods);
    let all = sets.chain([&keys.periods]).flatten();
    let all = all.flat_map(|period| &period.keys);
    let named = all.filter(|key| init.windows(16).any(|bytes| bytes == key.kid.0));
    let named = named.map(|key| key.kid.to_string()).collect();
    (status, named, said.unwrap_or_default())
}

/// Rotates a film's keys as an operator does, waits until every node has heard of it, and gives the new names.
async fn rotate(house: &House, film: &str, more: &[&str]) -> Vec<String> {
    let verb = ["keys", "rotate", film, "--api", house.fact("/api")];
    let rotated = millrace(&[&verb, more].concat());
    assert!(rotated.status.success(), "{rotated:?}");
    let rotated: Value = serde_json::from_slice(&rotated.stdout).unwrap();
    let state = rotated["state_url"].as_str().unwrap();
    let mut look = tokio::time::interval(Duration::from_millis(50));
    loop {
        look.tick().await;
        let purge: Value = house
            .http
            .get(state)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if purge["state"] == "complete" {
            break;
        }
    }
    let names = rotated["key_ids"].as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_film_whose_keys_are_rotated_plays_anew_with_others_and_nothing_is_mixed() {
    let stage = Stage::new();
    let house = stage.house();
    let film = house.add(&stage.path("film.mp4"), &["--protected"]);
    let before = Session::start(house.fact("/api"), &film).await;
    plays(&before.play(&house, "dash.js", &before.license()));
    let (_, old, _) = told(&house, &film, "").await;
    let (_, _, said) = told(&house, &film, "").await;
    assert!(!old.is_empty() && said.contains("edge-1; hit"), "{said}");
    let new = rotate(&house, &film, &[]).await;
    // Whoever has begun goes on with what was begun, which was forgotten and is packed again.
    let (status, named, said) = told(&house, &film, "").await;
    assert_eq!((status, &named), (200, &old));
    assert!(!said.contains("hit"), "{said}");
    let (status, named, _) = told(&house, &film, "@k2/").await;
    assert!(
        status == 200 && named.iter().all(|name| new.contains(name)),
        "{named:?}"
    );
    // A player that has its token and not yet its manifest, and one that begins.
    plays(&before.play(&house, "shaka", &before.license()));
    all_play(&house, &film, &["hls.js", "shaka", "dash.js"]).await;
    // Keys that somebody knows end at once, wherever what they opened was kept.
    let newest = rotate(&house, &film, &["--grace", "0"]).await;
    for folder in ["", "@k2/"] {
        assert_eq!(told(&house, &film, folder).await.0, 404, "{folder}");
    }
    let (_, named, _) = told(&house, &film, "@k3/").await;
    assert!(named.iter().all(|name| newest.contains(name)), "{named:?}");
    all_play(&house, &film, &["hls.js", "dash.js"]).await;
}

#[test]
fn the_watch_page_plays_a_protected_film_to_the_end() {
    let stage = Stage::new();
    let house = stage.house();
    let film = house.add(&stage.path("film.mp4"), &["--protected"]);
    let page = format!("{}/watch?v={film}", house.fact("/api"));
    let visits: [(_, _, &[_]); 3] = [
        ("hls", "h3", &["--protected"]),
        ("dash", "h2", &["--protected"]),
        ("hls-ts", "h2", &[]),
    ];
    together(&visits, |(format, protocol, more)| {
        watch(&house, &page, format, protocol, more);
    });
}
