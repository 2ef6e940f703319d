//! A house that somebody else's node can join: a control plane where nodes enrol, a shield that admits them, and the one
//! file of the node's operator.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, Stage, program, told};

/// After how long without a heartbeat viewers go elsewhere.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(3);

/// A control plane where nodes enrol, a shield that admits them, and what they are told.
pub(crate) struct Site {
    dir: PathBuf,
    house: PathBuf,
    control: Role,
    shield: Role,
    /// How viewers reach the node.
    pub(crate) node_base: String,
    ports: [u16; 2],
}

impl Site {
    pub(crate) fn beside(stage: &Stage, house: &House) -> Self {
        let [fleet, shield, https, plain] = free_ports();
        let base = stage.path("house");
        let home = base.display().to_string();
        share_a_key(&base);
        let mut edges = String::new();
        for (number, name) in ["edge-1", "edge-2"].iter().enumerate() {
            let (https, plain) = (
                house.fact(&format!("/edges/{number}/https")),
                house.fact(&format!("/edges/{number}/http")),
            );
            edges.push_str(&format!(
                "[[edges]]\nname = \"{name}\"\nbase = \"{https}\"\nplain = \"{plain}\"\n"
            ));
        }
        let control = format!(
            r#"
            listen = "127.0.0.1:0"
            internal = "127.0.0.1:0"
            catalog = "sqlite://{home}/catalog.db"
            keys = "{home}/keys.json"
            [fleet]
            hop_secrets = ["{home}/hop.secret"]
            listen = "127.0.0.1:{fleet}"
            public = "https://localhost:{fleet}"
            authority = "{home}/authority"
            heartbeat = "1s"
            quarantine = "{quarantine}s"
            parents = ["https://localhost:{shield}"]
            parents_ca = "{home}/tls/cert.pem"
            {edges}"#,
            quarantine = QUARANTINE.as_secs(),
        );
        let control = Role::start(stage, "control", &control);
        // What the house's shield is told of its parent.
        let told = std::fs::read_to_string(base.join("run/shield-1.toml")).unwrap();
        let parents = told
            .lines()
            .find(|line| line.starts_with("parents"))
            .unwrap();
        let config = format!(
            r#"
            name = "shield-isp"
            {parents}
            hop_secret_file = "{home}/hop.secret"
            [listen]
            plain = "127.0.0.1:0"
            https = "127.0.0.1:{shield}"
            internal = "127.0.0.1:0"
            [tls]
            certificate = "{home}/tls/cert.pem"
            key = "{home}/tls/key.pem"
            client_ca_file = "{home}/authority/authority.pem"
            [upstream]
            hop_secret_file = "{home}/hop.secret"
            [feed]
            from = "{api}/v1/fleet/feed"
            every = "200ms"
            "#,
            api = control.at("http"),
        );
        let shield = Role::start(stage, "shield", &config);
        let site = Self {
            dir: stage.path(""),
            house: base,
            control,
            shield,
            node_base: format!("https://localhost:{https}"),
            ports: [https, plain],
        };
        site.write("");
        site
    }

    /// Writes the one file of the node's operator.
    pub(crate) fn write(&self, fill: &str) {
        let home = self.house.display();
        let [https, plain] = self.ports;
        let config = format!(
            r#"
            [listen]
            https = "127.0.0.1:{https}"
            plain = "127.0.0.1:{plain}"
            internal = "127.0.0.1:0"
            [tls]
            certificate = "{home}/tls/cert.pem"
            key = "{home}/tls/key.pem"
            [node]
            base = "{base}"
            prefixes = ["127.0.0.0/8"]
            capacity = "1GiB"
            [feed]
            every = "200ms"
            [fill]
            {fill}
            "#,
            base = self.node_base,
        );
        std::fs::write(self.dir.join("isp.toml"), config).unwrap();
    }

    pub(crate) fn invite(&self) -> String {
        let api = self.control.at("http");
        let invitation = told(&[
            "invite",
            "--json",
            "--api",
            &api,
            "--site",
            "isp",
            "--name",
            "isp-1",
            "--prefix",
            "127.0.0.0/8",
            "--no-probe",
        ]);
        invitation["token"].as_str().unwrap().to_owned()
    }

    /// Starts a node with a folder of that name; or tells what it said when it did not start.
    pub(crate) fn node(&self, folder: &str, token: Option<&str>) -> Result<Role, String> {
        let mut command = Command::new(program());
        command
            .arg("edge")
            .arg("--state")
            .arg(self.dir.join(folder));
        if let Some(token) = token {
            command.args(["--join", token]);
        }
        command.arg("--config").arg(self.dir.join("isp.toml"));
        Role::run(&mut command)
    }

    pub(crate) async fn api(
        &self,
        house: &House,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Value {
        let request = house
            .http
            .request(method, format!("{}{path}", self.control.at("http")));
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A session's playlist, where it shall be played from.
    pub(crate) async fn session(&self, house: &House) -> String {
        let wish = json!({"video_id": house.video()});
        let playback = self
            .api(house, Method::POST, "/v1/playback/start", &wish)
            .await;
        playback["manifest_url"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn node_of(&self, house: &House) -> Value {
        self.api(house, Method::GET, "/v1/fleet/nodes/isp-1", &Value::Null)
            .await
    }

    pub(crate) async fn state(&self) -> String {
        let url = format!("{}/v1/fleet/nodes/isp-1", self.control.at("http"));
        let http = runtime::http::client().build().unwrap();
        let node: Value = http.get(url).send().await.unwrap().json().await.unwrap();
        node["state"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn shield_refusals(&self, house: &House) -> f64 {
        self.shield
            .metric(house, "millrace_tier_refusals_total{reason=\"revoked\"}")
            .await
    }
}

/// A role of its own, stopped when it is dropped.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) child: Child,
    listen: Value,
}

impl Role {
    pub(crate) fn start(stage: &Stage, role: &str, config: &str) -> Self {
        let file = stage.path(&format!("isp-{role}.toml"));
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(program());
        command.arg(role).arg("--config").arg(file);
        Self::run(&mut command).unwrap_or_else(|said| panic!("{role}: {said}"))
    }

    pub(crate) fn run(command: &mut Command) -> Result<Self, String> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        match serde_json::from_str::<Value>(&line) {
            Ok(ready) => Ok(Self {
                child,
                listen: ready["listen"].clone(),
            }),
            Err(_) => {
                child.wait().unwrap();
                Err(std::fs::read_to_string(log.path()).unwrap())
            }
        }
    }

    pub(crate) fn at(&self, listener: &str) -> String {
        format!("http://{}", self.listen[listener].as_str().unwrap())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) async fn metric(&self, house: &House, name: &str) -> f64 {
        let page = self.page(house, "/metrics").await;
        let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        page.lines().find_map(value).unwrap_or(0.0)
    }

    pub(crate) async fn health(&self, house: &House) -> String {
        self.page(house, "/healthz").await
    }

    pub(crate) async fn page(&self, house: &House, path: &str) -> String {
        let url = format!("{}{path}", self.at("internal"));
        house
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds a key to the house's keyring whose public half nodes may have (its secret half is RFC 8032's, §7.1, test 1).
fn share_a_key(house: &Path) {
    let file = house.join("keys.json");
    let mut ring: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let key = json!({
        "kid": "shared", "ver": "m2", "scope": ["/v/", "/t/", "/s/"], "nbf": 0, "exp": 4_102_444_800_u64,
        "seed_hex": "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    });
    ring["keyring"].as_array_mut().unwrap().push(key);
    std::fs::write(&file, ring.to_string()).unwrap();
}

/// Ports that are free now.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
