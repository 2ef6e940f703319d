//! What the disk tier promises, over a directory in memory.

mod faults;
mod memory;
mod property;

use std::time::Duration;

use bytes::Bytes;

use self::memory::{Faults, Memory};
use super::format::{CHUNK, HEAD, HEADER};
use super::{Disks, Files, Key, Object, Pool, Settings, State, Stream};

const SEGMENT: u32 = 64 * 1024;

fn settings(segment: u32) -> Settings {
    Settings {
        directories: Vec::new(),
        segment,
        queue: 1 << 20,
        admit_after: 1,
        promote_within: Duration::from_secs(600),
        retry: Duration::from_secs(30),
    }
}

/// Opens a directory of `slots` segments.
async fn open_as(memory: &Memory, segment: u32, slots: u64) -> Disks {
    let size = u64::from(segment) * slots;
    let files: Box<dyn Files> = Box::new(memory.clone());
    let directories = vec![("disk".to_owned(), files, size)];
    let disks = Disks::over(directories, &settings(segment), &Pool::new(1 << 20));
    disks.ready().await;
    disks
}

async fn open(memory: &Memory) -> Disks {
    open_as(memory, SEGMENT, 4).await
}

fn key(n: u32) -> Key {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&n.to_le_bytes());
    key
}

fn body(n: u32, version: u32, length: usize) -> Vec<u8> {
    let mut state = n.wrapping_mul(2_654_435_761) ^ version.wrapping_mul(40_503) | 1;
    let byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(byte).take(length).collect()
}

fn object(n: u32, version: u32, length: usize) -> Object {
    let whole = body(n, version, length);
    Object {
        key: key(n),
        meta: version.to_le_bytes().to_vec(),
        body: whole.chunks(10_000).map(Bytes::copy_from_slice).collect(),
        hold: Box::new(()),
    }
}

/// Offers an object and waits until it is written.
async fn put(disks: &Disks, n: u32, version: u32, length: usize) {
    let disk = disks.of(&key(n)).unwrap();
    disk.offer(object(n, version, length));
    written(disks).await;
}

