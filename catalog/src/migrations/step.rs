//! One step of a set of tables: statements that are run once, on either engine.

#![expect(
    elided_lifetimes_in_paths,
    reason = "the trait's signature hides the lifetime, and so must ours"
)]

use async_trait::async_trait;
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

/// Statements that are run once, in their order.
///
/// They are written as `SQLite` takes them. `PostgreSQL` gets `BYTEA` for `BLOB`, and `TEXT` that
/// is compared byte for byte, so that both engines keep the same order.
pub struct Step {
    name: &'static str,
    statements: &'static [&'static str],
}

impl Step {
    /// A step by the name that it is noted under once it is done.
    #[must_use]
    pub const fn new(name: &'static str, statements: &'static [&'static str]) -> Self {
        Self { name, statements }
    }
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in self.statements {
            if connection.get_database_backend() == DbBackend::Postgres {
                connection.execute_unprepared(&postgres(statement)).await?;
            } else {
                connection.execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }
}

fn postgres(statement: &str) -> String {
    statement
        .replace("BLOB", "BYTEA")
        .replace("TEXT", "TEXT COLLATE \"C\"")
}
