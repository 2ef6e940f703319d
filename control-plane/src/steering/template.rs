//! The shared manifests that are filled in: fetched from an edge as a player would, and kept for some seconds.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use reqwest::{Client, StatusCode};
use runtime::problem::Problem;

use crate::error::Error;
use crate::problem;

/// How long a manifest is kept: what is published anew is seen after that.
const KEPT: Duration = Duration::from_secs(10);
/// How many bytes are kept of all.
const MEMORY: u64 = 64 << 20;
/// The longest manifest, in bytes.
const LONGEST: usize = 1 << 20;
/// How long an edge may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many edges are tried, with and without TLS.
const TRIES: usize = 6;

/// The manifests, by their paths.
pub(crate) struct Templates {
    client: Client,
    kept: Cache<String, Arc<str>>,
}

/// Why there is no manifest.
#[derive(Clone, Copy, Debug)]
enum Missing {
    /// An edge says that there is none.
    Absent,
    /// No edge could be asked.
    Unreachable,
}

impl Templates {
    pub(crate) fn new() -> Result<Self, Error> {
        let client = runtime::http::client().connect_timeout(Duration::from_secs(1));
        let weight = |path: &String, text: &Arc<str>| {
            u32::try_from(path.len() + text.len()).unwrap_or(u32::MAX)
        };
        Ok(Self {
            client: client.build()?,
            kept: Cache::builder()
                .max_capacity(MEMORY)
                .weigher(weight)
                .time_to_live(KEPT)
                .build(),
        })
    }

    /// The manifest at a path, from the first of these addresses that gives it; however many ask, one fetch is under
    /// way.
    ///
    /// # Errors
    /// 404 when there is none, 503 when no edge answers.
    pub(crate) async fn at(&self, path: &str, urls: Vec<String>) -> Result<Arc<str>, Problem> {
        let fetched = self.kept.try_get_with(path.to_owned(), self.fetch(urls));
        fetched.await.map_err(|missing| match *missing {
            Missing::Absent => Problem::no_route(),
            Missing::Unreachable => {
                problem::unavailable("No edge gives this manifest now; try again in a moment.")
            }
        })
    }

    async fn fetch(&self, urls: Vec<String>) -> Result<Arc<str>, Missing> {
        for url in urls.iter().take(TRIES) {
            match tokio::time::timeout(PATIENCE, self.ask(url)).await {
                Ok(Ok(text)) => return Ok(text),
                Ok(Err(Missing::Absent)) => return Err(Missing::Absent),
                Ok(Err(Missing::Unreachable)) | Err(_) => {}
            }
        }
        Err(Missing::Unreachable)
    }

    async fn ask(&self, url: &str) -> Result<Arc<str>, Missing> {
        let answer = self.client.get(url).send().await;
        let mut answer = answer.map_err(|_| Missing::Unreachable)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Missing::Absent),
            _ => return Err(Missing::Unreachable),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| Missing::Unreachable)? {
            if bytes.len() + chunk.len() > LONGEST {
                return Err(Missing::Unreachable);
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(bytes).map_err(|_| Missing::Unreachable)?;
        Ok(text.into())
    }
}
