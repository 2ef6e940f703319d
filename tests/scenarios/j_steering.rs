//! An edge is killed while a film plays from it: players that are steered go on from another, with no fatal error, most
//! of them without the control plane too.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::house::{House, Stage, program};
use crate::players::{player, seen, together};

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

/// A film that is longer than players fetch ahead, so that they must ask the edge that is gone.
fn film() -> Stage {
    let (picture, tone) = (
        "testsrc2=size=432x240:rate=25:duration=60",
        "sine=frequency=440:duration=60",
    );
    let inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone];
    Stage::with(&[&inputs[..], &["-c:a", "aac"]].concat(), false)
}

/// What a player that is steered loses, one after the other.
#[derive(Clone, Copy)]
enum Lost {
    /// The edge that it plays from.
    Edge,
    /// Whoever leads it from edge to edge, and then that edge.
    ControlAndEdge,
}

/// A player, the format of the film in it, and what it loses.
type Wish<'a> = (&'a str, &'a str, Lost);

/// Plays in all players at once, each at a site of its own, kills what is to be lost, and plays on to the end.
async fn survive(house: &House, film: &str, wishes: &[Wish<'_>]) {
    let locked = film != house.video();
    let mut seats = Vec::new();
    for wish in wishes {
        let site = Site::beside(house.dir());
        let (playback, first) = site.session(house, film, locked).await;
        seats.push((wish, site, playback, first));
    }
    together(&seats, |((name, format, lost), site, playback, first)| {
        let lose = format!(
            "lose:{}@{}",
            site.edges[*first].child.id(),
            site.host(*first)
        );
        let steps = match lost {
            Lost::Edge => format!("play,{lose},ended"),
            Lost::ControlAndEdge => format!("play,kill:{},{lose},ended", site.control.child.id()),
        };
        let text = |pointer: &str| playback.pointer(pointer).unwrap().as_str().unwrap();
        let mut player = player(house, name, text(&format!("/steered/{format}")), &steps);
        if locked {
            let (url, token) = (text("/drm/license_url"), text("/drm/token"));
            player.args(["--license", &format!("{url}?token={token}")]);
        }
        let seen = seen(player);
        assert_eq!(seen["ok"], true, "{name} {format}: {seen}");
        assert_eq!(seen["encrypted"], locked, "{seen}");
        let after = seen["steps"][&lose]["after"].as_object().unwrap();
        assert!(after.contains_key(&site.host(1 - first)), "{seen}");
    });
}

#[tokio::test]
async fn players_go_on_at_another_edge_when_the_one_they_play_from_is_killed() {
    let stage = film();
    let house = stage.house();
    let wishes = [
        ("hls.js", "hls", Lost::ControlAndEdge),
        ("shaka", "dash", Lost::ControlAndEdge),
        ("dash.js", "dash", Lost::ControlAndEdge),
        ("shaka", "hls", Lost::Edge),
        // VHS, which leaves a dead edge when it is told to.
        ("video.js", "hls", Lost::Edge),
        ("video.js", "dash", Lost::Edge),
    ];
    // In two turns: a session whose player is silent for long is over.
    for few in wishes.chunks(3) {
        survive(&house, house.video(), few).await;
    }
}

#[tokio::test]
async fn a_protected_film_that_is_steered_goes_on_at_another_edge_with_its_licence() {
    let stage = Stage::new();
    let house = stage.house();
    let film = house.add(&film().path("film.mp4"), &["--protected"]);
    let players = [("hls.js", "hls"), ("shaka", "dash"), ("dash.js", "dash")];
    let wishes = players.map(|(player, format)| (player, format, Lost::Edge));
    survive(&house, &film, &wishes).await;
}
