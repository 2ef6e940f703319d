//! A real S3 server for tests: s3s over a folder, on a port of its own, gone with what started it.
//!
//! It checks signatures and digests as servers do, and refuses parts that are too short. Objects are files, so that a
//! test can look at what is there, and spoil it.
#![expect(
    clippy::expect_used,
    reason = "a server that cannot be started ends the test"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The id of the one access key that the server knows.
pub const KEY_ID: &str = "test-key-id";
/// The secret of that key.
pub const SECRET: &str = "test-key-s3cret";

/// A server that runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    folder: TempDir,
    buckets: AtomicU32,
    /// Whether it may be told to give up parts.
    keeps_parts: Arc<AtomicBool>,
    /// Taken when it is dropped, which may be where no thread may wait.
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts a server.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let root = folder.path().join("root");
        fs::create_dir(&root).expect("a folder can be made");
        fs::write(folder.path().join("key"), format!("{KEY_ID} {SECRET}\n"))
            .expect("a file can be written");
        let mut service =
            S3ServiceBuilder::new(FileSystem::new(&root).expect("the folder is there"));
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        listener.set_nonblocking(true).expect("it need not block");
        let keeps_parts = Arc::new(AtomicBool::new(false));
        let house = House {
            service: service.build(),
            root: root.into(),
            keeps_parts: Arc::clone(&keeps_parts),
        };
        runtime.spawn(serve(listener, house));
        Self {
            address,
            folder,
            buckets: AtomicU32::new(0),
            keeps_parts,
            runtime: Some(runtime),
        }
    }

    /// Has the server refuse to give up parts from now on, as it does to a key that may not, or do so again.
    pub fn keep_parts(&self, keep: bool) {
        self.keeps_parts.store(keep, Ordering::Relaxed);
    }

    /// Makes a bucket, and returns its name.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn bucket(&self) -> String {
        let number = self.buckets.fetch_add(1, Ordering::Relaxed);
        let name = format!("bucket-{number}");
        fs::create_dir(self.root().join(&name)).expect("a bucket can be made");
        name
    }

    /// The address of a store in a new bucket.
    #[must_use]
    pub fn store(&self) -> String {
        self.store_in(&self.bucket(), &self.key())
    }

    /// The address of a store in this bucket, by this file of an access key.
    #[must_use]
    pub fn store_in(&self, bucket: &str, key: &Path) -> String {
        let (server, key) = (self.url(), key.display());
        format!("s3://{bucket}/house?endpoint={server}&credentials={key}")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the server is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The file of the access key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// The folder in which buckets are folders and objects files.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// How many multipart uploads are under way, and how many of their parts are there.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        let entries = fs::read_dir(self.root()).expect("the folder is there");
        let names = entries.flatten().map(|entry| entry.file_name());
        let names: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let count = |start: &str| names.iter().filter(|name| name.starts_with(start)).count();
        (count(".upload-"), count(".upload_id-"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What answers.
#[derive(Clone)]
struct House {
    service: S3Service,
    root: Arc<Path>,
    keeps_parts: Arc<AtomicBool>,
}

async fn serve(listener: std::net::TcpListener, house: House) {
    let listener = TcpListener::from_std(listener).expect("it listens");
    while let Ok((connection, _)) = listener.accept().await {
        let house = house.clone();
        let answer = service_fn(move |request| answer(house.clone(), request));
        tokio::spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            let served = http.serve_connection(TokioIo::new(connection), answer);
            drop(served.await);
        });
    }
}

/// What the service behind it does not do as servers do.
async fn answer(house: House, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
    let path = request.uri().path().trim_start_matches('/');
    let names_object = path.trim_end_matches('/').contains('/');
    let bucket = path.split('/').next().unwrap_or_default();
    if !house.root.join(bucket).is_dir() {
        return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchBucket"));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // Folders are no objects, though they lie where objects do.
    if reads && names_object && house.root.join(path).is_dir() {
        return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchKey"));
    }
    if let Some(upload) = upload(&request) {
        let prefix = format!(".upload-{upload}");
        let mut entries = fs::read_dir(&house.root).into_iter().flatten().flatten();
        let is_it = |name: &str| name.starts_with(&prefix);
        if !entries.any(|entry| entry.file_name().to_str().is_some_and(is_it)) {
            return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchUpload"));
        }
        let gives_up = *request.method() == Method::DELETE;
        if gives_up && house.keeps_parts.load(Ordering::Relaxed) {
            return Ok(refusal(StatusCode::FORBIDDEN, "AccessDenied"));
        }
    }
    house.service.call(request.map(Body::from)).await
}

/// The multipart upload that a request is about.
fn upload(request: &Request<Incoming>) -> Option<&str> {
    let mut query = request.uri().query()?.split('&');
    query.find_map(|pair| pair.strip_prefix("uploadId="))
}

fn refusal(status: StatusCode, code: &str) -> Response<Body> {
    let body = format!("<Error><Code>{code}</Code></Error>");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}
