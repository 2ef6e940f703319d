//! A house for a test: `millrace up` in a temporary folder, with a tiny film.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use contracts::keys::ContentKeys;
use serde_json::Value;
use tempfile::TempDir;

/// A running house; it is stopped when it is dropped.
pub(crate) struct House {
    child: Child,
    /// What `up --json` printed.
    pub(crate) facts: Value,
    /// Speaks to edges whose certificate the house made itself.
    pub(crate) http: reqwest::Client,
    dir: PathBuf,
}

/// A folder with a tiny film in it.
pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    /// Six seconds of 432×240 at 25 frames a second, with a tone.
    pub(crate) fn new() -> Self {
        Self::with(
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=432x240:rate=25:duration=6",
            ],
            true,
        )
    }

    /// A film from other picture arguments of ffmpeg, with or without a tone.
    pub(crate) fn with(picture: &[&str], sound: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin"]).args(picture);
        if sound {
            ffmpeg.args([
                "-f",
                "lavfi",
                "-i",
                "sine=frequency=440:duration=6",
                "-c:a",
                "aac",
            ]);
        }
        ffmpeg.args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
        ]);
        let made = ffmpeg.arg(folder.path().join("film.mp4")).status().unwrap();
        assert!(made.success());
        Self { folder }
    }

    /// Twenty-four seconds, more than players fetch ahead, with what they choose among: two qualities, a tone of 440 Hz in English and
    /// one of 880 Hz in French; and beside it `lines.srt` with `line 0` for the first two seconds and so on.
    pub(crate) fn with_choices() -> Self {
        let folder = TempDir::new().unwrap();
        let cues: String = (0..12)
            .map(|n| {
                let (start, end) = (2 * n, 2 * n + 1);
                format!(
                    "{}\n00:00:{start:02},000 --> 00:00:{end:02},900\nline {n}\n\n",
                    n + 1
                )
            })
            .collect();
        std::fs::write(folder.path().join("lines.srt"), cues).unwrap();
        let inputs = [
            [
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=432x240:rate=25:duration=24",
            ]
            .as_slice(),
            &["-f", "lavfi", "-i", "sine=frequency=440:duration=24"],
            &["-f", "lavfi", "-i", "sine=frequency=880:duration=24"],
            &["-map", "0", "-map", "1", "-map", "2"],
            &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
            ],
            &["-c:a", "aac", "-metadata:s:a:0", "language=eng"],
            &[
                "-metadata:s:a:1",
                "language=fre",
                "-disposition:a:0",
                "default",
            ],
            &["film.mp4"],
        ];
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin"])
            .args(inputs.concat())
            .current_dir(folder.path())
            .status()
            .unwrap();
        assert!(made.success());
        Self { folder }
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a house that publishes the film.
    pub(crate) fn house(&self) -> House {
        self.house_with(&[])
    }

    /// As [`house`](Self::house), with further options of `up`.
    pub(crate) fn house_with(&self, options: &[&str]) -> House {
        House::start(&self.path("house"), &self.path("film.mp4"), options)
    }
}

/// The built program: it lies beside the tests' own folder.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("millrace");
    assert!(
        path.exists(),
        "build it first: cargo build --package millrace"
    );
    path
}

