//! What objects on disk cost, and how soon a node serves them again: `cargo bench -p tier --bench disk`.
//!
//! It works in cargo's folder for temporary files, or in the directory that is given behind `--`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and ends where something is broken"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use pingora::cache::storage::Storage as _;
use pingora::cache::trace::Span;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;
use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};
use tier::cache::Cache;
use tier::cache::disk::Settings;
use tier::cache::disk::format::{Entry, Kind, Life, footer};

#[tokio::main(worker_threads = 2)]
async fn main() {
    let given = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let parent = given.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    println!("s of processor time a GB, and peak memory so far:");
    println!(
        "{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "object", "memory", "written", "read", "again", "MB"
    );
    for size in [64 << 10, 1 << 20, 4 << 20] {
        through(&parent, size).await;
    }
    println!(
        "starting on 100 GB in segments of 256 MiB: s, of it processor time, and bytes an object:"
    );
    println!(
        "{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "object", "objects", "cold", "CPU", "warm", "memory"
    );
    for size in [4 << 20, 1 << 20, 256 << 10, 64 << 10] {
        start(&parent, size).await;
    }
    let directory = tempfile::tempdir_in(&parent).unwrap();
    killed(directory.path()).await;
}

/// Writes objects through the cache, and reads them from the disk and from the page cache.
async fn through(parent: &str, size: usize) {
    let count = TOTAL / size;
    let memory: &'static Cache = Box::leak(Box::new(Cache::new(MEMORY)));
    let alone = cost(fill(memory, 0..count, size)).await;
    memory.close().await;
    let directory = tempfile::tempdir_in(parent).unwrap();
    let settings = settings(directory.path(), 4 << 30, SEGMENT);
    let cache = open(&settings).await;
    let both = cost(fill(cache, 0..count, size)).await;
    let figures = cache.volumes().first().unwrap().figures();
    let written = figures.written.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(written, count as u64, "each was written");
    cache.close().await;
    let cache = open(&settings).await;
    let first = cost(read(cache, 0..count)).await;
    let again = cost(read(cache, 0..count)).await;
    cache.close().await;
    let size = format!("{} KiB", size >> 10);
    let written = both - alone;
    println!(
        "{size:>10}{alone:>10.2}{written:>10.2}{first:>10.2}{again:>10.2}{:>10}",
        status("VmHWM:") >> 10
    );
}

async fn fill(cache: &'static Cache, objects: std::ops::Range<usize>, size: usize) {
    let trace = Span::inactive().handle();
    let body: Vec<u8> = (0..size)
        .map(|at| (at * 7 + at / 251).to_le_bytes()[0])
        .collect();
    let meta = meta(size);
    for n in objects {
        let fill = cache.get_miss_handler(&key(n), &meta, &trace).await;
        let mut fill = fill.unwrap();
        for piece in body.chunks(PIECE) {
            fill.write_body(Bytes::copy_from_slice(piece), false)
                .await
                .unwrap();
        }
        fill.finish().await.unwrap();
        settled(cache, QUEUE / 2).await;
    }
    settled(cache, 0).await;
}

