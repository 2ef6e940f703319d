//! Any bytes as a page of the feed: a page in order that its own text gives again, or a refusal.

use contracts::feed::{MAX_ENTRIES, MAX_SEQ, Order, Page};

/// Reads `data` as the answer to a question for what follows a number that its first byte chooses.
pub fn check(data: &[u8]) {
    let Some((first, json)) = data.split_first() else {
        return;
    };
    let after = u64::from(first % 16);
    let Ok(page) = Page::parse(json, after) else {
        return;
    };
    let through = page.through(after);
    assert!(through >= after && page.head <= MAX_SEQ);
    assert!(page.entries.len() <= MAX_ENTRIES);
    let mut last = page.gap.as_ref().map_or(after, |gap| gap.through);
    for entry in &page.entries {
        assert!(entry.seq > last && entry.seq <= page.head);
        last = entry.seq;
    }
    assert_eq!(through, last);
    let known = |order: &Order| matches!(order, Order::Purge(_) | Order::Revoke(_));
    if page.entries.iter().all(|entry| known(&entry.order)) {
        let text = serde_json::to_vec(&page).expect("what was read can be written");
        assert_eq!(Page::parse(&text, after).as_ref(), Ok(&page));
    }
}
