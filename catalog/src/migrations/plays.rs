//! The tables of what was played.

/// How far logs are folded, what sessions told, and counts by hour.
pub(super) const TABLES: [&str; 6] = [
    "CREATE TABLE fold_positions (
        log TEXT NOT NULL PRIMARY KEY,
        position BIGINT NOT NULL)",
    "CREATE TABLE told_sessions (
        session TEXT NOT NULL PRIMARY KEY,
        version BIGINT NOT NULL,
        until_unix_s BIGINT NOT NULL,
        told BLOB NOT NULL)",
    "CREATE INDEX told_sessions_until ON told_sessions (until_unix_s)",
    "CREATE TABLE qoe_aggregates (
        hour_unix_s BIGINT NOT NULL,
        video TEXT NOT NULL,
        edge TEXT NOT NULL,
        isp TEXT NOT NULL,
        sessions BIGINT NOT NULL,
        starts BIGINT NOT NULL,
        start_failures BIGINT NOT NULL,
        exits_before_start BIGINT NOT NULL,
        views BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        watch_ms BIGINT NOT NULL,
        rebuffers BIGINT NOT NULL,
        rebuffer_ms BIGINT NOT NULL,
        switches BIGINT NOT NULL,
        known_kbit BIGINT NOT NULL,
        known_ms BIGINT NOT NULL,
        PRIMARY KEY (hour_unix_s, video, edge, isp))",
    "CREATE TABLE startup_aggregates (
        hour_unix_s BIGINT NOT NULL,
        video TEXT NOT NULL,
        edge TEXT NOT NULL,
        isp TEXT NOT NULL,
        class BIGINT NOT NULL,
        starts BIGINT NOT NULL,
        PRIMARY KEY (hour_unix_s, video, edge, isp, class))",
    "CREATE TABLE view_aggregates (
        video TEXT NOT NULL,
        hour_unix_s BIGINT NOT NULL,
        views BIGINT NOT NULL,
        watch_ms BIGINT NOT NULL,
        PRIMARY KEY (video, hour_unix_s))",
];

/// Errors, and by which codes players know them.
pub(super) const ERRORS: [&str; 2] = [
    "ALTER TABLE qoe_aggregates ADD COLUMN errors BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE error_aggregates (
        hour_unix_s BIGINT NOT NULL,
        video TEXT NOT NULL,
        edge TEXT NOT NULL,
        isp TEXT NOT NULL,
        code TEXT NOT NULL,
        errors BIGINT NOT NULL,
        PRIMARY KEY (hour_unix_s, video, edge, isp, code))",
];
