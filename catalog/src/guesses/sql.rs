//! What failed, in the catalogue's database.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::Guesses;
use crate::error::Error;
use crate::open::engine;
use crate::sql::{Row, change, number, statement};

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Guesses for Sql {
    async fn burdens(&self, names: &[&str], now: UnixSeconds) -> Result<Vec<Duration>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT name, until_unix_s FROM guesses WHERE name IN ({})",
            places.join(", ")
        );
        let values = names.iter().map(|name| (*name).into()).collect();
        let rows = self.db.query_all_raw(statement(sql, values)).await;
        let mut until = HashMap::new();
        for row in &rows.map_err(engine)? {
            let table = "guesses";
            let row = Row { row, table };
            until.insert(row.text("name")?, row.instant("until_unix_s")?);
        }
        let left = |name: &&str| {
            let until = until.get(*name).map_or(0, |until| until.0);
            Duration::from_secs(until.saturating_sub(now.0))
        };
        Ok(names.iter().map(left).collect())
    }

    async fn burden(&self, names: &[(&str, Duration)], now: UnixSeconds) -> Result<(), Error> {
        let mut values = vec![number(now.0)];
        let mut rows = Vec::new();
        for (name, more) in names {
            values.extend([(*name).into(), number(now.plus(more.as_secs()).0)]);
            rows.push(format!("(${}, ${})", values.len() - 1, values.len()));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO guesses (name, until_unix_s) VALUES {} \
             ON CONFLICT (name) DO UPDATE SET until_unix_s = excluded.until_unix_s + \
             CASE WHEN guesses.until_unix_s > $1 THEN guesses.until_unix_s - $1 ELSE 0 END",
            rows.join(", ")
        );
        change(&self.db, sql, values).await.map(drop)
    }

    async fn burden_until(&self, name: &str, until: UnixSeconds) -> Result<(), Error> {
        let sql = "INSERT INTO guesses (name, until_unix_s) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET until_unix_s = excluded.until_unix_s \
                   WHERE guesses.until_unix_s < excluded.until_unix_s";
        let values = vec![name.into(), number(until.0)];
        change(&self.db, sql, values).await.map(drop)
    }

    async fn forget(&self, now: UnixSeconds) -> Result<u64, Error> {
        let sql = "DELETE FROM guesses WHERE until_unix_s <= $1";
        change(&self.db, sql, vec![number(now.0)]).await
    }
}
