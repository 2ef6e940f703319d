//! Clients that others wrote upload over tus, are killed wherever it may be, and go on.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use config::ByteSize;
use contracts::id::VideoId;
use house::{House, clients, installed, tool};
use store::{Digest, layout};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Notify,
};

/// How often each client is killed.
const KILLS: u64 = 20;
/// After how many bytes at most: so few that the film is never whole before the last time.
const MOST: u64 = 250_000;
const FILM: u64 = (KILLS + 4) * MOST;

#[tokio::test(flavor = "multi_thread")]
async fn tus_js_client_is_killed_twenty_times_and_the_film_arrives_as_it_was() {
    if let Some(client) = Client::tus_js() {
        killed(client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy_is_killed_twenty_times_and_the_film_arrives_as_it_was() {
    if let Some(client) = Client::tuspy() {
        killed(client).await;
    }
}

async fn killed(client: Client) {
    let site = Site::new().await;
    let mut dice = Dice::new();
    let file = site.film(&mut dice);
    for _ in 0..KILLS {
        let after = dice.below(MOST) + 1;
        site.wire.cut_after(after);
        let mut child = client.command(&site, &[]).spawn().unwrap();
        tokio::select! {
            // Who is cut off soon ends by itself.
            biased;
            () = site.wire.cut.notified() => child.kill().await.unwrap(),
            ended = child.wait() => panic!("it ended by itself: {ended:?}"),
        }
    }
    site.wire.cut_after(u64::MAX);
    let told = client.command(&site, &[]).output().await.unwrap();
    let sent = u64::MAX - site.wire.left.load(Ordering::SeqCst);
    println!("the last of {} runs sent {sent} bytes of {FILM}", KILLS + 1);
    site.arrived(&told, &file).await;
    assert!(sent < FILM, "nothing was kept of what came before");
}

#[tokio::test(flavor = "multi_thread")]
async fn tus_js_client_sends_four_parts_at_once() {
    if let Some(client) = Client::tus_js() {
        at_once(&client, "4").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy_sends_checksums() {
    if let Some(client) = Client::tuspy() {
        at_once(&client, "300000").await;
    }
}

async fn at_once(client: &Client, how: &str) {
    let site = Site::new().await;
    let file = site.film(&mut Dice::new());
    let told = client.command(&site, &[how]).output().await.unwrap();
    site.arrived(&told, &file).await;
}

/// A client, as a program of its own.
struct Client {
    program: PathBuf,
    script: &'static str,
}

impl Client {
    fn tus_js() -> Option<Self> {
        let there = clients().join("node_modules/tus-js-client");
        let (program, script) = ("node".into(), "upload.mjs");
        installed(there).map(|_| Self { program, script })
    }

    fn tuspy() -> Option<Self> {
        let program = tool("tuspy")?;
        let script = "upload.py";
        Some(Self { program, script })
    }

    fn command(&self, site: &Site, more: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(clients().join(self.script))
            .arg(format!("{}/v1/videos/upload/tus", site.wire.base))
            .arg(site.house.folder.path().join("film.mp4"))
            .arg(site.house.folder.path().join("note"))
            .args(more)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// An ingest behind a wire that may be cut.
struct Site {
    house: House,
    wire: Wire,
}

impl Site {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let house = House::with(|config| {
            config.workers = 0;
            config.public_base = base.clone();
            config.chunk = ByteSize(256 << 10);
        });
        let house = house.await;
        let to = house.url("").replace("http://", "");
        let wire = Wire::new(listener, base, to);
        Self { house, wire }
    }

    /// A film that is another each time.
    fn film(&self, dice: &mut Dice) -> Vec<u8> {
        let film: Vec<u8> = (0..FILM / 8)
            .flat_map(|_| dice.next().to_le_bytes())
            .collect();
        std::fs::write(self.house.folder.path().join("film.mp4"), &film).unwrap();
        film
    }

    async fn arrived(&self, told: &Output, film: &[u8]) {
        let said = String::from_utf8_lossy(&told.stdout);
        let complaint = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success(), "{said}{complaint}");
        let head = self
            .house
            .client
            .head(said.trim())
            .header("tus-resumable", "1.0.0");
        let head = head.send().await.unwrap();
        assert_eq!(head.headers()["upload-offset"], film.len().to_string());
        let video = head.headers()["x-video-id"].to_str().unwrap();
        let key = layout::original(&VideoId::parse(video).unwrap(), "mp4").unwrap();
        let stored = self.house.store.read(&key).await.unwrap().unwrap();
        assert_eq!(Digest::of(&stored), Digest::of(film));
    }
}

/// What lies between a client and ingest.
struct Wire {
    base: String,
    left: Arc<AtomicU64>,
    /// Told when it was cut.
    cut: Arc<Notify>,
}

impl Wire {
    fn new(listener: TcpListener, base: String, to: String) -> Self {
        let (left, cut) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(Notify::new()));
        let wire = Self {
            base,
            left: Arc::clone(&left),
            cut: Arc::clone(&cut),
        };
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(carry(near, far, Arc::clone(&left), Arc::clone(&cut)));
            }
        });
        wire
    }

    /// Lets so many bytes of clients through, and not one more.
    fn cut_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }
}

async fn carry(near: TcpStream, far: TcpStream, left: Arc<AtomicU64>, cut: Arc<Notify>) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_far, &mut to_near).await });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from_near.read(&mut buffer).await {
        let take = |left: u64| Some(left.saturating_sub(length as u64));
        let before = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .unwrap();
        let passes = usize::try_from(before).unwrap_or(usize::MAX).min(length);
        if to_far.write_all(&buffer[..passes]).await.is_err() {
            break;
        }
        if passes < length || before == length as u64 {
            cut.notify_one();
            break;
        }
    }
    let _ = to_far.shutdown().await;
    back.abort();
}

/// Random numbers of a seed that is printed; `UPLOAD_SEED` asks for the same again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let mut drawn = [0; 8];
        getrandom::fill(&mut drawn).unwrap();
        let wished = std::env::var("UPLOAD_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = wished.unwrap_or_else(|| u64::from_le_bytes(drawn));
        println!("UPLOAD_SEED={seed}");
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
