//! Ingest's own tables, beside the catalogue's, and how statements reach them.

use catalog::Step;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, DynIden, Statement, Value, sea_query::IntoIden};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

impl From<DbErr> for crate::Error {
    fn from(error: DbErr) -> Self {
        Self::Database(error.into())
    }
}

/// All migrations, oldest first, noted in a table of their own.
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Step::new("first", &TABLES)),
            Box::new(Step::new("second", &UPLOADS_DUE)),
            Box::new(Step::new("texts", &TEXTS)),
            Box::new(Step::new("digests_of_texts", &DIGESTS_OF_TEXTS)),
            Box::new(Step::new("steps", &STEPS)),
            Box::new(Step::new("replaced", &REPLACED)),
            Box::new(Step::new("streams", &STREAMS)),
            Box::new(Step::new("quotas", &QUOTAS)),
            Box::new(Step::new("directs", &DIRECTS)),
            Box::new(Step::new("setbacks", &SETBACKS)),
            Box::new(Step::new("wholes", &WHOLES)),
            Box::new(Step::new("done", &DONE)),
            Box::new(Step::new("leftovers", &LEFTOVERS)),
            Box::new(Step::new("watched", &WATCHED)),
            Box::new(Step::new("tokens", &TOKENS)),
        ]
    }

    fn migration_table_name() -> DynIden {
        "ingest_migrations".into_iden()
    }
}

/// A statement whose `$n` are `values`: both engines write them so, and neither adapter asks for
/// whose it is.
pub(crate) fn statement(sql: impl Into<String>, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

/// A clause that a server needs and `SQLite`, with its one writer, does not know.
pub(crate) fn on_server(db: &impl ConnectionTrait, clause: &'static str) -> &'static str {
    match db.get_database_backend() {
        DbBackend::Postgres => clause,
        _ => "",
    }
}

/// The present second, as the database of all processes says it: their own clocks may differ.
pub(crate) fn now(db: &impl ConnectionTrait) -> &'static str {
    match db.get_database_backend() {
        DbBackend::Postgres => "CAST(FLOOR(EXTRACT(EPOCH FROM now())) AS BIGINT)",
        _ => "unixepoch()",
    }
}

/// A size or an instant as databases hold it.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A size or an instant that a database held.
pub(crate) fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

const TABLES: [&str; 4] = [
    "CREATE TABLE ingest_uploads (
        id TEXT PRIMARY KEY,
        video TEXT NOT NULL UNIQUE,
        original TEXT NOT NULL,
        size_bytes BIGINT NOT NULL,
        chunk_size_bytes BIGINT NOT NULL,
        sha256 TEXT,
        state TEXT NOT NULL,
        expires_unix_s BIGINT NOT NULL)",
    "CREATE TABLE ingest_chunks (
        upload TEXT NOT NULL REFERENCES ingest_uploads (id) ON DELETE CASCADE,
        place BIGINT NOT NULL,
        sha256 TEXT NOT NULL,
        stored BOOLEAN NOT NULL,
        PRIMARY KEY (upload, place))",
    "CREATE TABLE ingest_jobs (
        video TEXT NOT NULL,
        step TEXT NOT NULL,
        input TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        queued_unix_s BIGINT NOT NULL,
        due_unix_s BIGINT NOT NULL,
        reason TEXT,
        PRIMARY KEY (video, step))",
    "CREATE INDEX ingest_jobs_due ON ingest_jobs (state, due_unix_s)",
];
/// Uploads whose time is over are looked for all the time.
const UPLOADS_DUE: [&str; 1] =
    ["CREATE INDEX ingest_uploads_due ON ingest_uploads (state, expires_unix_s)"];
const TEXTS: [&str; 1] = ["CREATE TABLE ingest_texts (
        video TEXT NOT NULL,
        language TEXT NOT NULL,
        label TEXT,
        PRIMARY KEY (video, language))"];
const DIGESTS_OF_TEXTS: [&str; 1] = ["ALTER TABLE ingest_texts ADD COLUMN sha256 TEXT"];
/// A film's work in several jobs. `stage` orders them, `served` owners by when they last had a turn.
const STEPS: [&str; 9] = [
    "DROP INDEX ingest_jobs_due",
    "ALTER TABLE ingest_jobs RENAME TO ingest_jobs_whole",
    "CREATE TABLE ingest_jobs (
        video TEXT NOT NULL,
        step TEXT NOT NULL,
        part BIGINT NOT NULL,
        stage BIGINT NOT NULL,
        owner TEXT NOT NULL,
        priority BIGINT NOT NULL,
        weight BIGINT NOT NULL,
        progress BIGINT NOT NULL,
        input TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        queued_unix_s BIGINT NOT NULL,
        due_unix_s BIGINT NOT NULL,
        reason TEXT,
        PRIMARY KEY (video, step, part))",
    "INSERT INTO ingest_jobs (video, step, part, stage, owner, priority, weight, progress, input, state,
        attempt, failures, queued_unix_s, due_unix_s, reason)
        SELECT video, step, 0, 0, '', 0, 1, 0, input, state, attempt, failures, queued_unix_s,
        due_unix_s, reason FROM ingest_jobs_whole",
    "DROP TABLE ingest_jobs_whole",
    "CREATE INDEX ingest_jobs_due ON ingest_jobs (state, due_unix_s)",
    "CREATE INDEX ingest_jobs_owner ON ingest_jobs (owner, state)",
    "CREATE TABLE ingest_turns (owner TEXT PRIMARY KEY, served BIGINT NOT NULL)",
    "CREATE TABLE ingest_workers (
        process TEXT PRIMARY KEY,
        workers BIGINT NOT NULL,
        seen_unix_s BIGINT NOT NULL)",
];
/// Uploads whose bytes go straight to the store, and what they are called there.
const DIRECTS: [&str; 1] = ["CREATE TABLE ingest_directs (
        upload TEXT PRIMARY KEY REFERENCES ingest_uploads (id) ON DELETE CASCADE,
        name TEXT NOT NULL)"];