/// Waits until no more than `most` bytes wait to be written.
async fn settled(cache: &Cache, most: usize) {
    while cache.volumes().iter().any(|disk| disk.queued() > most) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn read(cache: &'static Cache, objects: std::ops::Range<usize>) {
    let trace = Span::inactive().handle();
    for n in objects {
        let (_, mut hit) = cache.lookup(&key(n), &trace).await.unwrap().unwrap();
        while hit.read_body().await.unwrap().is_some() {}
    }
}

/// Starts on files that have headers and footers, and nothing between.
async fn start(parent: &str, size: u32) {
    let directory = tempfile::tempdir_in(parent).unwrap();
    let each = SEGMENT / (size + 1024);
    let segments = u32::try_from(100_000_000_000 / u64::from(SEGMENT)).unwrap();
    for slot in 0..segments {
        segment(directory.path(), slot, each, size);
    }
    // With room for two more: otherwise the oldest would go at once.
    let settings = settings(directory.path(), (u64::from(segments) + 2) << 28, SEGMENT);
    let before = status("VmRSS:");
    let (cold, cpu, cache) = opened(&settings).await;
    let objects = cache.volumes().first().unwrap().objects();
    assert_eq!(objects, (segments * each) as usize);
    let memory = (status("VmRSS:").saturating_sub(before) << 10) / objects;
    cache.close().await;
    let (warm, _, cache) = opened(&settings).await;
    cache.close().await;
    let size = format!("{} KiB", size >> 10);
    println!("{size:>10}{objects:>10}{cold:>10.3}{cpu:>10.3}{warm:>10.3}{memory:>10}");
}

/// Starts after a kill, with a segment that was nearly full.
async fn killed(directory: &Path) {
    let (living, dead) = (directory.join("living"), directory.join("dead"));
    for path in [&living, &dead] {
        std::fs::create_dir(path).unwrap();
    }
    let cache = open(&settings(&living, 4 << 30, SEGMENT)).await;
    fill(cache, 0..250, 1 << 20).await;
    // The process is alive and has the lock; what it would leave behind is in the files.
    for entry in std::fs::read_dir(&living).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some() {
            let copy = dead.join(path.file_name().unwrap());
            std::fs::copy(&path, &copy).unwrap();
            evict(&File::open(copy).unwrap());
        }
    }
    let (wall, cpu, cache) = opened(&settings(&dead, 4 << 30, SEGMENT)).await;
    let objects = cache.volumes().first().unwrap().objects();
    assert_eq!(objects, 250);
    println!(
        "and beyond, after a kill, for 250 MiB in a segment without footer: {wall:.3}, of it {cpu:.3}"
    );
    cache.close().await;
}

/// A sparse segment file of so many objects, not in the page cache.
fn segment(directory: &Path, slot: u32, objects: u32, size: u32) {
    let file = File::create(directory.join(format!("{slot:05}.segment"))).unwrap();
    file.set_len(u64::from(SEGMENT)).unwrap();
    let life = Life {
        generation: u64::from(slot) + 1,
        salt: u64::from(slot) * 77,
    };
    let entry = |n: u32| {
        let number = u128::from(slot) << 32 | u128::from(n);
        Entry {
            kind: Kind::Object,
            // As good as a hash: the bytes that choose a place are spread.
            key: number
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                .to_be_bytes(),
            offset: 64 + n * (size + 1024),
            length: size + 512,
        }
    };
    let end = footer(life, &(0..objects).map(entry).collect::<Vec<_>>());
    file.write_all_at(&life.header(SEGMENT), 0).unwrap();
    file.write_all_at(&end, u64::from(SEGMENT) - end.len() as u64)
        .unwrap();
    evict(&file);
}

/// Has the file on the disk only.
fn evict(file: &File) {
    file.sync_all().unwrap();
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

async fn opened(settings: &Settings) -> (f64, f64, &'static Cache) {
    let (begun, cpu) = (Instant::now(), processor());
    let cache = open(settings).await;
    (begun.elapsed().as_secs_f64(), processor() - cpu, cache)
}

async fn open(settings: &Settings) -> &'static Cache {
    let cache: &'static Cache = Box::leak(Box::new(Cache::with_disks(MEMORY, settings)));
    cache.ready().await;
    cache
}

fn settings(directory: &Path, size: u64, segment: u32) -> Settings {
    Settings {
        directories: vec![(PathBuf::from(directory), size)],
        segment,
        queue: QUEUE,
        admit_after: 1,
        // Nothing rises into memory.
        promote_within: Duration::ZERO,
        retry: Duration::from_secs(30),
    }
}

fn key(n: usize) -> CacheKey {
    tier::key::build("zone", &format!("/{n}"))
}

fn meta(length: usize) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    header.insert_header("content-length", length).unwrap();
    let until = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    CacheMeta::new(until, UNIX_EPOCH, 0, 0, header)
}

/// Processor time of the whole process, kernel included, a GB.
async fn cost(work: impl Future<Output = ()>) -> f64 {
    let before = processor();
    work.await;
    (processor() - before) * 1e9 / TOTAL as f64
}

fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A figure of the process in KiB.
fn status(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

const TOTAL: usize = 1 << 30;
const SEGMENT: u32 = 256 << 20;
const MEMORY: usize = 64 << 20;
const QUEUE: usize = 8 << 20;
/// What a fill's reads bring at a time.
const PIECE: usize = 64 << 10;