/// Waits until what was offered is written.
async fn written(disks: &Disks) {
    for volume in disks.volumes() {
        while volume.queued() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn find(disks: &Disks, n: u32) -> Option<Stream> {
    let disk = disks.of(&key(n)).unwrap();
    let found = disk.find(&key(n), Duration::ZERO, None).await;
    found.map(|(stream, _)| stream)
}

/// Reads an object whole.
async fn read(mut stream: Stream) -> Result<Vec<u8>, ()> {
    let mut all = Vec::new();
    while all.len() < stream.length() {
        all.extend_from_slice(&stream.read(all.len(), None).await.map_err(drop)?);
    }
    Ok(all)
}

/// The version of an object that is found, when it is found and all of it is right.
async fn version(disks: &Disks, n: u32) -> Option<u32> {
    let stream = find(disks, n).await?;
    let version = u32::from_le_bytes(stream.meta().try_into().unwrap());
    let length = stream.length();
    let all = read(stream).await.ok()?;
    assert!(
        all == body(n, version, length),
        "object {n} is not what was written"
    );
    Some(version)
}

#[tokio::test]
async fn what_was_written_is_found_again_after_a_restart() {
    let memory = Memory::default();
    let disks = open_as(&memory, 1 << 20, 4).await;
    let lengths = [0, 1, 60_000, CHUNK, CHUNK + 1, 3 * CHUNK];
    for (n, length) in (0..).zip(lengths) {
        put(&disks, n, 7, length).await;
    }
    disks.close().await;
    assert!(find(&disks, 1).await.is_none(), "closed");
    for after in [memory.killed(), memory] {
        let disks = open_as(&after, 1 << 20, 4).await;
        for n in 0..6 {
            assert_eq!(version(&disks, n).await, Some(7), "{n}");
        }
    }
}

#[tokio::test]
async fn a_killed_process_has_lost_nothing_that_was_written() {
    let memory = Memory::default();
    let disks = open_as(&memory, 1 << 20, 4).await;
    put(&disks, 1, 1, 100_000).await;
    put(&disks, 2, 1, 0).await;
    put(&disks, 1, 2, 90_000).await;
    let disks = open_as(&memory.killed(), 1 << 20, 4).await;
    assert_eq!(version(&disks, 1).await, Some(2), "the newer one");
    assert_eq!(version(&disks, 2).await, Some(1));
}

#[tokio::test]
async fn any_byte_of_a_body_can_be_sought() {
    let memory = Memory::default();
    let disks = open_as(&memory, 1 << 20, 4).await;
    let length = 2 * CHUNK + 100;
    put(&disks, 1, 1, length).await;
    let whole = body(1, 1, length);
    let mut stream = find(&disks, 1).await.unwrap();
    for at in [length - 1, 0, CHUNK - 1, CHUNK, 5] {
        let bytes = stream.read(at, None).await.unwrap();
        let end = length.min((at / CHUNK + 1) * CHUNK);
        assert!(bytes == whole[at..end], "from {at}");
    }
    assert!(stream.read(length, None).await.is_err());
}

#[tokio::test]
async fn the_oldest_objects_go_and_those_asked_for_stay() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 0..200 {
        put(&disks, n, 1, 10_000).await;
        for wanted in 0..3 {
            assert_eq!(
                version(&disks, wanted.min(n)).await,
                Some(1),
                "{wanted} at {n}"
            );
        }
    }
    let volume = &disks.volumes()[0];
    assert!(volume.bytes() <= volume.capacity());
    assert!(find(&disks, 100).await.is_none(), "asked for by nobody");
    assert!(find(&disks, 199).await.is_some(), "the newest");
    assert!(memory.slots().len() <= 4);
    disks.close().await;
    let disks = open(&memory).await;
    for wanted in 0..3 {
        assert_eq!(version(&disks, wanted).await, Some(1), "after a restart");
    }
}

#[tokio::test]
async fn an_object_that_is_in_use_elsewhere_stays_too() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 0..100 {
        put(&disks, n, 1, 10_000).await;
        disks.volumes()[0].touch(&key(0));
    }
    assert_eq!(version(&disks, 0).await, Some(1));
}

#[tokio::test]
async fn a_reader_follows_its_object_to_where_it_moves() {
    let memory = Memory::default();
    let disks = open_as(&memory, 4 << 20, 4).await;
    let length = 5 * CHUNK;
    put(&disks, 0, 1, length).await;
    let mut stream = find(&disks, 0).await.unwrap();
    let mut all = stream.read(0, None).await.unwrap().to_vec();
    for n in 1..40 {
        put(&disks, n, 1, 1 << 20).await;
        if n % 8 == 0 {
            all.extend_from_slice(&stream.read(all.len(), None).await.unwrap());
        }
    }
    assert!(all == body(0, 1, length));
}

