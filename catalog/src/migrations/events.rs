//! The tables of events.

/// What became of films, and how far the operator's webhook was told of it.
pub(super) const TABLES: [&str; 4] = [
    "CREATE TABLE video_events (
        video TEXT NOT NULL,
        turn BIGINT NOT NULL,
        id BIGINT,
        kind TEXT NOT NULL,
        at_unix_s BIGINT NOT NULL,
        duration_ms BIGINT,
        reason TEXT,
        PRIMARY KEY (video, turn))",
    "CREATE UNIQUE INDEX video_events_by_id ON video_events (id)",
    "CREATE TABLE event_hook (
        one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        told BIGINT NOT NULL,
        holder TEXT NOT NULL,
        until_unix_s BIGINT NOT NULL)",
    "INSERT INTO event_hook (one, told, holder, until_unix_s) VALUES (1, 0, '', 0)",
];
