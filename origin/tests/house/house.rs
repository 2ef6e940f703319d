//! Starts an origin over a store in a temporary folder and publishes the packager's clips in it.

use std::{io::Cursor, path::PathBuf, sync::Arc};

use contracts::{
    asset::{Asset, Kind, Privacy, Rendition, Thumbs},
    id::{Generation, RenditionId, VideoId},
};
use origin::{Running, config::Config};
use reqwest::{Method, Response};
use store::{Store, layout};

use super::gated::Gated;

/// The published film.
pub(crate) const FILM: &str = "film_1";

pub(crate) struct House {
    pub(crate) origin: Running,
    pub(crate) client: reqwest::Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn video(id: &str) -> VideoId {
    VideoId::parse(id).unwrap()
}

pub(crate) fn rendition(id: &str) -> RenditionId {
    RenditionId::parse(id).unwrap()
}

pub(crate) fn clip(name: &str) -> Vec<u8> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../packager/tests/data");
    std::fs::read(data.join(name)).unwrap()
}

fn described(id: &str) -> Rendition {
    let sound = id.strip_prefix("audio-").map(str::to_owned);
    let kind = if sound.is_some() {
        Kind::Audio
    } else {
        Kind::Video
    };
    Rendition {
        language: sound,
        ..Rendition::new(rendition(id), kind)
    }
}

