//! tus 1.0 by hand: whole, resumed, put together, and every way in which it is refused.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use catalog::videos::State;
use contracts::{id::VideoId, time::UnixSeconds};
use futures_util::{future::join_all, stream};
use house::{CHUNK, House, problem};
use reqwest::{Method, RequestBuilder, Response};
use runtime::clock::Fixed;
use sha1::{Digest as _, Sha1};
use store::{Digest, layout};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const TUS: &str = "/v1/videos/upload/tus";

/// No film, which is another test's matter.
fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at * 7 / 3 % 251).to_le_bytes()[0])
        .collect()
}

async fn quiet() -> House {
    House::with(|config| config.workers = 0).await
}

fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn ask(house: &House, method: Method, url: &str) -> RequestBuilder {
    house
        .client
        .request(method, url)
        .header("tus-resumable", "1.0.0")
}

async fn create(house: &House, length: usize, pairs: &[(&str, &str)]) -> Response {
    let request = ask(house, Method::POST, &house.url(TUS)).header("upload-length", length);
    let told = request.header("upload-metadata", metadata(pairs));
    told.send().await.unwrap()
}

/// Begins an upload and returns its address and its video.
async fn begin(house: &House, length: usize) -> (String, VideoId) {
    let answer = create(house, length, &[("filename", "film.mp4")]).await;
    begun(&answer)
}

fn begun(answer: &Response) -> (String, VideoId) {
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["tus-resumable"], "1.0.0");
    let video = field(answer, "x-video-id").unwrap();
    let address = field(answer, "location").unwrap();
    (address, VideoId::parse(&video).unwrap())
}

