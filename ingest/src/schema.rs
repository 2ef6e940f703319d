//! Ingest's own tables, beside the catalogue's, and how statements reach them.

#![expect(
    elided_lifetimes_in_paths,
    reason = "the migration trait's signature hides the lifetime, and so must ours"
)]

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, DynIden, Statement, Value, sea_query::IntoIden};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager};

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
            Box::new(Step {
                name: "first",
                statements: &TABLES,
            }),
            Box::new(Step {
                name: "second",
                statements: &UPLOADS_DUE,
            }),
            Box::new(Step {
                name: "texts",
                statements: &TEXTS,
            }),
            Box::new(Step {
                name: "digests_of_texts",
                statements: &DIGESTS_OF_TEXTS,
            }),
        ]
    }

    fn migration_table_name() -> DynIden {
        "ingest_migrations".into_iden()
    }
}

/// Statements that are run once, in their order.
struct Step {
    name: &'static str,
    statements: &'static [&'static str],
}

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        self.name
    }
}

#[async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in self.statements {
            let connection = manager.get_connection();
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// A statement whose `$n` are `values`.
pub(crate) fn statement(sql: impl Into<String>, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
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

#[cfg(test)]
pub(crate) mod tests {
    use std::{path::Path, sync::Arc};

    use runtime::clock::System;
    use sea_orm::DatabaseConnection;

    use super::Migrations;

    /// A database file in `folder`, with every table.
    pub(crate) async fn database(folder: &Path) -> DatabaseConnection {
        let address = format!("sqlite://{}", folder.join("catalog.db").display());
        let catalog = catalog::open(&address, Arc::new(System)).await.unwrap();
        catalog.migrate::<Migrations>().await.unwrap();
        catalog.connection().clone()
    }
}
