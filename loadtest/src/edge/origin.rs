//! The bench's own tiny origin: one thread on the loader's core that answers by what a path says.
//!
//! ```text
//! /v/plain-<bytes>/…    at once
//! /v/slow-<bytes>/…     the first byte after 0.2 s, then 2 MB/s
//! /v/nostore-<bytes>/…  after 0.2 s, private, not to be stored
//! /v/down-<bytes>/…     503 after 0.2 s
//! ```
//! A body begins with a mark of its path; what follows is the same for all.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The running origin. It ends with the process.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    requests: AtomicUsize,
    /// What became of the paths that are no plain ones.
    watched: Mutex<HashMap<String, Watched>>,
}

/// What one path saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watched {
    pub(super) requests: usize,
    /// When the first byte of the first answer's body went out.
    pub(super) first: Option<Instant>,
}

/// How a path is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    Slow,
    NoStore,
    Down,
}

impl Way {
    const ALL: [Self; 4] = [Self::Plain, Self::Slow, Self::NoStore, Self::Down];

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Slow => "slow",
            Self::NoStore => "nostore",
            Self::Down => "down",
        }
    }

    /// The directory of things of a size that are answered so.
    pub(super) fn directory(self, bytes: usize) -> String {
        format!("/v/{}-{bytes}/", self.name())
    }

    /// The path of one of them.
    pub(super) fn path(self, bytes: usize, number: usize) -> String {
        format!("{}1080p/segment_{number}.m4s", self.directory(bytes))
    }

    fn read(path: &str) -> Option<(Self, usize)> {
        let (first, _) = path.strip_prefix("/v/")?.split_once('/')?;
        let (name, bytes) = first.split_once('-')?;
        let way = Self::ALL.into_iter().find(|way| way.name() == name)?;
        let bytes = bytes.parse().ok()?;
        (MARK..=MOST).contains(&bytes).then_some((way, bytes))
    }
}

impl Origin {
    /// Starts it, on the core of the thread that calls.
    pub(super) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || runtime.block_on(serve(listener, shared)))
            .context("no thread for the origin")?;
        Ok(Self { address, state })
    }

    /// Requests that it has had.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// What a path saw that is no plain one.
    pub(super) fn watched(&self, path: &str) -> Watched {
        let watched = self.state.watched.lock();
        let watched = watched.unwrap_or_else(PoisonError::into_inner);
        watched.get(path).copied().unwrap_or_default()
    }
}

/// The first bytes of a body.
pub(super) fn mark(path: &str) -> [u8; MARK] {
    let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.to_be_bytes()
}

/// What every body holds behind its mark.
pub(super) static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = (0..MOST / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
});

async fn serve(listener: std::net::TcpListener, state: Arc<State>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let state = Arc::clone(&state);
        // A server that is stopped may close a connection within an answer.
        tokio::spawn(async move { drop(connection(stream, &state).await) });
    }
}

async fn connection(mut stream: TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::with_capacity(2048);
    loop {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
                break end + 4;
            }
            if head.len() > LONGEST_HEAD || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        };
        let path = head.get(..end).and_then(path_of).unwrap_or_default();
        answer(&mut stream, &path, state).await?;
        head.drain(..end);
    }
}

fn path_of(head: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(head).ok()?.strip_prefix("GET ")?;
    let (target, _) = line.split_once(' ')?;
    // nginx hands on the query of its signed addresses.
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Some(path.to_owned())
}

async fn answer(stream: &mut TcpStream, path: &str, state: &State) -> io::Result<()> {
    state.requests.fetch_add(1, Ordering::Relaxed);
    let Some((way, bytes)) = Way::read(path) else {
        let nothing = &b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..];
        return stream.write_all(nothing).await;
    };
    if way != Way::Plain {
        state.watch(path, |watched| watched.requests += 1);
        tokio::time::sleep(FIRST_BYTE).await;
    }
    let (status, control) = match way {
        Way::Plain | Way::Slow => ("200 OK", "public, max-age=31536000, immutable"),
        Way::NoStore => ("200 OK", "private, no-store"),
        Way::Down => ("503 Service Unavailable", "no-store"),
    };
    let mark = mark(path);
    let etag = hex(&mark);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: video/mp4\r\ncontent-length: {bytes}\r\ncache-control: {control}\r\netag: \"{etag}\"\r\n\r\n"
    );
    let rest = PATTERN.slice(MARK..bytes);
    let start = Bytes::from([head.as_bytes(), &mark].concat());
    if way == Way::Plain {
        return stream.write_all_buf(&mut start.chain(rest)).await;
    }
    state.watch(path, |watched| {
        watched.first.get_or_insert_with(Instant::now);
    });
    stream.write_all(&start).await?;
    if way == Way::Slow {
        return drip(stream, rest).await;
    }
    stream.write_all(&rest).await
}

/// Sends at [`RATE`], whatever a write takes.
async fn drip(stream: &mut TcpStream, body: Bytes) -> io::Result<()> {
    let start = tokio::time::Instant::now();
    for (at, piece) in (0_u32..).zip(body.chunks(DRIP)) {
        tokio::time::sleep_until(start + DRIP_EVERY * at).await;
        stream.write_all(piece).await?;
    }
    Ok(())
}

impl State {
    fn watch(&self, path: &str, note: impl FnOnce(&mut Watched)) {
        let watched = self.watched.lock();
        let mut watched = watched.unwrap_or_else(PoisonError::into_inner);
        note(watched.entry(path.to_owned()).or_default());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of a mark.
pub(super) const MARK: usize = 8;
/// The largest body.
pub(super) const MOST: usize = 4 << 20;
/// When what is not plain begins.
pub(super) const FIRST_BYTE: Duration = Duration::from_millis(200);
/// 2 MB/s.
const DRIP: usize = 20_000;
const DRIP_EVERY: Duration = Duration::from_millis(10);
const LONGEST_HEAD: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_how_it_is_answered() {
        for way in Way::ALL {
            assert_eq!(Way::read(&way.path(4096, 7)), Some((way, 4096)));
        }
        for other in [
            "/v/plain-4/x",
            "/v/plain-99999999/x",
            "/v/fast-4096/x",
            "/x",
        ] {
            assert_eq!(Way::read(other), None, "{other}");
        }
    }

    #[test]
    fn things_of_one_size_differ_in_their_marks() {
        assert_ne!(
            mark(&Way::Plain.path(4096, 1)),
            mark(&Way::Plain.path(4096, 2))
        );
        assert_eq!(PATTERN.len(), MOST);
    }
}
