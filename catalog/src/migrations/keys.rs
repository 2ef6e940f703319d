//! The table of sealed content keys.

/// Content keys of films, sealed.
pub(super) const TABLE: [&str; 1] = ["CREATE TABLE content_keys (
        video TEXT NOT NULL PRIMARY KEY,
        sealed BLOB NOT NULL,
        created_unix_s BIGINT NOT NULL)"];
