//! The tables of what films consist of.

/// Renditions in their order, and the small pictures along the time line.
pub(super) const TABLES: [&str; 2] = [
    "CREATE TABLE video_encodings (
        video TEXT NOT NULL,
        place BIGINT NOT NULL,
        rendition TEXT NOT NULL,
        kind TEXT NOT NULL,
        language TEXT,
        label TEXT,
        sha256 TEXT,
        width BIGINT,
        height BIGINT,
        PRIMARY KEY (video, place))",
    "CREATE TABLE video_thumbs (
        video TEXT NOT NULL PRIMARY KEY,
        width BIGINT NOT NULL,
        height BIGINT NOT NULL,
        interval_ms BIGINT NOT NULL,
        tiles BIGINT NOT NULL)",
];
