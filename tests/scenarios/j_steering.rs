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

/// The edges, and how viewers call their hosts: Shaka Player leaves all hosts of one name, whatever their ports, when
/// one of them fails.
const EDGES: [(&str, &str); 2] = [("east", "localhost"), ("west", "127.0.0.1")];

impl Site {
    fn beside(dir: &Path) -> Self {
        let base = dir.display();
        // What the house's own edges know of their shield.
        let edge = std::fs::read_to_string(dir.join("run/edge-1.toml")).unwrap();
        let mut lines = edge.lines();
        let parents = lines.find(|line| line.starts_with("parents")).unwrap();
        let edges = EDGES.map(|(name, _)| {
            let config = format!(
                "name = \"{name}\"\n{parents}\nkeyring_file = \"{base}/keys.json\"\n\
                 [listen]\nhttps = \"127.0.0.1:0\"\nplain = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"\n\
                 [tls]\ncertificate = \"{base}/tls/cert.pem\"\nkey = \"{base}/tls/key.pem\"\n\
                 [upstream]\nhop_secret_file = \"{base}/hop.secret\"\n"
            );
            Role::start("edge", dir, name, &config)
        });
        let named = EDGES.iter().zip(&edges).map(|((name, host), edge)| {
            let (port, plain) = (edge.port("https"), edge.at("http"));
            format!(
                "[[edges]]\nname = \"{name}\"\nbase = \"https://{host}:{port}\"\nplain = \"http://{plain}\"\n"
            )
        });
        let named: String = named.collect();
        let config = format!(
            "listen = \"127.0.0.1:0\"\ninternal = \"127.0.0.1:0\"\ncatalog = \"sqlite://{base}/catalog.db\"\n\
             keys = \"{base}/keys.json\"\nsteering_ttl = \"5s\"\n{named}\
             [drm]\nkey_encryption_key = \"{base}/kek.secret\"\nkeys_secret = \"{base}/keys.secret\"\n\
             systems = [\"identity\", \"clearkey\"]\n"
        );
        let control = Role::start("control", dir, "other-control", &config);
        Self { edges, control }
    }

    /// A session, and the edge that it shall begin with.
    async fn session(&self, house: &House, film: &str, locked: bool) -> (Value, usize) {
        let api = format!("http://{}", self.control.at("http"));
        let drm = locked.then_some("clearkey");
        let wish = json!({"video_id": film, "drm": drm});
        let start = house.http.post(format!("{api}/v1/playback/start"));
        let playback = start.json(&wish).send().await.unwrap();
        assert_eq!(playback.status(), 201);
        let playback: Value = playback.json().await.unwrap();
        let steering = playback["steering_url"].as_str().unwrap();
        let steering = house.http.get(steering).send().await.unwrap();
        let steering: Value = steering.json().await.unwrap();
        let best = steering["PATHWAY-PRIORITY"][0].as_str().unwrap();
        let first = EDGES.iter().position(|(name, _)| *name == best);
        (playback, first.unwrap())
    }

    /// As players call an edge's host.
    fn host(&self, edge: usize) -> String {
        format!("{}:{}", EDGES[edge].1, self.edges[edge].port("https"))
    }
}

/// A house with a film that is longer than players fetch ahead, so that they must ask the edge that is gone.
fn house() -> (Stage, House) {
    let (picture, tone) = (
        "testsrc2=size=432x240:rate=25:duration=100",
        "sine=frequency=440:duration=100",
    );
    let inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone];
    let stage = Stage::with(&[&inputs[..], &["-c:a", "aac"]].concat(), false);
    let house = stage.house();
    (stage, house)
}

/// What is taken from a player that is steered.
#[derive(Clone, Copy, PartialEq)]
enum Lost {
    /// The edge that it plays from.
    Edge,
    /// Whoever leads it from edge to edge.
    Control,
}

/// Plays in a player, kills what is to be lost, and plays on to the end.
async fn survives(house: &House, film: &str, player: &str, format: &str, lost: Lost) {
    let locked = film != house.video();
    let dir = house.dir();
    let site = Site::beside(dir);
    let (playback, first) = site.session(house, film, locked).await;
    let step = match lost {
        Lost::Edge => format!("lose:{}@{}", site.edges[first].child.id(), site.host(first)),
        Lost::Control => format!("kill:{}", site.control.child.id()),
    };
    let mut driver = Command::new("node");
    driver
        .arg("e2e/players.mjs")
        .args(["--player", player, "--steps", &format!("play,{step},ended")])
        .args(["--url", playback["steered"][format].as_str().unwrap()])
        .args(["--spki", house.fact("/spki")])
        .args(["--timeout", "240", "--patience", "100"])
        .current_dir(root().join("web"));
    if locked {
        let text = |pointer: &str| playback.pointer(pointer).unwrap().as_str().unwrap();
        let (url, token) = (text("/drm/license_url"), text("/drm/token"));
        driver.args(["--license", &format!("{url}?token={token}")]);
    }
    let output = driver.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let seen: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(seen["ok"], true, "{player} {format}: {seen}");
    assert_eq!(seen["encrypted"], locked, "{seen}");
    if lost == Lost::Edge {
        let after = seen["steps"][&step]["after"].as_object().unwrap();
        assert!(after.contains_key(&site.host(1 - first)), "{seen}");
    }
}

#[tokio::test]
async fn hls_js_goes_on_at_another_edge_when_the_one_it_plays_from_is_killed() {
    let (_stage, house) = house();
    survives(&house, house.video(), "hls.js", "hls", Lost::Edge).await;
}

#[tokio::test]
async fn shaka_player_goes_on_at_another_edge_when_the_one_it_plays_from_is_killed() {
    let (_stage, house) = house();
    survives(&house, house.video(), "shaka", "hls", Lost::Edge).await;
    survives(&house, house.video(), "shaka", "dash", Lost::Edge).await;
}

#[tokio::test]
async fn dash_js_goes_on_at_another_edge_when_the_one_it_plays_from_is_killed() {
    let (_stage, house) = house();
    survives(&house, house.video(), "dash.js", "dash", Lost::Edge).await;
}

#[tokio::test]
async fn players_that_are_steered_go_on_to_the_end_when_the_control_plane_is_killed() {
    let (_stage, house) = house();
    for (player, format) in [("hls.js", "hls"), ("shaka", "dash"), ("dash.js", "dash")] {
        survives(&house, house.video(), player, format, Lost::Control).await;
    }
}

#[tokio::test]
async fn a_protected_film_that_is_steered_goes_on_at_another_edge_with_its_licence() {
    let (stage, house) = house();
    let film = house.add(&stage.path("film.mp4"), &["--protected"]);
    for (player, format) in [("hls.js", "hls"), ("shaka", "dash"), ("dash.js", "dash")] {
        survives(&house, &film, player, format, Lost::Edge).await;
    }
}
