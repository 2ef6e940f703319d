//! The tables of playback sessions.

/// Sessions. A catalogue whose first step made them as well has them already.
pub(super) const TABLE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS sessions (
        id TEXT NOT NULL PRIMARY KEY,
        video TEXT NOT NULL,
        started_unix_s BIGINT NOT NULL,
        expires_unix_s BIGINT NOT NULL,
        last_beat_unix_s BIGINT NOT NULL,
        stopped_unix_s BIGINT,
        position_ms BIGINT,
        idempotency_key TEXT UNIQUE,
        request_digest TEXT)",
    "CREATE INDEX IF NOT EXISTS sessions_expiring ON sessions (expires_unix_s)",
];
