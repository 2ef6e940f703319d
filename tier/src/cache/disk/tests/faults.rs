//! Disks that fail: what is served nevertheless, and how it is said.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;

use super::*;

const RETRY: Duration = Duration::from_secs(31);

async fn becomes(disks: &Disks, wanted: impl FnMut(&State) -> bool) {
    let mut state = disks.volumes()[0].watch();
    state.wait_for(wanted).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_written_is_read_and_tried_again() {
    for faults in [
        Faults {
            write: Some(ErrorKind::ReadOnlyFilesystem),
            ..Faults::default()
        },
        Faults {
            sync: Some(ErrorKind::Other),
            ..Faults::default()
        },
    ] {
        let memory = Memory::default();
        let disks = open(&memory).await;
        put(&disks, 1, 1, 1000).await;
        memory.fail(faults);
        for n in 10..20 {
            put(&disks, n, 1, 10_000).await;
        }
        becomes(&disks, |state| matches!(state, State::ReadOnly(_))).await;
        assert_eq!(version(&disks, 1).await, Some(1));
        put(&disks, 30, 1, 1000).await;
        let figures = disks.volumes()[0].figures();
        assert!(figures.skipped_aside.load(Ordering::Relaxed) > 0);
        assert!(figures.write_errors.load(Ordering::Relaxed) > 0);
        memory.fail(Faults::default());
        tokio::time::sleep(RETRY).await;
        becomes(&disks, |state| *state == State::Serving(None)).await;
        put(&disks, 31, 1, 1000).await;
        assert_eq!(version(&disks, 31).await, Some(1));
        assert_eq!(version(&disks, 1).await, Some(1));
        let disks = open(&memory.killed()).await;
        assert_eq!(version(&disks, 31).await, Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_during_a_failure_says_so_and_is_made_good_for() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 1..4 {
        put(&disks, n, 1, 1000).await;
    }
    memory.fail(Faults {
        write: Some(ErrorKind::Other),
        ..Faults::default()
    });
    assert_eq!(disks.forget(Some(key(1))).await, Err("disk".to_owned()));
    assert_eq!(disks.forget(Some(key(2))).await, Err("disk".to_owned()));
    assert!(find(&disks, 1).await.is_none(), "gone from now on");
    memory.fail(Faults::default());
    tokio::time::sleep(RETRY).await;
    becomes(&disks, |state| *state == State::Serving(None)).await;
    for disks in [disks, open(&memory.killed()).await] {
        for (n, expected) in [(1, None), (2, None), (3, Some(1))] {
            assert_eq!(version(&disks, n).await, expected, "{n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_read_is_set_aside_and_comes_back() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    for n in 0..12 {
        put(&disks, n, 1, 3000).await;
    }
    memory.fail(Faults {
        read: Some(ErrorKind::Other),
        ..Faults::default()
    });
    for n in 0..12 {
        assert_eq!(version(&disks, n).await, None);
    }
    becomes(&disks, |state| matches!(state, State::Aside(_))).await;
    // Purged meanwhile: it does not come back with the disk.
    assert!(disks.forget(Some(key(5))).await.is_err());
    memory.fail(Faults::default());
    tokio::time::sleep(RETRY).await;
    becomes(&disks, |state| *state == State::Serving(None)).await;
    assert_eq!(version(&disks, 11).await, Some(1));
    assert_eq!(version(&disks, 5).await, None);
}

#[tokio::test]
async fn what_could_not_be_read_and_then_was_forgotten_does_not_come_back() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    put(&disks, 1, 1, 3000).await;
    memory.fail(Faults {
        read: Some(ErrorKind::Other),
        ..Faults::default()
    });
    assert_eq!(version(&disks, 1).await, None);
    memory.fail(Faults::default());
    disks.volumes()[0].forget_known(key(1));
    // The next purge is written after it.
    assert_eq!(disks.forget(Some(key(2))).await, Ok(false));
    assert_eq!(version(&open(&memory.killed()).await, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_replaced_does_not_come_back() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    put(&disks, 1, 1, 3000).await;
    memory.fail(Faults {
        write: Some(ErrorKind::Other),
        ..Faults::default()
    });
    put(&disks, 1, 2, 3000).await;
    becomes(&disks, |state| matches!(state, State::ReadOnly(_))).await;
    memory.fail(Faults::default());
    tokio::time::sleep(RETRY).await;
    becomes(&disks, |state| *state == State::Serving(None)).await;
    disks.volumes()[0].forget_known(key(1));
    assert_eq!(version(&open(&memory.killed()).await, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_not_there_is_waited_for() {
    let memory = Memory::default();
    memory.fail(Faults {
        lock: Some(ErrorKind::NotFound),
        ..Faults::default()
    });
    let disks = open(&memory).await;
    assert!(matches!(disks.volumes()[0].state(), State::Aside(_)));
    put(&disks, 1, 1, 1000).await;
    assert!(find(&disks, 1).await.is_none());
    memory.fail(Faults::default());
    tokio::time::sleep(RETRY).await;
    becomes(&disks, |state| *state == State::Serving(None)).await;
    put(&disks, 1, 1, 1000).await;
    assert_eq!(version(&disks, 1).await, Some(1));
}

#[tokio::test]
async fn a_full_file_system_means_fewer_segments() {
    let memory = Memory::default();
    let disks = open_as(&memory, SEGMENT, 100).await;
    for n in 0..20 {
        put(&disks, n, 1, 10_000).await;
    }
    let full = Faults {
        create: Some(ErrorKind::StorageFull),
        ..Faults::default()
    };
    memory.fail(full);
    for n in 20..100 {
        put(&disks, n, 1, 10_000).await;
        assert_eq!(version(&disks, n).await, Some(1), "{n}");
    }
    becomes(&disks, |state| matches!(state, State::Serving(Some(_)))).await;
    memory.fail(Faults::default());
    for n in 100..200 {
        put(&disks, n, 1, 10_000).await;
    }
    becomes(&disks, |state| *state == State::Serving(None)).await;
    assert_eq!(version(&disks, 120).await, Some(1), "there is room again");
}

#[tokio::test]
async fn a_file_system_without_any_room_is_said_at_once() {
    let memory = Memory::default();
    memory.fail(Faults {
        create: Some(ErrorKind::StorageFull),
        ..Faults::default()
    });
    let disks = open(&memory).await;
    becomes(&disks, |state| matches!(state, State::ReadOnly(_))).await;
}

#[tokio::test]
async fn a_directory_has_one_user() {
    let memory = Memory::default();
    let disks = open(&memory).await;
    let other = open(&memory).await;
    assert!(matches!(other.volumes()[0].state(), State::Aside(_)));
    disks.close().await;
    assert_eq!(disks.volumes()[0].state(), State::Closed);
}

#[tokio::test]
async fn what_waits_too_long_is_not_written() {
    let memory = Memory::default();
    let disks = open_as(&memory, 1 << 20, 4).await;
    let disk = disks.of(&key(1)).unwrap();
    // Nothing is written in between, for this thread gives no other a turn.
    for n in 0..4 {
        disk.offer(object(n, 1, 300_000));
    }
    assert!(disk.queued() <= 1 << 20);
    written(&disks).await;
    let skipped = disk.figures().skipped_full.load(Ordering::Relaxed);
    assert_eq!((skipped, disk.objects()), (1, 3));
    disk.offer(object(9, 1, 1 << 20));
    assert_eq!(disk.figures().skipped_large.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_older_object_is_not_found_when_the_newer_could_not_be_written() {
    let memory = Memory::default();
    let disks = open_as(&memory, 1 << 20, 4).await;
    put(&disks, 3, 1, 1000).await;
    let disk = disks.of(&key(3)).unwrap();
    for n in [0, 1, 2, 3] {
        disk.offer(object(n, 2, 300_000));
    }
    assert!(find(&disks, 3).await.is_none());
    written(&disks).await;
    assert_eq!(disks.forget(Some(key(100))).await, Ok(false));
    assert!(
        find(&open_as(&memory.killed(), 1 << 20, 4).await, 3)
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_disk_that_fails_loses_its_own_share_only() {
    let memories = [Memory::default(), Memory::default()];
    memories[0].fail(Faults {
        lock: Some(ErrorKind::NotFound),
        ..Faults::default()
    });
    let directories = memories.iter().enumerate().map(|(n, memory)| {
        let files: Box<dyn Files> = Box::new(memory.clone());
        (n.to_string(), files, 4 * u64::from(SEGMENT))
    });
    let pool = Pool::new(1 << 20);
    let disks = Disks::over(directories.collect(), &settings(SEGMENT), &pool);
    disks.ready().await;
    let mut kept = 0;
    for n in 0..20 {
        put(&disks, n, 1, 1000).await;
        let healthy = disks.of(&key(n)).unwrap().name == "1";
        assert_eq!(version(&disks, n).await.is_some(), healthy);
        kept += u32::from(healthy);
    }
    assert!((1..20).contains(&kept));
}

#[tokio::test]
async fn what_the_system_has_not_in_memory_is_read_as_well() {
    let memory = Memory::default();
    memory.fail(Faults {
        slow: true,
        ..Faults::default()
    });
    let disks = open_as(&memory, 1 << 20, 4).await;
    put(&disks, 1, 1, 200_000).await;
    assert_eq!(version(&disks, 1).await, Some(1));
}
