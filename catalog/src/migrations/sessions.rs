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

/// Sessions learn whose they are and hold leases. Those that were there are nobody's, and edges
/// need not be told of them.
pub(super) const LEASES: [&str; 12] = [
    "ALTER TABLE sessions ADD COLUMN account TEXT",
    "ALTER TABLE sessions ADD COLUMN device TEXT",
    "ALTER TABLE sessions ADD COLUMN lease_unix_s BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN limited BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE sessions ADD COLUMN ending TEXT",
    "ALTER TABLE sessions ADD COLUMN revocable BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE sessions ADD COLUMN untold BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE sessions ADD COLUMN seq BIGINT",
    "CREATE INDEX sessions_of_account ON sessions (account) WHERE stopped_unix_s IS NULL",
    "CREATE INDEX sessions_lapsing ON sessions (lease_unix_s) WHERE limited AND stopped_unix_s IS NULL",
    "CREATE INDEX sessions_untold ON sessions (stopped_unix_s) WHERE untold",
    "CREATE TABLE stream_limits (
        account TEXT NOT NULL PRIMARY KEY,
        streams BIGINT NOT NULL)",
];

/// Sessions keep what their tokens say.
pub(super) const TERMS: [&str; 1] = ["ALTER TABLE sessions ADD COLUMN terms TEXT"];

/// The sessions of a film are found without looking at all of them.
pub(super) const OF_FILMS: [&str; 1] =
    ["CREATE INDEX sessions_of_film ON sessions (video) WHERE stopped_unix_s IS NULL"];
