//! API keys in the catalogue's database.

use async_trait::async_trait;
use contracts::id::ApiKeyId;
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult};

use super::{ApiKey, ApiKeys};
use crate::digest::SecretDigest;
use crate::error::Error;
use crate::open::engine;
use crate::sql::{Row, change, seconds, statement};
use crate::words;

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
impl ApiKeys for Sql {
    async fn create(&self, key: &ApiKey, secret: &SecretDigest) -> Result<(), Error> {
        let sql = "INSERT INTO api_keys (id, name, digest, scopes, created_unix_s, expires_unix_s) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let expires = key
            .expires
            .map(|expires| i64::try_from(expires.0).unwrap_or(i64::MAX));
        let values = vec![
            key.id.as_str().into(),
            words(&key.name).into(),
            secret.as_str().into(),
            key.scopes.join(" ").into(),
            seconds(key.created),
            expires.into(),
        ];
        if change(&self.db, sql, values).await? == 0 {
            return Err(Error::Exists {
                what: format!("API key {}", key.id),
            });
        }
        Ok(())
    }

    async fn find(&self, secret: &SecretDigest, now: UnixSeconds) -> Result<Option<ApiKey>, Error> {
        let sql = "SELECT * FROM api_keys WHERE digest = $1 \
                   AND (expires_unix_s IS NULL OR expires_unix_s > $2)";
        let values = vec![secret.as_str().into(), seconds(now)];
        let row = self.db.query_one_raw(statement(sql, values)).await;
        row.map_err(engine)?.map(|row| key(&row)).transpose()
    }

    async fn list(&self, after: Option<&ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>, Error> {
        let sql = "SELECT * FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2";
        let after = after.map_or("", ApiKeyId::as_str);
        let rows = statement(sql, vec![after.into(), limit.into()]);
        let rows = self.db.query_all_raw(rows).await.map_err(engine)?;
        rows.iter().map(key).collect()
    }

    async fn remove(&self, id: &ApiKeyId) -> Result<bool, Error> {
        let sql = "DELETE FROM api_keys WHERE id = $1";
        Ok(change(&self.db, sql, vec![id.as_str().into()]).await? == 1)
    }
}

fn key(row: &QueryResult) -> Result<ApiKey, Error> {
    let table = "api_keys";
    let row = Row { row, table };
    let scopes = row.text("scopes")?;
    Ok(ApiKey {
        id: row.parsed("id", ApiKeyId::parse)?,
        name: row.text("name")?,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        created: row.instant("created_unix_s")?,
        expires: row.optional_instant("expires_unix_s")?,
    })
}