/// Generations that others took the place of, until they are removed.
const REPLACED: [&str; 2] = [
    "CREATE TABLE ingest_replaced (
        video TEXT NOT NULL,
        generation BIGINT NOT NULL,
        due_unix_s BIGINT NOT NULL,
        since_unix_s BIGINT,
        purge BIGINT,
        PRIMARY KEY (video, generation))",
    "CREATE INDEX ingest_replaced_due ON ingest_replaced (due_unix_s)",
];
/// Uploads that come in order, and whose each upload is; `became` is what partial ones were put together to.
const STREAMS: [&str; 5] = [
    "ALTER TABLE ingest_uploads ADD COLUMN way TEXT NOT NULL DEFAULT 'chunks'",
    "ALTER TABLE ingest_uploads ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE ingest_streams (
        upload TEXT PRIMARY KEY REFERENCES ingest_uploads (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        arrived_bytes BIGINT NOT NULL,
        hasher TEXT,
        metadata TEXT NOT NULL,
        parts TEXT NOT NULL,
        became TEXT,
        touched_unix_s BIGINT NOT NULL)",
    "CREATE TABLE ingest_pieces (
        upload TEXT NOT NULL REFERENCES ingest_uploads (id) ON DELETE CASCADE,
        start_bytes BIGINT NOT NULL,
        size_bytes BIGINT NOT NULL,
        object TEXT NOT NULL,
        PRIMARY KEY (upload, start_bytes))",
    "CREATE INDEX ingest_streams_became ON ingest_streams (became)",
];
/// What owners may take up. Uploads that were there are of those who have their films' channels.
const QUOTAS: [&str; 3] = [
    "CREATE TABLE ingest_quotas (
        owner TEXT PRIMARY KEY,
        max_bytes BIGINT,
        max_uploads BIGINT,
        max_films BIGINT)",
    "UPDATE ingest_uploads SET owner = COALESCE((SELECT channels.owner FROM videos
        JOIN channels ON channels.id = videos.channel WHERE videos.id = ingest_uploads.video), '')
        WHERE owner = ''",
    "CREATE INDEX ingest_uploads_of_owner ON ingest_uploads (owner)",
];
/// What set a job back is counted by kind.
const SETBACKS: [&str; 2] = [
    "ALTER TABLE ingest_jobs ADD COLUMN outages BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE ingest_jobs ADD COLUMN cuts BIGINT NOT NULL DEFAULT 0",
];

/// What the chunks of an upload make that is not what was promised.
const WHOLES: [&str; 1] = ["ALTER TABLE ingest_uploads ADD COLUMN made_sha256 TEXT"];

/// Of films that are done the first job stays.
const DONE: [&str; 1] = ["DELETE FROM ingest_jobs WHERE stage > 0 AND video NOT IN \
    (SELECT video FROM ingest_jobs WHERE state <> 'done')"];

/// Complete uploads whose parts are still to be removed.
const LEFTOVERS: [&str; 1] = ["CREATE TABLE ingest_leftovers (upload TEXT PRIMARY KEY)"];

/// Films that could be watched already when the work on them began anew.
const WATCHED: [&str; 1] =
    ["ALTER TABLE ingest_jobs ADD COLUMN watched BOOLEAN NOT NULL DEFAULT FALSE"];

/// What opens an upload; uploads that were there are opened by nothing.
const TOKENS: [&str; 1] = ["ALTER TABLE ingest_uploads ADD COLUMN token_sha256 TEXT"];

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use catalog::Catalog;
    use runtime::clock::System;
    use sea_orm::{ConnectionTrait as _, DatabaseConnection};

    use super::Migrations;
    use crate::jobs::conformance::Hand;

    /// A catalogue with every table.
    pub(crate) async fn open(address: &str) -> Catalog {
        let catalog = catalog::open(address, Arc::new(System)).await.unwrap();
        catalog.migrate::<Migrations>().await.unwrap();
        catalog
    }

    /// The clock of a queue, set by hand.
    pub(crate) struct ByHand(DatabaseConnection);

    impl ByHand {
        /// What a queue that goes by it asks for.
        pub(crate) const NOW: &'static str = "(SELECT second FROM hand)";

        pub(crate) async fn of(db: &DatabaseConnection) -> Self {
            for sql in [
                "CREATE TABLE hand (second BIGINT NOT NULL)",
                "INSERT INTO hand VALUES (0)",
            ] {
                db.execute_unprepared(sql).await.unwrap();
            }
            Self(db.clone())
        }
    }

    #[async_trait]
    impl Hand for ByHand {
        async fn set(&self, now: u64) {
            let sql = format!("UPDATE hand SET second = {now}");
            self.0.execute_unprepared(&sql).await.unwrap();
        }
    }

    /// Runs a test in a new file and, where there is one, in a new database of a server.
    pub(crate) async fn on_both(test: impl AsyncFn(&str)) {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("sqlite://{}", folder.path().join("catalog.db").display());
        test(&file).await;
        if let Some(address) = test_postgres::database() {
            test(&address).await;
        }
    }
}
