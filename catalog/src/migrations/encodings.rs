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

/// Single pictures of films, counted from 1, in three sizes.
pub(super) const STILLS: [&str; 1] = ["CREATE TABLE video_stills (
        video TEXT NOT NULL,
        number BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        small_width BIGINT NOT NULL,
        small_height BIGINT NOT NULL,
        small_bytes BIGINT NOT NULL,
        medium_width BIGINT NOT NULL,
        medium_height BIGINT NOT NULL,
        medium_bytes BIGINT NOT NULL,
        large_width BIGINT NOT NULL,
        large_height BIGINT NOT NULL,
        large_bytes BIGINT NOT NULL,
        PRIMARY KEY (video, number))"];