impl House {
    /// An origin with the film published, public.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(change, |store| store).await
    }

    /// An origin that reads through a gate, open at first, which keys with `word` have to pass.
    pub(crate) async fn gated(
        word: &'static str,
        change: impl FnOnce(&mut Config),
    ) -> (Self, Arc<Gated>) {
        let mut gated = None;
        let wrap = |store| {
            let gate = Arc::new(Gated::new(store, word));
            gated = Some(Arc::clone(&gate));
            gate as Arc<dyn Store>
        };
        let house = Self::over(change, wrap).await;
        (house, gated.unwrap())
    }

    async fn over(
        change: impl FnOnce(&mut Config),
        wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("file://{}", folder.path().join("store").display());
        let store = store::open(&address).unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".to_owned(),
            internal: "127.0.0.1:0".to_owned(),
            store: address,
            ..Config::default()
        };
        change(&mut config);
        let read = wrap(Arc::clone(&store));
        let settings = config.check().unwrap();
        let origin = origin::start_over(read, settings).await.unwrap();
        let client = runtime::http::client().build().unwrap();
        let house = Self {
            origin,
            client,
            store,
            folder,
        };
        house.publish(FILM, 1, Privacy::Public).await;
        house
    }

    /// Publishes the clip as ingest does: mezzanines and indexes first, the description last.
    pub(crate) async fn publish(&self, id: &str, generation: u32, privacy: Privacy) {
        self.publish_with(id, generation, |asset| asset.privacy = privacy)
            .await;
    }

    /// As [`House::publish`], with a change to the description.
    pub(crate) async fn publish_with(
        &self,
        id: &str,
        generation: u32,
        change: impl FnOnce(&mut Asset),
    ) {
        let (id, generation) = (video(id), Generation(generation));
        for name in ["54p", "90p", "audio-en"] {
            self.put_media(&id, generation, name, &clip(&format!("film.{name}.mp4")))
                .await;
        }
        self.store
            .put(&layout::poster(&id), POSTER.into())
            .await
            .unwrap();
        let mut asset = Asset {
            video: id.clone(),
            generation,
            title: "A <film> & its \"title\"".to_owned(),
            privacy: Privacy::Public,
            duration_ms: 9300,
            renditions: ["54p", "90p", "audio-en"].map(described).to_vec(),
            thumbs: None,
            stills: Vec::new(),
            protected: false,
        };
        change(&mut asset);
        let json = serde_json::to_vec(&asset).unwrap();
        self.store
            .put(&layout::asset(&id), json.into())
            .await
            .unwrap();
    }

    /// Puts another mezzanine of generation 1 and its index, and returns how the description names them.
    pub(crate) async fn put_clip(&self, id: &str, name: &str, bytes: &[u8]) -> Rendition {
        self.put_media(&video(id), Generation(1), name, bytes).await;
        described(name)
    }

    async fn put_media(&self, id: &VideoId, generation: Generation, name: &str, bytes: &[u8]) {
        let index = packager::index::build(Cursor::new(bytes)).unwrap().encode();
        let place = rendition(name);
        let mezzanine = layout::mezzanine(id, generation, &place);
        self.store
            .put(&mezzanine, bytes.to_vec().into())
            .await
            .unwrap();
        let beside = layout::index(id, generation, &place);
        self.store.put(&beside, index.into()).await.unwrap();
    }

    /// Puts a text where ingest does, and returns how the description names it.
    pub(crate) async fn put_text(&self, id: &str, name: &str, text: &str) -> Rendition {
        let place = rendition(name);
        let key = layout::subtitles(&video(id), &place);
        self.store.put(&key, text.to_owned().into()).await.unwrap();
        Rendition {
            language: name.strip_prefix("text-").map(str::to_owned),
            label: Some("Captions".to_owned()),
            sha256: Some(store::Digest::of(text.as_bytes()).to_string()),
            ..Rendition::new(place, Kind::Text)
        }
    }

    /// Puts two sheets of thumbnails of generation 1, and returns how the description tells of them.
    pub(crate) async fn put_sheets(&self, id: &str) -> Thumbs {
        for (number, sheet) in (1..).zip(SHEETS) {
            let key = layout::sheet(&video(id), Generation(1), number);
            self.store.put(&key, sheet.into()).await.unwrap();
        }
        Thumbs {
            width: 160,
            height: 90,
            columns: 2,
            rows: 2,
            interval_ms: 1000,
            tiles: 8,
            sheet_bytes: SHEETS
                .map(|sheet| u32::try_from(sheet.len()).unwrap())
                .to_vec(),
        }
    }

    /// The film with English text and thumbnails.
    pub(crate) async fn publish_rich(&self, id: &str) {
        let text = self.put_text(id, "text-en", TEXT).await;
        let thumbs = self.put_sheets(id).await;
        self.publish_with(id, 1, |asset| {
            asset.renditions.push(text);
            asset.thumbs = Some(thumbs);
        })
        .await;
    }

    /// A body that must be there.
    pub(crate) async fn bytes(&self, path: &str) -> bytes::Bytes {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap()
    }

    /// A text that must be there.
    pub(crate) async fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path).await.to_vec()).unwrap()
    }

    /// The entity tag of something that must be there.
    pub(crate) async fn tag(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        header(&response, "etag").to_owned()
    }

    /// Another origin over the same store, as after a restart.
    pub(crate) async fn another(&self) -> Running {
        self.another_with(|_| {}).await
    }

    pub(crate) async fn another_with(&self, change: impl FnOnce(&mut Config)) -> Running {
        let mut config = Config {
            listen: "127.0.0.1:0".to_owned(),
            internal: "127.0.0.1:0".to_owned(),
            store: format!("file://{}", self.folder.path().join("store").display()),
            ..Config::default()
        };
        change(&mut config);
        origin::start(config.check().unwrap()).await.unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.origin.listen)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, &[]).await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// The value of a counter line of the internal port.
    pub(crate) async fn counter(&self, line: &str) -> f64 {
        let url = format!("http://{}/metrics", self.origin.internal);
        let text = self
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let found = text.lines().find_map(|counter| counter.strip_prefix(line));
        found.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

/// One cue in the first second, one over the first boundary of segments, one near the end.
pub(crate) const TEXT: &str = "WEBVTT

00:00:00.500 --> 00:00:01.000
first

00:00:03.500 --> 00:00:05.000
second

00:00:09.000 --> 00:00:09.200
last
";

pub(crate) const SHEETS: [&[u8]; 2] = [b"\xff\xd8 sheet one \xff\xd9", b"\xff\xd8 two \xff\xd9"];

pub(crate) const POSTER: &[u8] = b"\xff\xd8\xff\xe0 a poster \xff\xd9";

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Asserts a problem of the reason and returns nothing else of it.
pub(crate) async fn assert_problem(response: Response, status: u16, reason: &str) {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(
        header(&response, "content-type"),
        "application/problem+json"
    );
    let problem: serde_json::Value =
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["reason"], reason);
    assert_eq!(problem["status"], status);
}