#[tokio::test]
async fn a_reader_whose_object_was_given_up_hears_of_it() {
    let memory = Memory::default();
    let disks = open_as(&memory, 1 << 20, 4).await;
    // More than half a segment: it is not copied.
    put(&disks, 0, 1, 10 * CHUNK).await;
    let mut stream = find(&disks, 0).await.unwrap();
    for n in 1..8 {
        put(&disks, n, 1, 10 * CHUNK).await;
    }
    assert!(stream.read(CHUNK, None).await.is_err());
    assert_eq!(
        disks.volumes()[0]
            .figures()
            .damaged
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[tokio::test]
async fn what_was_purged_stays_gone() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 0..4 {
        put(&disks, n, 1, 1000).await;
    }
    assert_eq!(disks.forget(Some(key(1))).await, Ok(true));
    assert_eq!(disks.forget(Some(key(9))).await, Ok(false));
    put(&disks, 2, 2, 1000).await;
    assert_eq!(disks.forget(Some(key(3))).await, Ok(true));
    put(&disks, 3, 3, 1000).await;
    assert!(find(&disks, 1).await.is_none());
    // Unsynced writes are lost; a purge that was told is not.
    let disks = open(&memory.unplugged(|_| 0)).await;
    assert!(find(&disks, 1).await.is_none());
    let disks = open(&memory.killed()).await;
    let versions = [Some(1), None, Some(2), Some(3)];
    for (n, expected) in (0..).zip(versions) {
        assert_eq!(version(&disks, n).await, expected, "{n}");
    }
}

#[tokio::test]
async fn what_the_disk_never_had_is_forgotten_without_a_record() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    put(&disks, 1, 1, 1000).await;
    let disk = &disks.volumes()[0];
    let written = || {
        let bytes = &disk.figures().written_bytes;
        bytes.load(std::sync::atomic::Ordering::Relaxed)
    };
    let before = written();
    for n in 100..200 {
        disk.forget_known(key(n));
    }
    disk.forget_known(key(1));
    assert!(find(&disks, 1).await.is_none());
    // Two records: of what it had, and of what somebody waits for.
    assert_eq!(disks.forget(Some(key(2))).await, Ok(false));
    assert_eq!(written() - before, 2 * HEAD as u64);
    assert!(find(&open(&memory.killed()).await, 1).await.is_none());
}

#[tokio::test]
async fn what_was_given_up_and_then_forgotten_does_not_come_back() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 0..30 {
        put(&disks, n, 1, 10_000).await;
    }
    let mut given_up = 0;
    for n in 0..30 {
        if find(&disks, n).await.is_none() {
            given_up += 1;
            disks.volumes()[0].forget_known(key(n));
        }
    }
    assert!(given_up > 0);
    for after in [memory.unplugged(|_| 0), memory.killed()] {
        // Larger: nothing has to be given up at the start.
        let again = open_as(&after, SEGMENT, 6).await;
        for n in 0..given_up {
            assert!(find(&again, n).await.is_none(), "{n} of {given_up}");
        }
    }
}

#[tokio::test]
async fn after_a_purge_of_everything_there_is_only_what_came_later() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 0..9 {
        put(&disks, n, 1, 10_000).await;
    }
    assert_eq!(disks.forget(None).await, Ok(true));
    put(&disks, 3, 2, 1000).await;
    for disks in [disks, open(&memory.killed()).await] {
        assert_eq!(disks.volumes()[0].objects(), 1);
        assert_eq!(version(&disks, 3).await, Some(2));
    }
}

#[tokio::test]
async fn an_object_purged_while_it_waits_is_not_written() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    let disk = disks.of(&key(1)).unwrap();
    disk.offer(object(1, 1, 1000));
    assert_eq!(disks.forget(Some(key(1))).await, Ok(true));
    written(&disks).await;
    assert!(find(&disks, 1).await.is_none());
    assert!(find(&open(&memory.killed()).await, 1).await.is_none());
}

#[tokio::test]
async fn a_renewed_object_has_its_new_meta_and_its_old_body() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    put(&disks, 1, 1, 1000).await;
    let disk = disks.of(&key(1)).unwrap();
    assert!(disk.renew(&key(1), b"new".to_vec(), |_, _| true));
    assert!(!disk.renew(&key(2), b"new".to_vec(), |_, _| true));
    assert_eq!(disks.forget(Some(key(2))).await, Ok(false));
    for disks in [disks, open(&memory.killed()).await] {
        let stream = find(&disks, 1).await.unwrap();
        assert_eq!(stream.meta(), b"new");
        assert!(read(stream).await.unwrap() == body(1, 1, 1000));
    }
}

#[tokio::test]
async fn a_renewal_of_another_fill_changes_nothing() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    put(&disks, 1, 2, 1000).await;
    let disk = disks.of(&key(1)).unwrap();
    let old = 1_u32.to_le_bytes().to_vec();
    assert!(disk.renew(&key(1), old, |one, other| one == other));
    assert_eq!(disks.forget(Some(key(2))).await, Ok(false));
    for disks in [disks, open(&memory.killed()).await] {
        assert_eq!(version(&disks, 1).await, Some(2));
    }
}