fn field(answer: &Response, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

fn patch(house: &House, url: &str, from: usize) -> RequestBuilder {
    ask(house, Method::PATCH, url)
        .header("upload-offset", from)
        .header("content-type", "application/offset+octet-stream")
}

/// Sends bytes, and returns where they end.
async fn send(house: &House, url: &str, from: usize, bytes: &[u8]) -> usize {
    let answer = patch(house, url, from).body(bytes.to_vec()).send().await;
    let answer = answer.unwrap();
    let end = offset(&answer);
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
    end
}

fn offset(answer: &Response) -> usize {
    field(answer, "upload-offset").map_or(usize::MAX, |offset| offset.parse().unwrap())
}

async fn head(house: &House, url: &str) -> Response {
    ask(house, Method::HEAD, url).send().await.unwrap()
}

async fn original(house: &House, video: &VideoId) -> Option<Vec<u8>> {
    let key = layout::original(video, "mp4").unwrap();
    let bytes = house.store.read(&key).await.unwrap();
    bytes.map(|bytes| bytes.to_vec())
}

/// What there is of uploads in the store.
fn objects(house: &House) -> Vec<String> {
    let folder = house.folder.path().join("store/uploads");
    let uploads = std::fs::read_dir(folder).into_iter().flatten();
    let pieces = uploads.flat_map(|upload| std::fs::read_dir(upload.unwrap().path()).unwrap());
    pieces
        .map(|piece| piece.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_sent_piece_by_piece_arrives_whole() {
    piece_by_piece(&quiet().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_arrives_over_tus_where_the_catalogue_is_a_server_too() {
    let Some(address) = test_postgres::database() else {
        return;
    };
    let on_server = |config: &mut ingest::Config| {
        config.workers = 0;
        config.catalog = address.as_str().into();
    };
    let house = House::with(on_server).await;
    piece_by_piece(&house).await;
    put_together(&house).await;
}

async fn piece_by_piece(house: &House) {
    let film = bytes(CHUNK * 4 + 777);
    let (url, video) = begin(house, film.len()).await;
    let mut at = 0;
    // Less than a chunk, exactly one, more than one, nothing, and all that is left.
    for length in [10, CHUNK - 10, CHUNK, 1, 0, CHUNK + 5, film.len()] {
        let end = film.len().min(at + length);
        assert_eq!(send(house, &url, at, &film[at..end]).await, end);
        at = end;
        let told = head(house, &url).await;
        assert_eq!((told.status().as_u16(), offset(&told)), (200, at));
        assert_eq!(
            field(&told, "upload-length").unwrap(),
            film.len().to_string()
        );
        assert_eq!(field(&told, "cache-control").unwrap(), "no-store");
        assert_eq!(
            field(&told, "upload-metadata").unwrap(),
            metadata(&[("filename", "film.mp4")])
        );
        assert_eq!(field(&told, "x-video-id").unwrap(), video.as_str());
        assert_eq!(field(&told, "upload-expires").is_some(), at < film.len());
    }
    assert_eq!(original(house, &video).await.unwrap(), film);
    let found = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!(
        (found.state, found.title.as_str()),
        (State::Processing, "film")
    );
    assert_eq!(objects(house), [""; 0], "they are in the original now");
    // Whoever has not heard that it is whole may say so again, and no more.
    assert_eq!(send(house, &url, at, b"").await, at);
    let late = patch(house, &url, at).body("x").send().await.unwrap();
    problem(late, 413, "upload-too-long").await;
    let gone = ask(house, Method::DELETE, &url).send().await.unwrap();
    problem(gone, 409, "upload-complete").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_film_is_kept_and_judged_as_at_initiate() {
    let house = quiet().await;
    let film = bytes(9);
    let whole = Digest::of(&film).to_string();
    let fine = [
        ("filename", "a.mp4"),
        ("title", "Ein Film"),
        ("filetype", "video/mp4"),
        ("privacy", "unlisted"),
        ("protected", "true"),
        ("sha256", whole.as_str()),
        ("relativePath", "null"),
    ];
    let (url, video) = begun(&create(&house, 9, &fine).await);
    let found = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!((found.title.as_str(), found.protected), ("Ein Film", true));
    assert_eq!(found.privacy, contracts::asset::Privacy::Unlisted);
    let other = patch(&house, &url, 0)
        .body("another!!")
        .send()
        .await
        .unwrap();
    problem(other, 422, "wrong-whole-digest").await;
    assert_eq!(offset(&head(&house, &url).await), 0);
    assert_eq!(send(&house, &url, 0, &film).await, 9);
    assert_eq!(original(&house, &video).await.unwrap(), film);

    for (length, pairs, status, kind) in [
        (0, &[("filename", "a.mp4")][..], 400, "empty-file"),
        (usize::MAX, &[("filename", "a.mp4")], 413, "file-too-large"),
        (9, &[], 400, "unknown-format"),
        (9, &[("filename", "a.exe")], 400, "unknown-format"),
        (
            9,
            &[("name", "a.mp4"), ("type", "text/html")],
            400,
            "unknown-format",
        ),
        (
            9,
            &[("filename", "a.mp4"), ("sha256", "abc")],
            400,
            "bad-request",
        ),
        (
            9,
            &[("filename", "a.mp4"), ("privacy", "secret")],
            400,
            "bad-request",
        ),
        (
            9,
            &[("filename", "a.mp4"), ("protected", "1")],
            400,
            "bad-request",
        ),
        (
            9,
            &[("filename", "a.mp4"), ("title", "\u{7}")],
            400,
            "bad-request",
        ),
        (
            9,
            &[("filename", "a.mp4"), ("channel_id", "none")],
            404,
            "channel-not-found",
        ),
    ] {
        let refused = create(&house, length, pairs).await;
        assert_eq!(field(&refused, "tus-resumable").unwrap(), "1.0.0");
        problem(refused, status, kind).await;
    }
    let counts = house.catalog.videos.count().await.unwrap();
    assert_eq!(
        counts.iter().map(|(_, count)| count).sum::<u64>(),
        1,
        "no other video was made: {counts:?}"
    );
}

type Refused<'a> = (RequestBuilder, u16, &'a str);

/// Asks each, and sees that it is refused as tus has it.
async fn refused(requests: Vec<Refused<'_>>) {
    for (request, status, kind) in requests {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{kind}");
        assert_eq!(field(&answer, "tus-resumable").unwrap(), "1.0.0", "{kind}");
        let version = (status == 412).then(|| "1.0.0".to_owned());
        assert_eq!(field(&answer, "tus-version"), version, "{kind}");
        if !kind.is_empty() {
            problem(answer, status, kind).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tus_is_refused() {
    let house = quiet().await;
    let (url, _) = begin(&house, 9).await;
    let (new, absent) = (house.url(TUS), house.url("/v1/videos/upload/tus/absent"));
    let other = |request: RequestBuilder| request.header("tus-resumable", "0.2.2");
    refused(vec![
        (house.client.head(&url), 412, ""),
        (house.client.post(&new), 412, "tus-version"),
        (other(house.client.patch(&url)), 412, "tus-version"),
        (other(house.client.delete(&url)), 412, "tus-version"),
        (ask(&house, Method::HEAD, &absent), 404, ""),
        (patch(&house, &absent, 0), 404, "upload-not-found"),
        (
            ask(&house, Method::DELETE, &absent),
            404,
            "upload-not-found",
        ),
        (ask(&house, Method::GET, &url), 405, "method-not-allowed"),
        (ask(&house, Method::PUT, &new), 405, "method-not-allowed"),
    ])
    .await;
    let new = || ask(&house, Method::POST, &new);
    let long = || new().header("upload-length", 9);
    let metadata = |told| long().header("upload-metadata", told);
    let concat = |told| long().header("upload-concat", told);
    refused(vec![
        (new(), 400, "bad-request"),
        (long().header("upload-length", 9), 400, "bad-request"),
        (long().header("upload-defer-length", 1), 400, "bad-request"),
        (metadata("filename"), 400, "unknown-format"), // and no name
        (metadata("filename a"), 400, "bad-request"),
        (concat("some"), 400, "bad-request"),
        (concat("final;/x"), 400, "bad-request"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_refused_lose_nothing() {
    let house = quiet().await;
    let film = bytes(CHUNK);
    let (url, video) = begin(&house, film.len()).await;
    send(&house, &url, 0, &film[..100]).await;
    let own = || ask(&house, Method::PATCH, &url).header("upload-offset", 100);
    let typed = |kind| own().header("content-type", kind);
    let at = |from: &str| {
        ask(&house, Method::PATCH, &url)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", from)
    };
    let sum = |sum| patch(&house, &url, 100).header("upload-checksum", sum);
    let length = film.len();
    refused(vec![
        (own(), 415, "not-bytes"),
        (typed("text/plain"), 415, "not-bytes"),
        // The offset stands twice.
        (
            typed("Application/offset+octet-stream; a=b").header("upload-offset", 9),
            400,
            "bad-request",
        ),
        (at("-1"), 400, "bad-request"),
        (at(""), 400, "bad-request"),
        (at("100").header("upload-offset", 100), 400, "bad-request"),
        (at("0"), 409, "wrong-offset"),
        (at("101"), 409, "wrong-offset"),
        (patch(&house, &url, length + 1), 409, "wrong-offset"),
        (at("100").body(film.clone()), 413, "upload-too-long"),
        (sum("md5 AAAA"), 400, "bad-request"),
        (sum("sha1 AAAA"), 400, "bad-request"),
    ])
    .await;
    // Its length is not announced, and it is longer than there is room for.
    let frames: Vec<_> = film.chunks(1000).map(<[u8]>::to_vec).collect();
    let frames = stream::iter(frames.into_iter().map(Ok::<_, std::io::Error>));
    let body = reqwest::Body::wrap_stream(frames);
    let longer = patch(&house, &url, 100).body(body).send().await.unwrap();
    problem(longer, 413, "upload-too-long").await;
    // Chunks are another way, which this upload does not go.
    let id = url.rsplit('/').next().unwrap();
    problem(house.put(id, 0, &film).await, 404, "upload-not-found").await;
    let chunked = house.begin(&film).await.0;
    let other = head(&house, &house.url(&format!("{TUS}/{chunked}"))).await;
    assert_eq!(other.status(), 404);

    assert_eq!(offset(&head(&house, &url).await), 100);
    assert_eq!(send(&house, &url, 100, &film[100..]).await, film.len());
    assert_eq!(original(&house, &video).await.unwrap(), film);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_what_is_spoken_here() {
    let page = "https://site.example";
    let house = House::with(|config| {
        config.workers = 0;
        config.allowed_origins = vec![page.to_owned()];
    })
    .await;
    for path in [TUS, "/api/v1/videos/upload/tus"] {
        let asked = house.client.request(Method::OPTIONS, house.url(path));
        let told = asked.send().await.unwrap();
        assert!(told.status().is_success());
        let of = |name| field(&told, name).unwrap();
        for name in ["tus-resumable", "tus-version"] {
            assert_eq!(of(name), "1.0.0", "{name}");
        }
        assert_eq!(of("tus-max-size"), house.config.max_film.0.to_string());
        assert_eq!(of("tus-checksum-algorithm"), "sha1,sha256");
        assert_eq!(
            of("tus-extension"),
            "creation,creation-with-upload,checksum,expiration,termination,concatenation"
        );
    }
    let asked = house.client.request(Method::OPTIONS, house.url(TUS));
    let asked = asked
        .header("origin", page)
        .header("access-control-request-method", "PATCH")
        .header(
            "access-control-request-headers",
            "tus-resumable,upload-offset",
        );
    let told = asked.send().await.unwrap();
    let list = |answer: &Response, name| {
        let text = field(answer, name).unwrap_or_default().to_ascii_lowercase();
        text.split(',')
            .map(|one| one.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(field(&told, "access-control-allow-origin").unwrap(), page);
    for method in ["patch", "head", "post", "delete"] {
        assert!(
            list(&told, "access-control-allow-methods").contains(&method.to_owned()),
            "{method}"
        );
    }
    for name in [
        "tus-resumable",
        "upload-offset",
        "upload-length",
        "upload-metadata",
        "upload-checksum",
        "upload-concat",
        "x-http-method-override",
        "authorization",
        "content-type",
    ] {
        assert!(
            list(&told, "access-control-allow-headers").contains(&name.to_owned()),
            "{name}"
        );
    }
    let request = ask(&house, Method::POST, &house.url(TUS)).header("origin", page);
    let told = request.send().await.unwrap();
    for name in [
        "location",
        "retry-after",
        "tus-resumable",
        "upload-offset",
        "upload-length",
        "upload-expires",
        "upload-concat",
        "x-video-id",
    ] {
        assert!(
            list(&told, "access-control-expose-headers").contains(&name.to_owned()),
            "{name}"
        );
    }
    let elsewhere = house
        .client
        .request(Method::OPTIONS, house.url("/v1/videos/upload/initiate"));
    assert_eq!(field(&elsewhere.send().await.unwrap(), "tus-version"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_s_own_page_may_upload_and_none_that_is_named_like_it() {
    let house = House::with(|config| {
        config.workers = 0;
        config.control_base = "https://films.example/house".to_owned();
    })
    .await;
    for (page, allowed) in [
        ("https://films.example", true),
        ("https://films.example.evil.example", false),
        ("http://films.example", false),
    ] {
        let asked = ask(&house, Method::POST, &house.url(TUS)).header("origin", page);
        let told = field(&asked.send().await.unwrap(), "access-control-allow-origin");
        assert_eq!(told.as_deref() == Some(page), allowed, "{page}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_know_few_methods_say_which_one_they_mean() {
    let house = quiet().await;
    let (url, video) = begin(&house, 9).await;
    let meant =
        |method: &str| ask(&house, Method::POST, &url).header("x-http-method-override", method);
    let told = meant("HEAD").send().await.unwrap();
    assert_eq!((told.status().as_u16(), offset(&told)), (200, 0));
    let sent = meant("PATCH")
        .header("upload-offset", 0)
        .header("content-type", "application/offset+octet-stream");
    let sent = sent.body(bytes(9)).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), offset(&sent)), (204, 9));
    assert_eq!(original(&house, &video).await.unwrap(), bytes(9));
    let (url, _) = begin(&house, 9).await;
    let meant = ask(&house, Method::POST, &url).header("x-http-method-override", "DELETE");
    assert_eq!(meant.send().await.unwrap().status(), 204);
    assert_eq!(head(&house, &url).await.status(), 404);
    let elsewhere = house.client.post(house.url("/v1/openapi.json"));
    let elsewhere = elsewhere.header("x-http-method-override", "GET").send();
    assert_eq!(elsewhere.await.unwrap().status(), 405, "of tus alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_connection_broke_counts_also_after_a_restart() {
    let mut house = quiet().await;
    let film = bytes(CHUNK * 3);
    let (url, video) = begin(&house, film.len()).await;
    let path = url.split_once("/v1").unwrap().1.to_owned();
    let mut at = 0;
    for kept in [CHUNK + 4321, 1, 20_000, CHUNK] {
        cut_off(&house, &path, at, &film[at..at + kept], "").await;
        at += kept;
        house
            .counted(&format!("millrace_ingest_upload_bytes_total {at}\n"))
            .await;
        let told = head(&house, &house.url(&format!("/v1{path}"))).await;
        assert_eq!(offset(&told), at);
    }
    house.restart().await;
    let url = house.url(&format!("/v1{path}"));
    assert_eq!(offset(&head(&house, &url).await), at);
    assert_eq!(send(&house, &url, at, &film[at..]).await, film.len());
    assert_eq!(original(&house, &video).await.unwrap(), film);
}

/// Sends the beginning of a long body, and hangs up.
async fn cut_off(house: &House, path: &str, from: usize, bytes: &[u8], more: &str) {
    let address = house.url("").replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "PATCH /v1{path} HTTP/1.1\r\nhost: {address}\r\ntus-resumable: 1.0.0\r\nupload-offset: {from}\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {}\r\n{more}\r\n",
        bytes.len() + 7
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    // Until the other end has seen it.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_a_checksum_counts_whole_or_not_at_all() {
    let house = quiet().await;
    let film = bytes(CHUNK * 3 + 5);
    let (url, video) = begin(&house, film.len()).await;
    let path = url.split_once("/v1").unwrap().1.to_owned();
    let sum = |bytes: &[u8]| format!("sha256 {}", STANDARD.encode(Digest::of(bytes).as_bytes()));
    let part = &film[..CHUNK * 2 + 9];
    let wrong = patch(&house, &url, 0).header("upload-checksum", sum(b"else"));
    let wrong = wrong.body(part.to_vec()).send().await.unwrap();
    problem(wrong, 460, "wrong-checksum").await;
    let checksum = format!("upload-checksum: {}\r\n", sum(&film));
    cut_off(&house, &path, 0, part, &checksum).await;
    assert_eq!(offset(&head(&house, &url).await), 0);
    let right = patch(&house, &url, 0).header("upload-checksum", sum(part));
    let right = right.body(part.to_vec()).send().await.unwrap();
    assert_eq!((right.status().as_u16(), offset(&right)), (204, part.len()));
    // What did not count is not there.
    assert_eq!(objects(&house).len(), 3);
    let rest = &film[part.len()..];
    let sum = format!("sha1 {}", STANDARD.encode(Sha1::digest(rest)));
    let last = patch(&house, &url, part.len()).header("upload-checksum", sum);
    assert_eq!(last.body(rest.to_vec()).send().await.unwrap().status(), 204);
    assert_eq!(original(&house, &video).await.unwrap(), film);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_came_whole_with_its_creation_is_kept_though_it_cannot_be_joined_yet() {
    let house = quiet().await;
    let originals = house.folder.path().join("store/originals");
    std::fs::write(&originals, "in the way").unwrap();
    let film = bytes(CHUNK);
    let request = ask(&house, Method::POST, &house.url(TUS))
        .header("upload-length", film.len())
        .header("upload-metadata", metadata(&[("filename", "a.mp4")]))
        .header("content-type", "application/offset+octet-stream");
    let answer = request.body(film.clone()).send().await.unwrap();
    assert_eq!(offset(&answer), film.len());
    let (url, video) = begun(&answer);
    std::fs::remove_file(&originals).unwrap();
    send(&house, &url, film.len(), b"").await;
    assert_eq!(original(&house, &video).await.unwrap(), film);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_begin_with_its_first_bytes() {
    let house = quiet().await;
    let film = bytes(CHUNK + 100);
    let with = |bytes: &[u8]| {
        ask(&house, Method::POST, &house.url(TUS))
            .header("upload-length", film.len())
            .header("upload-metadata", metadata(&[("filename", "a.mp4")]))
            .header("content-type", "application/offset+octet-stream")
            .body(bytes.to_vec())
    };
    for first in [0, 50, CHUNK, film.len()] {
        let answer = with(&film[..first]).send().await.unwrap();
        assert_eq!(offset(&answer), first);
        let (url, video) = begun(&answer);
        send(&house, &url, first, &film[first..]).await;
        assert_eq!(original(&house, &video).await.unwrap(), film);
    }
    let longer = [&film[..], b"x"].concat();
    problem(with(&longer).send().await.unwrap(), 413, "upload-too-long").await;
    let sum = format!("sha1 {}", STANDARD.encode(Sha1::digest(b"else")));
    let wrong = with(&film)
        .header("upload-checksum", sum)
        .send()
        .await
        .unwrap();
    problem(wrong, 460, "wrong-checksum").await;
    assert_eq!(
        objects(&house),
        [""; 0],
        "of an upload that nobody was told of nothing is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_given_up_or_expires_leaves_nothing() {
    let clock = Arc::new(Fixed::at(UnixSeconds(1_000_000_000)));
    let quiet = |config: &mut ingest::Config| {
        config.workers = 0;
        config.upload_ttl = config::Span::seconds(3600);
    };
    let house = House::at(quiet, Arc::<Fixed>::clone(&clock)).await;
    let (url, video) = begin(&house, 100).await;
    send(&house, &url, 0, &bytes(50)).await;
    let gone = ask(&house, Method::DELETE, &url).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(head(&house, &url).await.status(), 404);
    assert_eq!(objects(&house), [""; 0]);
    let found = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!(found.failure.as_deref(), Some("the upload was cancelled"));

    let (url, video) = begin(&house, 100).await;
    send(&house, &url, 0, &bytes(50)).await;
    let told = head(&house, &url).await;
    let expires = "Sun, 09 Sep 2001 02:46:40 GMT";
    assert_eq!(field(&told, "upload-expires").unwrap(), expires);
    clock.advance(3600);
    assert_eq!(head(&house, &url).await.status(), 410);
    let late = patch(&house, &url, 50).body("x").send().await.unwrap();
    problem(late, 410, "upload-expired").await;
    clock.advance(600);
    house
        .counted("millrace_ingest_uploads_total{event=\"expired\"} 1\n")
        .await;
    assert_eq!(head(&house, &url).await.status(), 404);
    assert_eq!(objects(&house), [""; 0]);
    let found = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!(
        found.failure.as_deref(),
        Some("the upload was not finished in time")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_arrive_apart_become_one_film() {
    put_together(&quiet().await).await;
}

async fn part(house: &House, length: usize) -> String {
    let request = ask(house, Method::POST, &house.url(TUS));
    let request = request
        .header("upload-length", length)
        .header("upload-concat", "partial");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(field(&answer, "x-video-id"), None);
    field(&answer, "location").unwrap()
}

fn join(house: &House, parts: &[&str], pairs: &[(&str, &str)]) -> RequestBuilder {
    ask(house, Method::POST, &house.url(TUS))
        .header("upload-concat", format!("final;{}", parts.join(" ")))
        .header("upload-metadata", metadata(pairs))
}

async fn put_together(house: &House) {
    let film = bytes(CHUNK * 5 + 321);
    let cuts = [0, CHUNK + 77, CHUNK * 3, film.len()];
    let ranges: Vec<&[u8]> = cuts.windows(2).map(|cut| &film[cut[0]..cut[1]]).collect();
    let parts = join_all(ranges.iter().map(|range| part(house, range.len()))).await;
    let list: Vec<&str> = parts.iter().map(String::as_str).collect();
    let named = [("filename", "film.mp4")];
    let early = join(house, &list, &named).send().await.unwrap();
    problem(early, 409, "part-not-ready").await;
    let told = head(house, &parts[0]).await;
    assert_eq!(field(&told, "upload-concat").unwrap(), "partial");
    join_all(parts.iter().zip(&ranges).map(async |(url, range)| {
        let half = range.len() / 2;
        send(house, url, 0, &range[..half]).await;
        send(house, url, half, &range[half..]).await;
        // Until it is put together with others, its time may be over.
        let told = head(house, url).await;
        assert!(field(&told, "upload-expires").is_some(), "{told:?}");
    }))
    .await;
    for (request, status, kind) in [
        (join(house, &list, &[]), 400, "unknown-format"),
        (join(house, &[list[0], list[0]], &named), 400, "bad-request"),
        (
            join(house, &[list[0], "/absent"], &named),
            404,
            "upload-not-found",
        ),
        (
            join(house, &list, &named).header("upload-length", film.len()),
            400,
            "bad-request",
        ),
    ] {
        problem(request.send().await.unwrap(), status, kind).await;
    }
    let answer = join(house, &list, &named).send().await.unwrap();
    let (url, video) = begun(&answer);
    assert_eq!(original(house, &video).await.unwrap(), film);
    assert_eq!(objects(house), [""; 0]);
    let again = join(house, &list, &named).send().await.unwrap();
    assert_eq!(
        begun(&again),
        (url.clone(), video.clone()),
        "its answer may have been lost"
    );
    let other = join(house, &[list[1], list[0]], &named)
        .send()
        .await
        .unwrap();
    problem(other, 409, "part-not-ready").await;
    let told = head(house, &url).await;
    assert_eq!(
        field(&told, "upload-concat").unwrap(),
        format!("final;{}", list.join(" "))
    );
    assert_eq!(offset(&told), film.len());
    let more = patch(house, &url, film.len()).send().await.unwrap();
    problem(more, 403, "upload-is-final").await;
    let gone = ask(house, Method::DELETE, list[0]).send().await.unwrap();
    problem(gone, 409, "upload-complete").await;
    let found = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!(found.state, State::Processing);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_together_must_be_what_was_promised() {
    let house = quiet().await;
    let url = part(&house, 9).await;
    send(&house, &url, 0, b"some film").await;
    let promised = Digest::of(b"another").to_string();
    let pairs = [("filename", "film.mp4"), ("sha256", promised.as_str())];
    let answer = join(&house, &[&url], &pairs).send().await.unwrap();
    let told = problem(answer, 422, "wrong-whole-digest").await;
    assert!(told["detail"].as_str().unwrap().contains("once more"));
    let counts = house.catalog.videos.count().await.unwrap();
    assert_eq!(counts, [(State::Failed, 1)]);
    // Its publisher has lost nothing by a slip of the pen.
    let named = [("filename", "film.mp4")];
    let answer = join(&house, &[&url], &named).send().await.unwrap();
    let (_, video) = begun(&answer);
    assert_eq!(original(&house, &video).await.unwrap(), b"some film");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_send_the_same_bytes_at_several_instances_make_one_film() {
    let house = quiet().await;
    let settings = house.config.clone().check().unwrap();
    let clock = Arc::new(runtime::clock::System);
    let second = ingest::start(settings, clock).await.unwrap();
    let film = bytes(CHUNK * 4 + 99);
    let (url, video) = begin(&house, film.len()).await;
    let path = url.split_once("/v1").unwrap().1.to_owned();
    let there = format!("http://{}/v1{path}", second.listen);
    let go_on = async |url: &str| {
        loop {
            let at = offset(&head(&house, url).await);
            if at == film.len() {
                break;
            }
            let end = film.len().min(at + 30_000);
            let sent = patch(&house, url, at).body(film[at..end].to_vec());
            let sent = sent.send().await.unwrap();
            let status = sent.status().as_u16();
            // Whoever has heard of too little sends what is there already.
            assert!([204, 409].contains(&status), "{status}");
        }
    };
    tokio::join!(go_on(&url), go_on(&there), go_on(&url), go_on(&there));
    assert_eq!(original(&house, &video).await.unwrap(), film);
    assert_eq!(objects(&house), [""; 0]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_little_comes_at_a_time_it_does_not_become_many_pieces() {
    let house = quiet().await;
    let film = bytes(CHUNK / 2);
    let (url, video) = begin(&house, film.len()).await;
    for (at, little) in film.chunks(500).enumerate() {
        let at = at * 500;
        if at + little.len() == film.len() {
            // Pieces of a quarter of a chunk and more, and one that is growing.
            assert!(objects(&house).len() <= 3, "{:?}", objects(&house));
        }
        send(&house, &url, at, little).await;
    }
    assert_eq!(original(&house, &video).await.unwrap(), film);
}
