//! The tables of nodes that enrol.

/// Joins that stand open or were used, nodes that have enrolled, and what each said last. `terms`, `announce` and `said`
/// are JSON.
pub(super) const TABLES: [&str; 3] = [
    "CREATE TABLE joins (
        id TEXT NOT NULL PRIMARY KEY,
        node TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        terms TEXT NOT NULL,
        created_unix_s BIGINT NOT NULL,
        expires_unix_s BIGINT NOT NULL,
        used_by TEXT)",
    "CREATE TABLE members (
        name TEXT NOT NULL PRIMARY KEY,
        revision BIGINT NOT NULL,
        terms TEXT NOT NULL,
        announce TEXT NOT NULL,
        public_key TEXT NOT NULL,
        drain BOOLEAN NOT NULL,
        enrolled_unix_s BIGINT NOT NULL,
        certificate_ends_unix_s BIGINT NOT NULL,
        activated_unix_s BIGINT,
        dismissed_unix_s BIGINT)",
    "CREATE TABLE pulses (
        name TEXT NOT NULL PRIMARY KEY REFERENCES members (name) ON DELETE CASCADE,
        last_unix_s BIGINT NOT NULL,
        beats BIGINT NOT NULL,
        said TEXT NOT NULL)",
];