#[tokio::test]
async fn no_byte_is_read_that_was_not_written_whichever_bit_flips() {
    let memory = Memory::default();
    let disks = open_as(&memory, 8192, 4).await;
    for n in 0..2 {
        put(&disks, n, 1, 1500).await;
    }
    disks.close().await;
    let mut lost = 0;
    for bit in 0..8192 * 8 {
        // Every bit of what says where things are, some of what is said to be there.
        let (place, flip) = (bit / 8, 1 << (bit % 8));
        if (HEADER..8000).contains(&place) && (bit % 97 > 0) {
            continue;
        }
        let damaged = memory.killed();
        damaged.edit(0, |bytes| bytes[place] ^= flip);
        let disks = open_as(&damaged, 8192, 4).await;
        for n in 0..2 {
            // Whole and right, or not at all.
            match version(&disks, n).await {
                Some(found) => assert_eq!(found, 1),
                None => lost += 1,
            }
        }
        disks.close().await;
    }
    assert!(lost > 100, "flipped bits were met");
}

#[tokio::test]
async fn what_a_body_imitates_is_no_record() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    put(&disks, 1, 1, 1000).await;
    // A whole record of another object, from another life of a segment, as a body's bytes.
    let other = Memory::default();
    let source = open(&other).await;
    put(&source, 2, 1, 1000).await;
    let mut forged = Vec::new();
    other.edit(0, |bytes| forged = bytes[HEADER..HEADER + 2000].to_vec());
    memory.edit(0, |bytes| {
        let end = HEADER + 1000 + 68 + 4 + 4;
        bytes[end..end + 2000].copy_from_slice(&forged);
    });
    let disks = open(&memory.killed()).await;
    assert_eq!(version(&disks, 1).await, Some(1));
    assert!(find(&disks, 2).await.is_none());
}

#[tokio::test]
async fn a_directory_of_another_shape_is_emptied() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 0..40 {
        put(&disks, n, 1, 10_000).await;
    }
    disks.close().await;
    let disks = open_as(&memory, SEGMENT / 2, 4).await;
    assert_eq!(disks.volumes()[0].objects(), 0);
    put(&disks, 1, 1, 1000).await;
    assert_eq!(version(&disks, 1).await, Some(1));
}

#[tokio::test]
async fn a_directory_that_shrank_keeps_what_fits() {
    let memory = Memory::default();
    let disks = open_as(&memory, SEGMENT, 8).await;
    for n in 0..60 {
        put(&disks, n, 1, 10_000).await;
    }
    disks.close().await;
    let disks = open(&memory).await;
    assert!(memory.slots().len() <= 4);
    for n in 100..160 {
        put(&disks, n, 1, 10_000).await;
        assert!(memory.slots().len() <= 4);
    }
    assert_eq!(version(&disks, 159).await, Some(1));
}

#[tokio::test]
async fn a_larger_disk_has_a_larger_share_and_a_disk_less_moves_only_its_own() {
    let names = ["a", "b", "c"];
    let disks = |names: &[&str]| {
        let directory = |name: &&str| {
            let files: Box<dyn Files> = Box::new(Memory::default());
            let size = if *name == "c" { 8 } else { 4 };
            ((*name).to_owned(), files, size * u64::from(SEGMENT))
        };
        let directories = names.iter().map(directory).collect();
        Disks::over(directories, &settings(SEGMENT), &Pool::new(1 << 20))
    };
    let (all, two) = (disks(&names), disks(&names[1..]));
    let mut shares = [0; 3];
    for n in 0..4000 {
        let winner = all.of(&key(n)).unwrap().name.clone();
        shares[names.iter().position(|name| *name == winner).unwrap()] += 1;
        if winner != "a" {
            assert_eq!(two.of(&key(n)).unwrap().name, winner);
        }
    }
    assert!(
        shares[..2].iter().all(|share| (900..1100).contains(share)),
        "{shares:?}"
    );
}
