//! What is behind the tiers: every path has a body of its own, as long as its name says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{Uri, header};
use bytes::Bytes;

/// A site, and an origin of public films, that counts what it was asked.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&asked));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(
    State(asked): State<Arc<AtomicUsize>>,
    uri: Uri,
) -> ([(header::HeaderName, &'static str); 2], Bytes) {
    asked.fetch_add(1, Ordering::Relaxed);
    let access = header::HeaderName::from_static("millrace-access");
    let cached = [(header::CACHE_CONTROL, "max-age=600"), (access, "public")];
    (cached, body(uri.path()))
}

/// The body of `/seed/length`, or of `/v/seed/720p/segment_length.m4s`.
pub(crate) fn body(path: &str) -> Bytes {
    let numbers = path
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok());
    let numbers: Vec<u32> = numbers.collect();
    let ([seed, length] | [seed, 720, length, 4]) = numbers[..] else {
        panic!("{path} has no body");
    };
    let word = |at: u32| (at.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)).to_le_bytes();
    let words = length.div_ceil(4);
    let mut bytes: Vec<u8> = (0..words).flat_map(word).collect();
    bytes.truncate(length as usize);
    bytes.into()
}
