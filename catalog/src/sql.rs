//! Statements and values, as both engines take them.

use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use crate::error::Error;
use crate::open::engine;

/// A statement whose `$n` are `values`: both engines write them so, and neither adapter asks for
/// whose it is.
pub(crate) fn statement(sql: impl Into<String>, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

/// Runs a statement and tells how many rows it changed.
pub(crate) async fn change(
    db: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<u64, Error> {
    let changed = db.execute_raw(statement(sql, values)).await;
    Ok(changed.map_err(engine)?.rows_affected())
}

/// Whether what is said now counts beside what `table` has of before, in SQL: it is no older, or that came from a clock
/// that is ahead, for it is from after `limit`.
pub(crate) fn is_news(table: &str, limit: &str) -> String {
    format!("(excluded.last_unix_s >= {table}.last_unix_s OR {table}.last_unix_s > {limit})")
}

/// An instant as databases hold it.
pub(crate) fn seconds(instant: UnixSeconds) -> Value {
    number(instant.0)
}

/// A number as databases hold it.
pub(crate) fn number(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

/// A row of `table`, which is read column by column.
pub(crate) struct Row<'a> {
    pub(crate) row: &'a QueryResult,
    pub(crate) table: &'static str,
}

impl Row<'_> {
    pub(crate) fn text(&self, column: &str) -> Result<String, Error> {
        self.row.try_get("", column).map_err(engine)
    }

    pub(crate) fn optional_text(&self, column: &str) -> Result<Option<String>, Error> {
        self.row.try_get("", column).map_err(engine)
    }

    pub(crate) fn truth(&self, column: &str) -> Result<bool, Error> {
        self.row.try_get("", column).map_err(engine)
    }

    pub(crate) fn number(&self, column: &str) -> Result<u64, Error> {
        let value: i64 = self.row.try_get("", column).map_err(engine)?;
        u64::try_from(value).map_err(|_| self.corrupt(column))
    }

    pub(crate) fn instant(&self, column: &str) -> Result<UnixSeconds, Error> {
        self.number(column).map(UnixSeconds)
    }

    pub(crate) fn optional_instant(&self, column: &str) -> Result<Option<UnixSeconds>, Error> {
        let value: Option<i64> = self.row.try_get("", column).map_err(engine)?;
        let instant = value.map(|value| u64::try_from(value).map(UnixSeconds));
        instant.transpose().map_err(|_| self.corrupt(column))
    }

    /// A text that is of a type of its own.
    pub(crate) fn parsed<T, E>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Error> {
        parse(&self.text(column)?).map_err(|_| self.corrupt(column))
    }

    pub(crate) fn corrupt(&self, column: &str) -> Error {
        Error::Corrupt(format!("{column} of a row of {}", self.table))
    }
}
