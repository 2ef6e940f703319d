//! The tables of films.

/// Films.
pub(super) const TABLE: [&str; 2] = [
    "CREATE TABLE videos (
        id TEXT NOT NULL PRIMARY KEY,
        title TEXT NOT NULL,
        privacy TEXT NOT NULL,
        state TEXT NOT NULL,
        progress INTEGER NOT NULL,
        failure TEXT,
        duration_ms BIGINT,
        created_unix_s BIGINT NOT NULL,
        updated_unix_s BIGINT NOT NULL)",
    "CREATE INDEX videos_listed ON videos (state, privacy, created_unix_s)",
];

/// Films learn whether they are protected; those that were there are not.
pub(super) const PROTECTED: [&str; 1] =
    ["ALTER TABLE videos ADD COLUMN protected BOOLEAN NOT NULL DEFAULT FALSE"];

/// Films that were deleted learn when their media went.
pub(super) const ERASED: [&str; 1] = ["ALTER TABLE videos ADD COLUMN erased_unix_s BIGINT"];
