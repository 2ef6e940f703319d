//! The table of channels, and the films in them.

/// Channels; a film is in one at most.
pub(super) const TABLES: [&str; 4] = [
    "CREATE TABLE channels (
        id TEXT NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        created_unix_s BIGINT NOT NULL)",
    "CREATE INDEX channels_of_owner ON channels (owner, id)",
    "ALTER TABLE videos ADD COLUMN channel TEXT",
    "CREATE INDEX videos_of_channel ON videos (channel)",
];
