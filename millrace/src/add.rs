//! `millrace add`: uploading a film through the public API, chunk by chunk.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use crate::api::{Api, Away, Refused};
use crate::cli;

/// How often a chunk or subtitles are tried before the upload is given up (it can be resumed then).
const TRIES: u32 = 5;
/// For how long a house is asked again that says that it cannot now.
const OUTAGE: Duration = Duration::from_secs(600);
/// How often the state of a film in the making is asked for.
const POLL: Duration = Duration::from_millis(500);
/// How many answers in a row may fail before waiting for a film ends.
const PATIENT_POLLS: u32 = 20;
/// More than any chunk: a server that asks for more is not followed.
const MAX_CHUNK: u64 = 1 << 30;
/// The largest file of subtitles that ingest takes.
const MAX_SUBTITLES: u64 = 2 << 20;

pub(crate) async fn run(options: &cli::Add) -> anyhow::Result<ExitCode> {
    let api = Api::find(&options.api)?;
    let title = options.title.clone().unwrap_or_else(|| stem(&options.file));
    let wish = Wish {
        title,
        privacy: options.privacy.clone(),
        protected: options.protected,
        channel: options.channel.clone(),
        subtitles: options.subtitles.clone(),
        resume: options.resume.clone(),
    };
    let added = upload(&api, &options.file, &wish).await?;
    let mut answer = json!({"video_id": added, "state": "processing"});
    if options.wait {
        answer = wait_until_ready(&api, &added).await?;
    }
    let failed = answer.get("state").and_then(Value::as_str) == Some("failed");
    if options.json {
        say!("{answer}");
    } else if failed {
        let reason = answer
            .get("reason")
            .and_then(Value::as_str)
            .unwrap_or("no reason was given");
        say!("{added} cannot be watched: {reason}");
    } else if options.wait {
        say!("{added} can be watched");
    } else {
        say!(
            "{added} is being made; `millrace add --wait` waits, and GET /v1/videos/{added}/status tells how far it is"
        );
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What the publisher says of a film.
pub(crate) struct Wish {
    /// Its title.
    pub(crate) title: String,
    /// `public`, `unlisted` or `private`.
    pub(crate) privacy: String,
    /// Whether it leaves the house encrypted only.
    pub(crate) protected: bool,
    /// The channel that it is for.
    pub(crate) channel: Option<String>,
    /// What goes with it.
    pub(crate) subtitles: Vec<cli::Subtitles>,
    /// An upload to go on with.
    pub(crate) resume: Option<String>,
}

/// Uploads a film and gives the video's id; the film is then in the making.
pub(crate) async fn upload(api: &Api, path: &Path, wish: &Wish) -> anyhow::Result<String> {
    let mut file = File::open(path)
        .await
        .with_context(|| format!("cannot open {}", path.display()))?;
    let facts = file.metadata().await?;
    if facts.is_dir() {
        bail!("{} is a folder; name the film in it", path.display());
    }
    let size = facts.len();
    let subtitles = read_subtitles(&wish.subtitles).await?;
    let upload = begin(api, path, &mut file, size, wish).await?;
    let id = text(&upload, "upload_id")?.to_owned();
    if let Some(announced) = upload.get("size_bytes").and_then(Value::as_u64)
        && announced != size
    {
        bail!(
            "upload {id} is for a file of {announced} bytes; {} has {size}",
            path.display()
        );
    }
    eprintln!("upload {id}; if it is cut off, go on with --resume {id}");
    // Before the film, which may take hours: what is wrong with them is told at once.
    let video = text(&upload, "video_id")?;
    for (subtitles, bytes) in subtitles {
        send_subtitles(api, video, &subtitles, bytes)
            .await
            .with_context(|| {
                let (language, file) = (&subtitles.language, subtitles.file.display());
                format!("the subtitles {language}={file} were not taken; mend or leave them out, and go on with --resume {id}")
            })?;
    }
    send_chunks(api, &mut file, size, &upload, &place(&upload, &id, "chunk"))
        .await
        .with_context(|| format!("the upload was cut off; go on with --resume {id}"))?;
    let place = place(&upload, &id, "complete");
    let complete = || api.request(Method::POST, &place).json(&json!({}));
    let done = wait_out(api, complete)
        .await
        .with_context(|| format!("the upload is not complete; go on with --resume {id}"))?;
    Ok(text(&done, "video_id")?.to_owned())
}

/// Begins an upload, or asks for what has arrived of the one to go on with.
async fn begin(
    api: &Api,
    path: &Path,
    file: &mut File,
    size: u64,
    wish: &Wish,
) -> anyhow::Result<Value> {
    if let Some(id) = &wish.resume {
        let place = format!("/v1/videos/upload/{id}");
        return wait_out(api, || api.request(Method::GET, &place)).await;
    }
    let body = json!({
        "file_name": path.file_name().map(|name| name.to_string_lossy()),
        "size_bytes": size,
        "sha256": digest(file, size).await?,
        "title": wish.title,
        "privacy": wish.privacy,
        "protected": wish.protected,
        "channel_id": wish.channel,
    });
    let initiate = "/v1/videos/upload/initiate";
    wait_out(api, || api.request(Method::POST, initiate).json(&body)).await
}

/// Reads what goes with a film before anything is sent.
async fn read_subtitles(
    subtitles: &[cli::Subtitles],
) -> anyhow::Result<Vec<(cli::Subtitles, Bytes)>> {
    let mut read = Vec::new();
    let mut languages = BTreeSet::new();
    for one in subtitles {
        let file = one.file.display();
        if !languages.insert(&one.language) {
            bail!("there are two files of subtitles in {}", one.language);
        }
        let opened = File::open(&one.file).await;
        let opened = opened.with_context(|| format!("cannot open {file}"))?;
        let mut bytes = Vec::new();
        opened
            .take(MAX_SUBTITLES + 1)
            .read_to_end(&mut bytes)
            .await
            .with_context(|| format!("cannot read {file}"))?;
        if bytes.len() as u64 > MAX_SUBTITLES {
            bail!("{file} is larger than the 2 MiB that subtitles may have");
        }
        // An upload that has begun counts until it ends.
        let parsed = packager::text::parse(&bytes);
        let parsed = parsed.with_context(|| format!("{file} cannot be taken"))?;
        if parsed.cues().is_empty() {
            bail!("{file} has no cue that can be shown");
        }
        read.push((one.clone(), bytes.into()));
    }
    Ok(read)
}

async fn send_subtitles(
    api: &Api,
    video: &str,
    subtitles: &cli::Subtitles,
    bytes: Bytes,
) -> anyhow::Result<()> {
    let place = format!("/v1/videos/{video}/subtitles/{}", subtitles.language);
    let request = || api.request(Method::PUT, &place).body(bytes.clone());
    let stored = insist(api, request).await?;
    let guessed = stored.get("encoding").and_then(Value::as_str);
    if let Some(guessed) = guessed.filter(|encoding| !encoding.starts_with("utf-")) {
        let file = subtitles.file.display();
        eprintln!("{file} is not UTF-8 and was read as {guessed}; see that its letters are right");
    }
    Ok(())
}

async fn send_chunks(
    api: &Api,
    file: &mut File,
    size: u64,
    upload: &Value,
    url: &str,
) -> anyhow::Result<()> {
    let chunk_size = number(upload, "chunk_size_bytes")?;
    if chunk_size == 0 || chunk_size > MAX_CHUNK {
        bail!("the server asks for chunks of {chunk_size} bytes");
    }
    let arrived = arrived(upload);
    let bar = bar(size, "uploading");
    for index in 0..size.div_ceil(chunk_size) {
        let start = index * chunk_size;
        let length = chunk_size.min(size - start);
        if !arrived.contains(&index) {
            file.seek(SeekFrom::Start(start)).await?;
            let mut chunk = vec![0; usize::try_from(length)?];
            file.read_exact(&mut chunk)
                .await
                .context("the file shrank while it was read")?;
            send_chunk(api, url, index, chunk.into()).await?;
        }
        bar.inc(length);
    }
    bar.finish_and_clear();
    Ok(())
}

async fn send_chunk(api: &Api, url: &str, index: u64, chunk: Bytes) -> anyhow::Result<()> {
    let sha256 = hex::encode(Sha256::digest(&chunk));
    let request = || {
        api.request(Method::PUT, &format!("{url}?index={index}"))
            .header("x-chunk-sha256", &sha256)
            .body(chunk.clone())
    };
    let sent = insist(api, request).await;
    sent.map(drop)
        .with_context(|| format!("chunk {index} did not arrive"))
}

/// Sends something that may be sent again, some times unless it is refused.
async fn insist(api: &Api, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Value> {
    let mut pause = Duration::from_millis(250);
    let mut tried = 1;
    loop {
        match wait_out(api, &request).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is::<Refused>() || error.is::<Away>() => return Err(error),
            Err(error) if tried == TRIES => {
                return Err(error.context(format!("given up after {TRIES} tries")));
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        tried += 1;
        pause *= 2;
    }
}

/// Sends something, and again while the house says that it cannot now: it took nothing then, so that this is right
/// also for what must not be sent twice.
async fn wait_out(api: &Api, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Value> {
    let mut waited = Duration::ZERO;
    loop {
        let error = match api.json(request()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let away = error.downcast_ref::<Away>();
        let Some(away) = away.filter(|_| waited < OUTAGE) else {
            return Err(error);
        };
        if waited.is_zero() {
            eprintln!(
                "{error}; it is asked again for up to {} s",
                OUTAGE.as_secs()
            );
        }
        waited += away.wait;
        tokio::time::sleep(away.wait).await;
    }
}

/// Waits until a film can be watched or has failed, and gives its status.
pub(crate) async fn wait_until_ready(api: &Api, video: &str) -> anyhow::Result<Value> {
    let bar = bar(100, "encoding");
    let mut failures = 0;
    loop {
        let asked = api.request(Method::GET, &format!("/v1/videos/{video}/status"));
        let status = match api.json(asked).await {
            Ok(status) => status,
            Err(error) if error.is::<Refused>() => return Err(error),
            // An encode takes long; a control plane that restarts meanwhile is waited for.
            Err(_) if failures < PATIENT_POLLS => {
                failures += 1;
                tokio::time::sleep(POLL).await;
                continue;
            }
            Err(error) => return Err(error.context(format!("video {video} is not answered for"))),
        };
        failures = 0;
        match text(&status, "state")? {
            "ready" | "failed" => {
                bar.finish_and_clear();
                return Ok(status);
            }
            _ => bar.set_position(number(&status, "progress").unwrap_or(0)),
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn digest(file: &mut File, size: u64) -> anyhow::Result<String> {
    let bar = bar(size, "reading");
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).await?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        hasher.update(part);
        bar.inc(u64::try_from(read)?);
    }
    bar.finish_and_clear();
    Ok(hex::encode(hasher.finalize()))
}

/// Where a step of an upload goes: what initiate told, or for one that is resumed the API's own
/// path, from which we are redirected.
fn place(upload: &Value, id: &str, step: &str) -> String {
    let told = upload.get(format!("{step}_url")).and_then(Value::as_str);
    told.map_or_else(|| format!("/v1/videos/upload/{id}/{step}"), str::to_owned)
}

fn arrived(upload: &Value) -> BTreeSet<u64> {
    let list = upload.get("received").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect()
}

/// A bar on standard error; it hides itself where that is no terminal.
pub(crate) fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg:<10} {bar:32} {percent:>3} %  {eta}");
    ProgressBar::new(length)
        .with_message(what)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(
        || "untitled".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value
        .get(name)
        .and_then(Value::as_str)
        .with_context(|| format!("the answer holds no {name}"))
}

fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value
        .get(name)
        .and_then(Value::as_u64)
        .with_context(|| format!("the answer holds no {name}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::extract::Path as Place;
    use axum::http::StatusCode;
    use axum::routing::{get, post, put};

    use super::*;

    async fn serve(router: Router) -> Api {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Api::new(&base, None).unwrap()
    }

    #[tokio::test]
    async fn a_film_that_the_house_does_not_know_is_not_waited_for() {
        let refuse = async || (StatusCode::NOT_FOUND, r#"{"detail": "no such video"}"#);
        let api = serve(Router::new().route("/v1/videos/v/status", get(refuse))).await;
        let waited = tokio::time::timeout(POLL * PATIENT_POLLS / 2, wait_until_ready(&api, "v"));
        let error = waited.await.unwrap().unwrap_err();
        assert!(error.is::<Refused>(), "{error}");
    }

    #[tokio::test]
    async fn subtitles_that_are_refused_are_told_before_a_byte_of_the_film_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (film, wrong) = (folder.path().join("film.mp4"), folder.path().join("a.srt"));
        std::fs::write(&film, "film").unwrap();
        let text = "1\n00:00:01,000 --> 00:00:02,000\nA word\n";
        std::fs::write(&wrong, text).unwrap();
        let begin = async |axum::Json(wish): axum::Json<Value>| {
            assert_eq!(wish["channel_id"], "of-ann");
            let chunk_size_bytes = 4;
            axum::Json(
                json!({"upload_id": "u", "video_id": "v", "chunk_size_bytes": chunk_size_bytes}),
            )
        };
        let refuse = async |Place(language): Place<String>, body: String| {
            let detail = format!("no {language} of {} bytes", body.len());
            let problem = json!({"detail": detail});
            (StatusCode::BAD_REQUEST, axum::Json(problem))
        };
        // A chunk would be answered 404, and told so.
        let router = Router::new()
            .route("/v1/videos/upload/initiate", post(begin))
            .route("/v1/videos/v/subtitles/{language}", put(refuse));
        let api = serve(router).await;
        let wish = Wish {
            title: "x".to_owned(),
            privacy: "public".to_owned(),
            protected: false,
            channel: Some("of-ann".to_owned()),
            subtitles: vec![cli::Subtitles {
                language: "en".to_owned(),
                file: wrong.clone(),
            }],
            resume: None,
        };
        let error = upload(&api, &film, &wish).await.unwrap_err();
        let told = format!("{error:#}");
        assert!(told.contains(&format!("en={}", wrong.display())), "{told}");
        assert!(told.contains("go on with --resume u"), "{told}");
        assert!(told.contains(&format!("no en of {} bytes", text.len())));
        // What cannot be taken anywhere is told before the upload begins.
        std::fs::write(&wrong, "nothing").unwrap();
        let error = upload(&api, &film, &wish).await.unwrap_err();
        let told = format!("{error:#}");
        assert!(told.contains("a.srt cannot be taken"), "{told}");
        assert!(!told.contains("--resume"), "{told}");
        let error = upload(&api, folder.path(), &wish).await.unwrap_err();
        assert!(error.to_string().contains("is a folder"), "{error}");
    }

    #[tokio::test]
    async fn subtitles_that_come_while_the_house_is_busy_are_sent_again() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let answer = async move || {
            let stored = json!({"encoding": "utf-8"});
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({})));
            }
            (StatusCode::CREATED, axum::Json(stored))
        };
        let api = serve(Router::new().route("/v1/videos/v/subtitles/en", put(answer))).await;
        let subtitles = cli::Subtitles {
            language: "en".to_owned(),
            file: "en.vtt".into(),
        };
        let sent = send_subtitles(&api, "v", &subtitles, Bytes::from_static(b"WEBVTT"));
        sent.await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_upload_begins_once_the_house_can_again() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let begin = async move || match count.fetch_add(1, Ordering::Relaxed) {
            0 => (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({}))),
            1 => (StatusCode::CREATED, axum::Json(json!({"upload_id": "u"}))),
            // Whoever fails for another reason may have taken it.
            _ => (StatusCode::BAD_GATEWAY, axum::Json(json!({}))),
        };
        let api = serve(Router::new().route("/begin", post(begin))).await;
        let request = || api.request(Method::POST, "/begin");
        let begun = wait_out(&api, request).await.unwrap();
        assert_eq!(begun["upload_id"], "u");
        assert!(wait_out(&api, request).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
