//! The table of sealed content keys.

/// Content keys of films, sealed.
pub(super) const TABLE: [&str; 1] = ["CREATE TABLE content_keys (
        video TEXT NOT NULL PRIMARY KEY,
        sealed BLOB NOT NULL,
        created_unix_s BIGINT NOT NULL)"];

/// What keys are sealed with, and when they must be looked at again.
pub(super) const ROTATION: [&str; 3] = [
    "ALTER TABLE content_keys ADD COLUMN sealed_by TEXT",
    "ALTER TABLE content_keys ADD COLUMN due_unix_s BIGINT",
    "CREATE INDEX content_keys_due ON content_keys (due_unix_s) WHERE due_unix_s IS NOT NULL",
];