/// Runs a verb.
pub(crate) fn millrace(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a verb that was asked for JSON tells.
pub(crate) fn told(verb: &[&str]) -> Value {
    let ran = millrace(verb);
    let told = String::from_utf8_lossy(&ran.stdout);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}{said}");
    serde_json::from_str(&told).unwrap()
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

impl House {
    fn start(dir: &Path, film: &Path, options: &[&str]) -> Self {
        let web = root().join("web/dist");
        let mut child = Command::new(program())
            .args(["up", "--json", "--dir"])
            .arg(dir)
            .arg("--media")
            .arg(film)
            .arg("--web")
            .arg(web)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let facts = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the house did not come up: {line:?}"));
        let http = runtime::http::client()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        Self {
            child,
            facts,
            http,
            dir: dir.to_owned(),
        }
    }

    /// A fact that is text.
    pub(crate) fn fact(&self, pointer: &str) -> &str {
        self.facts
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.facts))
    }

    /// The folder of its state.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The film.
    pub(crate) fn video(&self) -> &str {
        self.fact("/video_id")
    }

    /// A media path of the film at an edge, behind the session's token.
    pub(crate) fn at_edge(&self, edge: usize, path: &str) -> String {
        let (_, rest) = self.fact("/hls").split_once("/~").unwrap();
        let (token, _) = rest.split_once('/').unwrap();
        format!(
            "{}/~{token}/v/{}/{path}",
            self.fact(&format!("/edges/{edge}/https")),
            self.video()
        )
    }

    /// Adds another film, and gives its id once it can be watched.
    pub(crate) fn add(&self, film: &Path, more: &[&str]) -> String {
        let film = film.display().to_string();
        let verb = ["add", &film, "--wait", "--json", "--api", self.fact("/api")];
        let answer = told(&[&verb, more].concat());
        answer["video_id"].as_str().unwrap().to_owned()
    }

    /// A path of any film at an edge, behind a token for all of the film.
    pub(crate) fn signed(&self, edge: usize, path: &str) -> String {
        let keys = self.dir.join("keys.json").display().to_string();
        let film = path.split('/').nth(2).unwrap();
        let base = self.fact(&format!("/edges/{edge}/https"));
        let scope = format!("/v/{film}/");
        let signed = millrace(&["sign", "--keys", &keys, "--base", base, &scope]);
        assert!(signed.status.success());
        let signed = String::from_utf8(signed.stdout).unwrap();
        format!("{}{}", signed.trim(), path.strip_prefix(&scope).unwrap())
    }

    /// Sees that no role has written any of these into its log.
    pub(crate) fn hides<S: AsRef<str>>(&self, secrets: impl IntoIterator<Item = S>) {
        let logs = std::fs::read_dir(self.dir.join("log")).unwrap();
        let logs: Vec<_> = logs
            .map(|file| {
                let file = file.unwrap().path();
                let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
                (file, text)
            })
            .collect();
        let all: usize = logs.iter().map(|(_, text)| text.len()).sum();
        assert!(logs.len() > 5 && all > 1000, "there are no logs to look at");
        for secret in secrets {
            let secret = secret.as_ref();
            assert!(secret.len() > 10, "{secret:?} is found by chance");
            for (file, text) in &logs {
                assert!(!text.contains(secret), "{secret} is in {}", file.display());
            }
        }
    }

    /// A film's content keys in every way that they are written.
    pub(crate) async fn content_key_texts(&self, film: &str) -> Vec<String> {
        let keys = self.content_keys(film).await;
        let old = keys.retired.iter().flat_map(|old| &old.periods);
        let periods = old.chain(&keys.periods);
        let keys = periods.flat_map(|period| &period.keys);
        let texts = keys.flat_map(|key| {
            let bytes = key.key.0;
            [
                bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                URL_SAFE_NO_PAD.encode(bytes),
                STANDARD.encode(bytes),
                format!("{bytes:?}"),
            ]
        });
        texts.collect()
    }

    /// A film's content keys, asked for as the origin asks.
    pub(crate) async fn content_keys(&self, film: &str) -> ContentKeys {
        let hop = std::fs::read_to_string(self.dir.join("keys.secret")).unwrap();
        let url = format!("{}/v1/keys/{film}", self.fact("/api"));
        let asked = self.http.get(url).header("millrace-hop", hop.trim());
        asked.send().await.unwrap().json().await.unwrap()
    }

    /// The sum of a counter's samples whose labels hold `label`, at a role.
    pub(crate) async fn counter(&self, role: &str, name: &str, label: &str) -> f64 {
        let roles = self.facts["internal"].as_array().unwrap();
        let base = roles.iter().find(|r| r["name"] == role).unwrap()["base"]
            .as_str()
            .unwrap();
        let text = self
            .http
            .get(format!("{base}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let samples = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        samples
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// The encoded files of the film: mezzanines by rendition.
    pub(crate) fn mezzanines(&self) -> Vec<(String, PathBuf)> {
        let folder = self.dir.join("store/encoded").join(self.video());
        let mut found = Vec::new();
        for generation in std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
        {
            for file in std::fs::read_dir(generation.path()).unwrap().flatten() {
                let path = file.path();
                if path.extension().is_some_and(|extension| extension == "mp4") {
                    found.push((
                        path.file_stem().unwrap().to_string_lossy().into_owned(),
                        path,
                    ));
                }
            }
        }
        found.sort();
        assert!(!found.is_empty());
        found
    }

    /// Sends a signal to the process of a role.
    pub(crate) fn signal(&self, role: &str, signal: &str) {
        let house = self.child.id().to_string();
        let found = Command::new("pgrep")
            .args(["--parent", &house, "--full", &format!("millrace {role} ")])
            .output()
            .unwrap();
        let pid = String::from_utf8(found.stdout).unwrap();
        let sent = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(sent.unwrap().success(), "{role} is {pid:?}");
    }

    /// Asks the house to stop, as Ctrl-C does, and gives how it ended.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // The roles are on leashes: they end when their parent does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
