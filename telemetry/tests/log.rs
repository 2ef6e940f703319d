//! The log of one machine: its promises, and what a crash leaves of it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something else than it wants must fail"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use telemetry::log::conformance::{all, everything};
use telemetry::log::{Embedded, Error, EventLog as _, Limits, check_address};

const LIMITS: Limits = Limits {
    bytes: 1 << 30,
    segment: 1 << 20,
};

async fn open(folder: &Path, limits: Limits) -> Embedded {
    Embedded::open(folder.to_owned(), limits).await.unwrap()
}

/// The segments of a log, oldest first.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_one_machine_keeps_its_promises() {
    for segment in [1 << 20, 1000] {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { segment, ..LIMITS };
        all(Arc::new(open(folder.path(), limits).await)).await;
        // What was appended is there when it is opened again, under the same name.
        let log = open(folder.path(), limits).await;
        let (before, name) = (everything(&log, 0).await, log.name().to_owned());
        drop(log);
        let log = open(folder.path(), limits).await;
        assert_eq!(log.name(), name);
        assert_eq!(everything(&log, 0).await, before);
        assert!(before.len() > 50);
    }
}

#[tokio::test]
async fn a_log_has_one_owner_and_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), LIMITS).await;
    let other = Embedded::open(folder.path().to_owned(), LIMITS).await;
    assert!(matches!(other, Err(Error::InUse { .. })));
    drop(log);
    let address = format!("file://{}/a/b", folder.path().display());
    telemetry::log::open(&address, LIMITS).await.unwrap();
    for wrong in [
        "",
        "/var/lib/x",
        "file://",
        "file:///",
        "file://x/y",
        "kafka://a/b",
    ] {
        let refused = check_address(wrong).unwrap_err().to_string();
        assert!(refused.contains("file:///absolute/path"), "{refused}");
    }
}

#[tokio::test]
async fn cut_off_at_any_byte_it_has_all_that_was_whole_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), LIMITS).await;
    let mut ends = vec![0];
    for number in 0..6_u8 {
        log.append(vec![number + 100; 1 + usize::from(number)])
            .await
            .unwrap();
        ends.push(log.extent().end);
    }
    let written = everything(&log, 0).await;
    drop(log);
    let path = segments(folder.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    for length in 0..=bytes.len() {
        // What a crash leaves behind what was flushed may be anything.
        for tail in [&[][..], &[0; 40], &[255; 40], &bytes[..length]] {
            fs::write(&path, [&bytes[..length], tail].concat()).unwrap();
            let log = open(folder.path(), LIMITS).await;
            let whole = ends.iter().filter(|end| **end <= length as u64).count() - 1;
            assert_eq!(
                everything(&log, 0).await,
                written[..whole],
                "{length} bytes"
            );
            log.append(b"after".to_vec()).await.unwrap();
            let all = everything(&log, 0).await;
            assert_eq!(all[..whole], written[..whole]);
            assert_eq!(all[whole..], [b"after"]);
        }
    }
}

#[tokio::test]
async fn a_damaged_record_is_passed_over_and_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        segment: 100,
        ..LIMITS
    };
    let log = open(folder.path(), limits).await;
    for number in 0..20_u8 {
        log.append(vec![number; 30]).await.unwrap();
    }
    let first = segments(folder.path()).remove(0);
    let good = fs::read(&first).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&first, &bytes).unwrap();
        let (mut from, mut read, mut damaged) = (0, Vec::new(), 0);
        loop {
            let page = log.read(from, 1000).await.unwrap();
            if page.next == from {
                break;
            }
            damaged += page.damaged;
            read.extend(page.records);
            from = page.next;
        }
        // What stands before the damage is read, and so is what stands in other segments.
        let lost = 3 - at / 38;
        assert_eq!((read.len(), damaged), (20 - lost, lost as u64 * 38), "{at}");
        assert!(read.iter().all(|record| *record == vec![record[0]; 30]));
    }
    fs::remove_file(&first).unwrap();
    let page = log.read(0, 1000).await.unwrap();
    assert_eq!((page.records.len(), page.damaged), (0, good.len() as u64));
}

#[tokio::test]
async fn it_grows_no_further_than_it_may_and_takes_more_when_something_went() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        bytes: 10_000,
        segment: 1000,
    };
    let log = open(folder.path(), limits).await;
    let full = loop {
        if let Err(error) = log.append(vec![7; 92]).await {
            break error;
        }
    };
    assert!(matches!(full, Error::Full), "{full}");
    assert_eq!(log.extent().end, 10_000);
    assert!(matches!(log.append(vec![7]).await, Err(Error::Full)));
    let kept = segments(folder.path()).len();
    log.release(1999).await.unwrap();
    assert_eq!(log.extent().first, 1000);
    assert_eq!(segments(folder.path()).len(), kept - 1);
    for _ in 0..10 {
        log.append(vec![8; 92]).await.unwrap();
    }
    assert!(matches!(log.append(vec![7; 92]).await, Err(Error::Full)));
    log.release(log.extent().end).await.unwrap();
    let extent = log.extent();
    assert!(extent.end - extent.first < 1000);
    // A place that is gone is read from the first that is there.
    assert_eq!(log.read(0, 1000).await.unwrap().next, extent.end);
}

/// The process that is killed: appends numbers from four tasks, and prints each once it is acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the test below, which kills it"]
async fn append_until_killed() {
    let folder = std::env::var("MILLRACE_TEST_LOG").unwrap();
    let limits = Limits {
        segment: 20_000,
        ..LIMITS
    };
    let log = Arc::new(open(Path::new(&folder), limits).await);
    let mut tasks = Vec::new();
    for task in 0..4_u32 {
        let log = Arc::clone(&log);
        tasks.push(tokio::spawn(async move {
            for number in 0..1_000_000_u32 {
                let record = format!("{task} {number} {}", "x".repeat(number as usize % 500));
                log.append(record.into_bytes()).await.unwrap();
                println!("\nacknowledged {task} {number}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn killed_at_any_moment_it_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6_usize {
        let fresh = folder.path().join(round.to_string());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "append_until_killed", "--ignored", "--nocapture"])
            .env("MILLRACE_TEST_LOG", &fresh)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        acknowledged.clear();
        let mut killed = false;
        for line in lines.map_while(Result::ok) {
            // What was printed before it was killed is read to its end.
            if let Some(said) = line.strip_prefix("acknowledged ") {
                acknowledged.push(format!("{said} "));
            }
            if acknowledged.len() > 37 * (round + 1) && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed);
        let log = open(&fresh, LIMITS).await;
        let kept = everything(&log, 0).await;
        let kept: Vec<String> = kept
            .into_iter()
            .map(|record| String::from_utf8(record).unwrap())
            .collect();
        for one in &acknowledged {
            // A line that was cut off by the kill acknowledges nothing.
            let whole = one.trim().split(' ').count() == 2;
            assert!(
                !whole || kept.iter().any(|record| record.starts_with(one)),
                "{one}"
            );
        }
        for record in &kept {
            let words: Vec<&str> = record.split(' ').collect();
            let number: usize = words[1].parse().unwrap();
            assert_eq!(words[2], "x".repeat(number % 500), "none is half there");
        }
    }
}
