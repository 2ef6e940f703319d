//! An edge is killed while a film plays from it: players that are steered go on from another, with no fatal error.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::house::{House, Stage, program, root};

/// A role of its own beside the house.
struct Role {
    child: Child,
    /// What it printed: where it listens.
    listen: Value,
}

impl Role {
    fn start(role: &str, dir: &Path, name: &str, config: &str) -> Self {
        let path = dir.join(format!("{name}.toml"));
        std::fs::write(&path, config).unwrap();
        let mut child = Command::new(program())
            .args([role, "--leash", "--config"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        let told: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{role}: {line:?}"));
        Self {
            child,
            listen: told["listen"].clone(),
        }
    }

    fn at(&self, listener: &str) -> &str {
        self.listen[listener].as_str().unwrap()
    }

    fn port(&self, listener: &str) -> &str {
        self.at(listener).rsplit(':').next().unwrap()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two edges that can be killed one by one, and a control plane that knows them.
struct Site {
    edges: [Role; 2],
    control: Role,
}

impl Site {
    fn beside(house: &House, dir: &Path) -> Self {
        let base = dir.display();
        let shields = house.facts["internal"].as_array().unwrap();
        assert!(shields.iter().any(|role| role["name"] == "shield-1"));
        let shield = std::fs::read_to_string(dir.join("run/edge-1.toml")).unwrap();
        let parents = shield
            .lines()
            .find(|line| line.starts_with("parents"))
            .unwrap();
        let edges = ["east", "west"].map(|name| {
            let config = format!(
                "name = \"{name}\"\n{parents}\nkeyring_file = \"{base}/keys.json\"\n\
                 [listen]\nhttps = \"127.0.0.1:0\"\nplain = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"\n\
                 [tls]\ncertificate = \"{base}/tls/cert.pem\"\nkey = \"{base}/tls/key.pem\"\n\
                 [upstream]\nhop_secret_file = \"{base}/hop.secret\"\n"
            );
            Role::start("edge", dir, name, &config)
        });
        let named = ["east", "west"].iter().zip(&edges).map(|(name, edge)| {
            let (https, plain) = (edge.port("https"), edge.at("http"));
            format!(
                "[[edges]]\nname = \"{name}\"\nbase = \"https://localhost:{https}\"\nplain = \"http://{plain}\"\n"
            )
        });
        let named: String = named.collect();
        let config = format!(
            "listen = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"\ncatalog = \"sqlite://{base}/catalog.db\"\n\
             keys = \"{base}/keys.json\"\nsteering_ttl = \"5s\"\n{named}"
        );
        let control = Role::start("control", dir, "other-control", &config);
        Self { edges, control }
    }

    /// A session, and the edge that it shall begin with.
    async fn session(&self, house: &House, film: &str) -> (Value, usize) {
        let api = format!("http://{}", self.control.at("http"));
        let wish = json!({"video_id": film});
        let start = house.http.post(format!("{api}/v1/playback/start"));
        let playback = start.json(&wish).send().await.unwrap();
        assert_eq!(playback.status(), 201);
        let playback: Value = playback.json().await.unwrap();
        let steering = playback["steering_url"].as_str().unwrap();
        let steering = house.http.get(steering).send().await.unwrap();
        let steering: Value = steering.json().await.unwrap();
        let first = match steering["PATHWAY-PRIORITY"][0].as_str().unwrap() {
            "east" => 0,
            _ => 1,
        };
        (playback, first)
    }
}

/// Plays in a player, kills the edge that it plays from, and plays on to the end.
async fn survives(player: &str, format: &str) {
    // Longer than players fetch ahead, so that they must ask the edge that is gone.
    let picture = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=432x240:rate=25:duration=100",
    ];
    let stage = Stage::with(&picture, false);
    let house = stage.house();
    let site = Site::beside(&house, &stage.path("house"));
    let (playback, first) = site.session(&house, house.video()).await;
    let (gone, next) = (&site.edges[first], &site.edges[1 - first]);
    let lose = format!("play,lose:{}:{},ended", gone.child.id(), gone.port("https"));
    let output = Command::new("node")
        .arg("e2e/players.mjs")
        .args(["--player", player, "--steps", &lose])
        .args(["--url", playback["steered"][format].as_str().unwrap()])
        .args(["--spki", house.fact("/spki")])
        .args(["--timeout", "240", "--patience", "100"])
        .current_dir(root().join("web"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let seen: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(seen["ok"], true, "{player} {format}: {seen}");
    let lost = &seen["steps"].as_object().unwrap()[lose.split(',').nth(1).unwrap()];
    let after = lost["after"].as_object().unwrap();
    assert!(
        after.contains_key(&format!("localhost:{}", next.port("https"))),
        "{seen}"
    );
}

#[tokio::test]
async fn hls_js_goes_on_at_another_edge_when_the_one_it_plays_from_is_killed() {
    survives("hls.js", "hls").await;
}

#[tokio::test]
async fn shaka_player_goes_on_at_another_edge_when_the_one_it_plays_from_is_killed() {
    survives("shaka", "hls").await;
    survives("shaka", "dash").await;
}

#[tokio::test]
async fn dash_js_goes_on_at_another_edge_when_the_one_it_plays_from_is_killed() {
    survives("dash.js", "dash").await;
}
