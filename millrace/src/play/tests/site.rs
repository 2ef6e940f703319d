//! A film that ffmpeg makes, kept in memory where a test may spoil it, and served on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Files by path.
#[derive(Clone, Default)]
pub(super) struct Site(BTreeMap<String, Vec<u8>>);

impl Site {
    /// HLS with transport stream segments of 1 s, picture and sound together.
    pub(super) fn ts() -> Self {
        let mut site = Self::make(
            "-map 0:v -map 1:a -f hls -hls_time 1 -hls_playlist_type vod \
             -hls_segment_filename segment_%d.ts -master_pl_name master.m3u8 playlist.m3u8",
        );
        // ffmpeg writes what was wished for, not what it measured.
        site.replace("/master.m3u8", "BANDWIDTH=", "BANDWIDTH=1");
        site
    }

    /// The same, each segment encrypted whole (AES-128) with a key beside the playlist.
    pub(super) fn sealed() -> Self {
        let mut site = Self::make(
            "-map 0:v -map 1:a -f hls -hls_time 1 -hls_playlist_type vod \
             -hls_enc 1 -hls_enc_key 000102030405060708090a0b0c0d0e0f \
             -hls_segment_filename segment_%d.ts -master_pl_name master.m3u8 playlist.m3u8",
        );
        site.replace("/master.m3u8", "BANDWIDTH=", "BANDWIDTH=1");
        site
    }

    /// HLS with fragmented MP4 of two picture renditions.
    pub(super) fn fmp4() -> Self {
        let mut site = Self::make(
            "-map 0:v -map 0:v -s:v:1 160x90 -f hls -hls_time 1 -hls_playlist_type vod \
             -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 \
             -hls_segment_filename %v/segment_%d.m4s -master_pl_name master.m3u8 \
             -var_stream_map v:0,name:180p\u{20}v:1,name:90p %v/playlist.m3u8",
        );
        site.replace("/master.m3u8", "BANDWIDTH=", "BANDWIDTH=1");
        site
    }

    /// DASH with picture and sound.
    pub(super) fn dash() -> Self {
        let mut site = Self::make(
            "-map 0:v -map 1:a -f dash -seg_duration 1 -use_template 1 -use_timeline 1 manifest.mpd",
        );
        site.replace(
            "/manifest.mpd",
            "bandwidth=\"300000\"",
            "bandwidth=\"600000\"",
        );
        site
    }

    fn make(output: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let input = "-v error -f lavfi -i testsrc2=size=320x180:rate=25 \
             -f lavfi -i sine=frequency=440:sample_rate=48000 -t 3";
        let codecs = "-c:v libx264 -preset ultrafast -g 25 -keyint_min 25 -sc_threshold 0 -bf 2 \
             -pix_fmt yuv420p -b:v 300k -maxrate 300k -bufsize 300k -c:a aac -b:a 64k";
        let (streams, format) = output.split_once(" -f ").unwrap();
        let words = |text: &'static str| text.split_whitespace();
        let made = Command::new("ffmpeg")
            .current_dir(folder.path())
            .args(words(input))
            .args(streams.split_whitespace())
            .args(words(codecs))
            .arg("-f")
            // A word of the stream map holds a blank.
            .args(format.split_ascii_whitespace().fold(Vec::new(), rejoin))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut site = Self::default();
        site.gather(folder.path(), "");
        site
    }

    fn gather(&mut self, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                self.gather(&entry.path(), &name);
            } else {
                self.0.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    /// Spoils a file.
    pub(super) fn edit(&mut self, path: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let bytes = self.0.get_mut(path).unwrap_or_else(|| panic!("no {path}"));
        let before = bytes.clone();
        edit(bytes);
        assert_ne!(*bytes, before, "the defect changed nothing in {path}");
    }

    /// Replaces every `old` in a text file.
    pub(super) fn replace(&mut self, path: &str, old: &str, new: &str) {
        self.edit(path, |bytes| {
            *bytes = String::from_utf8(bytes.clone())
                .unwrap()
                .replace(old, new)
                .into_bytes();
        });
    }

    /// Takes a file away.
    pub(super) fn remove(&mut self, path: &str) {
        assert!(self.0.remove(path).is_some(), "no {path}");
    }

    /// The file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// Answers for the tiers: `/logical` redirects, a token is taken off, the rest are files.
    pub(super) fn router(self) -> Router {
        let site = Arc::new(self);
        Router::new().fallback(move |uri: Uri| {
            let site = Arc::clone(&site);
            async move { site.answer(uri.path()) }
        })
    }

    fn answer(&self, path: &str) -> Response {
        if let Some(target) = path.strip_prefix("/logical") {
            return Redirect::temporary(&format!("/~m1.secret{target}")).into_response();
        }
        let path = match path.strip_prefix("/~") {
            Some(rest) => rest.find('/').map_or("/", |slash| rest.split_at(slash).1),
            None => path,
        };
        match self.file(path) {
            Some(bytes) => {
                let cached = HeaderName::from_static("cache-status");
                let headers = [
                    (header::CONTENT_TYPE, mime(path)),
                    (cached, "shield; fwd=miss, edge-1; hit"),
                ];
                (headers, bytes.to_vec()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    /// Serves without TLS.
    pub(super) async fn serve(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Server { address, task }
    }
}

/// The content type of a path.
pub(super) fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("mpd") => "application/dash+xml",
        Some("ts") => "video/mp2t",
        Some("mp4" | "m4s") => "video/mp4",
        _ => "application/octet-stream",
    }
}

fn rejoin(mut words: Vec<String>, word: &str) -> Vec<String> {
    match words.last_mut() {
        Some(last) if last.starts_with("v:0,") && word.starts_with("v:1,") => {
            last.push(' ');
            last.push_str(word);
        }
        _ => words.push(word.to_owned()),
    }
    words
}

/// A running server, which ends with its test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) task: JoinHandle<()>,
}

impl Server {
    /// The plain address of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
