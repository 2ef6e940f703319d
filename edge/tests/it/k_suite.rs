//! The public HTTP-cache suite against an edge that serves a site.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use edge::config::Serve;
use futures_util::stream;
use http::{HeaderName, header};
use tier::Protocol;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::house::House;

/// Of 157 required in this edition of the suite, and of 86 optimal; docs/http-cache.md says what becomes of the others.
const REQUIRED: u64 = 151;
const OPTIMAL: u64 = 80;
/// Over HTTP/2 an answer's `Date` is the library's; and the suite's seconds are real ones, in which more happens there.
const FEWER_ELSEWHERE: u64 = 3;

#[tokio::test]
async fn the_public_cache_suite_finds_little_to_object_to() {
    suite(None).await;
}

#[tokio::test]
async fn nor_does_it_over_http2() {
    suite(Some(Protocol::H2)).await;
}

#[tokio::test]
async fn nor_does_it_over_http3() {
    suite(Some(Protocol::H3)).await;
}

/// Runs it over plain HTTP/1.1, the only protocol that it speaks, or through an interpreter.
#[expect(clippy::print_stdout, reason = "the score is for whoever asks for it")]
async fn suite(through: Option<Protocol>) {
    let web = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../web"));
    if !web.join("node_modules/http-cache-tests").exists() {
        eprintln!("skipped: http-cache-tests is not installed (cargo xtask setup)");
        return;
    }
    let (mut server, url) = origin(&web).await;
    let house = House::before(url, |config| {
        config.serve = Serve::Site;
        config.site.client_control = true;
        config.site.share_cookies = true;
        config.listen.plain = "127.0.0.1:0".to_owned();
    })
    .await;
    let address = match through {
        Some(protocol) => interpreter(house.client(protocol)).await,
        None => house.edge.plain.unwrap(),
    };
    let base = format!("http://{address}");
    let run = Command::new("node")
        .args(["--no-warnings", "e2e/http-cache.mjs", &base])
        .current_dir(&web)
        .kill_on_drop(true)
        .output();
    let output = run.await.unwrap();
    server.kill().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    println!("{text}");
    let score: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let fewer = through.map_or(0, |_| FEWER_ELSEWHERE);
    for (kind, least) in [("required", REQUIRED - fewer), ("optimal", OPTIMAL - fewer)] {
        let passed = score[kind]["passed"].as_u64().unwrap();
        assert!(passed >= least, "{passed} {kind}, not {least}: {text}");
    }
}

/// Asks over another protocol what it is asked over HTTP/1.1, and passes on what comes as it comes.
async fn interpreter(client: Client) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(move |request: Request| {
        let client = client.clone();
        async move { interpreted(&client, request).await }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn interpreted(client: &Client, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let fields = head.headers.iter().filter(|(name, _)| is_passed_on(name));
    let fields: Vec<(&str, &str)> = fields
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let answer = client
        .send(head.method.as_str(), target, &fields, body)
        .await;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let body = stream::try_unfold(answer, async |mut answer| {
        let next = answer.next().await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(next.map(|bytes| (bytes, answer)))
    });
    response.body(Body::from_stream(body)).unwrap()
}

/// What concerns the connection with the interpreter alone is not.
fn is_passed_on(name: &HeaderName) -> bool {
    let of_connection = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::TRANSFER_ENCODING,
        HeaderName::from_static("keep-alive"),
    ];
    !of_connection.contains(name)
}

/// The suite's own origin, on a free port.
async fn origin(web: &std::path::Path) -> (Child, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new("node")
        .arg("--no-warnings")
        .arg(web.join("node_modules/http-cache-tests/server/server.mjs"))
        .env("npm_config_protocol", "http")
        .env("npm_config_port", "0")
        .env("npm_config_pidfile", folder.path().join("pid"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("it says where it listens");
        if line.starts_with("Listening on ") {
            break line;
        }
    };
    // It goes on talking; an unread pipe would stop it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let port = line.trim_end_matches('/').rsplit(':').next().unwrap();
    (server, format!("http://localhost:{port}"))
}
