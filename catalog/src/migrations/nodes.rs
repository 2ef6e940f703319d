//! The table of nodes.

/// Edges and shields that follow the feed, with what each said last.
pub(super) const TABLE: [&str; 1] = ["CREATE TABLE nodes (
        name TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        first_unix_s BIGINT NOT NULL,
        last_unix_s BIGINT NOT NULL,
        feed TEXT,
        applied BIGINT NOT NULL,
        stops_s BIGINT)"];
