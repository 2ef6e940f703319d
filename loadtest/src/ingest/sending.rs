//! Sending a film: in pieces over some connections at once, each made when its turn comes.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::task::{JoinSet, LocalSet};

use super::content::{Content, Digests};
use super::site::{self, Site};
use crate::wire::Ask;

/// The length of a chunk, ingest's default.
pub(super) const CHUNK: u64 = 8 << 20;

/// A film whose chunks have all been sent.
pub(super) struct Sent {
    pub(super) video: String,
    /// From the wish to upload until the last chunk was acknowledged.
    pub(super) took: Duration,
    path: String,
    whole: String,
}

impl Sent {
    /// Completes it, and tells when that was answered.
    pub(super) async fn complete(&self, site: &Site) -> Result<Instant> {
        let wish = json!({"sha256": self.whole});
        let path = format!("{}/complete", self.path);
        site::told(site.ingest()?, &path, &wish).await?;
        Ok(Instant::now())
    }
}

/// Uploads a film in chunks, as a publisher's program does.
pub(super) async fn chunks(
    site: &Site,
    content: &Rc<Content>,
    digests: &Rc<Digests>,
    connections: usize,
) -> Result<Sent> {
    let (address, began) = (site.ingest()?, Instant::now());
    let wish = json!({"file_name": "film.mp4", "size_bytes": content.size, "title": "A film"});
    let begun = site::told(address, "/v1/videos/upload/initiate", &wish).await?;
    let word = |name: &str| {
        let word = begun.get(name).and_then(|word| word.as_str());
        word.map(str::to_owned)
            .with_context(|| format!("initiate tells no {name}"))
    };
    let (upload, video) = (word("upload_id")?, word("video_id")?);
    ensure!(
        begun.get("chunk_size_bytes") == Some(&json!(digests.piece_bytes)),
        "chunks of another length than expected"
    );
    let known = Rc::clone(digests);
    let path = format!("/v1/videos/upload/{upload}");
    let chunks = format!("{path}/chunk");
    let put = move |number: u64, piece: Vec<u8>| {
        let digest = known.pieces.get(usize::try_from(number)?);
        let digest = STANDARD.encode(digest.context("no such chunk")?);
        let head = format!("content-digest: sha-256=:{digest}:\r\n");
        let path = format!("{chunks}?index={number}");
        Ask::telling(&address.to_string(), ("PUT", &path), &head, &piece)
    };
    pieces((address, connections), content, digests.piece_bytes, put).await?;
    Ok(Sent {
        video,
        took: began.elapsed(),
        path,
        whole: digests.whole.clone(),
    })
}

/// Sends every piece once, over some connections that take the next one in turn.
pub(super) async fn pieces(
    (address, connections): (SocketAddr, usize),
    content: &Rc<Content>,
    piece_bytes: u64,
    put: impl Fn(u64, Vec<u8>) -> Result<Ask> + 'static,
) -> Result<()> {
    let (next, put) = (Rc::new(Cell::new(0)), Rc::new(put));
    let count = content.count(piece_bytes);
    let local = LocalSet::new();
    let mut sending = JoinSet::new();
    for mut lane in site::lanes(address, connections).await? {
        let (next, put, content) = (Rc::clone(&next), Rc::clone(&put), Rc::clone(content));
        let work = async move {
            while next.get() < count {
                let number = next.replace(next.get() + 1);
                let ask = put(number, content.piece(number, piece_bytes)?)?;
                let mut said = Vec::new();
                let answer = lane
                    .get(&ask, |piece| said.extend_from_slice(piece))
                    .await?;
                ensure!(
                    matches!(answer.status, 200 | 201 | 204),
                    "piece {number} was answered {}: {}",
                    answer.status,
                    String::from_utf8_lossy(&said)
                );
            }
            Ok(())
        };
        sending.spawn_local_on(work, &local);
    }
    let all = async {
        while let Some(sent) = sending.join_next().await {
            sent.context("a connection panicked")??;
        }
        Ok(())
    };
    local.run_until(all).await
}

/// A film as a file holds it, with its digests.
pub(super) fn of_file(file: &Path) -> Result<(Rc<Content>, Rc<Digests>)> {
    let film = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let content = Content::film(film);
    let digests = content.digests(CHUNK)?;
    Ok((Rc::new(content), Rc::new(digests)))
}
