//! The tables of the feed.

/// One row that says how far the feed goes, which every order changes, and the orders.
pub(super) const TABLES: [&str; 2] = [
    "CREATE TABLE feed (
        one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        id TEXT NOT NULL,
        head BIGINT NOT NULL,
        folded BIGINT NOT NULL)",
    "CREATE TABLE feed_orders (
        seq BIGINT NOT NULL PRIMARY KEY,
        ordered_unix_s BIGINT NOT NULL,
        body TEXT NOT NULL,
        until_unix_s BIGINT)",
];
