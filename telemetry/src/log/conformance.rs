//! What every adapter of [`EventLog`] promises.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a promise that is broken ends the test"
)]

use std::sync::Arc;

use super::{Error, EventLog, LONGEST, Offset, Shared};

/// Every promise, on a log without records.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(log: Shared) {
    what_was_appended_is_read_in_its_order(log.as_ref()).await;
    a_page_is_bounded_and_has_one_record_at_least(log.as_ref()).await;
    a_record_is_neither_empty_nor_too_long(log.as_ref()).await;
    many_append_at_once_and_all_is_there(Arc::clone(&log)).await;
    who_waits_hears_of_what_follows(Arc::clone(&log)).await;
    what_is_not_released_stays(log.as_ref()).await;
}

/// All records from a place on.
///
/// # Panics
/// When the log cannot be read.
pub async fn everything(log: &dyn EventLog, from: Offset) -> Vec<Vec<u8>> {
    let (mut all, mut at) = (Vec::new(), from);
    loop {
        let page = log.read(at, 1000).await.expect("read");
        assert_eq!(page.damaged, 0, "nothing is damaged");
        if page.records.is_empty() {
            return all;
        }
        assert!(page.next > at, "a page leads on");
        at = page.next;
        all.extend(page.records);
    }
}

async fn append(log: &dyn EventLog, record: &[u8]) {
    log.append(record.to_vec()).await.expect("append");
}

async fn what_was_appended_is_read_in_its_order(log: &dyn EventLog) {
    let begin = log.extent();
    assert_eq!(begin.first, begin.end);
    let empty = log.read(begin.end, 1000).await.expect("read");
    assert_eq!((empty.records.len(), empty.next), (0, begin.end));
    for record in [&b"one"[..], b"two", b"\0\xff"] {
        append(log, record).await;
    }
    let expected = [&b"one"[..], b"two", b"\0\xff"];
    assert_eq!(everything(log, begin.first).await, expected);
    let first = log.read(begin.first, 1).await.expect("read");
    assert_eq!(first.records, [b"one"]);
    assert_eq!(everything(log, first.next).await, expected[1..]);
    let behind = log.read(log.extent().end + 1000, 1000).await.expect("read");
    assert!(behind.records.is_empty());
}

async fn a_page_is_bounded_and_has_one_record_at_least(log: &dyn EventLog) {
    let from = log.extent().end;
    for size in [LONGEST, 10, 10] {
        append(log, &vec![7; size]).await;
    }
    let page = log.read(from, 100).await.expect("read");
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].len(), LONGEST);
    assert_eq!(everything(log, page.next).await.len(), 2);
}

async fn a_record_is_neither_empty_nor_too_long(log: &dyn EventLog) {
    let end = log.extent().end;
    for size in [0, LONGEST + 1] {
        let refused = log.append(vec![0; size]).await;
        assert!(matches!(refused, Err(Error::Length(length)) if length == size));
    }
    assert_eq!(log.extent().end, end);
}

async fn many_append_at_once_and_all_is_there(log: Shared) {
    let from = log.extent().end;
    let mut writers = Vec::new();
    for writer in 0..20_u8 {
        let log = Arc::clone(&log);
        writers.push(tokio::spawn(async move {
            for number in 0..25 {
                append(log.as_ref(), &[writer, number]).await;
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    let all = everything(log.as_ref(), from).await;
    assert_eq!(all.len(), 500);
    for writer in 0..20 {
        let own = all.iter().filter(|record| record[0] == writer);
        let numbers: Vec<u8> = own.map(|record| record[1]).collect();
        assert_eq!(
            numbers,
            (0..25).collect::<Vec<_>>(),
            "each one's in its order"
        );
    }
}

async fn who_waits_hears_of_what_follows(log: Shared) {
    let end = log.extent().end;
    let waiting = Arc::clone(&log);
    let waiter = tokio::spawn(async move { waiting.grown(end).await });
    append(log.as_ref(), b"x").await;
    waiter.await.expect("no panic");
    log.grown(end).await;
}

async fn what_is_not_released_stays(log: &dyn EventLog) {
    let before = log.extent().end;
    for number in 0..50_u8 {
        append(log, &[number; 100]).await;
    }
    let kept = everything(log, before).await;
    log.release(before).await.expect("release");
    assert!(log.extent().first <= before);
    assert_eq!(everything(log, before).await, kept);
    let from_the_first = everything(log, 0).await;
    assert!(from_the_first.ends_with(&kept));
}
