//! An ingest in process, on free ports and in a folder of its own, and films to feed it.

pub mod paper;
pub mod watching;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use catalog::{
    Catalog,
    videos::{State, Video},
};
use config::{ByteSize, Span};
use contracts::{asset::Asset, id::VideoId};
use ingest::{Config, Running};
use reqwest::{Client, Response, StatusCode};
use runtime::clock::{Clock, System};
use serde_json::{Value, json};
use store::{Digest, Store, layout};
use tempfile::TempDir;

pub const CHUNK: usize = 64 << 10;

pub struct House {
    pub folder: TempDir,
    pub client: Client,
    pub catalog: Catalog,
    pub store: Arc<dyn Store>,
    pub config: Config,
    running: Option<Running>,
}

impl House {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(change, Arc::new(System)).await
    }

    pub async fn at(change: impl FnOnce(&mut Config), clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut config = Config {
            listen: "127.0.0.1:0".to_owned(),
            internal: "127.0.0.1:0".to_owned(),
            store: format!("file://{}", at("store")),
            catalog: format!("sqlite://{}", at("catalog.db")).into(),
            work: at("work"),
            chunk: ByteSize(CHUNK as u64),
            poll: Span::millis(20),
            retry_delay: Span::millis(0),
            ..Config::default()
        };
        change(&mut config);
        let catalog = catalog::open(&config.catalog, Arc::new(System))
            .await
            .unwrap();
        let mut house = Self {
            client: runtime::http::client().build().unwrap(),
            catalog,
            store: store::open(&config.store).unwrap(),
            folder,
            config,
            running: None,
        };
        house.start(clock).await;
        house
    }

    pub async fn start(&mut self, clock: Arc<dyn Clock>) {
        let settings = self.config.clone().check().unwrap();
        self.running = Some(ingest::start(settings, clock).await.unwrap());
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.start(Arc::new(System)).await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.as_ref().unwrap().listen)
    }

    pub fn upload_url(&self, upload: &str, rest: &str) -> String {
        self.url(&format!("/v1/videos/upload/{upload}{rest}"))
    }

    pub async fn metrics(&self) -> String {
        let address = self.running.as_ref().unwrap().internal;
        let answer = self
            .client
            .get(format!("http://{address}/metrics"))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }

    /// Waits until the metrics hold this; the time limit is the test runner's.
    pub async fn counted(&self, wanted: &str) {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while !self.metrics().await.contains(wanted) {
            looks.tick().await;
        }
    }

    pub async fn initiate(&self, body: Value) -> Response {
        let url = self.url("/v1/videos/upload/initiate");
        self.client.post(url).json(&body).send().await.unwrap()
    }

    /// Begins an upload of `film` and returns its id and its video's.
    pub async fn begin(&self, film: &[u8]) -> (String, VideoId) {
        let body = json!({"file_name": "film.mp4", "size_bytes": film.len(), "sha256": Digest::of(film).to_string()});
        let answer = self.initiate(body).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let answer: Value = answer.json().await.unwrap();
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        (
            text("upload_id"),
            VideoId::parse(&text("video_id")).unwrap(),
        )
    }

    pub async fn put(&self, upload: &str, index: u32, bytes: &[u8]) -> Response {
        self.put_as(
            upload,
            &index.to_string(),
            bytes,
            &Digest::of(bytes).to_string(),
        )
        .await
    }

    pub async fn put_as(&self, upload: &str, index: &str, bytes: &[u8], sha256: &str) -> Response {
        let url = self.upload_url(upload, &format!("/chunk?index={index}"));
        let request = self
            .client
            .put(url)
            .header("x-chunk-sha256", sha256)
            .body(bytes.to_vec());
        request.send().await.unwrap()
    }

    pub async fn complete(&self, upload: &str) -> Response {
        let url = self.upload_url(upload, "/complete");
        self.client.post(url).send().await.unwrap()
    }

    /// Uploads a whole film and returns its video.
    pub async fn upload(&self, film: &[u8]) -> VideoId {
        let (upload, video) = self.begin(film).await;
        self.send(&upload, film).await;
        video
    }

    /// Sends all of a film whose upload has begun.
    pub async fn send(&self, upload: &str, film: &[u8]) {
        for (index, bytes) in (0..).zip(film.chunks(CHUNK)) {
            assert_eq!(
                self.put(upload, index, bytes).await.status(),
                StatusCode::OK
            );
        }
        assert_eq!(self.complete(upload).await.status(), StatusCode::ACCEPTED);
    }

    /// Waits until the video is ready or failed; the time limit is the test runner's.
    pub async fn settled(&self, id: &VideoId) -> Video {
        let mut progress = 0;
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            let video = self.catalog.videos.find(id).await.unwrap().unwrap();
            assert!(video.progress >= progress, "progress only rises");
            progress = video.progress;
            if matches!(video.state, State::Ready | State::Failed) {
                return video;
            }
        }
    }

    /// Publishes a film and returns what the origin would read.
    pub async fn publish(&self, film: &[u8]) -> Asset {
        let id = self.upload(film).await;
        let video = self.settled(&id).await;
        assert_eq!(video.state, State::Ready, "{:?}", video.failure);
        self.asset(&id).await.unwrap()
    }

    /// Waits until what is published of a film that is ready has this rendition; the time limit is the test runner's.
    pub async fn comes_to_have(&self, id: &VideoId, rendition: &str) -> Asset {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            let video = self.catalog.videos.find(id).await.unwrap().unwrap();
            assert_eq!((video.state, video.progress), (State::Ready, 100));
            let asset = self.asset(id).await.unwrap();
            if asset
                .renditions
                .iter()
                .any(|of| of.id.as_str() == rendition)
            {
                return asset;
            }
        }
    }

    /// Uploads a film that cannot be published and returns the reason.
    pub async fn fail(&self, film: &[u8]) -> String {
        let video = self.settled(&self.upload(film).await).await;
        assert_eq!(video.state, State::Failed);
        assert!(
            self.asset(&video.id).await.is_none(),
            "nothing is published"
        );
        video.failure.unwrap()
    }

    pub async fn asset(&self, id: &VideoId) -> Option<Asset> {
        let bytes = self.store.read(&layout::asset(id)).await.unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// Where a mezzanine lies on the disk.
    pub fn mezzanine(&self, asset: &Asset, at: usize) -> PathBuf {
        let id = &asset.renditions[at].id;
        let key = layout::mezzanine(&asset.video, asset.generation, id);
        self.folder.path().join("store").join(key.as_str())
    }
}

pub fn write_program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A film made by ffmpeg's test sources.
pub fn film(arguments: &str, name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    ffmpeg(arguments, &file);
    std::fs::read(file).unwrap()
}

pub fn ffmpeg(arguments: &str, into: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .arg(into)
        .status();
    assert!(made.unwrap().success(), "{arguments}");
}

/// One line for each entry that ffprobe shows of a file.
pub fn ffprobe(file: &Path, entries: &str) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-of",
            "csv=p=0",
            "-count_packets",
            "-show_entries",
            entries,
        ])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect()
}

pub async fn problem(answer: Response, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status().as_u16(), status, "{kind}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], format!("urn:millrace:{kind}"), "{problem}");
    assert_eq!(problem["status"], status);
    problem
}

/// The Python of a client that `cargo xtask` puts into a folder of its own; without it, says so.
pub fn tool(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = root.join("target/tools").join(name);
    installed(folder.join("bin/python"))
}

/// What `cargo xtask` puts there; where it has not, says so.
pub fn installed(there: PathBuf) -> Option<PathBuf> {
    if there.exists() {
        return Some(there);
    }
    eprintln!(
        "skipped: there is no {}; `cargo xtask test` gets it",
        there.display()
    );
    None
}

/// Where programs that use such clients lie.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
